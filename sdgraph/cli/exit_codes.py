"""How a command ends: what is said of a failure, and the exit code.

0 done · 1 a node failed · 2 the file or the arguments are wrong · 130 stopped by Ctrl-C ·
141 nobody reads the output any more (as after SIGPIPE).
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from sdgraph.errors import CheckpointError, MediaError, NodeFailedError, SdgraphError

from .source_excerpt import problem_text

DONE, FAILED, WRONG, STOPPED, PIPE_CLOSED = 0, 1, 2, 130, 141


@contextmanager
def ending(*, debug: bool) -> Iterator[None]:
    """Turns whatever a command raises into words on standard error and a `typer.Exit`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _close_output()
        raise typer.Exit(PIPE_CLOSED) from None
    except KeyboardInterrupt as stop:
        if debug:
            traceback.print_exc()
        _complain("\n".join(["stopped; finished files stay", *_notes(stop)]))
        raise typer.Exit(STOPPED) from None
    except Exception as error:
        if not _is_ours(error):
            raise
        if debug:
            traceback.print_exc()
        _complain("\n".join([in_words(error), *_notes(error)]))
        raise typer.Exit(_code(error)) from None


def in_words(error: Exception) -> str:
    """A failure as text for the person at the keyboard."""
    if isinstance(error, SdgraphError):
        return "\n".join(map(problem_text, error.problems))
    said = " ".join(str(error).split()) or "no reason given"
    return f"internal error: {type(error).__name__}: {said}; run again with --debug"


def _notes(error: BaseException) -> list[str]:
    """What the command itself has to say of a failure."""
    return getattr(error, "__notes__", [])


def _is_ours(error: Exception) -> bool:
    """Whether it is not one of typer's own, which typer turns into words and codes."""
    return not type(error).__module__.startswith(("typer", "click"))


def _code(error: Exception) -> int:
    if isinstance(error, NodeFailedError | CheckpointError | MediaError):
        return FAILED
    return WRONG if isinstance(error, SdgraphError) else FAILED


def _complain(text: str) -> None:
    from .terminal import complain

    try:
        complain(text)
    except BrokenPipeError:
        _close_output()


def _close_output() -> None:
    """Keeps Python from writing what is left to a closed pipe when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(null, stream.fileno())
        except (OSError, ValueError):
            continue  # not a real file, as in tests
