"""The runs that were recorded: which there are, how each ended, and what it did."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdgraph.errors import Problem, SdgraphError, did_you_mean

from .recorder import EVENTS, HEAD, SUMMARY, is_held, place
from .summary import Tally, tally

LAST = "last"


class RunNotFoundError(SdgraphError):
    """No run, or several, have the name that was asked for."""


@dataclass(frozen=True)
class PastRun:
    """One recorded run, as far as its record was written."""

    folder: Path
    head: Mapping[str, Any]
    summary: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The name of its folder, which begins with the time in UTC."""
        return self.folder.name

    @property
    def workflow(self) -> str:
        """The name of the workflow that ran; "?" where the record does not say."""
        return str(self.head.get("workflow") or "?")

    @property
    def began(self) -> str:
        """When, in UTC as ISO 8601 has it."""
        return str(self.head.get("began") or "")

    @property
    def status(self) -> str:
        """finished, failed, stopped (by Ctrl-C), running, killed, or unknown."""
        if self.summary:
            return str(self.summary.get("status") or "unknown")
        held = is_held(self.folder / EVENTS)
        return "unknown" if held is None else "running" if held else "killed"

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Every event that was written, as data; a line cut short is passed over."""
        for line in _lines(self.folder / EVENTS):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                yield event

    def tally(self) -> Tally:
        """What its events come to."""
        models = self.head.get("models")
        return tally(self.events(), models if isinstance(models, list) else ())

    def as_data(self) -> dict[str, Any]:
        """What `runs` lists, as data; read from the events where there is no summary."""
        told = self.summary or self.tally().as_data()
        return {
            "id": self.id,
            "began": self.began,
            "workflow": self.workflow,
            "status": self.status,
            "seconds": told.get("seconds"),
            "ran": told.get("ran"),
            "reused": told.get("reused"),
        }


def history() -> list[PastRun]:
    """The recorded runs, the newest first."""
    folder = place()
    if folder is None or not folder.is_dir():
        return []
    folders = sorted((each for each in folder.iterdir() if each.is_dir()), reverse=True)
    return [PastRun(each, _json(each / HEAD), _json(each / SUMMARY)) for each in folders]


def past_run(name: str) -> PastRun:
    """The run of an id, of the beginning of one alone, or the `last`; raises RunNotFoundError."""
    runs = history()
    if not runs:
        wanted = "a run that was recorded; `sdgraph run` records each"
        raise RunNotFoundError(Problem(f"run {name!r}", "no runs at all", wanted))
    found = runs[:1] if name == LAST else [run for run in runs if run.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if not found:
        fix = did_you_mean(name, [LAST, *(run.id for run in runs)]) or "`sdgraph runs` lists them"
        raise RunNotFoundError(Problem(f"run {name!r}", "no run of that id", "one that is", fix))
    listed = ", ".join(run.id for run in found[:4])
    fix = "write more of its id"
    raise RunNotFoundError(Problem(f"run {name!r}", f"{len(found)} runs: {listed}", "one run", fix))


def _json(path: Path) -> Mapping[str, Any]:
    """The object in a file; empty where there is none, or it was cut short."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file
    except OSError:
        return
