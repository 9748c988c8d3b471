"""The scores of what makes clips from words."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from sdgraph.nodes import Text2Video
from sdgraph.nodes.world import caption

from .asked import moving
from .measure import clip_score
from .studio import Studio
from .table import Row

MOST = 2.0
"""How many times as far as in the true clip an object may step from a frame to the next."""


def text_to_video(studio: Studio, count: int) -> Iterator[Row]:
    """Clips of an object that moves as its caption says."""
    scores = []
    for seed, each in enumerate(moving(count)):
        node = Text2Video(
            prompt=caption(each), frames=studio.effort.frames, seed=seed,
            checkpoint=studio.checkpoint("text-to-video"), **studio.guided(),
        )  # fmt: skip
        scores.append(clip_score(studio.made(node).frames, each))
    settings = f"{studio.settings('text-to-video')}, {studio.effort.frames} frames"
    row = partial(studio.row, "text-to-video", settings=settings)
    yield row("frames with the object right", [each.object_right for each in scores], "≥ 0.95")
    yield row("motion right", [each.motion_right for each in scores], "≥ 0.95")
    jumps = [each.jump for each in scores]
    yield row("largest step at most 2 × the true one", [jump <= MOST for jump in jumps])
    if seen := [jump for jump in jumps if math.isfinite(jump)]:
        yield row("largest step over the true one, mean of clips with an object", seen, "≤ 2")
