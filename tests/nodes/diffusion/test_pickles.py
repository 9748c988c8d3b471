"""Weights in pickles are refused until they are allowed; their code is never run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, InvalidWorkflowError, Session, run
from sdgraph.cli import main
from sdgraph.errors import CheckpointError
from sdgraph.media import read_image
from sdgraph.models import fetch_checkpoint, resolve_part
from sdgraph.models.formats import pickles
from sdgraph.nodes import Text2Image
from sdgraph.nodes.training.loading import load_autoencoder, load_parts
from sdgraph.values import Part
from tests.support.failing_runs import failure, refused_before_load

BASE = "tiny/text-to-image"
WEIGHTS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "pytorch_model",
}


def pickle_weights(folder: Path, suffix: str = ".bin") -> Path:
    """Turns the safetensors of a checkpoint into pickles."""
    import torch
    from safetensors.torch import load_file

    for part, stem in WEIGHTS.items():
        (path,) = (folder / part).glob("*.safetensors")
        torch.save(load_file(path), folder / part / f"{stem}{suffix}")
        path.unlink()
    return folder


class Evil:
    """An object that writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.fixture
def pickled(copied: Callable[[str], Path]) -> Path:
    return pickle_weights(copied(BASE))


def star(checkpoint: object, **more: Any) -> Text2Image:
    return Text2Image(prompt="a red star", steps=1, checkpoint=checkpoint, **more)  # type: ignore[arg-type]


def fresh() -> Session:
    return Session(device="cpu", store=None)


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def flow(pickled: Path, tmp_path: Path) -> Path:
    path = tmp_path / "flow.yaml"
    fields = f"prompt: a red star, steps: 1, checkpoint: ./{pickled.name}"
    path.write_text(
        f"nodes:\n  star: {{type: Text2Image, {fields}}}\n"
        "  result: {type: Save, image: $star, path: star.png}\n"
    )
    return path


@pytest.mark.parametrize("verb", ["validate", "plan", "run"])
def test_the_command_line_refuses_them_until_they_are_allowed(
    flow: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(verb, str(flow)) == 2
    caught = capsys.readouterr()
    message = " ".join((caught.out + caught.err).split())
    assert "vae: its weights are pickles, which can run code wanted: safetensors fix:" in message
    assert "convert them" in message and "--allow-pickle" in message
    assert not (flow.parent / "star.png").exists()
    assert command(verb, str(flow), "--allow-pickle") == 0
    assert command(verb, str(flow)) == 2, "leave is given to one command"


def test_allowed_they_make_what_safetensors_make(flow: Path) -> None:
    assert command("run", str(flow), "--allow-pickle", "--device", "cpu", "--quiet") == 0
    expected = run(star(BASE), session=fresh())
    assert (np.asarray(read_image(flow.parent / "star.png")) == expected.numpy).all()


@pytest.mark.parametrize(
    "switch",
    [
        "allow_pickle: true\nnodes: {star: {NODE, checkpoint: ./MODEL}}",
        "nodes: {star: {NODE, allow_pickle: true, checkpoint: ./MODEL}}",
        "nodes: {star: {NODE, checkpoint: {source: ./MODEL, allow_pickle: true}}}",
        "nodes: {star: {NODE, checkpoint: {source: ./MODEL, use_safetensors: false}}}",
        "inputs: {allow_pickle: true}\nnodes: {star: {NODE, checkpoint: ./MODEL}}",
    ],
)
def test_no_workflow_can_allow_them(
    pickled: Path, tmp_path: Path, switch: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flow = tmp_path / "flow.yaml"
    node = "type: Text2Image, prompt: a red star"
    flow.write_text(switch.replace("MODEL", pickled.name).replace("NODE", node))
    assert command("run", str(flow)) == 2
    message = capsys.readouterr().err
    assert "pickles" in message or "allow_pickle" in message or "use_safetensors" in message


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
@pytest.mark.parametrize("forced", [False, True])
def test_code_in_them_is_never_run(
    pickled: Path, tmp_path: Path, part: str, forced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    marker = tmp_path / "was run"
    torch.save({"weight": Evil(marker)}, pickled / part / f"{WEIGHTS[part]}.bin")
    session = fresh()
    before = run(star(BASE), session=session)
    shared = session.models.loaded()
    with pickles.allow():
        error = failure(star(pickled), session)
    assert isinstance(error.__cause__, CheckpointError)
    assert f"{pickled}/{part}\n  found:  it cannot be loaded" in str(error)
    assert not marker.exists()
    assert {component.key for component in shared} <= {
        component.key for component in session.models.loaded()
    }
    assert f"{pickled}/{part}" not in {component.name for component in session.models.loaded()}
    assert run(star(BASE), session=session) == before


def test_the_trap_is_one(tmp_path: Path) -> None:
    import torch

    torch.save(Evil(tmp_path / "was run"), tmp_path / "trap.bin")
    torch.load(tmp_path / "trap.bin", weights_only=False)
    assert (tmp_path / "was run").exists()


def test_one_cut_short_is_one_clear_error_and_leaves_nothing(pickled: Path) -> None:
    path = pickled / "unet" / "diffusion_pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-1000])
    session = fresh()
    with pickles.allow():
        error = failure(star(pickled), session)
    assert f"{pickled}/unet\n  found:  it cannot be loaded" in str(error)
    assert f"{pickled}/unet" not in {component.name for component in session.models.loaded()}


def test_one_that_changes_between_plan_and_load_stops_the_run(pickled: Path) -> None:
    path = pickled / "unet" / "diffusion_pytorch_model.bin"

    def meddle(event: object) -> None:
        if type(event).__name__ == "NodeStarted":
            path.write_bytes(b"other bytes")

    with pickles.allow(), pytest.raises(Exception, match="has changed since the run was planned"):
        run(star(pickled), session=fresh(), on_event=meddle)


@pytest.mark.parametrize("name", ["model.ckpt", "diffusion_pytorch_model.pt", "optimizer.bin"])
def test_what_no_library_reads_is_refused_though_allowed(pickled: Path, name: str) -> None:
    path = pickled / "unet" / "diffusion_pytorch_model.bin"
    path.rename(path.with_name(name))
    with pickles.allow():
        text = refused_before_load(star(pickled))
    assert name in text and "diffusion_pytorch_model.bin" in text and "convert them" in text


def test_a_variant_picks_its_pickles(copied: Callable[[str], Path]) -> None:
    folder = pickle_weights(copied(BASE), ".fp16.bin")
    with pickles.allow():
        assert "set the checkpoint's variant" in refused_before_load(star(folder))
        result = run(star(Checkpoint(folder, variant="fp16")), session=fresh())
    assert result == run(star(BASE), session=fresh())


def test_safetensors_are_preferred_to_pickles(copied: Callable[[str], Path]) -> None:
    folder = copied(BASE)
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"no pickle at all")
    with pickles.allow():
        files = resolve_part(Part(Checkpoint(folder), "unet")).files
        assert [path.suffix for path in files] == [".safetensors"]
        assert run(star(folder), session=fresh()) == run(star(BASE), session=fresh())


def test_training_takes_them_where_they_are_allowed(pickled: Path) -> None:
    with pytest.raises(CheckpointError, match="--allow-pickle"):
        load_parts(Checkpoint(pickled), ["unet"])
    with pickles.allow():
        assert set(load_parts(Checkpoint(pickled), ["unet", "text_encoder"])) == {
            "unet",
            "text_encoder",
        }
        assert load_autoencoder(Checkpoint(pickled)).config.latent_channels == 4


def test_of_the_hub_they_are_fetched_where_they_are_allowed_and_all_there_is(
    pickled: Path, no_hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patterns: list[str] = []
    snapshot = tmp_path / "snapshot"

    def download(
        source: str, revision: str | None, *, allow_patterns: list[str], **more: Any
    ) -> Path:
        patterns.append(allow_patterns[-1])
        fits = shutil.ignore_patterns(*([] if patterns[-1].endswith(".bin") else ["*.bin"]))
        return Path(shutil.copytree(pickled, snapshot, ignore=fits, dirs_exist_ok=True))

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr("sdgraph.models.sources.hub_downloads.download_matching", download)
    with pytest.raises(CheckpointError, match="--allow-pickle"):
        fetch_checkpoint(Checkpoint("someone/pickled"))
    assert patterns == ["model_index.json", "*/*.safetensors"]
    with pickles.allow():
        assert fetch_checkpoint(Checkpoint("someone/pickled")) == snapshot
    index = "model_index.json"
    assert patterns[2:] == [index, "*/*.safetensors", index, "*/*pytorch_model*.bin"]


def test_leave_ends_with_its_block_whatever_is_raised(pickled: Path) -> None:
    with pytest.raises(ZeroDivisionError), pickles.allow(), pickles.allow():
        raise ZeroDivisionError
    assert not pickles.are_allowed()
    with pytest.raises(InvalidWorkflowError, match="pickles"):
        run(star(pickled), session=fresh())
