"""Draws people as OpenPose does (Cao et al. 2019), as ControlNets for poses expect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import atan2, degrees, hypot
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from sdgraph.values import Pixels

Joint = Literal[
    "nose",
    "neck",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_eye",
    "left_eye",
    "right_ear",
    "left_ear",
]
"""OpenPose's 18 joints in its order; left and right are those of the person."""

JOINTS: tuple[Joint, ...] = get_args(Joint)

COCO: tuple[Joint, ...] = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)
"""COCO's 17 joints in the order in which ViTPose predicts them; there is no neck."""

LIMBS: tuple[tuple[Joint, Joint], ...] = (
    ("neck", "right_shoulder"),
    ("neck", "left_shoulder"),
    ("right_shoulder", "right_elbow"),
    ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_elbow"),
    ("left_elbow", "left_wrist"),
    ("neck", "right_hip"),
    ("right_hip", "right_knee"),
    ("right_knee", "right_ankle"),
    ("neck", "left_hip"),
    ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"),
    ("neck", "nose"),
    ("nose", "right_eye"),
    ("right_eye", "right_ear"),
    ("nose", "left_eye"),
    ("left_eye", "left_ear"),
)
"""OpenPose's 17 limbs in its order; each has the colour of the joint with the same number."""

COLORS: tuple[tuple[int, int, int], ...] = (
    (255, 0, 0),
    (255, 85, 0),
    (255, 170, 0),
    (255, 255, 0),
    (170, 255, 0),
    (85, 255, 0),
    (0, 255, 0),
    (0, 255, 85),
    (0, 255, 170),
    (0, 255, 255),
    (0, 170, 255),
    (0, 85, 255),
    (0, 0, 255),
    (85, 0, 255),
    (170, 0, 255),
    (255, 0, 255),
    (255, 0, 170),
    (255, 0, 85),
)
"""Red, green and blue of each joint; limbs are drawn at three fifths of the brightness."""

Person = Mapping[Joint, Sequence[float]]
"""The visible joints of a person: x and y in pixels."""


def default_thickness(size: tuple[int, int]) -> float:
    """The thickness of limbs in pixels as in training: 8 for a shorter side of 512."""
    return max(1.0, 8 * min(size) / 512)


def add_neck(person: Person) -> dict[Joint, Sequence[float]]:
    """A person whose neck, if missing, is the middle of the shoulders; both must be there."""
    joints = dict(person)
    left, right = person.get("left_shoulder"), person.get("right_shoulder")
    if "neck" not in joints and left is not None and right is not None:
        joints["neck"] = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
    return joints


def draw_people(people: Iterable[Person], size: tuple[int, int], thickness: float) -> Pixels:
    """Draws people on black: uint8, height × width × 3.

    Limbs are ellipses between two joints at three fifths of their colour's brightness; joints are
    discs over them. A joint that is missing is not drawn, and neither are its limbs.

    Args:
        people: The visible joints of each person.
        size: Width and height in pixels.
        thickness: The width of limbs and joints in pixels.
    """
    import numpy as np

    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    for person in people:
        joints = add_neck(person)
        for limb, color in zip(LIMBS, COLORS, strict=False):
            ends = [joints[end] for end in limb if end in joints]
            if len(ends) == 2:
                _draw_limb(canvas, ends, thickness, [channel * 3 // 5 for channel in color])
        for joint, color in zip(JOINTS, COLORS, strict=True):
            if joint in joints:
                _draw_disc(canvas, joints[joint], thickness, color)
    return canvas


def _draw_limb(
    canvas: Any, ends: Sequence[Sequence[float]], thickness: float, color: Sequence[int]
) -> None:
    import cv2

    (x, y), (u, v) = ends
    middle, length = ((x + u) / 2, (y + v) / 2), hypot(u - x, v - y)
    box = (middle, (length, thickness), degrees(atan2(v - y, u - x)))
    cv2.ellipse(canvas, box, color, cv2.FILLED)


def _draw_disc(
    canvas: Any, middle: Sequence[float], thickness: float, color: Sequence[int]
) -> None:
    import cv2

    x, y = (round(coordinate * _UNITS) for coordinate in middle)
    cv2.circle(canvas, (x, y), round(thickness / 2 * _UNITS), color, cv2.FILLED, shift=_BITS)


_BITS = 4
"""The number of fractional bits of coordinates for OpenCV."""
_UNITS = 2**_BITS
