"""The held-out scenes that each system is scored on, and the changes to make in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count as counted
from itertools import islice, product
from random import Random

import cv2
import numpy as np

from sdgraph.nodes.tiny_world import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    Pixels,
    Scene,
    is_held_out,
    random_scene,
    render_masks,
)

FIRST = 6_000_000
"""The seed of the first scene that is scored; samples during training have other seeds."""

SIDE = 64
"""Pixels of the pictures that the shipped checkpoints make."""

MARGIN = 5
"""Pixels by which a mask is larger than its object, so that another shape fits in."""

_GAP = 2  # pixels between such a mask and the other object, whose outline is antialiased
_PATTERNED = ("checkered", "striped", "sunset")


@dataclass(frozen=True, eq=False)
class InpaintingTask:
    """A scene, the wanted scene, and the mask of the pixels to change.

    The mask is uint8, side × side, 255 or 0.
    """

    source: Scene
    wanted: Scene
    mask: Pixels


@dataclass(frozen=True)
class SceneChange:
    """A scene, and the wanted one: the same shapes at the same places with another look."""

    source: Scene
    wanted: Scene


def still_scenes(count: int) -> list[Scene]:
    """Held-out scenes of one or two objects."""
    return [random_scene(FIRST + number, held_out=True) for number in range(count)]


def single_object_scenes(count: int) -> list[Scene]:
    """Held-out scenes of one object, with captions that name its place."""
    return [
        replace(random_scene(FIRST + number, held_out=True, objects=1), tells_place=True)
        for number in range(count)
    ]


def moving_scenes(count: int) -> list[Scene]:
    """Held-out scenes of one object that moves."""
    return [random_scene(FIRST + number, held_out=True, moving=True) for number in range(count)]


def inpainting_tasks(count: int, side: int = SIDE) -> list[InpaintingTask]:
    """Held-out scenes in which one object is to be replaced by one of a held-out combination.

    The masks are alternately the dilated object and its bounding box; none touches another object.
    """
    return [_inpainting_task(number, side) for number in range(count)]


def colour_changes(count: int) -> list[SceneChange]:
    """Held-out scenes to be changed to other colours, on backgrounds with the same edges.

    Plain backgrounds have no edges, so they can be exchanged; patterned ones are kept. Scenes for
    which no held-out combination is left are skipped.
    """

    def fits(before: str, after: str) -> bool:
        return after == before or not {before, after} & set(_PATTERNED)

    return list(islice(_changes(fits, other_colours=True), count))


def background_changes(count: int) -> list[SceneChange]:
    """Held-out scenes to be changed to other backgrounds, with other colours where needed.

    All backgrounds have similar depths, so the depth of a scene hardly changes.
    """
    return list(islice(_changes(lambda before, after: after != before, other_colours=False), count))


def _inpainting_task(number: int, side: int) -> InpaintingTask:
    rng = Random(FIRST + number)
    source = replace(random_scene(FIRST + number, held_out=True), tells_place=True)
    chosen = rng.randrange(len(source.objects))
    taken = {(obj.shape, obj.colour) for obj in source.objects}
    looks = [
        look
        for look in product(SHAPES, COLOURS)
        if is_held_out(*look, source.background) and look not in taken
    ]
    shape, colour = rng.choice(looks)
    objects = list(source.objects)
    objects[chosen] = replace(objects[chosen], shape=shape, colour=colour)
    mask = _mask(render_masks(source, side), chosen, boxed=bool(number % 2))
    return InpaintingTask(source, replace(source, objects=tuple(objects)), mask)


def _mask(objects: list[Pixels], chosen: int, *, boxed: bool) -> Pixels:
    mask = _dilate(objects[chosen], MARGIN)
    if boxed:
        left, top, width, height = cv2.boundingRect(mask)
        mask[top : top + height, left : left + width] = 255
    for number, other in enumerate(objects):
        if number != chosen:
            mask[_dilate(other, _GAP) > 0] = 0
    return mask


def _dilate(mask: Pixels, by: int) -> Pixels:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return np.asarray(cv2.dilate(mask, kernel), np.uint8)


def _changes(fits: Callable[[str, str], bool], *, other_colours: bool) -> Iterator[SceneChange]:
    """One change of each scene that has any, to another background if possible."""
    for seed in counted(FIRST):
        source = replace(random_scene(seed, held_out=True), tells_place=True)
        backgrounds = [
            background for background in BACKGROUNDS if fits(source.background, background)
        ]
        candidates = [
            candidate
            for background in backgrounds
            for candidate in _recolour(source, background, other_colours)
        ]
        others = [scene for scene in candidates if scene.background != source.background]
        if candidates:
            yield SceneChange(source, Random(seed).choice(others or candidates))


def _recolour(source: Scene, background: str, other_colours: bool) -> Iterator[Scene]:
    """The scene on a background in all colours that give held-out combinations."""
    before = {(obj.shape, obj.colour) for obj in source.objects}
    for colours in product(COLOURS, repeat=len(source.objects)):
        objects = tuple(
            replace(obj, colour=colour) for obj, colour in zip(source.objects, colours, strict=True)
        )
        looks = {(obj.shape, obj.colour) for obj in objects}
        # Two objects of one shape that exchange their colours would count as new colours.
        if len(looks) < len(objects) or (other_colours and looks & before):
            continue
        if all(is_held_out(*look, background) for look in looks):
            yield replace(source, background=background, objects=objects)
