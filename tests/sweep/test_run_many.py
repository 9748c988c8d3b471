"""`run_many` runs the variants of a sweep from Python and returns a record of each."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sdgraph import NodeFailedError, Session, events, run_many
from tests.support import toys

from .test_sweep import fixed_is_known, read, writing

__all__ = ["fixed_is_known"]


def test_run_many_makes_shared_nodes_once_and_tells_of_each_variant() -> None:
    event_log: list[events.Event] = []
    records = run_many(
        read(
            "inputs: {seed: 0, add: 0}\nnodes:\n"
            "  number: {type: Number, value: $inputs.seed}\n"
            "  sum: {type: Add, a: $number, offset: $inputs.add}\n"
        ),
        session=Session(store=None),
        on_event=event_log.append,
        seed=range(1, 4),
        add=iter([0, 10]),
    )
    assert [record.values for record in records] == [
        {"sum": seed + add} for seed in (1, 2, 3) for add in (0, 10)
    ]
    assert [dict(record.inputs) for record in records][:2] == [
        {"seed": 1, "add": 0},
        {"seed": 1, "add": 10},
    ]
    assert toys.ran.count("Number") == 3 and toys.ran.count("Add") == 6
    assert all(record.state == "done" for record in records)
    ran = [event.node for event in event_log if isinstance(event, events.NodeStarted)]
    assert len(set(ran)) == len(ran) == 9


def test_run_many_side_by_side() -> None:
    workflow = read("inputs: {a: 0, b: 0}\nnodes: {sum: {type: Add, a: $inputs.a, b: $inputs.b}}")
    records = run_many(workflow, zip=True, a=[1, 2], b=(10, 20), session=Session(store=None))
    assert [record.values["sum"] for record in records] == [11, 22]


def test_run_many_writes_over_nothing_unless_asked_to(tmp_path: Path) -> None:
    workflow, session = writing("t.txt", tmp_path), Session(store=None)

    def run_two(*, overwrite: bool = False) -> list[str]:
        records = run_many(workflow, session=session, seed=[1, 2], overwrite=overwrite)
        return [Path(file).name for record in records for file in record.files]

    assert run_two() == run_two() == ["t_seed-0001.txt", "t_seed-0002.txt"]
    (tmp_path / "t_seed-0001.txt").write_text("mine")
    assert run_two() == run_two() == ["t_seed-0001_0002.txt", "t_seed-0002.txt"]
    assert (tmp_path / "t_seed-0001.txt").read_text() == "mine"
    assert run_two(overwrite=True) == ["t_seed-0001.txt", "t_seed-0002.txt"]
    assert (tmp_path / "t_seed-0001.txt").read_text() == "a 1 True"


def test_a_variant_that_fails_is_named() -> None:
    flow = "inputs: {word: a}\nnodes: {fail: {type: Fail, message: $inputs.word}}"
    with pytest.raises(NodeFailedError, match=re.escape("fail[word=b]")) as caught:
        run_many(read(flow), session=Session(store=None), word=["b", "c"])
    assert caught.value.node == "fail[word=b]"
