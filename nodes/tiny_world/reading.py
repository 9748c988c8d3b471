"""Finds the background and the objects of a picture of the tiny world, from its pixels alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from .backgrounds import Floats, Pixels, draw_background
from .shape_classifier import classify_shape
from .words import BACKGROUNDS, COLOURS, PLACES, refuse

_COARSE_SIDE = 32  # pixels: the side of the small picture whose background is classified
_BACKGROUND_DISTANCE = 45.0  # largest distance in RGB of a background pixel of the small picture
_BACKGROUND_SHARE = 0.65  # least share of the small picture that is background
_NOISE_DISTANCE = 48.0  # median distance in RGB above which a picture is noise; at 20 dB it is 40
_MAX_SHIFT = 25.0  # the largest change of the whole background's colour that is corrected
_CONTRAST = 42.0  # least distance in RGB between an object and the background
_MIN_AREA = 0.006  # share of the picture below which a region is no object
_COLOUR_DISTANCE = 30.0  # largest distance in CIE Lab from a named colour
_COLOUR_SHARE = 0.75  # least share of an object's pixels that have its colour


@dataclass(frozen=True, eq=False)
class DetectedObject:
    """An object that was found in a picture.

    Args:
        shape: One of SHAPES, or None if it is none of them.
        colour: One of COLOURS, or None if it is none of them.
        place: One of PLACES.
        box: Left, top, right and bottom in pixels; right and bottom are exclusive.
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

    Blur and noise like an autoencoder's, down to about 25 dB, do not matter for sides from 48.

    Args:
        picture: uint8, side × side × 3.
        within: uint8, side × side; only objects where it is above 127 count.
    """
    side = _check_arrays(picture, within)
    soft = cv2.GaussianBlur(picture, (0, 0), max(0.6, side / 128)).astype(np.float32)
    name, shift = _classify_background(soft)
    low, high = _background_bounds(name, side)
    median = float(np.median(_distance_outside(picture.astype(np.float32), low, high)))
    is_known = median < _NOISE_DISTANCE and shift is not None
    shift = np.zeros(3, np.float32) if shift is None else shift
    distance = _distance_outside(soft - shift, low, high)
    if within is not None:
        distance = np.where(within > 127, distance, np.float32(0))
    background = draw_background(name, side) + shift
    objects = sorted(_find_objects(soft, background, distance), key=lambda obj: -obj.size)
    return PictureReading(name if is_known else None, tuple(objects))


def _check_arrays(picture: Pixels, within: Pixels | None) -> int:
    wanted = "uint8 of shape (side, side, 3), side at least 32"
    shape: tuple[int, ...] = picture.shape
    if len(shape) != 3 or shape[2] != 3 or shape[0] != shape[1] or shape[0] < _COARSE_SIDE:
        refuse("picture", f"an array of shape {shape}", wanted, "resize it, and drop its alpha")
    if picture.dtype != np.uint8:
        refuse("picture", f"a {picture.dtype} array", wanted)
    if within is not None and within.shape != shape[:2]:
        refuse("within", f"a mask of shape {within.shape}", f"the picture's, {shape[:2]}")
    return shape[0]


def _dot(first: Floats, second: Floats) -> Floats:
    """The dot product of colours over the last axis; einsum is far faster than a sum."""
    return np.asarray(np.einsum("...c,...c", first, second), np.float32)


def _shrink(picture: Floats) -> Floats:
    size = (_COARSE_SIDE, _COARSE_SIDE)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


@cache
def _small_backgrounds() -> Floats:
    """All backgrounds at the small side: float32, count × side × side × 3."""
    pictures = [draw_background(name, 2 * _COARSE_SIDE).astype(np.float32) for name in BACKGROUNDS]
    size = (_COARSE_SIDE, _COARSE_SIDE)
    return np.stack(
        [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
    )


def _classify_background(soft: Floats) -> tuple[str, Floats | None]:
    """The most similar background, and how far its colour is shifted in the whole picture.

    The shift (float32: red, green, blue) is None if too little of the picture is similar.
    """
    differences = _shrink(soft) - _small_backgrounds()
    distances = np.sqrt(_dot(differences, differences))
    capped = np.minimum(distances, 1.5 * _BACKGROUND_DISTANCE)
    best = int(capped.mean(axis=(1, 2)).argmin())
    is_background = distances[best] < _BACKGROUND_DISTANCE
    if is_background.mean() < _BACKGROUND_SHARE:
        return BACKGROUNDS[best], None
    shift = np.clip(np.median(differences[best][is_background], axis=0), -_MAX_SHIFT, _MAX_SHIFT)
    return BACKGROUNDS[best], shift.astype(np.float32)


@cache
def _background_bounds(name: str, side: int) -> tuple[Floats, Floats]:
    """The minimum and maximum of the background in 3 × 3 pixels, so that blur does not matter."""
    kernel = np.ones((3, 3), np.uint8)
    background = draw_background(name, side)
    low, high = cv2.erode(background, kernel), cv2.dilate(background, kernel)
    return low.astype(np.float32), high.astype(np.float32)


def _distance_outside(picture: Floats, low: Floats, high: Floats) -> Floats:
    """The distance in RGB of each pixel from the bounds, 0 within them: float32, side × side."""
    excess = np.maximum(np.maximum(low - picture, picture - high), 0)
    return np.sqrt(_dot(excess, excess))


def _find_objects(soft: Floats, background: Floats, distance: Floats) -> Iterator[DetectedObject]:
    """The connected regions that differ from the background and are large enough."""
    side = distance.shape[0]
    foreground = (distance > _CONTRAST).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(foreground, connectivity=4)
    for label in range(1, count):
        if stats[label, cv2.CC_STAT_AREA] < _MIN_AREA * side**2:
            continue
        region = (labels == label).astype(np.uint8)
        matte, colour = _matte(soft, background, distance, region)
        mask = np.where(matte > 0.5, 255, 0).astype(np.uint8)
        if np.count_nonzero(mask) >= _MIN_AREA * side**2:
            yield _describe(matte, mask, colour)


def _matte(
    soft: Floats, background: Floats, distance: Floats, region: Any
) -> tuple[Floats, str | None]:
    """The share of each pixel that an object covers (0..1, side × side), and its colour's name."""
    kernel = np.ones((3, 3), np.uint8)
    is_clear = distance > 0.8 * np.percentile(distance[region > 0], 90)
    core = cv2.erode(region, kernel) * is_clear
    # Erosion leaves little of a thin object.
    inner = (core if core.sum() > 12 else region * is_clear).astype(bool)
    contrast = np.median(soft[inner], axis=0) - background
    share = _dot(soft - background, contrast) / np.maximum(_dot(contrast, contrast), 1)
    matte = np.clip(share, 0, 1).astype(np.float32) * cv2.dilate(region, kernel)
    return matte, _colour_name(soft[inner])


@cache
def _named_colours() -> Floats:
    return _lab(np.array(list(COLOURS.values()), np.float32))


def _lab(colours: Floats) -> Floats:
    converted = cv2.cvtColor(colours[None] / np.float32(255), cv2.COLOR_RGB2LAB)
    return np.asarray(converted[0], np.float32)


def _colour_name(pixels: Floats) -> str | None:
    """The most frequent colour of the pixels (count × 3); None if too few pixels have it."""
    differences = _lab(pixels)[:, None] - _named_colours()
    distances = np.sqrt(_dot(differences, differences))
    is_named = distances.min(axis=1) < _COLOUR_DISTANCE
    nearest = np.where(is_named, distances.argmin(axis=1), len(COLOURS))
    votes = np.bincount(nearest, minlength=len(COLOURS) + 1)[:-1]
    best = int(votes.argmax())
    return tuple(COLOURS)[best] if votes[best] >= _COLOUR_SHARE * len(pixels) else None


def _describe(matte: Floats, mask: Pixels, colour: str | None) -> DetectedObject:
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
    """The place whose middle is nearest to a point, both in shares of the side."""
    return min(PLACES, key=lambda name: abs(PLACES[name][0] - x) + abs(PLACES[name][1] - y))
