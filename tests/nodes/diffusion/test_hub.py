"""A checkpoint in the hub's own cache runs offline and shares its components with a folder."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models import resolve_part
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Inpaint
from sdgraph.values import Part
from tests.support.failing_runs import refused_before_load
from tests.support.photos import photo, spot

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(no_hub: Path) -> Path:
    """`someone/tiny-inpaint` as huggingface_hub lays it out; returns its folder in the cache."""
    root = no_hub / "models--someone--tiny-inpaint"
    (root / "blobs").mkdir(parents=True)
    (root / "refs").mkdir()
    for ref in ("main", "fp16"):
        (root / "refs" / ref).write_text(COMMIT)
    source = shipped_folder("tiny/inpaint")
    for path in source.rglob("*"):
        if path.is_file():
            large = path.suffix == ".safetensors"
            digest = hashlib.sha256 if large else hashlib.sha1
            blob = root / "blobs" / digest(path.read_bytes()).hexdigest()
            shutil.copyfile(path, blob)
            link = root / "snapshots" / COMMIT / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)
    return root


def node(checkpoint: Checkpoint) -> Inpaint:
    return Inpaint(
        prompt="a", image=photo(64, 64), mask=spot(64, 64), steps=1, checkpoint=checkpoint
    )


@pytest.mark.parametrize("revision", [None, "main", "fp16", COMMIT])
def test_it_runs_offline_by_branch_and_by_commit(cached: Path, revision: str | None) -> None:
    result = run(
        node(Checkpoint("someone/tiny-inpaint", revision=revision)),
        session=Session(device="cpu", store=None),
    )
    expected = run(node(Checkpoint("tiny/inpaint")), session=Session(device="cpu", store=None))
    assert result == expected


def test_its_components_are_those_of_the_same_folder(cached: Path) -> None:
    folder = Checkpoint(shipped_folder("tiny/inpaint"))
    hub = Checkpoint("someone/tiny-inpaint")
    session = Session(device="cpu", store=None)
    run(node(hub), session=session)
    before = session.models.loaded()
    run(node(folder), session=session)
    assert len(before) == 4
    assert {component.key for component in before} == {
        component.key for component in session.models.loaded()
    }
    for name in ("unet", "vae", "text_encoder", "tokenizer"):
        assert (
            resolve_part(Part(hub, name)).fingerprint
            == resolve_part(Part(folder, name)).fingerprint
        )


def test_what_has_no_weights_here_yet_is_known_by_its_name(cached: Path, no_hub: Path) -> None:
    for link in (cached / "snapshots" / COMMIT / "unet").glob("*.safetensors"):
        link.unlink()
    shutil.copytree(cached, no_hub / "models--someone--other", symlinks=True)
    one, other = Checkpoint("someone/tiny-inpaint"), Checkpoint("someone/other")
    assert (
        resolve_part(Part(one, "unet")).fingerprint != resolve_part(Part(other, "unet")).fingerprint
    )
    assert (
        resolve_part(Part(one, "vae")).fingerprint == resolve_part(Part(other, "vae")).fingerprint
    )


def test_a_revision_that_is_not_here_is_refused_while_offline(cached: Path) -> None:
    text = refused_before_load(node(Checkpoint("someone/tiny-inpaint", revision="other")))
    assert "someone/tiny-inpaint: not in the hub's cache" in text


def test_a_snapshot_without_its_weights_is_one_clear_error(cached: Path) -> None:
    for link in (cached / "snapshots" / COMMIT / "unet").glob("*.safetensors"):
        link.unlink()
    session = Session(device="cpu", store=None)
    with pytest.raises(Exception, match="someone/tiny-inpaint") as caught:
        run(node(Checkpoint("someone/tiny-inpaint")), session=session)
    assert type(caught.value).__module__ == "sdgraph.errors"
    assert session.models.loaded() == ()
