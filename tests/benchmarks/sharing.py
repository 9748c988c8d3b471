"""What the plan saves: loads of a cold chain, and of twenty variants where one big model fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sdgraph import Checkpoint, Graph, Node, Session, events
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache
from sdgraph.nodes import Canny, ControlNet, DepthToImage, Inpaint, Text2Image, Turbo
from sdgraph.nodes.tiny_world import random_scene, render_scene
from sdgraph.values import Image, Mask

from .timing import Row

VARIANTS = 20
SIDE = 64
WORDS: dict[str, Any] = {"steps": 2, "guidance": 3.0}


def checkpoint_of(name: str) -> Checkpoint:
    return Checkpoint(f"tiny/{name}")


def mask() -> Mask:
    area = np.zeros((SIDE, SIDE), dtype=np.uint8)
    area[16:48, 16:48] = 255
    return Mask(area)


def chain(seed: int) -> Node[Any]:
    """Inpainting, a ControlNet over its edges, its depth kept, and Turbo over that."""
    photo = Image(render_scene(random_scene(seed), SIDE))
    common: dict[str, Any] = {**WORDS, "seed": seed, "prompt": "a cyan star on a gray background"}
    painted = Inpaint(image=photo, mask=mask(), checkpoint=checkpoint_of("inpaint"), **common)
    edged = ControlNet(
        control=Canny(image=painted),
        checkpoint=checkpoint_of("text-to-image"),
        controlnet=checkpoint_of("controlnet-edges"),
        **common,
    )
    deep = DepthToImage(image=edged, strength=1.0, checkpoint=checkpoint_of("depth"), **common)
    return _refine(deep, common["prompt"], seed)


def _refine(image: Node[Any], prompt: str, seed: int) -> Node[Any]:
    return Turbo(
        image=image,
        prompt=prompt,
        steps=2,
        strength=0.5,
        seed=seed,
        checkpoint=checkpoint_of("turbo"),
    )


def models(seed: int) -> Node[Any]:
    """The same kind of chain over four U-Nets, without the small components."""
    common: dict[str, Any] = {**WORDS, "seed": seed, "prompt": "a cyan star on a gray background"}
    first = Text2Image(checkpoint=checkpoint_of("text-to-image"), **common)
    painted = Inpaint(image=first, mask=mask(), checkpoint=checkpoint_of("inpaint"), **common)
    deep = DepthToImage(image=painted, strength=1.0, checkpoint=checkpoint_of("depth"), **common)
    return _refine(deep, common["prompt"], seed)


def loads(session: Session, *graphs: Graph) -> list[events.Loaded]:
    """What is loaded while the graphs run, one after another."""
    event_log: list[events.Event] = []
    for graph in graphs:
        session.run(graph, event_log.append)
    return [event for event in event_log if isinstance(event, events.Loaded)]


def fresh(budget: int | None = None) -> Session:
    return Session(
        device="cpu", store=None, models=ModelCache(budgets=Budgets(host=budget), reserve=0)
    )


def cold() -> Row:
    """Components with weights that a cold chain loads, compared with a load for each pipeline."""
    graph = Graph.of(chain(0))
    plan = fresh().plan(graph)
    used = [use for step in plan.steps for use in step.uses if use.component.file_bytes]
    distinct = {use.component.key for use in used}
    done = [load for load in loads(fresh(), graph) if load.file_bytes]
    return Row(
        "cold chain inpaint → ControlNet → depth → Turbo: loads of weights",
        f"{len(done)}",
        f"{len(used)} one pipeline at a time",
        f"{len(done) / len(used):.2f}, distinct {len(distinct)}",
        "the distinct ones",
    )


def variants() -> Row:
    """Loads of U-Nets for twenty variants where memory holds what one node needs."""
    graphs = [Graph.of(models(seed)) for seed in range(VARIANTS)]
    merged = Graph.of(*(target for graph in graphs for target in graph.targets))
    steps = fresh().plan(graphs[0]).steps  # those of all may be larger, with several at once
    budget = max(
        step.working_bytes + sum(use.component.bytes for use in step.uses) for step in steps
    )
    ours = big(loads(fresh(budget), merged))
    separate = big(loads(fresh(budget), *graphs))
    return Row(
        f"{VARIANTS} variants through 4 U-Nets, room for one: loads of U-Nets",
        f"{ours}",
        f"{separate} one workflow after another",
        f"{ours / separate:.2f}",
        "4, of 80",
    )


def big(done: list[events.Loaded]) -> int:
    return sum(event.component.endswith("/unet") for event in done)


def rows() -> Iterator[Row]:
    yield cold()
    yield variants()
