"""Pictures of scenes and their ground truth: masks, edges, depth, and the frames of a motion."""

from __future__ import annotations

from functools import cache
from math import cos, pi, radians, sin

import cv2
import numpy as np
import numpy.typing as npt

from .backgrounds import background_depth, draw_background
from .scenes import Scene, SceneObject
from .words import COLOURS, refuse

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

CANNY = (100, 200)
"""The thresholds of every edge of this world, those of the Canny node."""

_FINE = 4  # fine rows and columns a pixel
_BITS = 6  # of a fine pixel's coordinates
_NEAREST, _FARTHEST = 1.0, 0.65  # of objects; the ground ends at 0.55
_SIZES = (0.1, 0.22)


def render_scene(scene: Scene, side: int = 128) -> Pixels:
    """The picture of a scene: uint8, side × side × 3, smooth at the outlines."""
    picture = draw_background(scene.background, side)
    for obj in scene.objects:
        cover = _cover(obj, side).astype(np.float32)[..., None] / 255
        mixed = picture + cover * (np.array(COLOURS[obj.colour], np.float32) - picture)
        picture = np.rint(mixed).astype(np.uint8)
    return picture.copy() if not scene.objects else picture


def render_masks(scene: Scene, side: int = 128) -> list[Pixels]:
    """Where each object is, in the scene's order: uint8, side × side, 255 or 0."""
    return [np.where(_cover(obj, side) > 127, 255, 0).astype(np.uint8) for obj in scene.objects]


def canny_edges(picture: Pixels) -> Pixels:
    """The edges of a picture by Canny's detector at this world's thresholds: uint8, 255 or 0."""
    return np.asarray(cv2.Canny(np.ascontiguousarray(picture), *CANNY), dtype=np.uint8)


def render_edges(scene: Scene, side: int = 128) -> Pixels:
    """The edges of a scene: those that Canny finds in its picture; uint8, side × side."""
    return canny_edges(render_scene(scene, side))


def render_depth(scene: Scene, side: int = 128) -> Floats:
    """How near everything is: float32, side × side, 0..1, larger is nearer.

    The ground recedes from the bottom to the top, 0.55 to 0; objects are upright and nearer than
    all of it, the larger the nearer, 0.65 to 1.
    """
    made = background_depth(scene.background, side).copy()
    for obj in scene.objects:
        near = float(np.clip((obj.size - _SIZES[0]) / (_SIZES[1] - _SIZES[0]), 0, 1))
        made[_cover(obj, side) > 127] = _FARTHEST + near * (_NEAREST - _FARTHEST)
    return made


def render_frames(scene: Scene, count: int, side: int = 128) -> Pixels:
    """The clip of a scene that moves: uint8, count × side × side × 3, the motion spans it all."""
    return np.stack([render_scene(moment, side) for moment in _moments(scene, count)])


def render_frame_masks(scene: Scene, count: int, side: int = 128) -> Pixels:
    """Where the object is in each frame: uint8, count × side × side, 255 or 0."""
    return np.stack([render_masks(moment, side)[0] for moment in _moments(scene, count)])


def _moments(scene: Scene, count: int) -> list[Scene]:
    if scene.motion is None:
        refuse(
            "frames", "a scene without a motion", "one with", "use random_scene(seed, moving=True)"
        )
    if count < 2:
        refuse("frames.count", str(count), "at least 2 frames")
    return [scene.at(number / (count - 1)) for number in range(count)]


@cache
def _outline(shape: str) -> tuple[npt.NDArray[np.float64], ...]:
    """Closed outlines of a shape whose farthest point lies 1 from the middle; even-odd filled."""
    if shape == "circle":
        return (_round(0.86),)
    if shape == "ring":
        return _round(0.96), _round(0.54)
    if shape == "cross":
        long, wide = 0.94, 0.34
        arm = [(-wide, -long), (wide, -long), (wide, -wide)]
        corners = [_turned(corner, 90 * quarter) for quarter in range(4) for corner in arm]
        return (np.array(corners),)
    points = {"square": 4, "triangle": 3, "star": 5}[shape]
    inner = 0.45 if shape == "star" else None
    corners = []
    for number in range(points):
        first = 45.0 if shape == "square" else 0.0
        corners.append(_turned((0.0, -1.0), first + 360 / points * number))
        if inner is not None:
            corners.append(_turned((0.0, -inner), first + 360 / points * (number + 0.5)))
    return (np.array(corners),)


def _round(radius: float) -> npt.NDArray[np.float64]:
    turn = np.arange(96) * (2 * pi / 96)
    return radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _turned(point: tuple[float, float], degrees: float) -> tuple[float, float]:
    """The point turned about the middle, clockwise where y runs downwards."""
    (x, y), angle = point, radians(degrees)
    return x * cos(angle) - y * sin(angle), x * sin(angle) + y * cos(angle)


def _cover(obj: SceneObject, side: int) -> Pixels:
    """How much of each pixel an object covers: uint8, side × side, 255 is all of it."""
    fine = side * _FINE
    angle = radians(obj.angle)
    turn = np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
    lines = []
    for outline in _outline(obj.shape):
        share = outline @ turn * obj.size + np.array(obj.middle)
        lines.append(np.rint((share * fine - 0.5) * 2**_BITS).astype(np.int32))
    canvas = np.zeros((fine, fine), np.uint8)
    cv2.fillPoly(canvas, lines, 255, shift=_BITS)
    return np.asarray(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
