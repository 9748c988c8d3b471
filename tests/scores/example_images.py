"""Before and after of every system, for `pictures/README.md`: `python -m tests.scores --pictures`.

The first scenes that are scored, whatever becomes of them: nothing is picked out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from sdgraph.nodes import Canny, ControlNet, DepthToImage, Inpaint, Text2Image, Text2Video, Turbo
from sdgraph.nodes.tiny_world import (
    Pixels,
    describe_scene,
    describe_surroundings,
    rearrange,
    render_depth,
    render_scene,
)
from sdgraph.nodes.training.ip_adapter import FILE
from sdgraph.values import DepthMap, Image, Lora, Mask

from .generation import CheckpointRunner
from .scenes import SIDE, alone, changes_of_ground, changes_under_edges, moving, repaintings, still

ACROSS = 8
LARGER = 2
"""How many times larger a pixel is shown."""

_GAP = 2


def text_to_image(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Pictures of eight captions."""
    for seed, scene in enumerate(still(ACROSS)):
        checkpoint = runner.checkpoint("text-to-image")
        node = Text2Image(
            prompt=describe_scene(scene), seed=seed, checkpoint=checkpoint, **runner.guided()
        )
        yield runner.run(node).numpy


def turbo(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Pictures of eight captions in one step."""
    for seed, scene in enumerate(still(ACROSS)):
        node = Turbo(
            prompt=describe_scene(scene), steps=1, seed=seed, checkpoint=runner.checkpoint("turbo")
        )
        yield runner.run(node).numpy


def inpaint(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Each scene with its mask in white, and repainted."""
    for seed, repainting in enumerate(repaintings(ACROSS // 2)):
        source = render_scene(repainting.source, SIDE)
        node = Inpaint(
            image=Image(source),
            mask=Mask(repainting.mask),
            prompt=describe_scene(repainting.wanted),
            seed=seed,
            checkpoint=runner.checkpoint("inpaint"),
            **runner.guided(),
        )
        yield np.where(repainting.mask[..., None] > 0, (source // 2 + 128).astype(np.uint8), source)
        yield runner.run(node).numpy


def controlnet_edges(runner: CheckpointRunner) -> Iterator[Pixels]:
    """The edges of each scene, and what is drawn over them in other colours."""
    for seed, change in enumerate(changes_under_edges(ACROSS // 2)):
        edges = Canny(image=Image(render_scene(change.source, SIDE)))
        node = ControlNet(
            control=edges,
            prompt=describe_scene(change.wanted),
            seed=seed,
            checkpoint=runner.checkpoint("text-to-image"),
            controlnet=runner.checkpoint("controlnet-edges"),
            **runner.guided(),
        )
        yield runner.run(edges).numpy
        yield runner.run(node).numpy


def controlnet_depth(runner: CheckpointRunner) -> Iterator[Pixels]:
    """The true depth of each scene, and what is drawn over it."""
    for seed, change in enumerate(changes_of_ground(ACROSS // 2)):
        control = DepthMap(render_depth(change.source, SIDE))
        node = ControlNet(
            control=control,
            prompt=describe_scene(change.wanted),
            seed=seed,
            checkpoint=runner.checkpoint("text-to-image"),
            controlnet=runner.checkpoint("controlnet-depth"),
            **runner.guided(),
        )
        yield control.numpy
        yield runner.run(node).numpy


def ip_adapter(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Each reference, and its object where a prompt says that does not name it."""
    for seed, expected in enumerate(alone(ACROSS // 2)):
        reference = Image(render_scene(rearrange(expected, seed), SIDE))
        node = Text2Image(
            prompt=describe_surroundings(expected),
            reference=reference,
            seed=seed,
            ip_adapter=Lora(runner.checkpoint("ip-adapter").source, file=FILE),
            checkpoint=runner.checkpoint("text-to-image"),
            **runner.guided(),
        )
        yield reference.numpy
        yield runner.run(node).numpy


def depth_to_image(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Each scene, and one of the same depth on another ground."""
    for seed, change in enumerate(changes_of_ground(ACROSS // 2)):
        source = Image(render_scene(change.source, SIDE))
        node = DepthToImage(
            image=source,
            prompt=describe_scene(change.wanted),
            strength=1.0,
            seed=seed,
            checkpoint=runner.checkpoint("depth"),
            **runner.guided(),
        )
        yield source.numpy
        yield runner.run(node).numpy


def text_to_video(runner: CheckpointRunner) -> Iterator[Pixels]:
    """Every other frame of a clip."""
    for seed, scene in enumerate(moving(1)):
        node = Text2Video(
            prompt=describe_scene(scene),
            frames=2 * ACROSS,
            seed=seed,
            checkpoint=runner.checkpoint("text-to-video"),
            **runner.guided(),
        )
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
    """Draws the row_of_images of each system into a folder, as NAME.png."""
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
