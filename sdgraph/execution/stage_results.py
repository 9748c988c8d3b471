"""The results of stages of nodes' work during one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from sdgraph.store import LostRecordError

from .plan_data import Plan, PlannedStage, Step
from .results import Results

Recall = Callable[[str, Callable[[], bytes]], bytes]
"""Returns the result of a stage by its name; the second argument makes it if none is known."""


class StageResults:
    """The results of stages: those made in this run, and those that the store remembers.

    A result that was made in this run is kept until the last step of the plan that needs it.
    """

    def __init__(self, plan: Plan, results: Results) -> None:
        self.failures: dict[bytes, BaseException] = {}
        """The exceptions that steps for stages have raised; the nodes that need them raise them."""
        self.alterations: dict[bytes, list[str]] = {}
        """The stages that were made with other settings because memory ran out."""
        self._results = results
        self._store = results.store
        self._made: dict[bytes, bytes] = {}
        self._readers = Counter(stage.key for step in plan.steps for stage in step.stages)

    def find(self, stage: PlannedStage) -> bytes | None:
        """The result of a stage, if it was made in this run or the store has it by now.

        Raises LostRecordError if the plan reuses a result that is gone, or that was made of other
        values than this run has read.
        """
        if stage.key in self._made or self._store is None or not stage.is_stored:
            return self._made.get(stage.key)
        remembered = stage.remembered
        if not self._is_key_right(stage):
            if remembered is not None:
                raise LostRecordError(f"{stage.name} was made of what has changed meanwhile")
            return None
        if remembered is None:
            remembered = self._store.get(stage.key)
        if remembered is not None:
            self._made[stage.key] = bytes(self._store.read(remembered))
        return self._made.get(stage.key)

    def keep(
        self, stage: PlannedStage, data: bytes, seconds: float, altered: list[str] | None = None
    ) -> None:
        """Keeps the result of a stage, and remembers it unless it is altered.

        Args:
            stage: The stage.
            data: Its result.
            seconds: How long it took to make it.
            altered: The other settings with which it was made because memory ran out.
        """
        self._made[stage.key] = data
        if altered:
            self.alterations[stage.key] = altered
        elif self._store is not None and stage.is_stored and self._is_key_right(stage):
            self._store.put(stage.key, data, node=stage.name, seconds=seconds)

    def _is_key_right(self, stage: PlannedStage) -> bool:
        """Whether a stage has read what its key says: the key has only the lineage of nodes."""
        return not stage.reads or self._results.is_lineage_right

    def release(self, step: Step) -> None:
        """Drops the results that this step was the last to need."""
        for stage in step.stages:
            self._readers[stage.key] -= 1
            if not self._readers[stage.key]:
                self._made.pop(stage.key, None)
