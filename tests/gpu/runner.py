"""Runs checks one after another in a process that is replaced when a check hangs or kills it.

1. A process is started for the checks, so that what a card holds is gone with it.
2. It is told the position of a check, and sends back its result.
3. If none comes within the check's limit, or the process ends, the check has failed and the next
   one gets a new process.
4. Checks that the deadline leaves no time for are skipped.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from .check import Bench, Check, Result, run_check

ListChecks = Callable[[], Sequence[Check]]
"""Returns the checks; called in both processes, because functions cannot be sent."""


def run_checks(
    list_checks: ListChecks, chosen: Sequence[int], bench: Bench, deadline: float
) -> Iterator[Result]:
    """The results of checks, in order.

    Args:
        list_checks: A function of a module that returns all checks.
        chosen: The positions of those to run.
        bench: Where they run.
        deadline: The seconds after which no check starts, and a running one is given up.
    """
    checks, until = list_checks(), time.monotonic() + deadline
    worker: _Worker | None = None
    try:
        for position in chosen:
            check, left = checks[position], until - time.monotonic()
            if left <= 0:
                why = f"the {deadline:.0f} seconds for all were over"
                yield Result(check.name, check.wanted, why, "skipped")
                continue
            worker = worker or _Worker(list_checks, bench)
            began = time.monotonic()
            result = worker.result(position, min(check.limit, left))
            if isinstance(result, str):
                worker.stop()
                worker = None
                seconds = time.monotonic() - began
                result = Result(check.name, check.wanted, result, "failed", seconds)
            yield result
    finally:
        if worker is not None:
            worker.stop()


class _Worker:
    """A process that runs checks."""

    def __init__(self, list_checks: ListChecks, bench: Bench) -> None:
        context: Any = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, list_checks, bench))
        self._process.start()
        theirs.close()

    def result(self, position: int, limit: float) -> Result | str:
        """The result of a check; the reason if there is none."""
        try:
            self._connection.send(position)
            if not self._connection.poll(limit):
                return f"no result within {limit:.0f} seconds"
            result: Result = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(10)
            return f"its process ended with code {self._process.exitcode}"
        return result

    def stop(self) -> None:
        """Ends the process."""
        self._connection.close()
        self._process.join(2)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _work(connection: Connection, list_checks: ListChecks, bench: Bench) -> None:
    checks = list_checks()
    try:
        while True:
            connection.send(run_check(checks[connection.recv()], bench))
    except (EOFError, OSError):
        return
