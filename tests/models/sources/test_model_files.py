"""A bare name in a workflow means a file in the user's model folders; no torch."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdgraph import Checkpoint, Lora
from sdgraph.errors import CheckpointError, Problem
from sdgraph.language import with_absolute_source
from sdgraph.memoize import memoized_scope
from sdgraph.models import find_lora, resolve
from sdgraph.models.formats.single_file_kinds import BASES
from sdgraph.models.sources.model_files import (
    ADAPTER_USES,
    CHECKPOINT_USES,
    list_model_files,
    source_for_field,
    weights_path,
    without_links,
)
from sdgraph.models.sources.model_folders import model_folders
from tests.support.ldm_headers import header
from tests.support.published_layouts import write_header


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model folder; the current folder is another one."""
    folder, current = tmp_path / "models", tmp_path / "here"
    folder.mkdir()
    current.mkdir()
    monkeypatch.chdir(current)
    monkeypatch.setenv("SDGRAPH_MODELS", str(folder))
    return folder


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def refusal(source: str) -> Problem:
    with pytest.raises(CheckpointError) as caught:
        _ = resolve(Checkpoint(source)).root
    return caught.value.problems[0]


def test_files_are_listed_once_with_what_their_folders_say(models: Path, tmp_path: Path) -> None:
    names = ["checkpoints/XL/a.safetensors", "loras/b.safetensors", "old/c.ckpt", "d.gguf"]
    for name in [*names, "loras/b.txt", ".cache/e.safetensors", "loras/.f.safetensors"]:
        touch(models / name)
    pipeline = touch(models / "diffusers/kept/model_index.json").parent
    touch(pipeline / "unet/g.safetensors")
    (models / "loras/again").symlink_to(models)
    (models / "loras/linked.safetensors").symlink_to(models / "loras/b.safetensors")
    (tmp_path / "else.pt").touch()
    (models / "embeddings").mkdir()
    (models / "embeddings/h.pt").symlink_to(tmp_path / "else.pt")
    assert weights_path("linked.safetensors", ADAPTER_USES) == models / "loras/linked.safetensors"
    files = {file.name: file for file in without_links(list_model_files(model_folders()))}
    uses = {name: file.use for name, file in files.items()}
    assert uses == {
        "checkpoints/XL/a.safetensors": "checkpoint",
        "diffusers/kept": "checkpoint",
        "d.gguf": "",
        "embeddings/h.pt": "embedding",
        "loras/b.safetensors": "LoRA",
        "old/c.ckpt": "",
    }
    assert [name for name, file in files.items() if file.is_pipeline] == ["diffusers/kept"]


def test_a_bare_name_is_found_in_folders_of_its_kind(models: Path) -> None:
    for name in ("checkpoints", "loras", "vae"):
        touch(models / name / "x.safetensors")
    touch(models / "unet/y.safetensors")
    found = weights_path("x.safetensors", CHECKPOINT_USES)
    assert found == models / "checkpoints/x.safetensors"
    assert weights_path("x.safetensors", ADAPTER_USES) == models / "loras/x.safetensors"
    assert weights_path("y.safetensors", CHECKPOINT_USES) == models / "unet/y.safetensors"


def test_a_name_may_say_some_of_its_folders(models: Path) -> None:
    path = touch(models / "checkpoints/XL/x.safetensors")
    touch(models / "checkpoints/x.safetensors")
    for name in ("XL/x.safetensors", "XL\\x.safetensors", "checkpoints/XL/x.safetensors"):
        assert weights_path(name, CHECKPOINT_USES) == path
    assert weights_path("L/x.safetensors", CHECKPOINT_USES) == Path("L/x.safetensors")


def test_a_file_beside_the_workflow_comes_first(models: Path, tmp_path: Path) -> None:
    touch(models / "checkpoints/x.safetensors")
    own = touch(tmp_path / "flows/x.safetensors")
    assert with_absolute_source("x.safetensors", own.parent) == str(own)
    touch(Path("x.safetensors"))
    assert weights_path("x.safetensors", CHECKPOINT_USES) == Path("x.safetensors")


def test_a_file_of_the_current_folder_is_not_that_of_a_workflow_elsewhere(
    models: Path, tmp_path: Path
) -> None:
    path = touch(models / "checkpoints/x.safetensors")
    touch(Path("x.safetensors"))
    written = with_absolute_source("x.safetensors", tmp_path / "flows")
    assert weights_path(written, CHECKPOINT_USES) == path


def test_a_name_of_several_files_is_refused_with_all_of_them(models: Path) -> None:
    paths = [touch(models / f"checkpoints/{name}/x.safetensors") for name in ("a", "b")]
    problem = refusal("x.safetensors")
    assert all(str(path) in problem.found for path in paths)
    assert "checkpoints/a/x.safetensors" in problem.fix
    assert weights_path("checkpoints/a/x.safetensors", CHECKPOINT_USES) == paths[0]


def test_the_field_decides_between_files_of_one_name(models: Path, tmp_path: Path) -> None:
    for name in ("checkpoints", "controlnet", "loras", "embeddings"):
        touch(models / name / "x.safetensors")
    touch(models / "vae/y.safetensors")
    names = {
        field: source_for_field("x.safetensors", field, tmp_path)
        for field in ("checkpoint", "controlnet", "loras", "embeddings")
    }
    assert names == {
        "checkpoint": "x.safetensors",
        "controlnet": "controlnet/x.safetensors",
        "loras": "loras/x.safetensors",
        "embeddings": "embeddings/x.safetensors",
    }
    found = weights_path(names["embeddings"], ADAPTER_USES)
    assert found == models / "embeddings/x.safetensors"
    for source in ("y.safetensors", "z.safetensors", "./x.safetensors", "org/name"):
        assert source_for_field(source, "vae", tmp_path) == source
    fields = with_absolute_source([{"source": "x.safetensors"}], tmp_path, "embeddings")
    assert fields == [{"source": "embeddings/x.safetensors"}]


def test_a_name_of_no_file_gets_the_near_ones_and_the_folders(models: Path) -> None:
    touch(models / "checkpoints/dreamshaper_8.safetensors")
    problem = refusal("dreamshaper8.safetensors")
    assert problem.found == f"no such file, and none below {models}"
    assert problem.fix == "did you mean 'dreamshaper_8.safetensors'?"
    with pytest.raises(CheckpointError, match=f"none below {models}"):
        find_lora(Lora("style.safetensors"))


def test_a_name_without_its_suffix_gets_the_whole_name(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    touch(models / "checkpoints/dreamshaper_8.safetensors")
    touch(models / "loras/style.v2.safetensors")
    assert refusal("dreamshaper_8").fix == "write dreamshaper_8.safetensors"
    assert "HF_HUB_OFFLINE" in refusal("dreamshaper").found
    with pytest.raises(CheckpointError, match=r"write style\.v2\.safetensors"):
        find_lora(Lora("style.v2"))


def test_a_missing_model_folder_is_said_where_a_name_is_not_found(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_MODELS", str(models / "gone"))
    assert f"{models / 'gone'} (which is missing)" in refusal("x.safetensors").found
    monkeypatch.setenv("SDGRAPH_MODELS", "")
    assert refusal("x.safetensors").found == "no such file"


def test_the_same_file_is_the_same_checkpoint_by_its_bare_name(models: Path) -> None:
    path = models / "checkpoints/x.safetensors"
    write_header(path, header(BASES[0]))
    with memoized_scope():
        bare, whole = resolve(Checkpoint("x.safetensors")), resolve(Checkpoint(str(path)))
        assert bare.single_file is not None and bare.single_file.path == path
        assert bare.content_fingerprint == whole.content_fingerprint
    assert bare.checkpoint.as_data() == "x.safetensors"


def test_a_name_that_leads_out_of_the_folders_is_not_looked_for(models: Path) -> None:
    touch(models / "checkpoints/x.safetensors")
    touch(models / "y.safetensors")
    source = "checkpoints/../y.safetensors"
    assert weights_path(source, CHECKPOINT_USES) == Path(source)


def test_folders_that_have_not_changed_are_not_listed_again(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = touch(models / "checkpoints/x.safetensors")
    for folder in (models, path.parent):
        os.utime(folder, ns=(10**18, 10**18))
    assert weights_path("x.safetensors", CHECKPOINT_USES) == path
    with monkeypatch.context() as patched:
        patched.setattr(os, "walk", lambda *_, **__: pytest.fail("listed again"))
        assert weights_path("x.safetensors", CHECKPOINT_USES) == path
    moved = path.rename(path.with_name("y.safetensors"))
    assert weights_path("y.safetensors", CHECKPOINT_USES) == moved
    assert weights_path("x.safetensors", CHECKPOINT_USES) == Path("x.safetensors")
