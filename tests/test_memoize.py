"""One look: the same question once, within it alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from sdgraph import Checkpoint, Session, memoize, run
from sdgraph.errors import CheckpointError
from sdgraph.graph import Graph, In, Node
from sdgraph.memoize import one_look, seen_once
from sdgraph.models import ModelCache, Models, Part
from sdgraph.nodes import Text2Image
from tests.support import fake_checkpoints

asked: list[object] = []


@seen_once
def question(what: str, *, loudly: bool = False) -> int:
    asked.append((what, loudly))
    if what == "wrong":
        raise CheckpointError("wrong")
    return len(asked)


@pytest.fixture(autouse=True)
def _nothing_asked() -> None:
    asked.clear()


def test_outside_a_look_every_question_is_asked() -> None:
    assert question("x") != question("x")


def test_within_one_it_is_asked_once_for_each_of_its_arguments() -> None:
    with one_look():
        first = question("x")
        with one_look():
            assert question("x") == first
        assert question("x") == first
        assert question("x", loudly=True) != first
        assert question("y") != first
    assert asked == [("x", False), ("x", True), ("y", False)]
    with one_look():
        assert question("x") == 4


def test_errors_are_asked_again() -> None:
    with one_look():
        for _ in range(2):
            with pytest.raises(CheckpointError):
                question("wrong")
    assert len(asked) == 2


def test_another_thread_has_looks_of_its_own() -> None:
    with one_look():
        question("x")
        thread = threading.Thread(target=question, args=("x",))
        thread.start()
        thread.join()
    assert len(asked) == 2


def test_a_plan_looks_at_a_checkpoint_once_and_the_next_plan_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sdgraph.models.file_hash_cache import Stamp

    stamps: list[Path] = []
    of = Stamp.of

    def counted(path: Path) -> Stamp:
        stamps.append(path)
        return of(path)

    monkeypatch.setattr(Stamp, "of", counted)
    session = Session(store=None)
    one = Graph.of(Text2Image(prompt="a"))
    session.plan(one)  # what is remembered for good is asked for here
    counts = []
    for graph in (one, Graph.of(*(Text2Image(prompt=f"{n}") for n in range(50)))):
        stamps.clear()
        session.plan(graph)
        counts.append(len(stamps))
    assert counts[0] == counts[1] > 0
    assert memoize._seen.get() is None


class Asks(Node[str]):
    """A node that asks the same thing again and again while it runs."""

    checkpoint: In[Checkpoint]

    def parts(self) -> Mapping[str, Part]:
        assert isinstance(self.checkpoint, Checkpoint)
        return {"unet": Part(self.checkpoint, "unet")}

    def run(self, checkpoint: Checkpoint, models: Models) -> str:
        return f"{question('x')} {question('x')}"


class Trains(Node[Checkpoint]):
    """A node that makes what it asks about."""

    checkpoint: In[Checkpoint]

    def run(self, checkpoint: Checkpoint, models: Models) -> Checkpoint:
        return Checkpoint(checkpoint.source, revision=f"{question('x')}-{question('x')}")


def test_a_node_asks_once_of_what_it_leased_but_a_training_sees_what_it_wrote(
    tmp_path: Path,
) -> None:
    model = Checkpoint(
        fake_checkpoints.checkpoint(tmp_path / "model", unet=fake_checkpoints.safetensors(b"u"))
    )
    models = ModelCache(fake_checkpoints.Loader())
    here = Session(device="cpu", dtype="float32", models=models, store=None)
    assert [run(Asks(checkpoint=model), session=here) for _ in range(2)] == ["1 1", "2 2"]
    assert run(Trains(checkpoint=model), session=here).revision == "3-4"
