"""What a check is, what comes out of it, and the table of all. Imports no torch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sdgraph.errors import SdgraphError

Verdict = Literal["ok", "failed", "skipped"]


class SkippedError(Exception):
    """Raised by a check that cannot be made here, with the reason."""


@dataclass(frozen=True)
class Bench:
    """Where checks run."""

    folder: Path
    """Where checkpoints are made."""
    device: str
    """"cuda" or "cpu"."""

    @property
    def is_small(self) -> bool:
        """Whether checkpoints are tiny and figures say nothing about a card."""
        return self.device == "cpu"

    def needs_card(self, why: str) -> None:
        """Raises SkippedError on a CPU."""
        if self.is_small:
            raise SkippedError(f"needs CUDA: {why}")


@dataclass(frozen=True)
class Check:
    """One row: a function of the bench returns whether it is as wanted, and what was measured."""

    name: str
    wanted: str
    run: Callable[[Bench], tuple[bool, str]] = field(repr=False)
    limit: float = 60
    """The seconds after which it is given up."""


@dataclass(frozen=True)
class Result:
    """What came out of a check."""

    name: str
    wanted: str
    measured: str
    verdict: Verdict
    seconds: float = 0


def run_check(check: Check, bench: Bench) -> Result:
    """Runs a check; whatever it raises is its result."""
    began = time.perf_counter()
    verdict: Verdict
    try:
        good, measured = check.run(bench)
        verdict = "ok" if good else "failed"
    except SkippedError as reason:
        verdict, measured = "skipped", str(reason)
    except SdgraphError as error:
        verdict, measured = "failed", str(error)
    except Exception as error:
        verdict, measured = "failed", f"{type(error).__name__}: {error}"
    return Result(check.name, check.wanted, measured, verdict, time.perf_counter() - began)


def table(results: Iterable[Result]) -> str:
    """The results as a Markdown table."""
    lines = ["| what | wanted | measured | | seconds |", "|---|---|---|---|---|"]
    for result in results:
        texts = [_cell(text) for text in (result.name, result.wanted, result.measured)]
        lines.append(f"| {' | '.join(texts)} | {result.verdict} | {result.seconds:.1f} |")
    return "\n".join(lines)


def _cell(text: str, longest: int = 300) -> str:
    line = " ".join(text.split()).replace("|", "\\|")
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
