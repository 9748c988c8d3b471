"""People drawn as OpenPose draws them (Cao et al. 2019), which ControlNets for poses expect."""

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
"""OpenPose's 18 joints in its order; left and right are the person's own."""

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
"""The 17 joints of COCO in its order, in which ViTPose finds them: there is no neck."""

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
"""OpenPose's 17 limbs in its order: each has the colour of the joint of the same number."""

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
"""Red, green, blue of each joint; a limb is drawn in three fifths of it."""

Person = Mapping[Joint, Sequence[float]]
"""Where the joints are that can be seen: x and y in pixels."""


def default_thickness(size: tuple[int, int]) -> float:
    """The limbs' thickness in pixels, as the networks saw it: 8 where the shorter side is 512."""
    return max(1.0, 8 * min(size) / 512)


def add_neck(person: Person) -> dict[Joint, Sequence[float]]:
    """The person with a neck: the middle of the shoulders, where it is not told and both are."""
    made = dict(person)
    left, right = person.get("left_shoulder"), person.get("right_shoulder")
    if "neck" not in made and left is not None and right is not None:
        made["neck"] = ((left[0] + right[0]) / 2, (left[1] + right[1]) / 2)
    return made


def draw_people(people: Iterable[Person], size: tuple[int, int], thickness: float) -> Pixels:
    """The people on black: uint8, height × width × 3.

    Each one's limbs as ellipses between two joints, in three fifths of their colour, and over them
    the joints as discs as wide as a limb. A joint that is not told is left out with its limbs.
    """
    import numpy as np

    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    for person in people:
        joints = add_neck(person)
        for limb, color in zip(LIMBS, COLORS, strict=False):
            ends = [joints[end] for end in limb if end in joints]
            if len(ends) == 2:
                _limb(canvas, ends, thickness, [channel * 3 // 5 for channel in color])
        for joint, color in zip(JOINTS, COLORS, strict=True):
            if joint in joints:
                _disc(canvas, joints[joint], thickness, color)
    return canvas


def _limb(
    canvas: Any, ends: Sequence[Sequence[float]], thickness: float, color: Sequence[int]
) -> None:
    import cv2

    (x, y), (u, v) = ends
    middle, long = ((x + u) / 2, (y + v) / 2), hypot(u - x, v - y)
    box = (middle, (long, thickness), degrees(atan2(v - y, u - x)))
    cv2.ellipse(canvas, box, color, cv2.FILLED)


def _disc(canvas: Any, middle: Sequence[float], thickness: float, color: Sequence[int]) -> None:
    import cv2

    x, y = (round(each * _FINE) for each in middle)
    cv2.circle(canvas, (x, y), round(thickness / 2 * _FINE), color, cv2.FILLED, shift=_BITS)


_BITS = 4
"""OpenCV takes coordinates in fractions of so many bits."""
_FINE = 2**_BITS
