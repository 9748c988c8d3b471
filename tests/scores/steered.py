"""The scores of what is steered by a picture: inpainting, control maps, and depth."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sdgraph.nodes import Canny, ControlNet, DepthToImage, Inpaint, Text2Image
from sdgraph.nodes.tiny_world import (
    Verdict,
    caption,
    depth,
    depth_correlation,
    elsewhere,
    render,
    surroundings,
)
from sdgraph.nodes.training.ip_adapter import FILE
from sdgraph.values import DepthMap, Image, Lora, Mask

from .asked import SIDE, alone, changes_of_ground, changes_under_edges, repaintings, still
from .measure import depth_agreement, edges_followed, kept_outside, object_right, verdict
from .studio import Studio
from .table import Row


def inpaint(studio: Studio, count: int) -> Iterator[Row]:
    """One object of a scene replaced by another that is asked for."""
    verdicts, kept = [], []
    for seed, asked in enumerate(repaintings(count)):
        source = render(asked.source, SIDE)
        node = Inpaint(
            image=Image(source),
            mask=Mask(asked.mask),
            prompt=caption(asked.wanted),
            seed=seed,
            checkpoint=studio.checkpoint("inpaint"),
            **studio.guided(),
        )
        picture = studio.made(node).numpy
        verdicts.append(verdict(picture, asked.wanted))
        kept.append(kept_outside(picture, source, asked.mask))
    row = partial(studio.row, "inpaint", settings=studio.settings("inpaint"))
    yield row("asked object right", [object_right(each) for each in verdicts], "≥ 0.95")
    yield row("all right", [each.all for each in verdicts])
    yield row("equal outside the mask, bit for bit", kept, "1")


def controlnet_edges(studio: Studio, count: int) -> Iterator[Row]:
    """Pictures in other colours over the edges of a scene."""
    verdicts, followed = [], []
    for seed, change in enumerate(changes_under_edges(count)):
        source = Image(render(change.source, SIDE))
        node = ControlNet(
            control=Canny(image=source),
            prompt=caption(change.wanted),
            seed=seed,
            checkpoint=studio.checkpoint("text-to-image"),
            controlnet=studio.checkpoint("controlnet-edges"),
            **studio.guided(),
        )
        picture = studio.made(node).numpy
        verdicts.append(verdict(picture, change.wanted))
        followed.append(edges_followed(picture, change.source))
    settings = f"{studio.settings('text-to-image')}, scale 1"
    row = partial(studio.row, "controlnet-edges", settings=settings)
    yield row("F1 of the edges, within 1 pixel", followed, "≥ 0.9")
    yield row("asked colours right", [each.colour for each in verdicts], "≥ 0.95")
    yield row("all right", [each.all for each in verdicts])


def controlnet_depth(studio: Studio, count: int) -> Iterator[Row]:
    """Pictures on other grounds over the true depth of a scene."""
    verdicts: list[Verdict] = []
    followed = []
    for seed, change in enumerate(changes_of_ground(count)):
        node = ControlNet(
            control=DepthMap(depth(change.source, SIDE)),
            prompt=caption(change.wanted),
            seed=seed,
            checkpoint=studio.checkpoint("text-to-image"),
            controlnet=studio.checkpoint("controlnet-depth"),
            **studio.guided(),
        )
        picture = studio.made(node)
        verdicts.append(verdict(picture.numpy, change.wanted))
        followed.append(depth_agreement(studio.depth(picture), change.source))
    settings = f"{studio.settings('text-to-image')}, scale 1"
    row = partial(studio.row, "controlnet-depth", settings=settings)
    yield row("estimated depth with the control, correlation", followed)
    yield row("all right", [each.all for each in verdicts])


def ip_adapter(studio: Studio, count: int) -> Iterator[Row]:
    """An object as another picture shows it, where a prompt says that does not name it."""
    verdicts: list[Verdict] = []
    folder = studio.checkpoint("ip-adapter")
    adapter = Lora(folder.source, file=FILE)
    for seed, wanted in enumerate(alone(count)):
        node = Text2Image(
            prompt=surroundings(wanted),
            reference=Image(render(elsewhere(wanted, seed), SIDE)),
            ip_adapter=adapter,
            seed=seed,
            checkpoint=studio.checkpoint("text-to-image"),
            **studio.guided(),
        )
        verdicts.append(verdict(studio.made(node).numpy, wanted))
    settings = f"{studio.settings('text-to-image')}, scale 1"
    row = partial(studio.row, "ip-adapter", settings=settings)
    yield row("colour of the reference", [each.colour for each in verdicts])
    yield row("shape of the reference", [each.shape for each in verdicts])
    yield row("asked place and background", [each.place and each.background for each in verdicts])
    yield row("all right", [each.all for each in verdicts])


def depth_to_image(studio: Studio, count: int) -> Iterator[Row]:
    """The objects of a picture on another ground, at the depth that they had."""
    verdicts: list[Verdict] = []
    followed, true = [], []
    for seed, change in enumerate(changes_of_ground(count)):
        source = Image(render(change.source, SIDE))
        node = DepthToImage(
            image=source,
            prompt=caption(change.wanted),
            strength=1.0,
            seed=seed,
            checkpoint=studio.checkpoint("depth"),
            **studio.guided(),
        )
        picture = studio.made(node)
        found = studio.depth(picture)
        verdicts.append(verdict(picture.numpy, change.wanted))
        followed.append(depth_correlation(found, studio.depth(source)))
        true.append(depth_agreement(found, change.source))
    settings = f"{studio.settings('depth')}, strength 1, depth estimated"
    row = partial(studio.row, "depth", settings=settings)
    yield row("estimated depth with the source's, correlation", followed, "≥ 0.95")
    yield row("estimated depth with the source's true one, correlation", true)
    yield row("asked background right", [each.background for each in verdicts], "≥ 0.95")
    yield row("all right", [each.all for each in verdicts])


def depth_estimator(studio: Studio, count: int) -> Iterator[Row]:
    """The depth that is seen in a picture beside the true one."""
    found = [depth_agreement(studio.depth(Image(render(s, SIDE))), s) for s in still(count)]
    yield studio.row("depth-estimator", "depth with the true one, correlation", found, "≥ 0.98")
