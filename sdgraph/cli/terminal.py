"""What a person sees of a run: live lines on a terminal, plain lines elsewhere, JSON lines.

Each of these is a listener of events, made by `watching`. rich is imported when it is needed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any, TextIO

from sdgraph import events
from sdgraph.formatting import format_bytes, format_count, format_seconds, shorten_path
from sdgraph.graph import Graph

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_ASKED = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
"""Variables by which rich is told to take a stream for a terminal."""
_PIPE_WIDTH = 1000
_NAME_WIDTH = 30
_SHOWN = 10
"""How many files a summary names of the first and of the last."""


def console(stream: TextIO | None = None) -> Console:
    """A console on a stream (standard output); a pipe is as wide as the text in it."""
    from rich.console import Console

    class Pipe(Console):
        """A console that tells of a closed pipe, where rich's own would end the process."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    made = Pipe(file=stream or sys.stdout, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = _PIPE_WIDTH
    return made


def _is_plain(stream: TextIO) -> bool:
    """Whether a stream is no terminal, nor asked to be one; nothing is loaded to write to it."""
    return not stream.isatty() and not any(map(os.environ.get, _ASKED))


def say(text: str, style: str = "") -> None:
    """Writes a text to standard output; lines are never broken."""
    if _is_plain(sys.stdout):
        _write(sys.stdout, text)
        return
    console().print(text, style=style or None, soft_wrap=True)


def complain(text: str) -> None:
    """Writes what went wrong to standard error."""
    if _is_plain(sys.stderr):
        _write(sys.stderr, text)
        return
    out = console(sys.stderr)
    head, _, rest = text.partition("\n")
    out.print(head, style="bold red", soft_wrap=True)
    if rest:
        out.print(rest, soft_wrap=True)


def remark(text: str) -> None:
    """Writes what is worth knowing to standard error; lines are never broken."""
    if _is_plain(sys.stderr):
        _write(sys.stderr, text)
        return
    console(sys.stderr).print(text, style="dim", soft_wrap=True)


def _write(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()


def say_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 0) -> None:
    """Writes a table with one line of headers; on a narrow terminal the last columns wrap."""
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
    for place, header in enumerate(headers or [""] * max(map(len, rows), default=0)):
        table.add_column(header, no_wrap=place < 2)
    for row in rows:
        table.add_row(*map(Text, row))
    console().print(Padding(table, (0, 0, 0, indent), expand=False))


class Lines:
    """Turns events into lines, and keeps what the summary tells."""

    def __init__(self, names: Sequence[str]) -> None:
        self.files: dict[str, str] = {}
        self.finished: events.RunFinished | None = None
        self.types: dict[str, str] = {}
        self._ran = 0
        self._losses: dict[str, float] = {}
        self._width = min(max(map(len, names), default=0), _NAME_WIDTH)

    def line(self, event: events.Event) -> str | None:
        """What to print for an event, if anything."""
        match event:
            case events.RunStarted():
                reused = f", {event.reused} remembered" if event.reused else ""
                return f"{format_count(event.steps, 'node')} on {event.device}{reused}"
            case events.Fetching():
                return f"fetching {event.checkpoint} from the hub …"
            case events.NodeStarted():
                self.types[event.node] = event.type
            case events.Stepped():
                if event.loss is not None:
                    self._losses[event.node] = event.loss
                if event.note is not None:
                    return f"{event.node:{self._width}}  {event.note}"
            case events.Loaded():
                size, seconds = format_bytes(event.bytes), format_seconds(event.seconds)
                return f"  loaded {event.component}  {size}  {seconds}"
            case events.Moved():
                size, seconds = format_bytes(event.bytes), format_seconds(event.seconds)
                return f"  moved {event.component} to {event.device}  {size}  {seconds}"
            case events.Evicted():
                return f"  dropped {event.component}  {format_bytes(event.bytes)}"
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
            case events.Retried():
                return f"{event.node:{self._width}}  out of memory; again: {event.change}"
            case events.NodeFailed():
                return f"{event.node:{self._width}}  failed"
            case events.RunFinished():
                self.finished = event
        return None

    def summary(self, values: Mapping[str, Any]) -> str:
        """Where each file went, what else was made, and what it took."""
        lines = [f"{name} → {shorten_path(file)}" for name, file in self.files.items()]
        lines += [f"{name} = {value!r}" for name, value in values.items() if name not in self.files]
        if len(lines) > 2 * _SHOWN:
            lines[_SHOWN:-_SHOWN] = [f"… {len(lines) - 2 * _SHOWN} more …"]
        if self.finished is not None:
            done = self.finished
            lines.append(
                f"{format_count(self._ran, 'node')} in {format_seconds(done.seconds)}, "
                f"{format_count(done.loads, 'model')} loaded ({format_bytes(done.bytes_loaded)})"
            )
        return "\n".join(lines)


_DIM = (events.Loaded, events.Moved, events.Evicted, events.RunStarted)


class _Screen:
    """Live lines: a bar for each node that runs; what is done scrolls up above them."""

    def __init__(self, lines: Lines, progress: Progress) -> None:
        self._lines = lines
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, event: events.Event) -> None:
        line = self._lines.line(event)
        if isinstance(event, events.NodeStarted):
            self._tasks[event.node] = self._progress.add_task(
                event.node, total=None, kind=event.type, steps=""
            )
        elif isinstance(event, events.Stepped) and event.node in self._tasks:
            steps = f"{event.step}/{event.total}{_loss(event.loss)}"
            task = self._tasks[event.node]
            self._progress.update(task, completed=event.step, total=event.total, steps=steps)
        elif isinstance(event, events.NodeFinished | events.NodeFailed):
            task_done = self._tasks.pop(event.node, None)
            if task_done is not None:
                self._progress.remove_task(task_done)
        if line is not None:
            self._progress.console.print(
                line, style="dim" if isinstance(event, _DIM) else None, soft_wrap=True
            )


@contextmanager
def watching(graph: Graph, *, quiet: bool = False, as_json: bool = False) -> Iterator[Watch]:
    """What listens to a run of `graph` and shows it, until the block ends."""
    lines = Lines(list(graph.names.values()))
    if as_json:
        out = sys.stdout
        # Whatever a node prints must not stand among the events.
        with redirect_stdout(sys.stderr):
            yield Watch(lines, _json_lines(out), show_summary=False)
    elif quiet:
        yield Watch(lines, None, show_summary=False)
    elif not _is_plain(sys.stdout) and console().is_terminal:
        with _live() as progress:
            yield Watch(lines, _Screen(lines, progress), progress)
    else:
        yield Watch(lines, _plain_lines(lines))


class Watch:
    """A listener, and the summary when the run is over."""

    def __init__(
        self,
        lines: Lines,
        listener: events.Listener | None,
        progress: Progress | None = None,
        *,
        show_summary: bool = True,
    ) -> None:
        self.listener = listener
        self._progress = progress
        self._lines = lines
        self._show_summary = show_summary

    def finish(self, values: Mapping[str, Any]) -> None:
        """Says where everything went."""
        if self._show_summary:
            say(self._lines.summary(values))

    def ask(self, question: str) -> bool:
        """Asks for a yes; the bars stand aside until there is an answer."""
        if self._progress is not None:
            self._progress.stop()
        try:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False
        finally:
            if self._progress is not None:
                self._progress.start()


def _live() -> Progress:
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


def _plain_lines(lines: Lines) -> events.Listener:
    def listen(event: events.Event) -> None:
        line = lines.line(event)
        if line is not None:
            _write(sys.stdout, line)

    return listen


def _json_lines(out: TextIO) -> events.Listener:
    def listen(event: events.Event) -> None:
        out.write(json.dumps(event.as_data(), ensure_ascii=False) + "\n")
        out.flush()

    return listen


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"  loss {loss:#.3g}"
