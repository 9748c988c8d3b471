"""Random workflows with the sizes of real checkpoints, for the planner's benchmark."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sdgraph import Graph, Node
from sdgraph.memory import Budgets, Component, Requirement, Tier
from sdgraph.memory.shortfall import find_shortfalls
from sdgraph.memory.workload import Workload
from sdgraph.nodes import (
    Canny,
    ControlNet,
    DepthToImage,
    Image2Image,
    Inpaint,
    Mask,
    Text2Image,
    Turbo,
)
from tests.support.workloads import component

GB = 10**9

# The sizes of the published files in float16, in GB. Checkpoints share what is published alike:
# Stable Diffusion 1.5, its inpainting model and its ControlNets the text encoder and the VAE,
# the SDXL models both text encoders and the VAE, depth and video (both of the 2.x line) theirs.
SIZES = {
    "sd15/unet": 1.72,
    "sd15/text_encoder": 0.25,
    "sd15/vae": 0.17,
    "sd15-inpaint/unet": 1.72,
    "sd15-canny": 0.72,
    "sd15-depth": 0.72,
    "sd15-pose": 0.72,
    "sdxl/unet": 5.14,
    "sdxl/text_encoder": 0.25,
    "sdxl/text_encoder_2": 1.39,
    "sdxl/vae": 0.17,
    "sdxl-turbo/unet": 5.14,
    "sdxl-canny": 2.5,
    "dpt": 0.25,
    "sd2-depth/unet": 1.73,
    "sd2/text_encoder": 0.68,
    "sd2/vae": 0.17,
    "video/unet": 2.82,
}
COMPONENTS = {name: component(name, int(gb * GB)) for name, gb in SIZES.items()}

SD15 = ("sd15/text_encoder", "sd15/vae")
SDXL = ("sdxl/text_encoder", "sdxl/text_encoder_2", "sdxl/vae")
SD2 = ("sd2/text_encoder", "sd2/vae")


@dataclass(frozen=True)
class Kind:
    """A node type: the components that it requires and its working memory in GB."""

    name: str
    components: tuple[str, ...]
    working: float


KINDS = (
    Kind("text", ("sd15/unet", *SD15), 0.8),
    Kind("image", ("sd15/unet", *SD15), 0.8),
    Kind("inpaint", ("sd15-inpaint/unet", *SD15), 0.8),
    Kind("canny", ("sd15/unet", "sd15-canny", *SD15), 1.0),
    Kind("depth_map_control", ("sd15/unet", "sd15-depth", *SD15), 1.0),
    Kind("both", ("sd15/unet", "sd15-canny", "sd15-depth", *SD15), 1.2),
    Kind("pose", ("sd15/unet", "sd15-pose", *SD15), 1.0),
    Kind("xl", ("sdxl/unet", *SDXL), 2.5),
    Kind("xl_canny", ("sdxl/unet", "sdxl-canny", *SDXL), 3.0),
    Kind("turbo", ("sdxl-turbo/unet", *SDXL), 1.2),
    Kind("depth_estimate", ("dpt",), 0.3),
    Kind("depth", ("sd2-depth/unet", "dpt", *SD2), 0.9),
    Kind("video", ("video/unet", *SD2), 3.5),
)


def corpus(count: int, seed: int = 0) -> Iterator[Workload]:
    """`count` workflows: chains, sweeps over chains and free graphs, each with its budgets."""
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        shape = chance.choice((_chain, _sweep, _sweep, _free, _free))
        yield with_budgets(shape(chance, chance.choice(_palettes(chance))), chance)


def large(steps: int, seed: int = 0) -> list[Workload]:
    """Workflows of about that many steps on tight budgets: a sweep over a chain, a free graph."""
    chance = random.Random(seed)
    chain = [LOAD, *KINDS[:6], KINDS[10], KINDS[11], LOAD]
    sweep = _variants(chain, steps // (len(chain) + 1))
    return [
        with_budgets(workload, chance, tightness)
        for workload in (sweep, _free(chance, KINDS, steps * 2 // 3))
        for tightness in (0.1, 0.3)
    ]


LOAD = Kind("load", (), 0.0)


def _palettes(chance: random.Random) -> list[list[Kind]]:
    """The node types that one workflow draws from: few, or any."""
    return [chance.sample(KINDS, chance.randint(2, 5)), list(KINDS)]


def _chain(chance: random.Random, kinds: Sequence[Kind]) -> list[Requirement]:
    return _variants([LOAD, *chance.choices(kinds, k=chance.randint(3, 12))], 1)


def _sweep(chance: random.Random, kinds: Sequence[Kind]) -> list[Requirement]:
    chain = [LOAD, *chance.choices(kinds, k=chance.randint(2, 5))]
    return _variants(chain, chance.randint(2, 10))


def _variants(chain: Sequence[Kind], count: int) -> list[Requirement]:
    """The chain once for each variant, each with its picture saved at the end."""
    steps: list[Requirement] = []
    for variant in range(count):
        for place, kind in enumerate(chain):
            after = (len(steps) - 1,) if place else ()
            steps.append(_requirement(f"{kind.name}_{place}_{variant}", kind, after))
        steps.append(Requirement(f"save_{variant}", after=(len(steps) - 1,), saves=True))
    return steps


def _free(
    chance: random.Random, kinds: Sequence[Kind], count: int | None = None
) -> list[Requirement]:
    """Nodes that read none, one or two of those before them; what nobody reads is saved."""
    steps: list[Requirement] = [_requirement("load_0", LOAD, ())]
    for number in range(count or chance.randint(4, 30)):
        kind = LOAD if chance.random() < 0.2 else chance.choice(kinds)
        after = chance.sample(range(len(steps)), min(len(steps), chance.choice((0, 1, 1, 1, 2))))
        steps.append(_requirement(f"{kind.name}_{number}", kind, tuple(sorted(after))))
    read = {before for step in steps for before in step.after}
    for index in range(len(steps)):
        if index not in read:
            steps.append(Requirement(f"save_{index}", after=(index,), saves=True))
    return steps


def _requirement(name: str, kind: Kind, after: tuple[int, ...]) -> Requirement:
    components = tuple(COMPONENTS[component] for component in kind.components)
    return Requirement(name, components, int(kind.working * GB), after=after)


def with_budgets(
    steps: Sequence[Requirement], chance: random.Random, tightness: float | None = None
) -> Workload:
    """The steps with a budget between the largest step's need and the need of all at once.

    A host tier below it in half of the cases; sometimes there is nothing but the host.
    """
    components = list(COMPONENTS.values())
    all_of_it = Workload(components, steps, Budgets(0, 0))
    (shortfall,) = find_shortfalls(all_of_it) or (None,)
    if shortfall is None:
        return all_of_it
    used = sum(
        component.bytes
        for component in {component for step in steps for component in step.components}
    )
    ample = used + max(step.working_bytes for step in steps)
    share = chance.choice((0.0, 0.1, 0.2, 0.4, 0.6, 1.0)) if tightness is None else tightness
    budget = shortfall.smallest + int(share * (ample - shortfall.smallest))
    if chance.random() < 0.1:
        return Workload(
            list(map(_on_host, components)), list(map(_step_on_host, steps)), Budgets(None, budget)
        )
    host = chance.choice((0.0, 0.0, 0.2, 0.5, 1.0))
    return Workload(components, steps, Budgets(budget, int(host * used)))


def _on_host(part: Component) -> Component:
    return part._replace(key=part.key._replace(device="cpu"))


def _step_on_host(step: Requirement) -> Requirement:
    return replace(step, components=tuple(map(_on_host, step.components)), working_tier=Tier.HOST)


def real_graph(count: int, seed: int = 0) -> Graph:
    """A graph of about that many nodes over the shipped checkpoints, each reading one before it."""
    chance = random.Random(seed)
    mask = Mask(box=[8, 8, 40, 40], width=64, height=64)
    pictures: list[Node[Any]] = [Text2Image(prompt="a red star")]
    nodes: list[Node[Any]] = [mask, *pictures]
    while len(nodes) < count:
        image, options = chance.choice(pictures[-40:]), dict[str, Any](prompt="x", seed=len(nodes))
        make = chance.randrange(6)
        if make == 0:
            node: Node[Any] = Inpaint(image=image, mask=mask, **options)
        elif make == 1:
            edges = Canny(image=image, low=len(nodes) % 100)
            nodes.append(edges)
            node = ControlNet(control=edges, **options)
        elif make == 2:
            node = Turbo(image=image, steps=2, **options)
        elif make == 3:
            node = Text2Image(**options)
        else:
            node = (Image2Image, DepthToImage)[make % 2](image=image, **options)
        pictures.append(node)
        nodes.append(node)
    read = {child for node in nodes for _, child in node.wires}
    return Graph.of(*(node for node in nodes if node not in read))
