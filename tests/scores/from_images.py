"""The scores of what is steered by a picture: inpainting, control maps, and depth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sdgraph.nodes import Canny, ControlNet, DepthToImage, Inpaint, Text2Image
from sdgraph.nodes.tiny_world import (
    Verdict,
    depth_correlation,
    describe_scene,
    describe_surroundings,
    rearrange,
    render_depth,
    render_scene,
)
from sdgraph.nodes.training.ip_adapter import FILE
from sdgraph.values import DepthMap, Image, Lora, Mask

from .generation import CheckpointRunner
from .metrics import depth_agreement, edges_followed, kept_outside, object_right, verdict
from .scenes import SIDE, alone, changes_of_ground, changes_under_edges, repaintings, still
from .table import Row


def inpaint(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """One object of a scene replaced by another that is asked for."""
    verdicts, kept = [], []
    for seed, repainting in enumerate(repaintings(count)):
        source = render_scene(repainting.source, SIDE)
        node = Inpaint(
            image=Image(source),
            mask=Mask(repainting.mask),
            prompt=describe_scene(repainting.wanted),
            seed=seed,
            checkpoint=runner.checkpoint("inpaint"),
            **runner.guided(),
        )
        picture = runner.run(node).numpy
        verdicts.append(verdict(picture, repainting.wanted))
        kept.append(kept_outside(picture, source, repainting.mask))
    row = partial(runner.row, "inpaint", settings=runner.settings("inpaint"))
    yield row("asked object right", [object_right(verdict) for verdict in verdicts], "≥ 0.95")
    yield row("all right", [verdict.all for verdict in verdicts])
    yield row("equal outside the mask, bit for bit", kept, "1")


def controlnet_edges(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """Pictures in other colours over the edges of a scene."""
    verdicts, followed = [], []
    for seed, change in enumerate(changes_under_edges(count)):
        source = Image(render_scene(change.source, SIDE))
        node = ControlNet(
            control=Canny(image=source),
            prompt=describe_scene(change.wanted),
            seed=seed,
            checkpoint=runner.checkpoint("text-to-image"),
            controlnet=runner.checkpoint("controlnet-edges"),
            **runner.guided(),
        )
        picture = runner.run(node).numpy
        verdicts.append(verdict(picture, change.wanted))
        followed.append(edges_followed(picture, change.source))
    settings = f"{runner.settings('text-to-image')}, scale 1"
    row = partial(runner.row, "controlnet-edges", settings=settings)
    yield row("F1 of the edges, within 1 pixel", followed, "≥ 0.9")
    yield row("asked colours right", [verdict.colour for verdict in verdicts], "≥ 0.95")
    yield row("all right", [verdict.all for verdict in verdicts])


def controlnet_depth(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """Pictures on other grounds over the true depth of a scene."""
    verdicts: list[Verdict] = []
    followed = []
    for seed, change in enumerate(changes_of_ground(count)):
        node = ControlNet(
            control=DepthMap(render_depth(change.source, SIDE)),
            prompt=describe_scene(change.wanted),
            seed=seed,
            checkpoint=runner.checkpoint("text-to-image"),
            controlnet=runner.checkpoint("controlnet-depth"),
            **runner.guided(),
        )
        picture = runner.run(node)
        verdicts.append(verdict(picture.numpy, change.wanted))
        followed.append(depth_agreement(runner.depth(picture), change.source))
    settings = f"{runner.settings('text-to-image')}, scale 1"
    row = partial(runner.row, "controlnet-depth", settings=settings)
    yield row("estimated depth with the control, correlation", followed)
    yield row("all right", [verdict.all for verdict in verdicts])


def ip_adapter(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """An object as another picture shows it, where a prompt says that does not name it."""
    verdicts: list[Verdict] = []
    folder = runner.checkpoint("ip-adapter")
    adapter = Lora(folder.source, file=FILE)
    for seed, expected in enumerate(alone(count)):
        node = Text2Image(
            prompt=describe_surroundings(expected),
            reference=Image(render_scene(rearrange(expected, seed), SIDE)),
            ip_adapter=adapter,
            seed=seed,
            checkpoint=runner.checkpoint("text-to-image"),
            **runner.guided(),
        )
        verdicts.append(verdict(runner.run(node).numpy, expected))
    settings = f"{runner.settings('text-to-image')}, scale 1"
    row = partial(runner.row, "ip-adapter", settings=settings)
    yield row("colour of the reference", [verdict.colour for verdict in verdicts])
    yield row("shape of the reference", [verdict.shape for verdict in verdicts])
    yield row(
        "asked place and background", [verdict.place and verdict.background for verdict in verdicts]
    )
    yield row("all right", [verdict.all for verdict in verdicts])


def depth_to_image(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """The objects of a picture on another ground, at the depth that they had."""
    verdicts: list[Verdict] = []
    followed, true = [], []
    for seed, change in enumerate(changes_of_ground(count)):
        source = Image(render_scene(change.source, SIDE))
        node = DepthToImage(
            image=source,
            prompt=describe_scene(change.wanted),
            strength=1.0,
            seed=seed,
            checkpoint=runner.checkpoint("depth"),
            **runner.guided(),
        )
        picture = runner.run(node)
        estimates = runner.depth(picture)
        verdicts.append(verdict(picture.numpy, change.wanted))
        followed.append(depth_correlation(estimates, runner.depth(source)))
        true.append(depth_agreement(estimates, change.source))
    settings = f"{runner.settings('depth')}, strength 1, depth estimated"
    row = partial(runner.row, "depth", settings=settings)
    yield row("estimated depth with the source's, correlation", followed, "≥ 0.95")
    yield row("estimated depth with the source's true one, correlation", true)
    yield row("asked background right", [verdict.background for verdict in verdicts], "≥ 0.95")
    yield row("all right", [verdict.all for verdict in verdicts])


def depth_estimator(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """The depth estimated from a picture, compared with the true one."""
    estimates = [
        depth_agreement(runner.depth(Image(render_scene(s, SIDE))), s) for s in still(count)
    ]
    yield runner.row("depth-estimator", "depth with the true one, correlation", estimates, "≥ 0.98")
