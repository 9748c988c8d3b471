"""A session reads an unchanged checkpoint once, and notices every change of its folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sdgraph import Checkpoint
from sdgraph.files import stamps, tree_stamps
from sdgraph.models import CheckpointCache, ResolvedCheckpoint, resolve, session_scope
from sdgraph.models.checkpoint import checkpoint_cache
from sdgraph.models.formats import pickles
from tests.support import fake_checkpoints

WEIGHTS = Path("unet") / fake_checkpoints.WEIGHTS


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint that counts as written long ago, of which one file is a link."""
    monkeypatch.setattr(stamps, "SETTLING_NS", 0)
    weights = {name: fake_checkpoints.safetensors(name.encode() * 9) for name in ("unet", "vae")}
    folder = fake_checkpoints.checkpoint(tmp_path / "model", **weights)
    linked = folder / "vae" / fake_checkpoints.WEIGHTS
    linked.rename(tmp_path / "blob")
    linked.symlink_to(tmp_path / "blob")
    return folder


def resolved(kept: CheckpointCache, source: Path) -> ResolvedCheckpoint:
    """The checkpoint as a run of the session would read it, with hashes of its files."""
    with session_scope(kept):
        found = resolve(Checkpoint(str(source)))
        assert resolve(Checkpoint(str(source))) is found
        assert found.hashed_files
    return found


def test_an_unchanged_checkpoint_is_the_same_object_in_the_next_run(model: Path) -> None:
    kept = CheckpointCache()
    assert resolved(kept, model) is resolved(kept, model)
    assert resolved(CheckpointCache(), model) is not resolved(kept, model), (
        "each session has its own"
    )


def replace_bytes(path: Path) -> None:
    """Replaces the content by one of the same size, with the same time of modification."""
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"e", b"E"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "weights of the same size and time": lambda model: replace_bytes(model / WEIGHTS),
    "the target of a link": lambda model: replace_bytes(model.parent / "blob"),
    "another config": lambda model: replace_bytes(model / "unet" / "config.json"),
    "a new file": lambda model: (model / "unet" / "more.json").write_text("{}"),
    "a removed file": lambda model: (model / WEIGHTS).unlink(),
    "a removed folder": lambda model: shutil.rmtree(model / "vae"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_after_a_change_the_checkpoint_is_read_again(model: Path, change: str) -> None:
    kept = CheckpointCache()
    before = resolved(kept, model)
    CHANGES[change](model)
    after = resolved(kept, model)
    assert after is not before
    assert after.hashed_files == ResolvedCheckpoint(Checkpoint(str(model))).hashed_files
    assert resolved(kept, model) is after


def test_a_checkpoint_that_was_just_written_is_not_kept(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamps, "SETTLING_NS", 10**12)
    kept = CheckpointCache()
    assert resolved(kept, model) is not resolved(kept, model)


def test_allowing_pickles_reads_a_checkpoint_again(model: Path) -> None:
    kept = CheckpointCache()
    before = resolved(kept, model)
    with pickles.allow():
        assert resolved(kept, model) is not before


def test_a_checkpoint_with_parts_from_elsewhere_is_not_kept(model: Path) -> None:
    mixed = Checkpoint(str(model), vae=str(model / "vae"))
    kept = CheckpointCache()
    found = []
    for _ in range(2):
        with session_scope(kept):
            found.append(resolve(mixed))
    assert found[0] is not found[1]


def test_so_many_checkpoints_are_kept_at_most(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_cache, "MAX_KEPT", 1)
    other = Path(shutil.copytree(model, tmp_path / "other"))
    kept = CheckpointCache()
    first = resolved(kept, model)
    second = resolved(kept, other)
    assert resolved(kept, other) is second
    assert resolved(kept, model) is not first


def test_a_tree_has_no_stamps_if_it_is_too_large_too_deep_or_gone(model: Path) -> None:
    count = sum(1 for _ in model.rglob("*"))
    assert len(tree_stamps(model, count) or ()) == count
    assert tree_stamps(model, count - 1) is None
    assert tree_stamps(model, count, depth=0) is None
    assert tree_stamps(model / "absent", count) is None
