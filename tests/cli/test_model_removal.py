"""`models remove` removes a checkpoint from the hub's cache, or a file of a model folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import fake_checkpoints
from tests.support.command_line import Command, CommandResult


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with two checkpoints."""
    from huggingface_hub import constants

    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    model = fake_checkpoints.checkpoint(tmp_path / "model", unet=b"unet")
    for source in ("org/one", "org/two"):
        fake_checkpoints.in_hub_cache(folder, source, model)
    return folder


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder with files."""
    folder = tmp_path / "models"
    monkeypatch.setenv("SDGRAPH_MODELS", str(folder))
    for name in ("loras/a.safetensors", "loras/b.safetensors", "vae/b.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"12345")
    return folder


def remove(sdgraph: Command, *arguments: str) -> CommandResult:
    return sdgraph("models", "remove", *arguments, toys=False)


def test_a_checkpoint_of_the_hub_is_removed_by_its_id(sdgraph: Command, cache: Path) -> None:
    result = remove(sdgraph, "org/one", "--yes")
    assert result.code == 0 and " freed" in result.out
    assert not (cache / "models--org--one").exists() and (cache / "models--org--two").exists()


def test_what_an_interrupted_fetch_left_is_removed(sdgraph: Command, cache: Path) -> None:
    blobs = cache / "models--org--half/blobs"
    blobs.mkdir(parents=True)
    (blobs / "abc.incomplete").write_bytes(b"1234567")
    assert "7 B freed" in remove(sdgraph, "org/half", "--yes").out
    assert not blobs.parent.exists()


def test_a_file_is_removed_by_its_name_or_path(sdgraph: Command, models: Path) -> None:
    assert remove(sdgraph, "a.safetensors", "--yes").out.endswith("5 B freed\n")
    assert remove(sdgraph, str(models / "vae/b.safetensors"), "--yes").code == 0
    assert [path.name for path in models.rglob("*.safetensors")] == ["b.safetensors"]


def test_of_several_files_of_a_name_none_is_removed(sdgraph: Command, models: Path) -> None:
    result = remove(sdgraph, "b.safetensors", "--yes")
    assert result.code == 2 and "several files of that name" in result.err
    assert remove(sdgraph, "vae/b.safetensors", "--yes").code == 0
    assert (models / "loras/b.safetensors").exists()


def test_a_file_elsewhere_is_left(sdgraph: Command, models: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"1")
    for name in (str(other), "other.safetensors", "models/../other.safetensors"):
        result = remove(sdgraph, name, "--yes")
        assert result.code == 2 and "outside of your model folders" in result.err
    assert other.exists()


def test_of_a_link_the_link_alone_is_removed(
    sdgraph: Command, models: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"1")
    (models / "loras/link.safetensors").symlink_to(other)
    assert "a link" not in remove(sdgraph, "link.safetensors", "--yes").err
    assert other.exists() and not (models / "loras/link.safetensors").is_symlink()


def test_below_a_linked_folder_the_true_path_is_told(
    sdgraph: Command, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/c.safetensors").write_bytes(b"1")
    (models / "linked").symlink_to(tmp_path / "shared")
    result = remove(sdgraph, "c.safetensors")
    assert f"which is {tmp_path}/shared/c.safetensors" in " ".join(result.err.split())


def test_what_could_not_be_removed_is_not_said_to_be_removed(
    sdgraph: Command, cache: Path, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("shutil.rmtree", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    for name in ("org/one", "a.safetensors"):
        result = remove(sdgraph, name, "--yes")
        assert result.code == 1 and "could not be removed" in result.err and not result.out
        assert "Traceback" not in result.err


def test_without_a_confirmation_nothing_is_removed(
    sdgraph: Command, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = remove(sdgraph, "a.safetensors")
    assert result.code == 2 and "add --yes" in result.err
    monkeypatch.setattr("sdgraph.cli.model_removal._can_ask", lambda: True)
    for answer, is_left in (("", True), ("n", True), ("y", False)):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        assert remove(sdgraph, "a.safetensors").code == 0
        assert (models / "loras/a.safetensors").exists() is is_left


@pytest.mark.parametrize(
    "name", ["org/none", "org--one", "none.safetensors", "tiny/inpaint", "../x", ""]
)
def test_what_is_not_here_is_told(sdgraph: Command, cache: Path, models: Path, name: str) -> None:
    result = remove(sdgraph, name, "--yes")
    assert result.code == 2 and "Traceback" not in result.err
    assert len(list(models.rglob("*.safetensors"))) == 3 and len(list(cache.iterdir())) == 2
