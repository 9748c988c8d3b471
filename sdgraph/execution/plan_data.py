"""The data of a plan: steps in order, and the actions on memory before each. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from sdgraph.errors import Problem
from sdgraph.graph import Graph, Node, has_known_parts, needs_models, parts_of
from sdgraph.memory import Action, Component, MemoryContents, MemoryLimits
from sdgraph.models import ResolvedPart, part_warnings, resolve
from sdgraph.store import StoredResult
from sdgraph.values import Checkpoint


@dataclass(frozen=True, slots=True)
class ComponentUse:
    """One component that a step uses, by the name that its node gives it."""

    name: str
    resolved: ResolvedPart = field(repr=False)
    """Its files and their hashes at the time when the plan was made."""
    component: Component


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage of a node's work, whose result is remembered separately."""

    name: str
    key: bytes
    uses: tuple[ComponentUse, ...] = ()
    """The components that nothing else of the node's work needs; () if it is remembered."""
    reads: tuple[Node[Any], ...] = ()
    """The nodes on whose results it depends."""
    runs_alone: bool = False
    """Whether it can be made by a step of its own, with these components alone."""
    is_stored: bool = True
    """Whether the store remembers its result; otherwise it is kept for this run."""
    made_before: bool = False
    """Whether an earlier step makes it, so that the node's own step does without `uses`."""
    remembered: StoredResult | None = field(default=None, repr=False, compare=False)


class Step(NamedTuple):
    """One node of a plan: it is run, or its remembered result is reused.

    Where memory is short, a stage of a node's work, such as the embedding of a prompt, has a step
    of its own before that of the node, and of other nodes that need the same.

    `Plan.steps` contains them in the order in which they run. Programs only read them.

    Example:
        >>> from sdgraph import plan
        >>> from sdgraph.nodes import Mask
        >>> (step,) = plan(Mask(box=[8, 8, 24, 24], width=32, height=32)).steps
        >>> step.action, step.uses, step.working_bytes
        ('run', (), 0)
    """

    node: Node[Any]
    name: str
    """The node's name in its graph, or its type and a number; for a stage with that of the stage,
    such as "picture: prompt"."""
    action: Literal["run", "reuse"]
    key: bytes | None
    """The key of the result, if it is known before the run."""
    uses: tuple[ComponentUse, ...]
    """The components that it needs in memory, all at once."""
    working_bytes: int
    """The bytes that it needs in addition to its components; an estimate."""
    memory_actions: tuple[Action, ...] = ()
    """What is evicted, offloaded, uploaded and loaded before it runs, in order."""
    prefetch: tuple[Component, ...] = ()
    """The components whose files are read into the page cache while it computes."""
    releases: tuple[Node[Any], ...] = ()
    """The nodes whose results no step after this one reads."""
    remembered: StoredResult | None = None
    """The remembered result; kept here because the store may drop it before the step runs."""
    stages: tuple[PlannedStage, ...] = ()
    """The stages of the node's work whose results are remembered separately."""
    stage: PlannedStage | None = None
    """The stage that this step makes; None if it makes the node's own result."""
    not_kept: str = ""
    """The reason why the result that an earlier run made was not kept on disk, if it did so."""
    alias: bytes | None = None
    """A second key of the result, made of all that the result is made from."""
    context: str | None = None
    """The part of the key that depends on the machine, if it is known before the run."""
    batch: tuple[Step, ...] = ()
    """The steps whose nodes it computes at once, itself the first; () for its own node alone.

    Those that follow it find their results. They compute what it could not."""
    made_with: str = ""
    """The name of the step whose batch makes its result, if that is an earlier one."""

    @property
    def members(self) -> tuple[Step, ...]:
        """The steps that it computes at once: its batch, or itself."""
        return self.batch or (self,)

    @property
    def result(self) -> Node[Any] | bytes:
        """What identifies its result in the plan: the node, or the key of the stage."""
        return self.node if self.stage is None else self.stage.key

    @property
    def inputs(self) -> tuple[Node[Any], ...]:
        """The nodes whose results it reads, one for each wire."""
        if self.action == "reuse":
            return ()
        if self.stage is not None:
            return self.stage.reads
        if not self.batch:
            return tuple([child for _, child in self.node.wires])
        return tuple([child for step in self.batch for _, child in step.node.wires])

    @property
    def stages_to_make(self) -> tuple[PlannedStage, ...]:
        """The stages whose results are neither remembered nor made by an earlier step."""
        return tuple(
            [each for each in self.stages if each.remembered is None and not each.made_before]
        )

    @property
    def loads(self) -> tuple[Component, ...]:
        """The components that are read from disk for it."""
        return tuple(action.component for action in self.memory_actions if action.kind == "load")

    @property
    def absent(self) -> tuple[str, ...]:
        """The checkpoints that are not on this disk, so that what it loads is not known."""
        absent = (use.resolved.owner for use in self.uses if use.resolved.owner.root is None)
        return tuple(dict.fromkeys(owner.checkpoint_to_fetch.source for owner in absent))

    @property
    def runs_models(self) -> bool:
        """Whether it computes with models."""
        return self.action == "run" and needs_models(self.node)

    @property
    def runs_in_order(self) -> bool:
        """Whether it runs in the order of the plan, one at a time: with models or exclusively."""
        node = self.node
        return (node.exclusive or needs_models(node)) and self.action == "run"


@dataclass(frozen=True)
class Plan:
    """What a run of a graph will do: steps in order, and the memory that they take.

    Made by `sdgraph.plan` and `Session.plan`, before torch is imported.

    Example:
        >>> from sdgraph import plan
        >>> from sdgraph.nodes import Mask
        >>> mask_plan = plan(Mask(box=[8, 8, 24, 24], width=32, height=32))
        >>> [step.action for step in mask_plan.steps], mask_plan.bytes_loaded
        (['run'], 0)
    """

    graph: Graph
    steps: tuple[Step, ...]
    """The steps in the order in which they run; nodes whose results nobody needs have none."""
    device: str
    """"cpu", "cuda", "cuda:1", ..., "mps"."""
    dtype: str | None
    """The dtype of models, such as "float16", unless the checkpoint names another."""
    limits: MemoryLimits = field(default_factory=MemoryLimits)
    """The bytes that the run may use."""
    contents: MemoryContents = field(default_factory=dict)
    """What is in memory before the first step, least recently used first."""
    peak_accelerator: int = 0
    """The most bytes of components and working memory on the accelerator at once."""
    peak_host: int = 0
    """The same in host memory."""
    warnings: tuple[str, ...] = ()
    """Where a step needs more memory than was measured as free."""
    batch: int | None = None
    """The most nodes that are computed at once; None for as many as are best and fit."""

    @property
    def loads(self) -> tuple[Component, ...]:
        """The components that will be loaded, in order; one that is loaded twice is in it twice."""
        return tuple(component for step in self.steps for component in step.loads)

    @property
    def bytes_loaded(self) -> int:
        """The bytes of the weight files that will be read, without those still to be fetched."""
        return sum(component.file_bytes for component in self.loads)

    @property
    def fetches(self) -> dict[Checkpoint, Node[Any]]:
        """The checkpoints that must be fetched from the hub, each with a node that needs it."""
        fetches: dict[Checkpoint, Node[Any]] = {}
        if not self.runs_models:
            return fetches
        for step in self.steps:
            for checkpoint in _checkpoints_of(step.node) if step.action == "run" else ():
                resolved = resolve(checkpoint)
                if resolved.must_fetch:
                    fetches.setdefault(resolved.checkpoint_to_fetch, step.node)
        return fetches

    @property
    def absent(self) -> tuple[str, ...]:
        """The checkpoints that are not on this disk, so that what is loaded is not known."""
        running = (step for step in self.steps if step.action == "run")
        return tuple(dict.fromkeys(source for step in running for source in step.absent))

    @property
    def checkpoint_warnings(self) -> list[Problem]:
        """The checkpoints that are not here, or not in the variant that was asked for."""
        running = [step for step in self.steps if step.action == "run"]
        return list(part_warnings([use.resolved for step in running for use in step.uses]))

    @cached_property
    def runs_models(self) -> bool:
        """Whether a step will compute with models."""
        return any(step.runs_models for step in self.steps)

    @property
    def uses_models(self) -> bool:
        """Whether a step computes with models, or reuses what models computed."""
        return any(needs_models(step.node) for step in self.steps)


def _checkpoints_of(node: Node[Any]) -> tuple[Checkpoint, ...]:
    """The checkpoints that a node needs parts of, each once."""
    if not has_known_parts(node):
        return ()
    return tuple(dict.fromkeys([part.checkpoint for part in parts_of(node).values()]))
