"""What the terminal shows while a node runs: its steps, the loss, and its notes."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from sdgraph import events
from sdgraph.cli.terminal import EventLines, display_run
from sdgraph.graph import Graph
from tests.support.toys import Number

STORY: list[events.Event] = [
    events.NodeStarted(0.0, "number", "Number"),
    events.Stepped(0.1, "number", 1, 4, 0.5),
    events.Stepped(0.2, "number", 2, 4, 0.01234),
    events.Stepped(0.2, "number", 4, 4, None, "1 of 4 pictures was left out: a.png"),
    events.NodeFinished(0.3, "number", 0.3, None),
]


def test_a_note_is_a_line_and_the_last_loss_stands_where_a_node_finished() -> None:
    lines = EventLines(["number"])
    lines_shown = [lines.format_event(event) for event in STORY]
    assert lines_shown == [
        None,
        None,
        None,
        "number  1 of 4 pictures was left out: a.png",
        "number  Number          0.30 s  loss 0.0123",
    ]


def test_a_node_without_a_loss_finishes_as_before() -> None:
    lines = EventLines(["number"])
    plain = [STORY[0], events.Stepped(0.1, "number", 1, 4), STORY[-1]]
    assert [lines.format_event(event) for event in plain][-1] == "number  Number          0.30 s"


def test_a_pipe_gets_the_note_and_not_every_step(capsys: pytest.CaptureFixture[str]) -> None:
    with display_run(Graph.of(Number(value=1))) as display:
        assert display.listener is not None
        for event in STORY:
            display.listener(event)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_json_lines_hold_the_loss_and_the_note(capsys: pytest.CaptureFixture[str]) -> None:
    with display_run(Graph.of(Number(value=1)), as_json=True) as display:
        assert display.listener is not None
        for event in STORY:
            display.listener(event)
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    steps = [(event["loss"], event["note"]) for event in records if event["event"] == "stepped"]
    assert steps == [(0.5, None), (0.01234, None), (None, "1 of 4 pictures was left out: a.png")]


@pytest.mark.parametrize(
    ("loss", "words"), [(0.01234, "2/4  loss 0.0123"), (0.05, "2/4  loss 0.0500"), (None, "2/4")]
)
def test_the_bar_shows_the_loss_next_to_the_steps(
    loss: float | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.console import Console

    screen = io.StringIO()

    def console(*_: Any) -> Console:
        return Console(file=screen, force_terminal=True, width=100, highlight=False)

    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("sdgraph.cli.terminal.console", console)
    with display_run(Graph.of(Number(value=1))) as display:
        assert display.listener is not None
        display.listener(STORY[0])
        display.listener(events.Stepped(0.1, "number", 2, 4, loss))
    assert words in screen.getvalue()
    assert ("loss" in screen.getvalue()) == (loss is not None)
