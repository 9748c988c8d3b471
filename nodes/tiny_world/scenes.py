"""Scenes of the tiny world, drawn from a seed: what stands where, on what, and how it moves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from math import hypot
from typing import TypeVar

import numpy as np

from .words import BACKGROUNDS, COLOURS, MOTIONS, MOVES, PLACES, SHAPES, check_word, refuse

ALONE = (0.145, 0.215)
"""Sizes of an object that is alone."""

PAIRED = (0.125, 0.165)
"""Sizes of an object beside another; smaller, so that the two stay apart."""

TRAVEL, GROWTH, TURN = 0.46, 2.0, 180.0
"""A whole clip's way (share of the side), ratio of sizes, and degrees (clockwise)."""

_GROWING = (0.15, 0.155)  # sizes halfway through, so that from 0.106 to 0.219 all fits everywhere
_MOVING = (0.145, 0.19)
_JITTER = 0.03  # of the side, each way; places lie 0.23 apart
_TILT = 12.0  # degrees, each way
_HELD_OUT = 0.12
_T = TypeVar("_T")
_TURNABLE = ("square", "triangle", "star", "cross")


@dataclass(frozen=True)
class SceneObject:
    """An object: what it is and where.

    size is the distance from its middle to its farthest point, as a share of the side; angle is in
    degrees clockwise, 0 upright; shift, in shares of the side, is how far from the middle of the
    place it lies, right and down.
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
        """Where its middle lies: shares of the side, right and down."""
        x, y = PLACES[self.place]
        return x + self.shift[0], y + self.shift[1]


@dataclass(frozen=True)
class Scene:
    """One or two objects on a ground; with a motion, one object as it is halfway through.

    tells_place says whether the caption names the places.
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
        """The scene as it stands at a time of its motion: 0 is the start, 1 the end."""
        if self.motion is None:
            return self
        (obj,) = self.objects
        late = time - 0.5
        if self.motion == "turning":
            obj = replace(obj, angle=obj.angle + TURN * late)
        elif self.motion in MOVES:
            x, y = MOVES[self.motion]
            way = (obj.shift[0] + x * TRAVEL * late, obj.shift[1] + y * TRAVEL * late)
            obj = replace(obj, shift=way)
        else:
            grown = late if self.motion == "growing" else -late
            obj = replace(obj, size=obj.size * GROWTH**grown)
        return replace(self, objects=(obj,))


def rearrange(scene: Scene, seed: int) -> Scene:
    """The same objects on another ground, at other places, in other sizes, by a seed.

    Never in a combination that is held out from training.
    """
    dice = np.random.default_rng(seed)
    looks = [(obj.shape, obj.colour) for obj in scene.objects]
    grounds = [
        each
        for each in BACKGROUNDS
        if each != scene.background and not any(is_held_out(*look, each) for look in looks)
    ]
    pair = (("left", "right"), ("right", "left"), ("top", "bottom"), ("bottom", "top"))
    places = tuple(PLACES) if len(looks) == 1 else pair
    chosen = places[int(dice.integers(len(places)))]
    sizes = ALONE if len(looks) == 1 else PAIRED
    objects = tuple(
        SceneObject(*look, place, float(dice.uniform(*sizes)), float(dice.uniform(-_TILT, _TILT)))
        for look, place in zip(looks, (chosen,) if isinstance(chosen, str) else chosen, strict=True)
    )
    return Scene(grounds[int(dice.integers(len(grounds)))], objects)


def is_held_out(shape: str, colour: str, background: str) -> bool:
    """Whether no scene for training shows that shape in that colour on that ground."""
    digest = blake2b(f"{shape} {colour} {background}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") / 2**32 < _HELD_OUT


def random_scene(
    seed: int, *, held_out: bool = False, objects: int | None = None, moving: bool = False
) -> Scene:
    """The scene of a seed (0 or more), the same on every machine.

    All its objects are of held-out combinations, or none is. objects is 1 or 2, or left to the
    seed; a moving scene has one.
    """
    count = 1 if moving and objects is None else objects
    if count not in (None, 1, 2) or (moving and count != 1):
        refuse("random_scene.objects", repr(objects), "1, or 2 where nothing moves")
    if not isinstance(seed, int | np.integer) or seed < 0:
        refuse("random_scene.seed", repr(seed), "a whole number of at least 0")
    dice = _Dice(seed, held_out, moving)
    background = dice.pick(BACKGROUNDS)
    if count is None:
        count = 1 + (dice.share() < 0.35)
    if moving:
        return _moving(dice, background, held_out)
    looks = _looks(dice, background, held_out, count)
    tells_place = dice.share() < 0.75
    places = (dice.pick(tuple(PLACES)),) if count == 1 else dice.pick(_pairs())
    sizes = ALONE if count == 1 else PAIRED
    made = tuple(_put(dice, *each, sizes) for each in zip(looks, places, strict=True))
    return Scene(background, made, tells_place=tells_place)


def _moving(dice: _Dice, background: str, held_out: bool) -> Scene:
    (look,) = _looks(dice, background, held_out, 1)
    motion = dice.pick(MOTIONS if look[0] in _TURNABLE else MOTIONS[:-1])
    tells_place = dice.share() < 0.75 and motion not in MOVES
    places, sizes = tuple(PLACES), ALONE
    if motion in MOVES:
        across = "top", "center", "bottom"
        places, sizes = across if MOVES[motion][0] else ("left", "center", "right"), _MOVING
    elif motion != "turning":
        sizes = _GROWING
    obj = _put(dice, look, dice.pick(places), sizes)
    return Scene(background, (obj,), motion, tells_place)


def _put(dice: _Dice, look: tuple[str, str], place: str, sizes: tuple[float, float]) -> SceneObject:
    """A thing of those looks, a little off its place and off upright."""
    size, angle = dice.between(*sizes), dice.between(-_TILT, _TILT)
    shift = dice.between(-_JITTER, _JITTER), dice.between(-_JITTER, _JITTER)
    return SceneObject(*look, place, size, angle, shift)


def _looks(dice: _Dice, background: str, held_out: bool, count: int) -> list[tuple[str, str]]:
    """So many different pairs of shape and colour that may stand on that ground."""
    allowed = list(_combinations(background, held_out))
    return [allowed.pop(dice.below(len(allowed))) for _ in range(count)]


@cache
def _combinations(background: str, held_out: bool) -> tuple[tuple[str, str], ...]:
    def allowed() -> Iterator[tuple[str, str]]:
        for shape in SHAPES:
            for colour in COLOURS:
                if is_held_out(shape, colour, background) == held_out:
                    yield shape, colour

    return tuple(allowed())


@cache
def _pairs() -> tuple[tuple[str, str], ...]:
    """Places that are far enough apart for two objects, in both orders."""
    apart = 2 * PAIRED[1] + 2 * hypot(_JITTER, _JITTER)
    return tuple(
        (one, other)
        for one, (x, y) in PLACES.items()
        for other, (u, v) in PLACES.items()
        if hypot(x - u, y - v) > apart
    )


class _Dice:
    """Seeded draws by PCG64's 64 raw bits, which numpy keeps the same in every version."""

    def __init__(self, *seed: int) -> None:
        self._bits = np.random.PCG64([int(each) for each in seed])

    def share(self) -> float:
        return float(int(self._bits.random_raw()) >> 11) / 2**53

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.share()

    def below(self, count: int) -> int:
        return int(self.share() * count)

    def pick(self, among: tuple[_T, ...]) -> _T:
        return among[self.below(len(among))]
