"""Scores of pictures and clips from their pixels and the true scene, without a model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sdgraph.nodes.tiny_world import (
    Pixels,
    Scene,
    Verdict,
    depth_correlation,
    describe_scene,
    edge_f1,
    judge_picture,
    measure_motion,
    parse_caption,
    read_picture,
    render_depth,
    render_edges,
    render_frames,
)

STILL = 1.0
"""Pixels between two frames that count as no motion: the precision of a detected middle."""


def decibels(pixels: npt.NDArray[Any], truth: npt.NDArray[Any]) -> float:
    """The peak signal-to-noise ratio of a picture in 0..255, in dB; infinite where equal."""
    error = float(((pixels.astype(np.float64) - truth) ** 2).mean())
    return 10 * math.log10(255**2 / error) if error else math.inf


def judge_against(picture: Pixels, expected: Scene) -> Verdict:
    """Judges a picture by the caption of the expected scene."""
    return judge_picture(picture, parse_caption(describe_scene(expected)))


def is_object_right(verdict: Verdict) -> bool:
    """Whether shapes, colours and places are as expected, whatever else a picture shows."""
    return verdict.shape and verdict.colour and verdict.place


def is_unchanged_outside(picture: Pixels, source: Pixels, mask: Pixels) -> bool:
    """Whether a picture equals its source bit for bit where the mask is black."""
    return bool(np.array_equal(picture[mask == 0], source[mask == 0]))


def edge_agreement(picture: Pixels, source: Scene) -> float:
    """The F1 score of a picture's edges and those of a scene, with a tolerance of a pixel: 0..1."""
    return edge_f1(picture, render_edges(source, picture.shape[0]))


def depth_agreement(estimate: npt.NDArray[np.floating[Any]], scene: Scene) -> float:
    """Pearson's correlation of a depth map (larger is nearer) with a scene's true one, -1..1."""
    return depth_correlation(estimate, render_depth(scene, estimate.shape[0]))


@dataclass(frozen=True)
class ClipScore:
    """The scores of a clip.

    Args:
        object_right: The share of frames, 0..1, with the expected shape and colour.
        motion_right: Whether the object moves as expected.
        jump: The largest step of the object between two frames, divided by that of the true clip
            (at least a pixel); infinite if a frame shows no object.
    """

    object_right: float
    motion_right: bool
    jump: float


def clip_score(clip: Pixels, expected: Scene) -> ClipScore:
    """Scores a clip: uint8, count × side × side × 3, count at least 2."""
    content = parse_caption(describe_scene(expected))
    verdicts = [judge_picture(frame, content) for frame in clip]
    right = float(np.mean([verdict.shape and verdict.colour for verdict in verdicts]))
    measured = measure_motion(clip, content)
    expected_motion = measure_motion(render_frames(expected, len(clip), clip.shape[1]), content)
    is_missing = any(not read_picture(frame).objects for frame in clip)
    jump = math.inf if is_missing else measured.jump / max(STILL, expected_motion.jump)
    return ClipScore(right, measured.name == expected.motion, jump)
