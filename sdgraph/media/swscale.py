"""The flags with which FFmpeg converts the colours of frames (swscale is its converter)."""

from __future__ import annotations

from typing import Any


def swscale_flags() -> Any:
    """The flags for scaling colours; without them FFmpeg darkens all colours by over 1 of 255."""
    from av.video.reformatter import Interpolation

    return Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
