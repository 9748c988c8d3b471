"""The scores of what makes clips from words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

from sdgraph.nodes.tiny_world import Scene

from .generation import CheckpointRunner, GenerationSettings
from .metrics import ClipScore, clip_score
from .nodes import text_to_video_node
from .scenes import moving_scenes
from .table import Row

MOST = 2.0
"""How many times as far as in the true clip an object may step from a frame to the next."""


def _score(runner: CheckpointRunner, numbered_scene: tuple[int, Scene]) -> ClipScore:
    """How right the clip of a seed and a scene is."""
    seed, expected = numbered_scene
    node = text_to_video_node(runner, expected, seed, runner.options.frames)
    return clip_score(runner.run(node).frames, expected)


@cache
def _runner(family: Path | None, options: GenerationSettings) -> CheckpointRunner:
    return CheckpointRunner(family, options)


def _score_in(
    family: Path | None, options: GenerationSettings, numbered_scene: tuple[int, Scene]
) -> ClipScore:
    """The same in a process of its own, which keeps its models."""
    return _score(_runner(family, options), numbered_scene)


def text_to_video(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """Clips of an object that moves as its caption says."""
    numbered_scenes = enumerate(moving_scenes(count))
    if runner.jobs == 1:
        scores = [_score(runner, numbered_scene) for numbered_scene in numbered_scenes]
    else:
        with ProcessPoolExecutor(runner.jobs, get_context("spawn")) as pool:
            scores = list(
                pool.map(partial(_score_in, runner.family, runner.options), numbered_scenes)
            )
    settings = f"{runner.settings('text-to-video')}, {runner.options.frames} frames"
    row = partial(runner.row, "text-to-video", settings=settings)
    yield row("frames with the object right", [score.object_right for score in scores], "≥ 0.95")
    yield row("motion right", [score.motion_right for score in scores], "≥ 0.95")
    jumps = [score.jump for score in scores]
    yield row("largest step at most 2 × the true one", [jump <= MOST for jump in jumps])
    if finite := [jump for jump in jumps if math.isfinite(jump)]:
        yield row("largest step over the true one, mean of clips with an object", finite, "≤ 2")
