"""The scores of what makes clips from words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

from sdgraph.nodes import Text2Video
from sdgraph.nodes.tiny_world import Scene, caption

from .asked import moving
from .measure import ClipScore, clip_score
from .studio import Effort, Studio
from .table import Row

MOST = 2.0
"""How many times as far as in the true clip an object may step from a frame to the next."""


def _score(studio: Studio, asked: tuple[int, Scene]) -> ClipScore:
    """How right the clip of a seed and a scene is."""
    seed, wanted = asked
    node = Text2Video(
        prompt=caption(wanted),
        frames=studio.effort.frames,
        seed=seed,
        checkpoint=studio.checkpoint("text-to-video"),
        **studio.guided(),
    )
    return clip_score(studio.made(node).frames, wanted)


@cache
def _studio(family: Path | None, effort: Effort) -> Studio:
    return Studio(family, effort)


def _score_in(family: Path | None, effort: Effort, asked: tuple[int, Scene]) -> ClipScore:
    """The same in a process of its own, which keeps its models."""
    return _score(_studio(family, effort), asked)


def text_to_video(studio: Studio, count: int) -> Iterator[Row]:
    """Clips of an object that moves as its caption says."""
    asked = enumerate(moving(count))
    if studio.jobs == 1:
        scores = [_score(studio, each) for each in asked]
    else:
        with ProcessPoolExecutor(studio.jobs, get_context("spawn")) as pool:
            scores = list(pool.map(partial(_score_in, studio.family, studio.effort), asked))
    settings = f"{studio.settings('text-to-video')}, {studio.effort.frames} frames"
    row = partial(studio.row, "text-to-video", settings=settings)
    yield row("frames with the object right", [each.object_right for each in scores], "≥ 0.95")
    yield row("motion right", [each.motion_right for each in scores], "≥ 0.95")
    jumps = [each.jump for each in scores]
    yield row("largest step at most 2 × the true one", [jump <= MOST for jump in jumps])
    if seen := [jump for jump in jumps if math.isfinite(jump)]:
        yield row("largest step over the true one, mean of clips with an object", seen, "≤ 2")
