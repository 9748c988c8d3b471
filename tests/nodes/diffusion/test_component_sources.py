"""A component from elsewhere makes the pictures of a folder in which it was replaced by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import CheckpointError
from sdgraph.graph import Graph
from sdgraph.models import resolve_part
from sdgraph.models.loading.loader import load_quietly
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Save, Text2Image
from sdgraph.provenance import read_record
from sdgraph.provenance.verify import checkpoint_states
from sdgraph.values import Part
from tests.nodes.diffusion.test_single_files import write_xl
from tests.support import ldm_layout
from tests.support.bare_scripts import same

pytestmark = pytest.mark.torch

BASE = "tiny/text-to-image"


def with_other_weights(base: Path, component: str, new: Path) -> Path:
    """Copies a checkpoint and gives one of its components other, random weights."""
    import diffusers
    import torch
    import transformers

    torch.manual_seed(1)
    shutil.copytree(base, new)
    library, name = json.loads((base / "model_index.json").read_text())[component]
    cls = getattr({"diffusers": diffusers, "transformers": transformers}[library], name)
    if library == "diffusers":
        module = cls.from_config(cls.load_config(base / component))
    else:
        module = cls(cls.config_class.from_pretrained(base / component))
    shutil.rmtree(new / component)
    module.save_pretrained(new / component)
    return new


def mixed(base: str | Path, component: str, source: Any, **fields: Any) -> Checkpoint:
    return Checkpoint(base, **{component: source}, **fields)


def weights_in(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def cut(whole: Path, begin: str, path: Path, prefix: str = "") -> Path:
    """Writes the tensors of a file whose names begin alike into another, with another beginning."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(whole).items()
    own = {n.removeprefix(begin): tensor for n, tensor in tensors if n.startswith(begin)}
    save_file({f"{prefix}{name}": tensor for name, tensor in own.items()}, path)
    return path


LDM = {
    "vae": ("first_stage_model.", ("", "vae.")),
    "unet": ("model.diffusion_model.", ("", "diffusion_model.", "model.diffusion_model.")),
    "text_encoder": (
        "cond_stage_model.transformer.text_model.",
        ("", "text_model.", "transformer.text_model."),
    ),
}
"""For each component, how the names of its tensors begin, and how they may begin."""


@pytest.mark.parametrize("component", ["vae", "unet", "text_encoder"])
def test_a_component_in_each_layout_equals_a_folder_with_it(
    session: Session, tmp_path: Path, component: str
) -> None:
    base, hand = shipped_folder(BASE), tmp_path / "hand"
    with_other_weights(base, component, hand)
    node = Text2Image(prompt="a red star", steps=1, checkpoint=Checkpoint(hand))
    expected = run(node, session=session).numpy
    assert not same(expected, run(node.replace(checkpoint=BASE), session=session).numpy)
    whole, base_file = tmp_path / "hand.safetensors", tmp_path / "base.safetensors"
    ldm_layout.write_single_file(hand, whole, "1")
    ldm_layout.write_single_file(base, base_file, "1")
    begin, prefixes = LDM[component]
    sources: list[Any] = [
        hand / component,
        {"source": str(hand), "subfolder": component},
        Path(shutil.copy(weights_in(hand / component), tmp_path / "own.safetensors")),
        whole,
        *(cut(whole, begin, tmp_path / f"{i}.safetensors", p) for i, p in enumerate(prefixes)),
    ]
    if component == "text_encoder":
        open_clip = tmp_path / "open_clip.safetensors"
        ldm_layout.write_single_file(hand, open_clip, "2")
        sources.append(cut(open_clip, "cond_stage_model.model.", tmp_path / "oc.safetensors"))
    for source in sources:
        whole_checkpoint = mixed(BASE, component, source)
        pixels = run(node.replace(checkpoint=whole_checkpoint), session=session).numpy
        assert same(expected, pixels), source
    for source in (hand / component, whole):
        whole_checkpoint = mixed(base_file, component, source, config=BASE)
        pixels = run(node.replace(checkpoint=whole_checkpoint), session=session).numpy
        assert same(expected, pixels), source


def test_the_second_text_encoder_of_sdxl_may_be_one_of_openclip(
    session: Session, tmp_path: Path
) -> None:
    base = write_xl(tmp_path / "xl")
    hand = with_other_weights(base, "text_encoder_2", tmp_path / "hand")
    whole = ldm_layout.write_single_file(hand, tmp_path / "hand.safetensors", "XL")
    alone = cut(whole, "conditioner.embedders.1.model.", tmp_path / "alone.safetensors")
    expected = load_quietly(
        resolve_part(Part(Checkpoint(hand), "text_encoder_2")), "float32", "cpu"
    )
    for source in (alone, whole, weights_in(hand / "text_encoder_2")):
        part = resolve_part(Part(Checkpoint(base, text_encoder_2=source), "text_encoder_2"))
        module = load_quietly(part, "float32", "cpu")
        own, wanted = module.state_dict(), expected.state_dict()
        assert own.keys() == wanted.keys() and all((own[n] == wanted[n]).all() for n in own)


def test_two_checkpoints_share_a_component_from_elsewhere(session: Session, tmp_path: Path) -> None:
    hand = with_other_weights(shipped_folder(BASE), "vae", tmp_path / "hand")
    file = Path(shutil.copy(weights_in(hand / "vae"), tmp_path / "x.safetensors"))
    one, two = Checkpoint(BASE, vae=file), Checkpoint("tiny/inpaint", vae=file)
    parts = [resolve_part(Part(checkpoint, "vae")) for checkpoint in (one, two)]
    keys = [part.component("cpu", "float32").key for part in parts]
    assert keys[0] == keys[1]
    node = Text2Image(prompt="a", steps=1, checkpoint=one)
    graph = Graph.of(node, node.replace(checkpoint=Checkpoint(BASE), prompt="b"))
    names = [use.component.name for step in session.plan(graph).steps for use in step.uses]
    assert str(file) in names and f"{BASE}/vae" in names
    assert names.count(f"{BASE}/unet") == 2


@pytest.mark.parametrize(
    ("change", "found"),
    [("missing", "weights without"), ("shape", "of shape (3, 9, 3, 3)"), ("more", "weights with")],
)
def test_a_file_with_other_tensors_is_refused_before_it_is_read(
    tmp_path: Path, change: str, found: str
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(weights_in(shipped_folder(BASE) / "vae"))
    if change == "missing":
        del tensors["decoder.conv_out.bias"]
    else:
        name = "decoder.conv_out.weight" if change == "shape" else "decoder.more.weight"
        tensors[name] = torch.zeros(3, 9, 3, 3)
    path = tmp_path / "x.safetensors"
    save_file(tensors, path)
    with pytest.raises(CheckpointError) as caught:
        load_quietly(resolve_part(Part(Checkpoint(BASE, vae=path), "vae")), "float32", "cpu")
    assert found in caught.value.problems[0].found


def test_a_record_names_the_component_and_sees_its_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(shutil.copy(weights_in(shipped_folder(BASE) / "vae"), tmp_path / "x.safetensors"))
    node = Text2Image(prompt="a", steps=1, checkpoint=Checkpoint(BASE, vae="./x.safetensors"))
    run(Save(image=node, path=tmp_path / "a.png"))
    record = read_record(tmp_path / "a.png")
    assert record is not None
    states = dict(checkpoint_states(record, tmp_path))
    assert states == {BASE: "unchanged", "./x.safetensors": "unchanged"}
    entry = next(each for each in record.checkpoints if each["source"] == "./x.safetensors")
    assert entry["component"] == "vae" and set(entry["files"]) == {"x.safetensors", "config.json"}
    assert "vae: ./x.safetensors" in str(record.workflow)
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\1\0")
    assert dict(checkpoint_states(record, tmp_path))["./x.safetensors"] == "changed"


def test_components_and_configs_on_the_hub_are_fetched_before_a_run(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fnmatch import fnmatch

    from huggingface_hub import constants

    cache, fetched = tmp_path / "hub", list[str]()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    vae, base = tmp_path / "vae", shipped_folder(BASE)
    hand = with_other_weights(base, "vae", tmp_path / "hand")
    shutil.copytree(hand / "vae", vae)
    repositories = {"some/base": base, "some/vae": vae}

    def download(
        source: str,
        revision: str | None,
        *,
        allow_patterns: list[str],
        ignore_patterns: list[str],
    ) -> Path:
        repository, snapshot = cache / f"models--{source.replace('/', '--')}", "snapshots/1234"
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / "main").write_text("1234")
        for path in repositories[source].rglob("*"):
            name = path.relative_to(repositories[source]).as_posix()
            matches = any(fnmatch(name, pattern) for pattern in allow_patterns)
            if path.is_file() and matches and not any(fnmatch(name, p) for p in ignore_patterns):
                (repository / snapshot / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, repository / snapshot / name)
                fetched.append(f"{source}/{name}")
        return repository / snapshot

    monkeypatch.setattr("sdgraph.models.sources.hub_downloads.download_matching", download)
    node = Text2Image(prompt="a", steps=1, checkpoint=Checkpoint(hand))
    expected = run(node, session=session).numpy
    mixed_node = node.replace(checkpoint=Checkpoint("some/base", vae="some/vae"))
    plan = session.plan(Graph.of(mixed_node))
    assert {checkpoint.source for checkpoint in plan.fetches} == {"some/base", "some/vae"}
    assert fetched == []
    assert same(expected, run(mixed_node, session=session).numpy)
    weights = "vae/diffusion_pytorch_model.safetensors"
    assert f"some/{weights}" in fetched and f"some/base/{weights}" not in fetched
    assert "some/base/vae/config.json" in fetched
    assert session.plan(Graph.of(mixed_node)).fetches == {}
    shutil.rmtree(cache)
    file = Path(shutil.copy(weights_in(vae), tmp_path / "x.safetensors"))
    of_file = Text2Image(prompt="b", steps=1, checkpoint=Checkpoint("some/base", vae=file))
    expected = run(of_file.replace(checkpoint=Checkpoint(hand)), session=session).numpy
    plan = session.plan(Graph.of(of_file))
    assert {c.source for c in plan.fetches} == {"some/base"} == set(plan.absent)
    assert [problem.subject for problem in plan.checkpoint_warnings] == ["some/base"]
    assert same(expected, run(of_file, session=session).numpy)
    with pytest.raises(CheckpointError, match=r"whole pipeline"):
        part = Part(Checkpoint(BASE, vae="some/base"), "vae")
        shutil.rmtree(cache)
        load_quietly(resolve_part(part), "float32", "cpu")
