"""How a command ends: the error message and the exit code.

0 done · 1 a node failed · 2 the file or the arguments are wrong · 130 stopped by Ctrl-C ·
141 the reader of the output is gone (as after SIGPIPE).
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from sdgraph.errors import CheckpointError, MediaError, NodeFailedError, SdgraphError

from .source_excerpt import format_problem

DONE, FAILED, WRONG, STOPPED, PIPE_CLOSED = 0, 1, 2, 130, 141


@contextmanager
def exit_on_error(*, debug: bool) -> Iterator[None]:
    """Turns any exception of a command into a message on standard error and a `typer.Exit`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _close_output()
        raise typer.Exit(PIPE_CLOSED) from None
    except KeyboardInterrupt as stop:
        if debug:
            traceback.print_exc()
        _print_error("\n".join(["stopped; finished files stay", *_notes(stop)]))
        raise typer.Exit(STOPPED) from None
    except Exception as error:
        if _is_from_typer(error):
            raise
        if debug:
            traceback.print_exc()
        _print_error("\n".join([error_text(error), *_notes(error)]))
        raise typer.Exit(_code(error)) from None


def error_text(error: Exception) -> str:
    """The message for an error, with the lines of the workflow file that it refers to."""
    if isinstance(error, SdgraphError):
        return "\n".join(map(format_problem, error.problems))
    message = " ".join(str(error).split()) or "no reason given"
    return f"internal error: {type(error).__name__}: {message}; run again with --debug"


def _notes(error: BaseException) -> list[str]:
    """The notes that a command added to an error."""
    return getattr(error, "__notes__", [])


def _is_from_typer(error: Exception) -> bool:
    """Whether typer raised an error; it reports those itself."""
    return type(error).__module__.startswith(("typer", "click"))


def _code(error: Exception) -> int:
    if isinstance(error, NodeFailedError | CheckpointError | MediaError):
        return FAILED
    return WRONG if isinstance(error, SdgraphError) else FAILED


def _print_error(text: str) -> None:
    from .terminal import print_error

    try:
        print_error(text)
    except BrokenPipeError:
        _close_output()


def _close_output() -> None:
    """Keeps Python from writing the rest of the output to a closed pipe when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(null, stream.fileno())
        except (OSError, ValueError):
            continue  # not a real file, as in tests
