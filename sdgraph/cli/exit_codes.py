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
from pathlib import Path
from typing import NoReturn, TextIO

import typer

from sdgraph.errors import CheckpointError, MediaError, NodeFailedError, Problem, SdgraphError

from .source_excerpt import format_problem

DONE, FAILED, WRONG, STOPPED, PIPE_CLOSED = 0, 1, 2, 130, 141


@contextmanager
def exit_on_error(*, debug: bool) -> Iterator[None]:
    """Turns any exception of a command into a message on standard error and a `typer.Exit`."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        _close_output(sys.stdout, sys.stderr)
        raise typer.Exit(PIPE_CLOSED) from None
    except KeyboardInterrupt as stop:
        if debug:
            _print_error(traceback.format_exc())
        _print_error("\n".join(["stopped; finished files stay", *_notes(stop)]))
        raise typer.Exit(STOPPED) from None
    except Exception as error:
        if _is_from_typer(error):
            raise
        if isinstance(error, OSError) and not _can_write(sys.stdout):
            _close_output(sys.stdout)
        if debug:
            _print_error(traceback.format_exc())
        _print_error("\n".join([error_text(error), *_notes(error)]))
        raise typer.Exit(_code(error)) from None


def exit_with(error: Exception) -> NoReturn:
    """Ends the program as `exit_on_error` ends a command that raises an error."""
    try:
        with exit_on_error(debug=False):
            raise error
    except typer.Exit as end:
        sys.exit(end.exit_code)


def error_text(error: Exception) -> str:
    """The message for an error, with the lines of the workflow file that it refers to."""
    if isinstance(error, SdgraphError):
        return "\n".join(map(format_problem, error.problems))
    if isinstance(error, OSError):
        return format_problem(_problem_of_system(error))
    message = " ".join(str(error).split()) or "no reason given"
    return f"internal error: {type(error).__name__}: {message}; run again with --debug"


def _problem_of_system(error: OSError) -> Problem:
    """The problem that the operating system reports: with a file, or with standard output."""
    reason = (error.strerror or str(error)).lower()
    if error.filename is None and _is_folder_gone():
        return Problem("the current folder", "it was removed", "a folder", "cd to another one")
    subject = "standard output" if error.filename is None else str(error.filename)
    return Problem(subject, reason)


def _is_folder_gone() -> bool:
    """Whether the current folder was removed, so that no relative path means anything."""
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def _can_write(stream: TextIO) -> bool:
    """Whether what a stream holds can be written to where it leads, such as a disk that is full."""
    try:
        stream.flush()
    except (OSError, ValueError):
        return False
    return True


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
    except OSError:  # a closed pipe or a full disk: there is nowhere left to say it
        _close_output(sys.stdout, sys.stderr)


def _close_output(*streams: TextIO) -> None:
    """Keeps Python from writing the rest of streams to a closed pipe or full disk when it exits."""
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        try:
            os.dup2(null, stream.fileno())
        except (OSError, ValueError):
            continue  # not a real file, as in tests
