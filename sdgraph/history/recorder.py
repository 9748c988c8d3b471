"""Records of runs on disk: what happened, of which workflow, in how many seconds and bytes.

A folder each, below `place()`: `run.json` says what it is of, `workflow.yaml` is that with its
inputs resolved, `events.jsonl` is written while it runs, `summary.json` at its end. Nothing depends
on them: where they cannot be written, the run goes on without.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, TextIO

from sdgraph import events
from sdgraph.errors import InvalidWorkflowError
from sdgraph.files import sdgraph_home
from sdgraph.graph import Graph
from sdgraph.language import write_workflow
from sdgraph.media import spelled_out
from sdgraph.models import devices

from .redaction import redacted
from .summary import Tally

KEPT = 200
"""How many records are kept; the oldest go first."""

HEAD, EVENTS, WORKFLOW, SUMMARY = "run.json", "events.jsonl", "workflow.yaml", "summary.json"

_log = logging.getLogger(__name__)


def place() -> Path | None:
    """The folder of all records: $SDGRAPH_RUNS, else `runs` beside what else is kept.

    None where that variable is empty: nothing is recorded then.
    """
    chosen = os.environ.get("SDGRAPH_RUNS")
    if chosen is not None:
        return Path(chosen).expanduser().absolute() if chosen else None
    return sdgraph_home() / "runs"


@contextmanager
def recording(
    graph: Graph, workflow: str = "", listener: events.Listener | None = None
) -> Iterator[events.Listener | None]:
    """A listener that writes the record of one run of `graph`, and tells `listener` as well.

    `workflow` is what people call it. The record begins with the first event: of a run that is
    refused before there is none.
    """
    try:
        folder = place()
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
    """Writes one record; the first failure of the disk ends it, and is nobody's business."""

    def __init__(
        self, folder: Path, graph: Graph, workflow: str, listener: events.Listener | None
    ) -> None:
        self._folder = folder
        self._graph = graph
        self._workflow = workflow
        self._listener = listener
        models = [
            graph.names[node] for node in graph.nodes if "models" in type(node).definition.services
        ]
        self._tally = Tally(models)
        self._shares: dict[str, int] = {}
        self._file: TextIO | None = None
        self._memory = devices.PeakMemory()
        self._began = False

    def __call__(self, event: events.Event) -> None:
        if self._listener is not None:
            self._listener(event)
        with self._forgiving():
            self._memory.look()
            if isinstance(event, events.RunStarted):
                self._memory.begin(event.device)
            if not self._began:
                self._began = True
                self._begin()
            if self._file is not None and self._is_news(event):
                data = redacted(event.as_data())
                self._tally.take(data)
                self._file.write(json.dumps(data, ensure_ascii=False) + "\n")
                self._file.flush()

    def finish(self, status: str, error: str | None = None) -> None:
        """Writes the summary."""
        with self._forgiving():
            if self._file is None:
                return
            summary = {
                "status": status,
                **self._tally.as_data(),
                **self._memory.peaks(self._tally.device),
            }
            summary["error"] = summary["error"] or redacted(error)
            path = self._here / SUMMARY
            path.with_suffix(".part").write_text(_json(summary), "utf-8")
            path.with_suffix(".part").replace(path)
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def _begin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep(self._folder, KEPT - 1)
        self._here = _new_folder(self._folder)
        head = {
            "sdgraph_run": 1,
            "workflow": self._workflow,
            "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "pid": os.getpid(),
            "nodes": len(self._graph.nodes),
            "models": list(self._tally.models),
        }
        (self._here / HEAD).write_text(_json(redacted(head)), "utf-8")
        try:
            text, _ = write_workflow(
                self._graph, name=self._workflow or "workflow", with_inputs=True
            )
        except InvalidWorkflowError as error:  # a picture handed in from Python
            text = "".join(f"# {line}\n" for line in str(error).splitlines())
        (self._here / WORKFLOW).write_text(redacted(text), "utf-8", "backslashreplace")
        self._file = (self._here / EVENTS).open("w", encoding="utf-8", errors="backslashreplace")
        _hold(self._file)

    def _is_news(self, event: events.Event) -> bool:
        """Whether an event is written: of a node's steps, one for each hundredth of them."""
        if not isinstance(event, events.Stepped) or event.note is not None:
            return True
        share = 100 * event.step // max(event.total, 1)
        known = self._shares.get(event.node)
        self._shares[event.node] = share
        return share != known

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a full disk, a text that no file can hold
            _log.debug("the record of a run cannot be written: %s", error)
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            self._file = None


def sweep(folder: Path, kept: int) -> None:
    """Removes all but the `kept` newest records, and none of a run that goes on."""
    for each in sorted(each for each in folder.iterdir() if each.is_dir())[: -kept or None]:
        if is_held(each / EVENTS) is not True:
            shutil.rmtree(each, ignore_errors=True)


def is_held(path: Path) -> bool | None:
    """Whether the process that writes a record's events is alive; None where nobody can tell."""
    try:
        import fcntl

        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
    except (ImportError, OSError):
        return None


def _hold(file: TextIO) -> None:
    """Locks the events of a run that goes on; the system lets go when the process is gone."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _new_folder(folder: Path) -> Path:
    """A new folder whose name is that of no other, and sorts by time."""
    while True:
        now = datetime.now(UTC)
        name = f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03}{token_hex(2)}"
        try:
            (made := folder / name).mkdir(mode=0o700)
        except FileExistsError:
            continue
        return made


def _json(data: dict[str, Any]) -> str:
    return spelled_out(json.dumps(data, ensure_ascii=False, indent=1))
