"""Normals from depth face the way that the surface does."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from sdgraph import Session, run
from sdgraph.nodes import NormalsFromDepth
from sdgraph.nodes.tiny_world import random_scene, render_depth, render_masks
from sdgraph.values import DepthMap, NormalMap
from tests.support.failing_runs import refused_at_construction

SIDE = 65
X, Y = np.meshgrid(np.arange(SIDE, dtype=np.float64), np.arange(SIDE, dtype=np.float64))


def normals(session: Session, heights: Any, **fields: Any) -> np.ndarray:
    """Left, up and near of -1..1 at each pixel."""
    node = NormalsFromDepth(depth=DepthMap(heights), **{"background": 0.0, **fields})
    result = run(node, session=session)
    assert type(result) is NormalMap
    return result.numpy.astype(np.float64) / 127.5 - 1


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        (X, (1, 0, 1)),  # nearer at the right: it faces left
        (-X, (-1, 0, 1)),
        (Y, (0, 1, 1)),  # nearer at the bottom, as a floor is: it faces up
        (-Y, (0, -1, 1)),
    ],
)
def test_a_slope_faces_where_it_falls_to(session: Session, heights: Any, expected: Any) -> None:
    # A whole side deep over the map's width: 45 degrees.
    found_normals = normals(session, heights, relief=(SIDE - 1) / SIDE)
    assert np.abs(found_normals - np.array(expected) / np.sqrt(2)).max() < 0.01


def test_a_ball_faces_away_from_its_middle(session: Session) -> None:
    radius = 40.0
    away = np.hypot(X - 32, Y - 32)
    ball = np.sqrt(radius**2 - np.minimum(away, 30) ** 2)
    found_normals = normals(session, ball, relief=float(np.ptp(ball)) / SIDE)
    on_ball = away < 27
    expected = np.stack([32 - X, 32 - Y, ball], axis=2) / radius
    assert np.abs(found_normals[on_ball] - expected[on_ball]).max() < 0.03


def test_they_are_one_long_and_point_to_the_viewer(session: Session) -> None:
    rough = np.random.default_rng(0).random((50, 70))
    found_normals = normals(session, rough)
    assert np.abs(np.linalg.norm(found_normals, axis=2) - 1).max() < 0.015
    assert (found_normals[..., 2] > 0).all()


def test_more_relief_is_steeper(session: Session) -> None:
    flat, steep = (normals(session, X, relief=relief)[30, 30, 0] for relief in (0.1, 3.0))
    assert 0 < flat < 0.2 < 0.9 < steep


def test_what_is_far_faces_the_viewer(session: Session) -> None:
    found_normals = normals(session, X, background=0.5)
    assert np.abs(found_normals[:, :31] - (0, 0, 1)).max() < 0.01
    assert (found_normals[:, 33:, 0] > 0.5).all()


@pytest.mark.parametrize("heights", [X * 5e36, X * 1e-38, X * 1e4 + 3e7, (X - 32) * 1e37])
def test_the_unit_of_depth_does_not_count(session: Session, heights: Any) -> None:
    assert np.abs(normals(session, heights) - normals(session, X)).max() < 0.02


@pytest.mark.parametrize("number", range(4))
def test_the_things_of_the_tiny_world_rise_at_their_outlines(session: Session, number: int) -> None:
    found_normals = normals(session, render_depth(random_scene(number), 128))
    leaning = np.hypot(found_normals[..., 0], found_normals[..., 1]) > 0.9
    outlines = np.zeros((128, 128), np.uint8)
    for mask in render_masks(random_scene(number), 128):
        outlines |= cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    assert leaning[outlines > 0].mean() > 0.9
    assert leaning[cv2.dilate(outlines, np.ones((3, 3), np.uint8)) == 0].mean() < 0.02


@pytest.mark.parametrize("most", [1.4e-45, 1e-40, 1e-20, 3e38])
def test_any_range_of_depth_will_do(session: Session, most: float) -> None:
    heights = np.array([[0, most, most]] * 3, np.float32)
    result = run(NormalsFromDepth(depth=DepthMap(heights)), session=session)
    unit = run(NormalsFromDepth(depth=DepthMap(np.sign(heights))), session=session)
    assert result == unit and (result.numpy[..., 2] >= 128).all()


def test_two_pixels_will_do(session: Session) -> None:
    assert normals(session, np.array([[0.0, 1.0]])).shape == (1, 2, 3)


@pytest.mark.parametrize("fields", [{"relief": 0.0}, {"background": 1.0}, {"relief": float("inf")}])
def test_a_parameter_that_is_none_is_refused(fields: dict[str, float]) -> None:
    (name,) = fields
    depth_map = DepthMap(X)
    text = refused_at_construction(NormalsFromDepth, depth=depth_map, **fields)
    assert f"NormalsFromDepth.{name}" in text
