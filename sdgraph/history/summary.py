"""What a run's events come to: when each node ran, what was loaded, how it ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Span:
    """A node that ran: from when to when, in seconds since the run began, and how it ended."""

    name: str
    type: str
    began: float
    ended: float | None = None
    """None while it runs, and where the run was killed before its end."""
    failed: bool = False
    file: str | None = None


@dataclass(frozen=True)
class Load:
    """A component that was loaded: when, how many bytes of files, and for which node."""

    component: str
    began: float
    seconds: float
    bytes: int
    file_bytes: int
    device: str
    node: str | None


@dataclass
class Tally:
    """Events, summed up; `models` are the names of the nodes that load components."""

    models: Collection[str] = ()
    device: str = ""
    spans: dict[str, Span] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)
    reused: dict[str, float] = field(default_factory=dict)
    remembered: int = 0
    """How many were known to be remembered before the run began."""
    error: str | None = None
    at: float = 0.0
    """The seconds of the last event."""
    finished: bool = False

    @property
    def ran(self) -> int:
        """How many nodes ran to their end."""
        return sum(span.ended is not None and not span.failed for span in self.spans.values())

    def take(self, event: Mapping[str, Any]) -> None:
        """Takes one event as data; of a kind that it does not know, only the time."""
        at = round(event["at"], 4)
        self.at = max(self.at, at)
        match event:
            case {"event": "run_started"}:
                self.device, self.remembered = event["device"], event["reused"]
            case {"event": "node_started", "node": name}:
                self.spans[name] = Span(name, event["type"], at)
            case {"event": "node_finished", "node": name} if name in self.spans:
                self.spans[name].ended, self.spans[name].file = at, event["file"]
            case {"event": "node_failed", "node": name}:
                span = self.spans.setdefault(name, Span(name, "", at))
                span.ended, span.failed = at, True
                self.error = f"{name}: {event['message']}"
            case {"event": "reused", "node": name}:
                self.reused[name] = at
            case {"event": "loaded"}:
                self._load(event)
            case {"event": "run_finished"}:
                self.finished = True

    def _load(self, event: Mapping[str, Any]) -> None:
        # Nodes with models run one after another, so that only one of them can be the one.
        running = [
            span.name
            for span in self.spans.values()
            if span.ended is None and span.name in self.models
        ]
        seconds = round(event["seconds"], 4)
        self.loads.append(
            Load(
                event["component"],
                round(max(0.0, event["at"] - seconds), 4),
                seconds,
                event["bytes"],
                event["file_bytes"],
                event["device"],
                running[0] if running else None,
            )
        )

    def as_data(self) -> dict[str, Any]:
        """The sums as plain data for JSON."""
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


def tally(events: Iterable[Mapping[str, Any]], models: Collection[str]) -> Tally:
    """The tally of events that were written down; those that are no events are passed over."""
    made = Tally(models)
    for event in events:
        try:
            made.take(event)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return made
