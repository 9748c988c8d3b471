"""Summarizes the events of a run: when each node ran, what was loaded, how the run ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class NodeSpan:
    """When a node began and ended, in seconds since the run began, and how it ended."""

    name: str
    type: str
    began: float
    ended: float | None = None
    """None while it runs, or if the run was killed."""
    failed: bool = False
    file: str | None = None
    is_stage: bool = False
    """Whether it is a part of a node's work that ran by itself, before the node."""


@dataclass(frozen=True)
class ComponentLoad:
    """A component that was loaded: when, how many bytes, and for which node."""

    component: str
    began: float
    seconds: float
    bytes: int
    """Bytes in memory."""
    file_bytes: int
    """Bytes of the files that were read."""
    device: str
    node: str | None


@dataclass
class RunSummary:
    """The events of a run, summed up as they arrive.

    Args:
        models: The names of the nodes that load components.
    """

    models: Collection[str] = ()
    device: str = ""
    spans: dict[str, NodeSpan] = field(default_factory=dict)
    loads: list[ComponentLoad] = field(default_factory=list)
    reused: dict[str, float] = field(default_factory=dict)
    remembered: int = 0
    """How many results were remembered when the run began."""
    error: str | None = None
    at: float = 0.0
    """The time of the last event, in seconds since the run began."""
    finished: bool = False

    @property
    def ran(self) -> int:
        """How many nodes ran to their end."""
        nodes = [span for span in self.spans.values() if not span.is_stage]
        return sum(span.ended is not None and not span.failed for span in nodes)

    def _running_stages(self) -> list[NodeSpan]:
        return [span for span in self.spans.values() if span.is_stage and span.ended is None]

    def add(self, event: Mapping[str, Any]) -> None:
        """Adds an event as data; of events that the summary has no use for, it takes the time."""
        at = round(event["at"], 4)
        self.at = max(self.at, at)
        match event:
            case {"event": "run_started"}:
                self.device, self.remembered = event["device"], event["reused"]
            case {"event": "node_started", "node": name}:
                self.spans[name] = NodeSpan(name, event["type"], at)
            case {"event": "node_finished", "node": name} if name in self.spans:
                self.spans[name].ended, self.spans[name].file = at, event["file"]
            case {"event": "stage_started", "node": node, "stage": stage}:
                name = f"{node}: {stage}"
                self.spans[name] = NodeSpan(name, stage, at, is_stage=True)
            case {"event": "stage_finished", "node": node, "stage": stage}:
                self.spans[f"{node}: {stage}"].ended = at
            case {"event": "node_failed", "node": name}:
                for stage_span in self._running_stages():
                    stage_span.ended, stage_span.failed = at, True
                span = self.spans.setdefault(name, NodeSpan(name, "", at))
                span.ended, span.failed = at, True
                self.error = f"{name}: {event['message']}"
            case {"event": "reused", "node": name}:
                self.reused[name] = at
            case {"event": "loaded"}:
                self._add_load(event)
            case {"event": "run_finished"}:
                self.finished = True

    def _add_load(self, event: Mapping[str, Any]) -> None:
        # Nodes with models run one at a time, so the one that is running is the one that loads.
        running = [
            span.name
            for span in self.spans.values()
            if span.ended is None and (span.is_stage or span.name in self.models)
        ]
        seconds = round(event["seconds"], 4)
        self.loads.append(
            ComponentLoad(
                event["component"],
                round(max(0.0, event["at"] - seconds), 4),
                seconds,
                event["bytes"],
                event["file_bytes"],
                event["device"],
                running[0] if running else None,
            )
        )

    def loads_of(self, span: NodeSpan) -> list[ComponentLoad]:
        """What was loaded for a node."""
        return [load for load in self.loads if load.node == span.name]

    def as_data(self) -> dict[str, Any]:
        """The summary as data for JSON."""
        return {
            "seconds": self.at,
            "device": self.device,
            "ran": self.ran,
            "reused": max(self.remembered, len(self.reused)),
            "nodes": [asdict(span) for span in self.spans.values()],
            "loads": [asdict(load) for load in self.loads],
            "bytes_loaded": sum(load.file_bytes for load in self.loads),
            "error": self.error,
        }


def summarize_events(events: Iterable[Mapping[str, Any]], models: Collection[str]) -> RunSummary:
    """The summary of recorded events; data that is not an event is skipped.

    Args:
        events: The events as data, in order.
        models: The names of the nodes that load components.
    """
    summary = RunSummary(models)
    for event in events:
        try:
            summary.add(event)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return summary
