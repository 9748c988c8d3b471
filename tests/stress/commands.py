"""Runs commands of the command line in this process, and says what is wrong with how they ended."""

from __future__ import annotations

import io
import signal
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from sdgraph.cli import main

SECONDS = 20
"""How long a command may take."""


class HangError(BaseException):
    """A command takes too long; no handler of `Exception` catches it."""


@dataclass(frozen=True)
class Ending:
    """How a command ended.

    Args:
        code: The exit code; None if it raised an exception or hung.
        output: What it printed to standard output and then to standard error.
        failure: The traceback of the exception, or "hung"; "" if it ended as it should.
    """

    code: int | None
    output: str
    failure: str = ""

    def fault(self, codes: Sequence[int] = (0, 1, 2), *, debug: bool = False) -> str:
        """What is wrong with how it ended, in a few words; "" if nothing is.

        Args:
            codes: The exit codes that are right.
            debug: Whether the traceback of a foreseen failure was asked for.
        """
        if self.failure:
            return self.failure.strip().splitlines()[-1][:200]
        for mark in ("internal error", *(() if debug else ("Traceback (most recent",))):
            if mark in self.output:
                return next(line for line in self.output.splitlines() if mark in line)[:200]
        if self.code not in codes:
            return f"the exit code {self.code}"
        if self.code and not self.output.strip():
            return f"the exit code {self.code} without a word"
        return ""


def run_command(arguments: Sequence[str], seconds: int = SECONDS) -> Ending:
    """Runs `sdgraph` with arguments in this process.

    Args:
        arguments: What follows `sdgraph`.
        seconds: After this time it is stopped and has hung.
    """
    out = io.StringIO()
    code: int | None = None
    failure = ""
    try:
        with _time_limit(seconds), redirect_stdout(out), redirect_stderr(out):
            main(list(arguments))
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except HangError:
        failure = f"hung for {seconds} s"
    except BaseException:  # all that a command lets through is a fault
        failure = traceback.format_exc()
    return Ending(code, out.getvalue(), failure)


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
