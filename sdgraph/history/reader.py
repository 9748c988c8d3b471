"""Reads the records of past runs: a list of them, how each ended, and what it did."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdgraph.errors import Problem, SdgraphError, did_you_mean
from sdgraph.files import open_regular_file, read_text, runs_folder

from .recorder import EVENTS, HEAD, SUMMARY, is_locked
from .summary import RunSummary, summarize_events

_MAX_BYTES = 64 * 2**20
"""The most bytes of a file of a record, and of the line of an event."""

LAST = "last"
"""The name that stands for the newest run."""


class RunNotFoundError(SdgraphError):
    """No recorded run has the given id, or several begin with it."""


@dataclass(frozen=True)
class PastRun:
    """One recorded run; its record may be incomplete."""

    folder: Path
    head: Mapping[str, Any]
    """What was written when the run began."""
    summary: Mapping[str, Any]
    """What was written when the run ended; empty if it has not ended or was killed."""

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
        """When it began, in UTC and ISO 8601."""
        return str(self.head.get("began") or "")

    @property
    def status(self) -> str:
        """One of finished, failed, stopped (by Ctrl-C), running, killed, and unknown."""
        if self.summary:
            return str(self.summary.get("status") or "unknown")
        locked = is_locked(self.folder / EVENTS)
        return "unknown" if locked is None else "running" if locked else "killed"

    def events(self) -> Iterator[Mapping[str, Any]]:
        """Yields every recorded event as data; a line that was cut short is skipped."""
        for line in _lines(self.folder / EVENTS):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict):
                yield event

    def summarize(self) -> RunSummary:
        """The summary of its events."""
        models = self.head.get("models")
        return summarize_events(self.events(), models if isinstance(models, list) else ())

    def as_data(self) -> dict[str, Any]:
        """The entry in `sdgraph runs` as data; computed from the events if the run did not end."""
        summary = self.summary or self.summarize().as_data()
        return {
            "id": self.id,
            "began": self.began,
            "workflow": self.workflow,
            "status": self.status,
            "seconds": summary.get("seconds"),
            "ran": summary.get("ran"),
            "reused": summary.get("reused"),
        }


def list_runs() -> list[PastRun]:
    """The recorded runs, the newest first."""
    folder = runs_folder()
    if folder is None or not folder.is_dir():
        return []
    folders = sorted((path for path in folder.iterdir() if path.is_dir()), reverse=True)
    return [PastRun(path, _json(path / HEAD), _json(path / SUMMARY)) for path in folders]


def find_run(name: str) -> PastRun:
    """The recorded run with an id.

    Args:
        name: An id, the beginning of an id, or "last" for the newest run.

    Raises:
        RunNotFoundError: No run has that id, or several ids begin with it.
    """
    runs = list_runs()
    if not runs:
        wanted = "a recorded run; `sdgraph run` records each"
        raise _not_found(name, "no runs at all", wanted)
    matches = runs[:1] if name == LAST else [run for run in runs if run.id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        fix = did_you_mean(name, [LAST, *(run.id for run in runs)]) or "`sdgraph runs` lists them"
        raise _not_found(name, "no run with that id", "the id of a recorded run", fix)
    ids = ", ".join(run.id for run in matches[:4])
    raise _not_found(name, f"{len(matches)} runs: {ids}", "one run", "write more of its id")


def _not_found(name: str, found: str, wanted: str, fix: str = "") -> RunNotFoundError:
    return RunNotFoundError(Problem(f"run {name!r}", found, wanted, fix))


def _json(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; empty if there is no file or it was cut short."""
    try:
        data = json.loads(read_text(path, _MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


def _lines(path: Path) -> Iterator[str]:
    try:
        with open_regular_file(path) as file:
            while line := file.readline(_MAX_BYTES):
                yield line.decode("utf-8", "replace")
    except OSError:
        return
