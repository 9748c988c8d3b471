"""The scores of systems that take a picture: inpainting, ControlNet, IP-Adapter and depth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sdgraph.nodes.tiny_world import Verdict, depth_correlation, render_scene

from .generation import CheckpointRunner
from .metrics import (
    depth_agreement,
    edge_agreement,
    is_object_right,
    is_unchanged_outside,
    judge_against,
)
from .nodes import (
    controlnet_node,
    depth_to_image_node,
    edges_node,
    inpaint_node,
    ip_adapter_node,
    reference_image,
    scene_image,
    true_depth,
)
from .scenes import (
    SIDE,
    background_changes,
    colour_changes,
    inpainting_tasks,
    single_object_scenes,
    still_scenes,
)
from .table import Row


def inpaint(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """One object of a scene replaced by another."""
    verdicts, kept = [], []
    for seed, task in enumerate(inpainting_tasks(count)):
        picture = runner.run(inpaint_node(runner, task, seed)).numpy
        source = render_scene(task.source, SIDE)
        verdicts.append(judge_against(picture, task.wanted))
        kept.append(is_unchanged_outside(picture, source, task.mask))
    row = partial(runner.row, "inpaint", settings=runner.settings("inpaint"))
    yield row("asked object right", [is_object_right(verdict) for verdict in verdicts], "≥ 0.95")
    yield row("all right", [verdict.all for verdict in verdicts])
    yield row("equal outside the mask, bit for bit", kept, "1")


def controlnet_edges(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """Pictures in other colours along the edges of a scene."""
    verdicts, followed = [], []
    for seed, change in enumerate(colour_changes(count)):
        edges = edges_node(change.source)
        node = controlnet_node(runner, "controlnet-edges", edges, change.wanted, seed)
        picture = runner.run(node).numpy
        verdicts.append(judge_against(picture, change.wanted))
        followed.append(edge_agreement(picture, change.source))
    settings = f"{runner.settings('text-to-image')}, scale 1"
    row = partial(runner.row, "controlnet-edges", settings=settings)
    yield row("F1 of the edges, within 1 pixel", followed, "≥ 0.9")
    yield row("asked colours right", [verdict.colour for verdict in verdicts], "≥ 0.95")
    yield row("all right", [verdict.all for verdict in verdicts])


def controlnet_depth(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """Pictures on other backgrounds with the true depth of a scene."""
    verdicts: list[Verdict] = []
    followed = []
    for seed, change in enumerate(background_changes(count)):
        depth = true_depth(change.source)
        node = controlnet_node(runner, "controlnet-depth", depth, change.wanted, seed)
        picture = runner.run(node)
        verdicts.append(judge_against(picture.numpy, change.wanted))
        followed.append(depth_agreement(runner.depth(picture), change.source))
    settings = f"{runner.settings('text-to-image')}, scale 1"
    row = partial(runner.row, "controlnet-depth", settings=settings)
    yield row("estimated depth with the control, correlation", followed)
    yield row("all right", [verdict.all for verdict in verdicts])


def ip_adapter(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """The object of a reference in pictures whose prompts do not name it."""
    verdicts: list[Verdict] = []
    for seed, expected in enumerate(single_object_scenes(count)):
        node = ip_adapter_node(runner, reference_image(expected, seed), expected, seed)
        verdicts.append(judge_against(runner.run(node).numpy, expected))
    settings = f"{runner.settings('text-to-image')}, scale 1"
    row = partial(runner.row, "ip-adapter", settings=settings)
    yield row("colour of the reference", [verdict.colour for verdict in verdicts])
    yield row("shape of the reference", [verdict.shape for verdict in verdicts])
    yield row(
        "asked place and background", [verdict.place and verdict.background for verdict in verdicts]
    )
    yield row("all right", [verdict.all for verdict in verdicts])


def depth_to_image(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """Pictures on another background with the depth of a source picture."""
    verdicts: list[Verdict] = []
    followed, true = [], []
    for seed, change in enumerate(background_changes(count)):
        source = scene_image(change.source)
        picture = runner.run(depth_to_image_node(runner, source, change.wanted, seed))
        estimates = runner.depth(picture)
        verdicts.append(judge_against(picture.numpy, change.wanted))
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
        depth_agreement(runner.depth(scene_image(scene)), scene) for scene in still_scenes(count)
    ]
    yield runner.row("depth-estimator", "depth with the true one, correlation", estimates, "≥ 0.98")
