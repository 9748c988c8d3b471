"""Inputs and results of every system, for `pictures/README.md`.

`python -m tests.scores --pictures` writes them. They are of the first scenes that are scored, good
or bad; nothing is selected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from sdgraph.nodes.tiny_world import Pixels, describe_scene, render_scene

from .generation import CheckpointRunner
from .nodes import (
    controlnet_node,
    depth_to_image_node,
    edges_node,
    inpaint_node,
    ip_adapter_node,
    reference_image,
    scene_image,
    text_to_image_node,
    text_to_video_node,
    true_depth,
    turbo_node,
)
from .scenes import (
    SIDE,
    background_changes,
    colour_changes,
    inpainting_tasks,
    moving_scenes,
    single_object_scenes,
    still_scenes,
)

ACROSS = 8
"""The number of images in a row."""

LARGER = 2
"""How many times larger a pixel is shown."""

_GAP = 2


def text_to_image(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Pictures of eight captions."""
    for seed, scene in enumerate(still_scenes(ACROSS)):
        yield runner.run(text_to_image_node(runner, describe_scene(scene), seed)).numpy


def turbo(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Pictures of eight captions in one step."""
    for seed, scene in enumerate(still_scenes(ACROSS)):
        yield runner.run(turbo_node(runner, describe_scene(scene), seed)).numpy


def inpaint(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Each scene with its mask in white, then the inpainted picture."""
    for seed, task in enumerate(inpainting_tasks(ACROSS // 2)):
        source = render_scene(task.source, SIDE)
        yield np.where(task.mask[..., None] > 0, (source // 2 + 128).astype(np.uint8), source)
        yield runner.run(inpaint_node(runner, task, seed)).numpy


def controlnet_edges(runner: CheckpointRunner) -> Iterator[Pixels]:
    """The edges of each scene, then a picture along them in other colours."""
    for seed, change in enumerate(colour_changes(ACROSS // 2)):
        edges = edges_node(change.source)
        node = controlnet_node(runner, "controlnet-edges", edges, change.wanted, seed)
        yield runner.run(edges).numpy
        yield runner.run(node).numpy


def controlnet_depth(runner: CheckpointRunner) -> Iterator[Pixels]:
    """The true depth of each scene, then a picture with that depth."""
    for seed, change in enumerate(background_changes(ACROSS // 2)):
        depth = true_depth(change.source)
        node = controlnet_node(runner, "controlnet-depth", depth, change.wanted, seed)
        yield depth.numpy
        yield runner.run(node).numpy


def ip_adapter(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Each reference, then its object in a picture whose prompt does not name it."""
    for seed, expected in enumerate(single_object_scenes(ACROSS // 2)):
        reference = reference_image(expected, seed)
        yield reference.numpy
        yield runner.run(ip_adapter_node(runner, reference, expected, seed)).numpy


def depth_to_image(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Each scene, then a picture of the same depth on another background."""
    for seed, change in enumerate(background_changes(ACROSS // 2)):
        source = scene_image(change.source)
        yield source.numpy
        yield runner.run(depth_to_image_node(runner, source, change.wanted, seed)).numpy


def text_to_video(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Every other frame of a clip."""
    for seed, scene in enumerate(moving_scenes(1)):
        node = text_to_video_node(runner, scene, seed, frames=2 * ACROSS)
        yield from runner.run(node).frames[::2]


EXAMPLES: dict[str, Callable[[CheckpointRunner], Iterator[Pixels]]] = {
    "text-to-image": text_to_image,
    "inpaint": inpaint,
    "controlnet-edges": controlnet_edges,
    "controlnet-depth": controlnet_depth,
    "ip-adapter": ip_adapter,
    "turbo": turbo,
    "depth": depth_to_image,
    "text-to-video": text_to_video,
}


def write(runner: CheckpointRunner, names: list[str], folder: Path) -> None:
    """Writes a row of example images of each named system into a folder, as NAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (example for example in EXAMPLES if example in names):
        row_of_images(list(EXAMPLES[name](runner))).save(folder / f"{name}.png", optimize=True)
        print(folder / f"{name}.png")


def row_of_images(pictures: list[Pixels]) -> Any:
    """Pictures of one size in a row with white between them, enlarged; a Pillow picture."""
    side = pictures[0].shape[0]
    gap = np.full((side, _GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (_as_rgb(picture), gap)][:-1]
    row = PIL.Image.fromarray(np.concatenate(parts, axis=1))
    return row.resize((row.width * LARGER, side * LARGER), PIL.Image.Resampling.NEAREST)


def _as_rgb(picture: Pixels) -> Pixels:
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
