"""The stages of nodes in a plan: which are made, and in which steps. Imports no torch.

Nodes whose stages are the same share the result: the first one has it made. There are two ways to
do that, of which the plan takes the one that loads less:

- Together: the step of the first node makes the result too, so that it needs the components of the
  stage and all others at once (`make_together`).
- Apart: a step of its own makes the result, with the components of the stage alone. They may leave
  memory before the step of the node begins (`make_apart`).
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from sdgraph.graph import Graph, Node, Stage
from sdgraph.store import Store, stage_key

from .plan_data import ComponentUse, PlannedStage, Step


def plan_stages(
    node: Node[Any],
    graph: Graph,
    store: Store | None,
    lineages: Mapping[Node[Any], bytes],
    frame_nodes: Container[Node[Any]],
    device: str,
    dtype: str | None,
) -> Iterator[tuple[PlannedStage, tuple[str, ...]]]:
    """The stages of a node's work, with what is remembered of them, and their components' names.

    Args:
        node: A node whose components are known.
        graph: Its graph.
        store: Where results are remembered; None for nowhere.
        lineages: The keys of nodes by their lineage.
        frame_nodes: The nodes that have a result for each frame of a video. A stage that reads one
            has a result for each frame too, and is left to the node.
        device: The device that the graph is to run on.
        dtype: The dtype that it is to be computed in.
    """
    for stage in node.stages():
        reads = tuple(value for value in stage.reads if isinstance(value, Node))
        if any(read in frame_nodes for read in reads):
            continue
        key, is_stored = None, store is not None and graph.is_remembered(node)
        if is_stored:
            key = stage_key(node, stage, device, dtype, lineages)
        if key is None:
            key, is_stored = _key_in_run(node, stage, reads, device, dtype), False
        remembered = store.get(key) if store is not None and is_stored else None
        planned = PlannedStage(
            stage.name,
            key,
            reads=reads,
            runs_alone=stage.runs_alone,
            is_stored=is_stored,
            remembered=remembered,
        )
        yield planned, stage.parts


def _key_in_run(
    node: Node[Any],
    stage: Stage,
    reads: Sequence[Node[Any]],
    device: str,
    dtype: str | None,
) -> bytes:
    """A key that is right within one run, in which each node has one result."""
    identities = {read: read.identity for read in reads}
    key = stage_key(node, stage, device, dtype, identities)
    assert key is not None, "every node has an identity"
    return blake2b(key, digest_size=16, person=b"in this run").digest()


def has_separable_stages(steps: Sequence[Step]) -> bool:
    """Whether the result of a stage is to be made, and can be made by a step of its own."""
    return any(stage.runs_alone for step in steps for stage in step.stages_to_make)


def make_together(steps: Sequence[Step], dtype: str) -> Iterator[Step]:
    """The steps, in which the first node that needs a stage makes it for the others.

    Args:
        steps: The steps of nodes, each with the components of all its stages.
        dtype: The dtype that the run computes in.
    """
    made: set[bytes] = set()
    for step in steps:
        yield _leave_out(step, made, dtype) if step.stages else step
        made |= {stage.key for stage in step.stages_to_make if stage.runs_alone}


def make_apart(steps: Sequence[Step], dtype: str) -> Iterator[Step]:
    """The steps of nodes, and before them a step for each stage that can be made alone.

    The arguments are those of `make_together`.
    """
    made: set[bytes] = set()
    for step in steps:
        for stage in step.stages_to_make:
            if stage.runs_alone and stage.key not in made:
                made.add(stage.key)
                yield _stage_step(step, stage, dtype)
        yield _leave_out(step, made, dtype) if step.stages else step


def _stage_step(step: Step, stage: PlannedStage, dtype: str) -> Step:
    sizes = _sizes(stage.uses)
    working_bytes = step.node.stage_memory(stage.name, sizes, dtype)
    name = f"{step.name}: {stage.name}"
    return Step(step.node, name, "run", None, stage.uses, working_bytes, stage=stage)


def _leave_out(step: Step, made: Container[bytes], dtype: str) -> Step:
    """The step of a node without the components of stages that are made before it."""
    stages = tuple(
        [replace(stage, made_before=True) if stage.key in made else stage for stage in step.stages]
    )
    step = step._replace(stages=stages)
    left_out = {use.name for stage in stages if stage.made_before for use in stage.uses}
    if left_out:
        uses = tuple(use for use in step.uses if use.name not in left_out)
        working_bytes = step.node.working_memory(_sizes(uses), dtype) if uses else 0
        step = step._replace(uses=uses, working_bytes=working_bytes)
    for stage in step.stages_to_make:
        needed = step.node.stage_memory(stage.name, _sizes(stage.uses), dtype)
        step = step._replace(working_bytes=max(step.working_bytes, needed))
    return step


def _sizes(uses: Sequence[ComponentUse]) -> dict[str, int]:
    """The bytes of components in memory, by the names that their node gives them."""
    return {use.name: use.component.bytes for use in uses}
