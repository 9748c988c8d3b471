"""Scenes of the tiny world and their random generation from a seed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from itertools import product
from math import hypot
from typing import TypeVar

import numpy as np

from .words import BACKGROUNDS, COLOURS, MOTIONS, MOVES, PLACES, SHAPES, check_word, refuse

SINGLE_SIZES = (0.145, 0.215)
"""The range of sizes of a single object."""

PAIR_SIZES = (0.125, 0.165)
"""The range of sizes of each of two objects; smaller, so that they do not touch."""

TRAVEL, GROWTH, TURN = 0.46, 2.0, 180.0
"""Motion from start to end: distance (share of the side), ratio of sizes, degrees clockwise."""

_GROWING_SIZES = (0.15, 0.155)  # halfway through; from 0.106 to 0.219, it fits at every place
_MOVING_SIZES = (0.145, 0.19)
_JITTER = 0.03  # largest offset from the place in each direction; places are 0.23 apart
_TILT = 12.0  # largest rotation in degrees in either direction
_HELD_OUT_SHARE = 0.12
_T = TypeVar("_T")
_TURNABLE = ("square", "triangle", "star", "cross")


@dataclass(frozen=True)
class SceneObject:
    """An object of a scene.

    Args:
        shape: One of SHAPES.
        colour: One of COLOURS.
        place: One of PLACES.
        size: The distance from its middle to its farthest point, as a share of the side.
        angle: Degrees clockwise; 0 is upright.
        shift: The offset from the middle of the place, right and down, as shares of the side.
    """

    shape: str
    colour: str
    place: str
    size: float
    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        check_word("SceneObject.shape", self.shape, SHAPES)
        check_word("SceneObject.colour", self.colour, tuple(COLOURS))
        check_word("SceneObject.place", self.place, tuple(PLACES))

    @property
    def middle(self) -> tuple[float, float]:
        """The x and y of its middle, as shares of the side from the top left."""
        x, y = PLACES[self.place]
        return x + self.shift[0], y + self.shift[1]


@dataclass(frozen=True)
class Scene:
    """One or two objects on a background.

    Args:
        background: One of BACKGROUNDS.
        objects: The objects; with a motion, one object, as it is halfway through the motion.
        motion: One of MOTIONS, or None if nothing moves.
        tells_place: Whether the caption names the places.
    """

    background: str
    objects: tuple[SceneObject, ...]
    motion: str | None = None
    tells_place: bool = True

    def __post_init__(self) -> None:
        check_word("Scene.background", self.background, BACKGROUNDS)
        if self.motion is not None:
            check_word("Scene.motion", self.motion, MOTIONS)
            if len(self.objects) != 1:
                refuse("Scene.motion", f"{len(self.objects)} objects", "one object, which moves")

    def at(self, time: float) -> Scene:
        """The scene at a time of its motion: 0 is the start, 1 the end."""
        if self.motion is None:
            return self
        (obj,) = self.objects
        offset = time - 0.5
        if self.motion == "turning":
            obj = replace(obj, angle=obj.angle + TURN * offset)
        elif self.motion in MOVES:
            x, y = MOVES[self.motion]
            shift = (obj.shift[0] + x * TRAVEL * offset, obj.shift[1] + y * TRAVEL * offset)
            obj = replace(obj, shift=shift)
        else:
            exponent = offset if self.motion == "growing" else -offset
            obj = replace(obj, size=obj.size * GROWTH**exponent)
        return replace(self, objects=(obj,))


def rearrange(scene: Scene, seed: int) -> Scene:
    """The same shapes and colours on another background, with random places, sizes and angles.

    No object is in a combination that is held out from training.
    """
    rng = np.random.default_rng(seed)
    looks = [(obj.shape, obj.colour) for obj in scene.objects]
    backgrounds = [
        name
        for name in BACKGROUNDS
        if name != scene.background and not any(is_held_out(*look, name) for look in looks)
    ]
    pairs = (("left", "right"), ("right", "left"), ("top", "bottom"), ("bottom", "top"))
    choices = tuple((place,) for place in PLACES) if len(looks) == 1 else pairs
    places = choices[int(rng.integers(len(choices)))]
    sizes = SINGLE_SIZES if len(looks) == 1 else PAIR_SIZES
    objects = tuple(
        SceneObject(*look, place, float(rng.uniform(*sizes)), float(rng.uniform(-_TILT, _TILT)))
        for look, place in zip(looks, places, strict=True)
    )
    return Scene(backgrounds[int(rng.integers(len(backgrounds)))], objects)


def is_held_out(shape: str, colour: str, background: str) -> bool:
    """Whether a combination of shape, colour and background is left out of training."""
    digest = blake2b(f"{shape} {colour} {background}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32 < _HELD_OUT_SHARE


def random_scene(
    seed: int, *, held_out: bool = False, objects: int | None = None, moving: bool = False
) -> Scene:
    """The random scene of a seed, the same on every machine.

    Args:
        seed: 0 or more.
        held_out: Whether all combinations are held out from training; by default none is.
        objects: The number of objects, 1 or 2; by default it is random. A moving scene has 1.
        moving: Whether the object moves.
    """
    count = 1 if moving and objects is None else objects
    if count not in (None, 1, 2) or (moving and count != 1):
        refuse("random_scene.objects", repr(objects), "1, or 2 where nothing moves")
    if not isinstance(seed, int | np.integer) or seed < 0:
        refuse("random_scene.seed", repr(seed), "a whole number of at least 0")
    rng = _Rng(seed, held_out, moving)
    background = rng.pick(BACKGROUNDS)
    if count is None:
        count = 1 + (rng.share() < 0.35)
    if moving:
        return _moving_scene(rng, background, held_out)
    looks = _random_looks(rng, background, held_out, count)
    tells_place = rng.share() < 0.75
    places = (rng.pick(tuple(PLACES)),) if count == 1 else rng.pick(_place_pairs())
    sizes = SINGLE_SIZES if count == 1 else PAIR_SIZES
    pairs = zip(looks, places, strict=True)
    scene_objects = tuple(_random_object(rng, look, place, sizes) for look, place in pairs)
    return Scene(background, scene_objects, tells_place=tells_place)


def _moving_scene(rng: _Rng, background: str, held_out: bool) -> Scene:
    (look,) = _random_looks(rng, background, held_out, 1)
    motion = rng.pick(MOTIONS if look[0] in _TURNABLE else MOTIONS[:-1])
    tells_place = rng.share() < 0.75 and motion not in MOVES
    places, sizes = tuple(PLACES), SINGLE_SIZES
    if motion in MOVES:
        across = "top", "center", "bottom"
        places, sizes = across if MOVES[motion][0] else ("left", "center", "right"), _MOVING_SIZES
    elif motion != "turning":
        sizes = _GROWING_SIZES
    obj = _random_object(rng, look, rng.pick(places), sizes)
    return Scene(background, (obj,), motion, tells_place)


def _random_object(
    rng: _Rng, look: tuple[str, str], place: str, sizes: tuple[float, float]
) -> SceneObject:
    """An object with a random size, a small offset from its place and a small rotation."""
    size, angle = rng.between(*sizes), rng.between(-_TILT, _TILT)
    shift = rng.between(-_JITTER, _JITTER), rng.between(-_JITTER, _JITTER)
    return SceneObject(*look, place, size, angle, shift)


def _random_looks(rng: _Rng, background: str, held_out: bool, count: int) -> list[tuple[str, str]]:
    """Different pairs of shape and colour, as many as count, that a background may have."""
    allowed = list(_allowed_looks(background, held_out))
    return [allowed.pop(rng.below(len(allowed))) for _ in range(count)]


@cache
def _allowed_looks(background: str, held_out: bool) -> tuple[tuple[str, str], ...]:
    """The pairs of shape and colour that a background has either in training or held out."""
    return tuple(
        look for look in product(SHAPES, COLOURS) if is_held_out(*look, background) == held_out
    )


@cache
def _place_pairs() -> tuple[tuple[str, str], ...]:
    """All pairs of places, in both orders, that are far enough apart for two objects."""
    distance = 2 * PAIR_SIZES[1] + 2 * hypot(_JITTER, _JITTER)
    return tuple(
        (first, second)
        for first, (x, y) in PLACES.items()
        for second, (u, v) in PLACES.items()
        if hypot(x - u, y - v) > distance
    )


class _Rng:
    """Random numbers from the raw bits of PCG64, which are the same in every version of numpy."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64([int(part) for part in seed])

    def share(self) -> float:
        """A number in [0, 1)."""
        return float(int(self._bits.random_raw()) >> 11) / 2**53

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.share()

    def below(self, count: int) -> int:
        """A whole number in [0, count)."""
        return int(self.share() * count)

    def pick(self, choices: tuple[_T, ...]) -> _T:
        return choices[self.below(len(choices))]
