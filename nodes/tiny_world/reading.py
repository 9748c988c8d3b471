"""Reads what a picture of the tiny world shows, from its pixels alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .backgrounds import draw_background
from .forms import classify_shape
from .words import BACKGROUNDS, COLOURS, PLACES, refuse

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_COARSE = 32  # side of the picture by which grounds are told apart
_NEAR = 45.0  # distance in RGB within which a pixel may be of the ground
_SHARE = 0.65  # of the picture that has to be of the ground
_ROUGH = 48.0  # median distance above which a picture is noise: at 20 dB it is 40
_SHIFT = 25.0  # the largest shift of a whole ground's colour that is made up for
_CONTRAST = 42.0  # distance from the ground at which an object begins
_SMALLEST = 0.006  # share of the picture; less is dirt
_ALIKE = 30.0  # distance in CIE Lab within which a colour has its name
_AGREED = 0.75  # share of an object that has to be of its colour


@dataclass(frozen=True, eq=False)
class DetectedObject:
    """An object that was found in a picture.

    Args:
        shape: One of SHAPES, or None if it is none of them.
        colour: One of COLOURS, or None if it is none of them.
        place: One of PLACES.
        box: Left, top, right and bottom in pixels; the last two are outside.
        mask: uint8, height × width, 255 or 0.
        middle: x and y in pixels.
        size: The square root of its area, as a share of the picture's side.
        angle: Degrees clockwise; None for round shapes.
    """

    shape: str | None
    colour: str | None
    place: str
    box: tuple[int, int, int, int]
    mask: Pixels
    middle: tuple[float, float]
    size: float
    angle: float | None


@dataclass(frozen=True, eq=False)
class PictureReading:
    """What was read from a picture.

    Args:
        background: One of BACKGROUNDS, or None if it is none of them.
        objects: The objects, the largest first.
    """

    background: str | None
    objects: tuple[DetectedObject, ...]


def read_picture(picture: Pixels, *, within: Pixels | None = None) -> PictureReading:
    """Reads the background and the objects of a picture.

    It tolerates the blur and noise of an autoencoder, down to about 25 dB, for sides from 48.

    Args:
        picture: uint8, side × side × 3.
        within: uint8, side × side; only objects where it is above 127 count.
    """
    side = _checked(picture, within)
    soft = cv2.GaussianBlur(picture, (0, 0), max(0.6, side / 128)).astype(np.float32)
    name, shift = _nearest_ground(soft)
    low, high = _bounds(name, side)
    known = float(np.median(_outside(picture.astype(np.float32), low, high))) < _ROUGH
    known = known and shift is not None
    moved = np.zeros(3, np.float32) if shift is None else shift
    far = _outside(soft - moved, low, high)
    if within is not None:
        far = np.where(within > 127, far, np.float32(0))
    behind = draw_background(name, side) + moved
    seen = sorted(_things(soft, behind, far), key=lambda obj: -obj.size)
    return PictureReading(name if known else None, tuple(seen))


def _checked(picture: Pixels, within: Pixels | None) -> int:
    wanted = "uint8 of shape (side, side, 3), side at least 32"
    shape: tuple[int, ...] = picture.shape
    if len(shape) != 3 or shape[2] != 3 or shape[0] != shape[1] or shape[0] < _COARSE:
        refuse("picture", f"an array of shape {shape}", wanted, "resize it, and drop its alpha")
    if picture.dtype != np.uint8:
        refuse("picture", f"a {picture.dtype} array", wanted)
    if within is not None and within.shape != shape[:2]:
        refuse("within", f"a mask of shape {within.shape}", f"the picture's, {shape[:2]}")
    return shape[0]


def _dot(one: Floats, other: Floats) -> Floats:
    """The product of colours, summed over their channels; numpy's own sum is far slower."""
    return np.asarray(np.einsum("...c,...c", one, other), np.float32)


@cache
def _coarse() -> Floats:
    grounds = [draw_background(name, 2 * _COARSE).astype(np.float32) for name in BACKGROUNDS]
    size = (_COARSE, _COARSE)
    return np.stack([cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in grounds])


def _nearest_ground(soft: Floats) -> tuple[str, Floats | None]:
    """The ground most like the picture, and by how much its colour is shifted as a whole.

    The shift (float32, red, green, blue) is None where even that ground is unlike the picture.
    """
    small = cv2.resize(soft, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA)
    gaps = small - _coarse()
    far = np.sqrt(_dot(gaps, gaps))
    best = int(np.minimum(far, 1.5 * _NEAR).mean(axis=(1, 2)).argmin())
    like = far[best] < _NEAR
    if like.mean() < _SHARE:
        return BACKGROUNDS[best], None
    shift = np.clip(np.median(gaps[best][like], axis=0), -_SHIFT, _SHIFT)
    return BACKGROUNDS[best], shift.astype(np.float32)


@cache
def _bounds(name: str, side: int) -> tuple[Floats, Floats]:
    """The least and most of the ground around each pixel: it may be blurred, or off by one."""
    around = np.ones((3, 3), np.uint8)
    whole = draw_background(name, side)
    low, high = cv2.erode(whole, around), cv2.dilate(whole, around)
    return low.astype(np.float32), high.astype(np.float32)


def _outside(picture: Floats, low: Floats, high: Floats) -> Floats:
    """How far each pixel lies outside of the bounds, as a distance in RGB."""
    beyond = np.maximum(np.maximum(low - picture, picture - high), 0)
    return np.sqrt(_dot(beyond, beyond))


def _things(soft: Floats, behind: Floats, far: Floats) -> Iterator[DetectedObject]:
    side = far.shape[0]
    spots = (far > _CONTRAST).astype(np.uint8)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(spots, connectivity=4)
    for label in range(1, count):
        if boxes[label, cv2.CC_STAT_AREA] < _SMALLEST * side**2:
            continue
        own = (labels == label).astype(np.uint8)
        matte, colour = _matte(soft, behind, far, own)
        mask = np.where(matte > 0.5, 255, 0).astype(np.uint8)
        if np.count_nonzero(mask) >= _SMALLEST * side**2:
            yield _seen(matte, mask, colour)


def _matte(soft: Floats, behind: Floats, far: Floats, own: Any) -> tuple[Floats, str | None]:
    """How much of each pixel the object covers (0..1, side × side), and its colour's name."""
    clear = far > 0.8 * np.percentile(far[own > 0], 90)
    core = cv2.erode(own, np.ones((3, 3), np.uint8)) * clear
    # Of a thin object, little is left.
    inner = (core if core.sum() > 12 else own * clear).astype(bool)
    colour = np.median(soft[inner], axis=0)
    toward = colour - behind
    share = _dot(soft - behind, toward) / np.maximum(_dot(toward, toward), 1)
    near = cv2.dilate(own, np.ones((3, 3), np.uint8))
    return np.clip(share, 0, 1).astype(np.float32) * near, _colour_name(soft[inner])


@cache
def _named_colours() -> Floats:
    return _lab(np.array(list(COLOURS.values()), np.float32))


def _lab(colours: Floats) -> Floats:
    converted = cv2.cvtColor(colours[None] / np.float32(255), cv2.COLOR_RGB2LAB)
    return np.asarray(converted[0], np.float32)


def _colour_name(pixels: Floats) -> str | None:
    """The name of the colour that most of the pixels (n × 3) have, if so many agree."""
    gaps = _lab(pixels)[:, None] - _named_colours()
    far = np.sqrt(_dot(gaps, gaps))
    nearest = np.where(far.min(axis=1) < _ALIKE, far.argmin(axis=1), len(COLOURS))
    votes = np.bincount(nearest, minlength=len(COLOURS) + 1)[:-1]
    best = int(votes.argmax())
    return tuple(COLOURS)[best] if votes[best] >= _AGREED * len(pixels) else None


def _seen(matte: Floats, mask: Pixels, colour: str | None) -> DetectedObject:
    side = matte.shape[0]
    total = float(matte.sum())
    steps = np.arange(side)
    x = float(matte.sum(axis=0) @ steps) / total
    y = float(matte.sum(axis=1) @ steps) / total
    left, top, width, height = cv2.boundingRect(mask)
    shape, angle = classify_shape(matte)
    box = (left, top, left + width, top + height)
    place = _place((x + 0.5) / side, (y + 0.5) / side)
    return DetectedObject(shape, colour, place, box, mask, (x, y), total**0.5 / side, angle)


def _place(x: float, y: float) -> str:
    """The place whose middle is nearest in each direction."""
    return min(PLACES, key=lambda name: abs(PLACES[name][0] - x) + abs(PLACES[name][1] - y))
