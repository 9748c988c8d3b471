"""A scope: the same question is answered once within it, and again after it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from sdgraph import Checkpoint, Session, memoize, run
from sdgraph.errors import CheckpointError
from sdgraph.files import FileStamp
from sdgraph.graph import Graph, In, Node, parts_of
from sdgraph.memoize import memoized_scope
from sdgraph.models import (
    ModelCache,
    Models,
    ResolvedCheckpoint,
    file_sha256,
    memoized_resolutions,
    resolve,
)
from sdgraph.nodes import Text2Image
from sdgraph.values import Part
from tests.support import fake_checkpoints


@pytest.fixture
def model(tmp_path: Path) -> Checkpoint:
    weights = fake_checkpoints.safetensors(b"u")
    return Checkpoint(fake_checkpoints.checkpoint(tmp_path / "model", unet=weights))


def test_outside_a_scope_every_question_is_asked(model: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    before = file_sha256(file)
    file.write_text("after")
    assert file_sha256(file) != before
    assert resolve(model) is not resolve(model)


def test_within_a_scope_it_is_asked_once(model: Checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    with memoized_scope():
        before, resolved = file_sha256(file), resolve(model)
        file.write_text("after")
        with memoized_scope():
            assert file_sha256(file) == before
            assert resolve(Checkpoint(model.source)) is resolved
        assert file_sha256(file) == before
        assert resolve(model.in_dtype("float16")) is not resolved
    assert file_sha256(file) != before
    with memoized_scope():
        assert resolve(model) is not resolved


def test_a_resolved_checkpoint_keeps_its_answers(model: Checkpoint) -> None:
    resolved = resolve(model)
    unet = resolved.part(Part(model, "unet"))
    fingerprint, size, config = unet.fingerprint, unet.file_bytes, resolved.config("unet")
    (path,) = unet.files
    path.write_bytes(fake_checkpoints.safetensors(b"other and longer"))
    path.with_name("config.json").write_text("{}")
    assert resolved.part(Part(model, "unet")) is unet
    assert (unet.fingerprint, unet.file_bytes) == (fingerprint, size)
    assert resolved.config("unet") is config
    assert resolve(model).part(Part(model, "unet")).fingerprint != fingerprint


def test_errors_are_asked_again(tmp_path: Path) -> None:
    late = Checkpoint(tmp_path / "late")
    with memoized_scope():
        with pytest.raises(CheckpointError, match="no such folder"):
            _ = resolve(late).root
        fake_checkpoints.checkpoint(tmp_path / "late")
        assert resolve(late).root == tmp_path / "late"


def test_another_thread_has_scopes_of_its_own(model: Checkpoint) -> None:
    others: list[ResolvedCheckpoint] = []
    with memoized_scope():
        thread = threading.Thread(target=lambda: others.append(resolve(model)))
        thread.start()
        thread.join()
        assert resolve(model) is not others[0]


def test_a_scope_can_begin_with_what_another_found(model: Checkpoint) -> None:
    with memoized_scope():
        planned = resolve(model)
        with memoized_scope(memoized_resolutions(planned)):
            assert resolve(model) is planned
        with memoized_scope({}):
            assert resolve(model) is not planned


def test_the_parts_of_a_node_are_worked_out_once() -> None:
    node = Text2Image(prompt="a")
    with memoized_scope():
        assert parts_of(node) is parts_of(Text2Image(prompt="a"))
    assert parts_of(node) is not parts_of(node)


def test_a_plan_looks_at_a_checkpoint_once_and_the_next_plan_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stamps: list[Path] = []
    of_status = FileStamp._of_status

    def counting_stamp(path: str, status: os.stat_result) -> FileStamp:
        stamps.append(Path(path))
        return of_status(path, status)

    monkeypatch.setattr(FileStamp, "_of_status", counting_stamp)
    session = Session(store=None)
    one = Graph.of(Text2Image(prompt="a"))
    session.plan(one)  # what is remembered for good is asked for here
    counts = []
    for graph in (one, Graph.of(*(Text2Image(prompt=f"{n}") for n in range(50)))):
        stamps.clear()
        session.plan(graph)
        counts.append(len(stamps))
    assert counts[0] == counts[1] > 0
    assert memoize.scope_results.get() is None


resolved_by_plan: list[ResolvedCheckpoint] = []


class Asks(Node[bool]):
    """A node that asks about its checkpoint while it is planned and while it runs."""

    checkpoint: In[Checkpoint]

    def parts(self) -> Mapping[str, Part]:
        assert isinstance(self.checkpoint, Checkpoint)
        resolved_by_plan.append(resolve(self.checkpoint))
        return {"unet": Part(self.checkpoint, "unet")}

    def run(self, checkpoint: Checkpoint, models: Models) -> bool:
        return resolve(checkpoint) is resolved_by_plan[-1]


class Trains(Node[Checkpoint]):
    """A node that makes what it asks about."""

    checkpoint: In[Checkpoint]

    def run(self, checkpoint: Checkpoint, models: Models) -> Checkpoint:
        assert resolve(checkpoint) is not resolve(checkpoint)
        return checkpoint


@pytest.mark.torch
def test_a_node_asks_what_its_plan_was_made_from(model: Checkpoint) -> None:
    models = ModelCache(fake_checkpoints.Loader())
    session = Session(device="cpu", dtype="float32", models=models, store=None)
    resolved_by_plan.clear()
    assert run(Asks(checkpoint=model), session=session) is True
    assert run(Asks(checkpoint=model), session=session) is True
    assert len(set(resolved_by_plan)) == len(resolved_by_plan) == 2, "one for each plan"


@pytest.mark.torch
def test_a_training_sees_what_it_wrote(model: Checkpoint) -> None:
    models = ModelCache(fake_checkpoints.Loader())
    session = Session(device="cpu", dtype="float32", models=models, store=None)
    assert run(Trains(checkpoint=model), session=session) == model
