"""Writes a record of each run to disk: its workflow, its events and a summary.

A record is a folder in `runs_folder()` with `run.json` (which workflow, and when), `workflow.yaml`
(its inputs resolved), `events.jsonl` (written during the run) and `summary.json` (at its end).
In events and summaries the paths of written files are relative, as in the records of pictures.
Nothing depends on records: if they cannot be written, the run continues without one.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

from sdgraph import events
from sdgraph.errors import InvalidWorkflowError
from sdgraph.files import open_regular_file, runs_folder
from sdgraph.graph import Graph, needs_models
from sdgraph.language import PortablePaths, write_workflow
from sdgraph.media import escape_surrogates
from sdgraph.models.loading import devices

from .redaction import redact
from .summary import RunSummary

MAX_RECORDS = 200
"""How many records are kept; the oldest are removed first."""

HEAD, EVENTS, WORKFLOW, SUMMARY = "run.json", "events.jsonl", "workflow.yaml", "summary.json"

_PARTIAL = "summary.part"

_RECORD_NAME = re.compile(r"\d{8}-\d{6}-\d{3}[0-9a-f]{4}")

_log = logging.getLogger(__name__)


@contextmanager
def record_run(
    graph: Graph, workflow: str = "", listener: events.Listener | None = None
) -> Iterator[events.Listener | None]:
    """A listener that records one run; used as a context manager around the run.

    The record begins with the first event, so a run that is refused before that leaves no record.

    Args:
        graph: The graph that runs.
        workflow: The name of the workflow, as `sdgraph runs` lists it.
        listener: Also receives each event, before it is recorded.

    Example:
        with record_run(graph, "portrait") as listener:
            Session().run(graph, listener)
    """
    try:
        folder = runs_folder()
    except RuntimeError:  # no home folder
        folder = None
    if folder is None:
        yield listener
        return
    record = _Writer(folder, graph, workflow, listener)
    try:
        yield record
    except KeyboardInterrupt:
        record.finish("stopped")
        raise
    except BaseException as error:
        record.finish("failed", str(error))
        raise
    record.finish("finished")


class _Writer:
    """Writes one record; the first failure to write ends the record, not the run."""

    def __init__(
        self, folder: Path, graph: Graph, workflow: str, listener: events.Listener | None
    ) -> None:
        self._folder = folder
        self._graph = graph
        self._workflow = workflow
        self._listener = listener
        models = [graph.names[node] for node in graph.nodes if needs_models(node)]
        self._summary = RunSummary(models)
        self._percent_of: dict[str, int] = {}
        self._file: TextIO | None = None
        self._memory = devices.PeakMemory()
        self._paths: PortablePaths | None = None
        self._began = False

    def __call__(self, event: events.Event) -> None:
        if self._listener is not None:
            self._listener(event)
        with self._ignore_errors():
            self._memory.sample()
            if isinstance(event, events.RunStarted):
                self._memory.begin(event.device)
            if not self._began:
                self._began = True
                self._begin()
            if self._file is not None and self._is_recorded(event):
                data = redact(self._with_portable_paths(event))
                self._summary.add(data)
                self._file.write(json.dumps(data, ensure_ascii=False) + "\n")
                self._file.flush()

    def finish(self, status: str, error: str | None = None) -> None:
        """Writes the summary."""
        with self._ignore_errors():
            if self._file is None:
                return
            summary = {
                "status": status,
                **self._summary.as_data(),
                **self._memory.peaks(self._summary.device),
            }
            if error and self._paths is not None:
                error = self._paths.message(error)
            summary["error"] = summary["error"] or redact(error)
            path = self._record_folder / SUMMARY
            path.with_name(_PARTIAL).write_text(_json(summary), "utf-8")
            path.with_name(_PARTIAL).replace(path)
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_old_records(self._folder, MAX_RECORDS - 1)
        self._record_folder = _new_folder(self._folder)
        self._paths = PortablePaths(self._graph)
        head = {
            "sdgraph_run": 1,
            "workflow": self._workflow,
            "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "pid": os.getpid(),
            "nodes": len(self._graph.nodes),
            "models": list(self._summary.models),
        }
        (self._record_folder / HEAD).write_text(_json(redact(head)), "utf-8")
        try:
            text, _ = write_workflow(
                self._graph, name=self._workflow or "workflow", with_inputs=True
            )
        except InvalidWorkflowError as error:  # a picture passed in from Python
            text = "".join(f"# {line}\n" for line in str(error).splitlines())
        (self._record_folder / WORKFLOW).write_text(redact(text), "utf-8", "backslashreplace")
        self._file = (self._record_folder / EVENTS).open(
            "w", encoding="utf-8", errors="backslashreplace"
        )
        _lock(self._file)

    def _with_portable_paths(self, event: events.Event) -> dict[str, Any]:
        """The event as data; what it says of files says nothing about where they are."""
        data, paths = event.as_data(), self._paths
        if paths is None:
            return data
        file = {"file": paths.written_file(data["file"], Path.cwd())} if data.get("file") else {}
        return {**_map_paths(data, paths.message), **file}

    def _is_recorded(self, event: events.Event) -> bool:
        """Whether an event is recorded; of a node's steps, one is recorded for each percent."""
        if not isinstance(event, events.Stepped) or event.note is not None:
            return True
        percent = 100 * event.step // max(event.total, 1)
        last = self._percent_of.get(event.node)
        self._percent_of[event.node] = percent
        return percent != last

    @contextmanager
    def _ignore_errors(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a full disk, or text that cannot be encoded
            _log.debug("the record of a run cannot be written: %s", error)
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            self._file = None


def remove_old_records(folder: Path, kept: int) -> None:
    """Removes all but the newest `kept` records; records of runs in progress stay.

    A folder that does not have the name of a record stays, and so does a file in a record that no
    run has written: $SDGRAPH_RUNS may be a folder with other files.
    """
    records = sorted(path for path in folder.iterdir() if _RECORD_NAME.fullmatch(path.name))
    for path in records[: -kept or None]:
        if path.is_symlink() or is_locked(path / EVENTS) is True:
            continue
        with suppress(OSError):
            for name in (HEAD, EVENTS, WORKFLOW, SUMMARY, _PARTIAL):
                (path / name).unlink(missing_ok=True)
            path.rmdir()


def is_locked(path: Path) -> bool | None:
    """Whether the process that writes a record's events is alive; None if that is unknown."""
    try:
        import fcntl

        with open_regular_file(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
    except (ImportError, OSError):
        return None


def _lock(file: TextIO) -> None:
    """Locks the events of a run in progress; the system unlocks them when the process ends."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _new_folder(folder: Path) -> Path:
    """A new folder with a unique name that sorts by time."""
    while True:
        now = datetime.now(UTC)
        name = f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}{token_hex(2)}"
        try:
            (record_folder := folder / name).mkdir(mode=0o700)
        except FileExistsError:
            continue
        return record_folder


def _json(data: dict[str, Any]) -> str:
    return escape_surrogates(json.dumps(data, ensure_ascii=False, indent=1))


def _map_paths(value: Any, change: Callable[[str], str]) -> Any:
    """Data for JSON in which all texts that may hold a path are changed."""
    if isinstance(value, dict):
        return {key: _map_paths(item, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_paths(item, change) for item in value]
    return change(value) if isinstance(value, str) and os.sep in value else value
