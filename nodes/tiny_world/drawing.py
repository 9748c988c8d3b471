"""Draws scenes and their ground truth: masks, edges, depth, and the frames of a video."""

from __future__ import annotations

from functools import cache
from math import cos, pi, radians, sin

import cv2
import numpy as np
import numpy.typing as npt

from .backgrounds import Floats, Pixels, background_depth, draw_background
from .scenes import Scene, SceneObject
from .words import COLOURS, refuse

CANNY = (100, 200)
"""The thresholds of Canny's edge detector, the defaults of the Canny node."""

_FINE = 4  # shapes are drawn this many times larger, then scaled down
_BITS = 6  # fractional bits of coordinates in the larger drawing
_NEAREST, _FARTHEST = 1.0, 0.65  # depths of objects; the background ends at 0.55
_SIZES = (0.1, 0.22)  # sizes of the farthest and of the nearest object


def render_scene(scene: Scene, side: int = 128) -> Pixels:
    """The picture of a scene: uint8, side × side × 3, with antialiased outlines."""
    picture = draw_background(scene.background, side)
    for obj in scene.objects:
        coverage = _coverage(obj, side).astype(np.float32)[..., None] / 255
        mixed = picture + coverage * (np.array(COLOURS[obj.colour], np.float32) - picture)
        picture = np.rint(mixed).astype(np.uint8)
    return picture.copy() if not scene.objects else picture


def render_masks(scene: Scene, side: int = 128) -> list[Pixels]:
    """The mask of each object, in the order of the scene: uint8, side × side, 255 or 0."""
    return [np.where(_coverage(obj, side) > 127, 255, 0).astype(np.uint8) for obj in scene.objects]


def canny_edges(picture: Pixels) -> Pixels:
    """The edges of a picture by Canny's detector with the thresholds `CANNY`: uint8, 255 or 0."""
    return np.asarray(cv2.Canny(np.ascontiguousarray(picture), *CANNY), dtype=np.uint8)


def render_edges(scene: Scene, side: int = 128) -> Pixels:
    """The edges that Canny's detector finds in the picture of a scene: uint8, side × side."""
    return canny_edges(render_scene(scene, side))


def render_depth(scene: Scene, side: int = 128) -> Floats:
    """The depth of a scene: float32, side × side, 0..1, larger is nearer.

    The background goes from 0.55 at the bottom to 0 at the top. Each object has one depth from
    0.65 to 1: the larger, the nearer.
    """
    depth = background_depth(scene.background, side).copy()
    for obj in scene.objects:
        nearness = float(np.clip((obj.size - _SIZES[0]) / (_SIZES[1] - _SIZES[0]), 0, 1))
        depth[_coverage(obj, side) > 127] = _FARTHEST + nearness * (_NEAREST - _FARTHEST)
    return depth


def render_frames(scene: Scene, count: int, side: int = 128) -> Pixels:
    """The video of a moving scene, from start to end: uint8, count × side × side × 3."""
    return np.stack([render_scene(frame, side) for frame in _frame_scenes(scene, count)])


def render_frame_masks(scene: Scene, count: int, side: int = 128) -> Pixels:
    """The mask of the object in each frame: uint8, count × side × side, 255 or 0."""
    return np.stack([render_masks(frame, side)[0] for frame in _frame_scenes(scene, count)])


def _frame_scenes(scene: Scene, count: int) -> list[Scene]:
    if scene.motion is None:
        refuse(
            "frames", "a scene without a motion", "one with", "use random_scene(seed, moving=True)"
        )
    if count < 2:
        refuse("frames.count", str(count), "at least 2 frames")
    return [scene.at(number / (count - 1)) for number in range(count)]


@cache
def _outline(shape: str) -> tuple[npt.NDArray[np.float64], ...]:
    """The closed outlines of a shape, to be filled by the even-odd rule, within radius 1."""
    if shape == "circle":
        return (_circle(0.86),)
    if shape == "ring":
        return _circle(0.96), _circle(0.54)
    if shape == "cross":
        long, wide = 0.94, 0.34
        arm = [(-wide, -long), (wide, -long), (wide, -wide)]
        corners = [_rotate(corner, 90 * quarter) for quarter in range(4) for corner in arm]
        return (np.array(corners),)
    points = {"square": 4, "triangle": 3, "star": 5}[shape]
    inner = 0.45 if shape == "star" else None
    corners = []
    for number in range(points):
        first = 45.0 if shape == "square" else 0.0
        corners.append(_rotate((0.0, -1.0), first + 360 / points * number))
        if inner is not None:
            corners.append(_rotate((0.0, -inner), first + 360 / points * (number + 0.5)))
    return (np.array(corners),)


def _circle(radius: float) -> npt.NDArray[np.float64]:
    turn = np.arange(96) * (2 * pi / 96)
    return radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _rotate(point: tuple[float, float], degrees: float) -> tuple[float, float]:
    """Rotates a point about (0, 0), clockwise because y points down."""
    (x, y), angle = point, radians(degrees)
    return x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)


def _coverage(obj: SceneObject, side: int) -> Pixels:
    """The share of each pixel that an object covers: uint8, side × side, 255 is the whole pixel."""
    fine = side * _FINE
    angle = radians(obj.angle)
    turn = np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
    lines = []
    for outline in _outline(obj.shape):
        points = outline @ turn * obj.size + np.array(obj.middle)
        lines.append(np.rint((points * fine - 0.5) * 2**_BITS).astype(np.int32))
    canvas = np.zeros((fine, fine), np.uint8)
    cv2.fillPoly(canvas, lines, 255, shift=_BITS)
    return np.asarray(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
