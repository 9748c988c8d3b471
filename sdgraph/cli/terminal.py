"""Shows a run: progress bars on a terminal, plain lines elsewhere, or JSON lines.

Each of these is a listener of events, made by `display_run`. rich is imported when it is needed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

from sdgraph import events
from sdgraph.formatting import (
    align_columns,
    format_bytes,
    format_count,
    format_seconds,
    shorten_path,
)
from sdgraph.models import is_random

from .safe_output import safe_console, write_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from sdgraph.graph import Graph

_TERMINAL_VARIABLES = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Environment variables that make rich treat any stream as a terminal."""
_PIPE_WIDTH = 1000
_NAME_WIDTH = 30
_MANY_ROWS = 500
_SHOWN = 10
"""How many lines of a summary are shown at its beginning and at its end."""


def console(stream: TextIO | None = None) -> Console:
    """A rich console on a stream (by default standard output); lines in a pipe never wrap."""
    out = safe_console(stream or sys.stdout, highlight=False, markup=False, emoji=False)
    if not out.is_terminal:
        out.width = _PIPE_WIDTH
    return out


def _is_plain(stream: TextIO) -> bool:
    """Whether a stream is not a terminal and not treated as one; then rich is not needed."""
    return not stream.isatty() and not any(map(os.environ.get, _TERMINAL_VARIABLES))


def print_text(text: str, style: str = "") -> None:
    """Writes text to standard output without wrapping its lines."""
    if _is_plain(sys.stdout):
        write_line(text)
        return
    console().print(text, style=style or None, soft_wrap=True)


def print_error(text: str) -> None:
    """Writes an error message to standard error."""
    if _is_plain(sys.stderr):
        write_line(text, sys.stderr)
        return
    out = console(sys.stderr)
    head, _, rest = text.partition("\n")
    out.print(head, style="bold red", soft_wrap=True)
    if rest:
        out.print(rest, soft_wrap=True)


def print_note(text: str) -> None:
    """Writes a note to standard error without wrapping its lines."""
    if _is_plain(sys.stderr):
        write_line(text, sys.stderr)
        return
    console(sys.stderr).print(text, style="dim", soft_wrap=True)


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 0) -> None:
    """Writes a table to standard output; on a narrow terminal the last columns wrap.

    Args:
        headers: The titles of the columns; empty for none.
        rows: The cells of each row.
        indent: The number of spaces before each line.
    """
    if len(rows) > _MANY_ROWS:  # rich takes a millisecond for each
        lines = align_columns([*([headers] if headers else []), *rows])
        print_text("\n".join(f"{' ' * indent}{line}" for line in lines))
        return
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=None,
        pad_edge=False,
        header_style="dim",
        padding=(0, 2, 0, 0),
        show_header=bool(headers),
    )
    for number, header in enumerate(headers or [""] * max(map(len, rows), default=0)):
        table.add_column(header, no_wrap=number < 2)
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(Padding(table, (0, 0, 0, indent), expand=False))


class EventLines:
    """Turns events into lines of text, and collects the data for the summary of the run.

    Args:
        names: The names of the nodes, for the width of the first column.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.files: dict[str, str] = {}
        self.finished: events.RunFinished | None = None
        self.types: dict[str, str] = {}
        self._ran = 0
        self._losses: dict[str, float] = {}
        self._width = min(max(map(len, names), default=0), _NAME_WIDTH)

    def format_event(self, event: events.Event) -> str | None:
        """The line for an event, or None for an event that is not printed."""
        match event:
            case events.RunStarted():
                reused = f", {event.reused} remembered" if event.reused else ""
                return f"{format_count(event.steps, 'node')} on {event.device}{reused}"
            case events.Fetching():
                if is_random(event.checkpoint):
                    return f"making {event.checkpoint} …"
                return f"downloading {event.checkpoint} from the hub …"
            case events.NodeStarted():
                self.types[event.node] = event.type
            case events.StageFinished():
                seconds = format_seconds(event.seconds)
                return f"{event.node:{self._width}}  {event.stage} made first  {seconds}"
            case events.Stepped():
                if event.loss is not None:
                    self._losses[event.node] = event.loss
                if event.note is not None:
                    return f"{event.node:{self._width}}  {event.note}"
            case events.Loaded() | events.Moved() | events.Evicted():
                return _format_memory_event(event)
            case events.Warned():
                return f"warning: {event.message}"
            case events.Skipped():
                return f"{event.node:{self._width}}  left out: it needs {event.failed}"
            case events.Reused():
                return f"{event.node:{self._width}}  remembered"
            case events.NodeFinished():
                self._ran += 1
                if event.file is not None:
                    self.files[event.node] = event.file
                kind = self.types.get(event.node, "")
                loss = _loss(self._losses.get(event.node))
                return (
                    f"{event.node:{self._width}}  {kind:14}  {format_seconds(event.seconds)}{loss}"
                )
            case events.TableOpened():
                self.files["table"] = event.file
            case events.Retried():
                return f"{event.node:{self._width}}  out of memory; again: {event.change}"
            case events.NodeFailed():
                return f"{event.node:{self._width}}  failed"
            case events.RunFinished():
                self.finished = event
        return None

    def summary(self, values: Mapping[str, Any]) -> str:
        """Lines with the files and values of the run, and how long it took.

        Args:
            values: The results by the name of their node.
        """
        # Imported here because listings show tables without any graph.
        from sdgraph.graph import name_without_variant

        lines = [f"{name} → {shorten_path(file)}" for name, file in self.files.items()]
        saved = {*self.files, *map(name_without_variant, self.files)}
        lines += [f"{name} = {value!r}" for name, value in values.items() if name not in saved]
        if len(lines) > 2 * _SHOWN:
            lines[_SHOWN:-_SHOWN] = [f"… {len(lines) - 2 * _SHOWN} more …"]
        if self.finished is not None:
            took = format_seconds(self.finished.seconds)
            loads = f"{format_count(self.finished.loads, 'model')} loaded"
            size = format_bytes(self.finished.bytes_loaded)
            lines.append(f"{format_count(self._ran, 'node')} in {took}, {loads} ({size})")
        return "\n".join(lines)


_DIM = (events.Loaded, events.Moved, events.Evicted, events.RunStarted)


_ENDS = (events.NodeFinished, events.NodeFailed, events.StageFinished)


class _ProgressBars:
    """Shows a bar for each running node; the lines of finished nodes scroll up above them."""

    def __init__(self, lines: EventLines, progress: Progress) -> None:
        self._lines = lines
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: events.Event) -> None:
        line = self._lines.format_event(event)
        if isinstance(event, events.NodeStarted | events.StageStarted):
            kind = event.type if isinstance(event, events.NodeStarted) else event.stage
            if event.node not in self._tasks:  # it starts again if its batch failed
                self._tasks[event.node] = self._progress.add_task(
                    event.node, total=None, kind=kind, steps=""
                )
        elif isinstance(event, events.Stepped) and event.node in self._tasks:
            steps = f"{event.step}/{event.total}{_loss(event.loss)}"
            task = self._tasks[event.node]
            self._progress.update(task, completed=event.step, total=event.total, steps=steps)
        elif isinstance(event, _ENDS):
            finished = self._tasks.pop(event.node, None)
            if finished is not None:
                self._progress.remove_task(finished)
        if line is not None:
            self._progress.console.print(
                line, style="dim" if isinstance(event, _DIM) else None, soft_wrap=True
            )


@contextmanager
def display_run(
    graph: Graph, *, quiet: bool = False, as_json: bool = False
) -> Iterator[RunDisplay]:
    """Shows a run of a graph until the block ends.

    Args:
        graph: The graph that runs.
        quiet: Print nothing.
        as_json: Print the events as JSON lines.
    """
    lines = EventLines(list(graph.names.values()))
    if as_json:
        out = sys.stdout
        # The output of nodes must not be mixed with the events.
        with redirect_stdout(sys.stderr):
            yield RunDisplay(lines, _json_lines(out), show_summary=False)
    elif quiet:
        yield RunDisplay(lines, None, show_summary=False)
    elif not _is_plain(sys.stdout) and console().is_terminal:
        with _progress_bars() as progress:
            yield RunDisplay(lines, _ProgressBars(lines, progress), progress)
    else:
        yield RunDisplay(lines, _plain_lines(lines))


class RunDisplay:
    """The listener that shows a run, and the summary that is printed after it."""

    def __init__(
        self,
        lines: EventLines,
        listener: events.Listener | None,
        progress: Progress | None = None,
        *,
        show_summary: bool = True,
    ) -> None:
        self.listener = listener
        self._progress = progress
        self._lines = lines
        self._show_summary = show_summary

    def print_summary(self, values: Mapping[str, Any]) -> None:
        """Prints which files and values the run made."""
        if self._show_summary:
            print_text(self._lines.summary(values))

    def confirm(self, question: str) -> bool:
        """Asks a question and returns whether the answer is yes; hides the bars meanwhile."""
        if self._progress is not None:
            self._progress.stop()
        try:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False
        finally:
            if self._progress is not None:
                self._progress.start()


def _progress_bars() -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[kind]}", style="dim", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[steps]}"),
        TimeElapsedColumn(),
        console=console(),
        transient=True,
    )


def _plain_lines(lines: EventLines) -> events.Listener:
    def listen(event: events.Event) -> None:
        line = lines.format_event(event)
        if line is not None:
            write_line(line)

    return listen


def _json_lines(out: TextIO) -> events.Listener:
    def listen(event: events.Event) -> None:
        write_line(json.dumps(event.as_data(), ensure_ascii=False), out)

    return listen


def _format_memory_event(event: events.Loaded | events.Moved | events.Evicted) -> str:
    """The line for a component that is loaded, moved or dropped."""
    size = format_bytes(event.bytes)
    if isinstance(event, events.Evicted):
        return f"  dropped {event.component}  {size}"
    seconds = format_seconds(event.seconds)
    if isinstance(event, events.Moved):
        return f"  moved {event.component} to {event.device}  {size}  {seconds}"
    return f"  loaded {event.component}  {size}  {seconds}"


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"  loss {loss:#.3g}"
