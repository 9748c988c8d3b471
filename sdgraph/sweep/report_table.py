"""Records of the variants of a sweep, made from the events of its run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sdgraph import events
from sdgraph.graph import Node, ancestry, describe_value

from .sweep import Sweep


@dataclass(frozen=True)
class VariantRecord:
    """One variant of a sweep: its inputs and what it made.

    Example:
        >>> record = VariantRecord(1, {"seed": 7}, "done", ("out/7.png",), 0.25, (7,))
        >>> record.row()["files"]
        ['out/7.png']
    """

    number: int
    inputs: Mapping[str, Any]
    """Every input of the workflow, also those left at their defaults."""
    state: Literal["done", "failed", "not done"]
    files: tuple[str, ...]
    seconds: float
    """The time that its nodes took, without those that it shares with an earlier variant."""
    seeds: tuple[int, ...]
    error: str = ""
    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The values of its targets, by their names in the workflow."""

    def row(self) -> dict[str, Any]:
        """The record as plain data: number, state, inputs, files, seconds, seed, error."""
        seed = self.seeds[0] if len(self.seeds) == 1 else list(self.seeds)
        row = {"number": self.number, "state": self.state, "seed": seed or None}
        return {
            **row,
            **plain_inputs(self.inputs),
            "files": list(self.files),
            "seconds": round(self.seconds, 3),
            "error": self.error,
        }


class VariantRecorder:
    """A listener to the run of a sweep that makes a record of each variant when it is done.

    Args:
        sweep: The sweep that runs.
        on_record: Called with the record of each variant that is done, in the order of the
            variants: when those before it, which may run in other threads, are done or have failed.
    """

    def __init__(
        self, sweep: Sweep, on_record: Callable[[VariantRecord], object] | None = None
    ) -> None:
        self._sweep = sweep
        self._on_record = on_record
        self._nodes = {name: node for node, name in sweep.graph.names.items()}
        self._left = [len(set(targets.values())) for targets in sweep.targets]
        self._targets = {node for targets in sweep.targets for node in targets.values()}
        self._seconds: dict[Node[Any], float] = {}
        self._files: dict[Node[Any], str] = {}
        self._failed: dict[Node[Any], str] = {}
        self._failed_variants: set[int] = set()
        self._recorded: set[int] = set()
        self._next = 0
        """The first variant that is neither recorded nor known to have failed."""

    def __call__(self, event: events.Event) -> None:
        """Receives an event of the run."""
        if isinstance(event, events.NodeFinished):
            node = self._nodes[event.node]
            self._seconds[node] = event.seconds
            if event.file is not None:
                self._files[node] = event.file
            self._count_done(node)
        elif isinstance(event, events.Reused):
            self._count_done(self._nodes[event.node])
        elif isinstance(event, events.NodeFailed):
            node = self._nodes[event.node]
            self._failed[node] = event.message
            self._failed_variants.update(self._sweep.needed[node])
        self._record_done()

    def finish(self) -> None:
        """Records the variants that were not made."""
        for index in range(len(self._left)):
            if index not in self._recorded:
                self._record(index)

    def _count_done(self, node: Node[Any]) -> None:
        for index in self._sweep.needed[node] if node in self._targets else ():
            self._left[index] -= 1

    def _record_done(self) -> None:
        """Records the variants that are done up to the first that may still be made."""
        while self._next < len(self._left):
            if not self._left[self._next]:
                self._record(self._next)
            elif self._next not in self._failed_variants:
                return
            self._next += 1

    def _record(self, index: int) -> None:
        self._recorded.add(index)
        if self._on_record is not None:
            self._on_record(self.record(index))

    def record(self, index: int) -> VariantRecord:
        """The record of one variant as far as it is known now."""
        variant, targets = self._sweep.variants[index], self._sweep.targets[index].values()
        nodes = ancestry(*targets)
        errors = [self._failed[node] for node in nodes if node in self._failed]
        own = (node for node in nodes if self._sweep.needed[node][0] == index)
        return VariantRecord(
            variant.number,
            {
                name: variant.inputs.get(name, declared.default)
                for name, declared in self._sweep.inputs.items()
            },
            "failed" if errors else "not done" if self._left[index] else "done",
            tuple(self._files[node] for node in targets if node in self._files),
            sum(self._seconds.get(node, 0.0) for node in own),
            _seeds(nodes),
            errors[0] if errors else "",
        )


def plain_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The values of inputs as plain data for JSON; others than texts and numbers are described."""
    return {name: _plain(value) for name, value in inputs.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    plain = value is None or isinstance(value, str | int | float | bool | dict)
    return value if plain else describe_value(value)


def _seeds(nodes: list[Node[Any]]) -> tuple[int, ...]:
    """The seeds of some nodes, each once."""
    return tuple(dict.fromkeys(s for node in nodes if (s := node.random_seed) is not None))
