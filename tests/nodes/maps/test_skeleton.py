"""Drawn people: every joint and limb at its place, in its colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdgraph.nodes.maps.skeleton import (
    COCO,
    COLORS,
    JOINTS,
    LIMBS,
    Joint,
    Person,
    add_neck,
    default_thickness,
    draw_people,
)

SIZE = (240, 320)
STANDING: dict[Joint, tuple[float, float]] = {
    "nose": (120, 50),
    "neck": (120, 90),
    "right_shoulder": (90, 92),
    "right_elbow": (70, 130),
    "right_wrist": (60, 170),
    "left_shoulder": (150, 92),
    "left_elbow": (170, 130),
    "left_wrist": (200, 160),
    "right_hip": (100, 180),
    "right_knee": (95, 235),
    "right_ankle": (90, 290),
    "left_hip": (140, 180),
    "left_knee": (150, 235),
    "left_ankle": (160, 290),
    "right_eye": (108, 40),
    "left_eye": (132, 40),
    "right_ear": (92, 46),
    "left_ear": (148, 46),
}
"""A person who faces the viewer: the right side is at the left of the picture."""


def draw_pose(*people: Person, thickness: float = 6) -> Any:
    return draw_people(people, SIZE, thickness)


def color_at(picture: Any, place: tuple[float, float]) -> tuple[int, ...]:
    return tuple(picture[round(place[1]), round(place[0])].tolist())


def middle(limb: tuple[Joint, Joint]) -> tuple[float, float]:
    (x, y), (u, v) = (STANDING[end] for end in limb)
    return (x + u) / 2, (y + v) / 2


def test_there_are_18_joints_and_17_limbs_as_in_openpose() -> None:
    assert len(JOINTS) == len(set(JOINTS)) == len(COLORS) == len(set(COLORS)) == 18
    assert JOINTS[:5] == ("nose", "neck", "right_shoulder", "right_elbow", "right_wrist")
    numbers = [(JOINTS.index(one), JOINTS.index(other)) for one, other in LIMBS]
    assert numbers == [
        (1, 2),
        (1, 5),
        (2, 3),
        (3, 4),
        (5, 6),
        (6, 7),
        (1, 8),
        (8, 9),
        (9, 10),
        (1, 11),
        (11, 12),
        (12, 13),
        (1, 0),
        (0, 14),
        (14, 16),
        (0, 15),
        (15, 17),
    ]
    assert set(COCO) == set(JOINTS) - {"neck"} and len(COCO) == 17


@pytest.mark.parametrize("joint", JOINTS)
def test_a_joint_is_drawn_at_its_point_in_its_colour(joint: Joint) -> None:
    assert color_at(draw_pose(STANDING), STANDING[joint]) == COLORS[JOINTS.index(joint)]


@pytest.mark.parametrize("limb", LIMBS, ids="-".join)
def test_a_limb_lies_between_its_joints_in_its_colour(limb: tuple[Joint, Joint]) -> None:
    expected = tuple(channel * 3 // 5 for channel in COLORS[LIMBS.index(limb)])
    assert color_at(draw_pose(STANDING, thickness=4), middle(limb)) == expected


def test_the_colours_of_some_joints_are_those_of_openpose() -> None:
    by_name = dict(zip(JOINTS, COLORS, strict=True))
    assert by_name["nose"] == (255, 0, 0)
    assert by_name["right_wrist"] == (170, 255, 0)
    assert by_name["left_wrist"] == (0, 255, 85)
    assert by_name["left_ankle"] == (85, 0, 255)
    assert by_name["left_ear"] == (255, 0, 85)


def test_all_else_is_black() -> None:
    picture = draw_pose(STANDING)
    assert 0.01 < picture.any(axis=2).mean() < 0.1
    allowed = {(0, 0, 0), *COLORS, *(tuple(c * 3 // 5 for c in color) for color in COLORS)}
    assert {tuple(pixel) for pixel in picture.reshape(-1, 3).tolist()} <= allowed


@pytest.mark.parametrize("thickness", [3.0, 8.0, 16.0, 40.0])
def test_limbs_and_joints_are_as_thick_as_given(thickness: float) -> None:
    disc = draw_pose({"nose": (120, 160)}, thickness=thickness)[..., 0] > 0
    assert abs(disc.any(axis=0).sum() - thickness) <= 1.5
    assert abs(disc.any(axis=1).sum() - thickness) <= 1.5
    limb = draw_pose({"nose": (120, 40), "neck": (120, 280)}, thickness=thickness)
    across = limb.any(axis=2)[160]
    assert abs(across.sum() - thickness) <= 1.5
    assert abs(np.flatnonzero(across).mean() - 120) <= 0.5


def test_the_usual_thickness_is_eight_at_512_pixels() -> None:
    assert default_thickness((512, 512)) == default_thickness((2048, 512)) == 8
    assert default_thickness((1024, 1024)) == 16
    assert default_thickness((64, 64)) == default_thickness((1, 1)) == 1


@pytest.mark.parametrize("hidden", JOINTS)
def test_a_hidden_joint_is_not_drawn_nor_are_the_limbs_at_it(hidden: Joint) -> None:
    visible = {joint: place for joint, place in STANDING.items() if joint != hidden}
    if hidden == "neck":  # else it would be put between the shoulders
        del visible["left_shoulder"]
    picture = draw_pose(visible, thickness=4)
    assert color_at(picture, STANDING[hidden]) == (0, 0, 0)
    for limb in LIMBS:
        if hidden in limb:
            assert color_at(picture, middle(limb)) == (0, 0, 0)
    for joint in visible:
        assert color_at(picture, STANDING[joint]) == COLORS[JOINTS.index(joint)]


def test_the_neck_is_between_the_shoulders_unless_it_is_given() -> None:
    shoulders: Person = {"left_shoulder": (20, 40), "right_shoulder": (10, 50)}
    assert add_neck(shoulders)["neck"] == (15, 45)
    assert add_neck({**shoulders, "neck": (3, 4)})["neck"] == (3, 4)
    assert "neck" not in add_neck({"left_shoulder": (20, 40)})
    assert "neck" not in shoulders


def test_several_people_are_all_drawn_the_last_in_front() -> None:
    other: Person = {joint: (x / 4 + 8, y / 4 + 8) for joint, (x, y) in STANDING.items()}
    together = draw_pose(STANDING, other, thickness=2)
    alone = [draw_pose(person, thickness=2) for person in (STANDING, other)]
    assert np.array_equal(
        together, np.where(alone[1].max(axis=2, keepdims=True) > 0, alone[1], alone[0])
    )
    assert alone[0].any() and alone[1].any() and (together != alone[0]).any()


def test_two_joints_at_one_place_make_no_line() -> None:
    picture = draw_pose({"nose": (50, 50), "neck": (50, 50)})
    assert picture.any(axis=2).sum() <= 49


def test_nobody_is_black() -> None:
    assert not draw_pose().any() and draw_pose().shape == (320, 240, 3)
    assert not draw_pose({}).any()
