"""A sweep of many variants asks before it makes them all, or is an error where it cannot ask."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from sdgraph import events
from sdgraph.language import workflow_from_yaml
from sdgraph.sweep import Sweep, SweepConfirmation, build_sweep, confirm, make_variants
from tests.support import toys
from tests.support.command_line import Command

from .test_sweep import output_files, sdgraph

__all__ = ["sdgraph"]


T = TypeVar("T")


def test_too_many_variants_are_an_error_where_nobody_can_be_asked(
    sdgraph: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirm, "MANY_VARIANTS", 3)
    result = sdgraph("run", "flow.yaml", "grey=1..4")
    assert result.code == 2 and "4 variants" in result.err and "--yes" in result.err
    assert output_files(tmp_path) == []
    assert sdgraph("run", "flow.yaml", "grey=1..4", "--yes").code == 0
    assert len(output_files(tmp_path)) == 4


def answer_with(questions: list[str], answer: T) -> Callable[[str], T]:
    """An `input` that always gives one answer and keeps the questions."""

    def answering(question: str) -> T:
        questions.append(question)
        return answer

    return answering


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """A terminal where every question gets one answer; returns the questions."""

    def answering(answer: str) -> list[str]:
        questions: list[str] = []
        monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setattr("builtins.input", answer_with(questions, answer))
        return questions

    return answering


@pytest.mark.parametrize(("answer", "code", "count"), [("y", 0, 4), ("", 130, 1), ("no", 130, 1)])
def test_at_a_terminal_the_first_is_made_and_then_it_asks(
    sdgraph: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    terminal: Callable[[str], list[str]],
    answer: str,
    code: int,
    count: int,
) -> None:
    monkeypatch.setattr(confirm, "MANY_VARIANTS", 3)
    questions = terminal(answer)
    assert sdgraph("run", "flow.yaml", "grey=1..4").code == code
    (question,) = questions
    assert "4 variants, 9 nodes still to run" in question and "about" in question
    assert len(output_files(tmp_path)) == count


def test_a_few_quick_variants_are_not_asked_about(
    sdgraph: Command, terminal: Callable[[str], list[str]]
) -> None:
    questions = terminal("")
    assert sdgraph("run", "flow.yaml", "grey=1..4").code == 0
    assert questions == []


def three() -> Sweep:
    flow = (
        "inputs: {seed: 0}\nnodes:\n"
        "  base: {type: Number}\n"
        "  add: {type: Add, a: $base, offset: $inputs.seed}\n"
        "  save: {type: Halve, a: $add}\n"
    )
    return build_sweep(
        workflow_from_yaml(flow, registry=toys.REGISTRY), make_variants({}, {"seed": [1, 2, 3]})
    )


def run_events(at: float, node: str, seconds: float) -> list[events.Event]:
    return [
        events.NodeStarted(at - seconds, node, ""),
        events.NodeFinished(at, node, seconds, None),
    ]


def test_the_estimate_counts_what_is_shared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirm, "LONG_SECONDS", 40)
    questions: list[str] = []
    listen = SweepConfirmation(three(), answer_with(questions, True))
    for event in [
        *run_events(2, "base", 2),
        *run_events(22, "add[seed=1]", 20),
        *run_events(23, "save[seed=1]", 1),
    ]:
        listen(event)
    (question,) = questions
    assert "3 variants, 4 nodes still to run; 23.00 s so far, about 42.00 s more" in question


def test_a_long_first_variant_is_asked_about_before_it_is_done() -> None:
    questions: list[str] = []
    listen = SweepConfirmation(three(), answer_with(questions, False))
    for event in run_events(1, "base", 1):
        listen(event)
    with pytest.raises(KeyboardInterrupt):
        for event in run_events(500, "add[seed=1]", 499):
            listen(event)
    assert "at least 16 min 38 s more" in questions[0]


def test_a_sweep_is_counted_before_it_is_built(
    sdgraph: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object) -> None:
        raise AssertionError("the variants are built")

    monkeypatch.setattr("sdgraph.sweep.build_sweep", build)
    for command, wanted in (("run", "add --yes"), ("plan", "plan a part of them")):
        result = sdgraph(command, "flow.yaml", "grey=1..100000")
        assert result.code == 2 and "100,000 variants" in result.err and wanted in result.err


def test_of_a_large_sweep_a_thousand_variants_are_checked(sdgraph: Command) -> None:
    result = sdgraph("validate", "flow.yaml", "grey=0..9999")
    assert result.code == 2 and "result" not in result.out and "grey" in result.out
    result = sdgraph("validate", "flow.yaml", "grey=0..255", "size=1..60")
    assert result.code == 0, result.out
    assert "of 15,360 variants were checked; a run checks all" in result.out
