"""The scenes that each system is scored on: held-out scenes and the changes to make."""

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
"""The seed of the first scene that is scored; samples along a training are of others."""

SIDE = 64
"""Pixels of the pictures that the shipped checkpoints make."""

REACH = 5
"""Pixels by which the mask of an object is larger than it, so that another shape fits in."""

_GAP = 2  # pixels between such a mask and the other object, whose rim is smooth
_PATTERNED = ("checkered", "striped", "sunset")


@dataclass(frozen=True, eq=False)
class Repainting:
    """A scene, where to paint (uint8, side × side, 255 or 0), and what is wanted afterwards."""

    source: Scene
    wanted: Scene
    mask: Pixels


@dataclass(frozen=True)
class Change:
    """A scene, and one with the same shapes at the same places whose looks are others."""

    source: Scene
    wanted: Scene


def still(count: int) -> list[Scene]:
    """Held-out scenes of one or two objects."""
    return [random_scene(FIRST + number, held_out=True) for number in range(count)]


def alone(count: int) -> list[Scene]:
    """Held-out scenes of one object, whose captions say where it is."""
    return [
        replace(random_scene(FIRST + number, held_out=True, objects=1), tells_place=True)
        for number in range(count)
    ]


def moving(count: int) -> list[Scene]:
    """Held-out scenes of one object that moves."""
    return [random_scene(FIRST + number, held_out=True, moving=True) for number in range(count)]


def repaintings(count: int, side: int = SIDE) -> list[Repainting]:
    """Held-out scenes of which one object is to become another of a held-out combination.

    The mask is by turns the object grown and its bounding box, and never touches another object.
    """
    return [_repainting(number, side) for number in range(count)]


def changes_under_edges(count: int) -> list[Change]:
    """Other colours for held-out scenes, on grounds that have the same edges as before.

    The plain grounds have none; a patterned one stays. Scenes for which no held-out combination is
    left are passed over.
    """

    def fits(before: str, after: str) -> bool:
        return after == before or not {before, after} & set(_PATTERNED)

    return list(islice(_changes(fits, other_colours=True), count))


def changes_of_ground(count: int) -> list[Change]:
    """Other grounds for held-out scenes, and other colours where the new ground needs them.

    Any two grounds recede alike, so the depth hardly changes.
    """
    return list(islice(_changes(lambda before, after: after != before, other_colours=False), count))


def _repainting(number: int, side: int) -> Repainting:
    dice = Random(FIRST + number)
    source = replace(random_scene(FIRST + number, held_out=True), tells_place=True)
    chosen = dice.randrange(len(source.objects))
    taken = {(obj.shape, obj.colour) for obj in source.objects}
    looks = [
        look
        for look in product(SHAPES, COLOURS)
        if is_held_out(*look, source.background) and look not in taken
    ]
    shape, colour = dice.choice(looks)
    objects = list(source.objects)
    objects[chosen] = replace(objects[chosen], shape=shape, colour=colour)
    mask = _mask(render_masks(source, side), chosen, boxed=bool(number % 2))
    return Repainting(source, replace(source, objects=tuple(objects)), mask)


def _mask(objects: list[Pixels], chosen: int, *, boxed: bool) -> Pixels:
    mask = _grown(objects[chosen], REACH)
    if boxed:
        left, top, width, height = cv2.boundingRect(mask)
        mask[top : top + height, left : left + width] = 255
    for number, other in enumerate(objects):
        if number != chosen:
            mask[_grown(other, _GAP) > 0] = 0
    return mask


def _grown(mask: Pixels, by: int) -> Pixels:
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return np.asarray(cv2.dilate(mask, around), np.uint8)


def _changes(fits: Callable[[str, str], bool], *, other_colours: bool) -> Iterator[Change]:
    """Changes of scene after scene, on another ground where there is a choice."""
    for seed in counted(FIRST):
        source = replace(random_scene(seed, held_out=True), tells_place=True)
        grounds = [background for background in BACKGROUNDS if fits(source.background, background)]
        ways = [way for ground in grounds for way in _looks(source, ground, other_colours)]
        others = [way for way in ways if way.background != source.background]
        if ways:
            yield Change(source, Random(seed).choice(others or ways))


def _looks(source: Scene, ground: str, other_colours: bool) -> Iterator[Scene]:
    """The scene on a ground in every choice of colours that makes held-out combinations."""
    before = {(obj.shape, obj.colour) for obj in source.objects}
    for colours in product(COLOURS, repeat=len(source.objects)):
        objects = tuple(
            replace(obj, colour=colour) for obj, colour in zip(source.objects, colours, strict=True)
        )
        looks = {(obj.shape, obj.colour) for obj in objects}
        # Two of one shape that only change places would count as new colours.
        if len(looks) < len(objects) or (other_colours and looks & before):
            continue
        if all(is_held_out(*look, ground) for look in looks):
            yield replace(source, background=ground, objects=objects)
