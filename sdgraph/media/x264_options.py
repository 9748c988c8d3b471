"""The options of x264 that depend on the size of the frames."""

from __future__ import annotations

_LOOKAHEAD, _LEAST_LOOKAHEAD = 40, 10  # frames; 40 is that of the preset
_LOOKAHEAD_PIXELS = 1280 * 720
_BLOCK, _BLOCKS_AT_ONCE = 16, 8
_CPU_AVX512 = 256  # `CpuFeatures.CPU_AVX512_SKX` of OpenCV: the part of AVX-512 that x264 uses
_AVX2 = "avx2,fma3,bmi2,lzcnt"  # what each processor with AVX-512 has besides


def x264_options(width: int, height: int) -> dict[str, str]:
    """The options of x264 for frames of a size in pixels.

    Example:
        >>> x264_options(640, 360), x264_options(1920, 1080)
        ({}, {'rc-lookahead': '17'})
    """
    return _lookahead(width * height) | _instructions(width)


def _lookahead(pixels: int) -> dict[str, str]:
    """How many frames it holds to look at, 40 at most.

    Of frames larger than 720p it holds fewer, so that they take about as much memory.
    """
    frames = max(_LEAST_LOOKAHEAD, _LOOKAHEAD * _LOOKAHEAD_PIXELS // pixels)
    return {"rc-lookahead": str(frames)} if frames < _LOOKAHEAD else {}


def _instructions(width: int) -> dict[str, str]:
    """No AVX-512 if a row of blocks is not a multiple of eight blocks.

    There x264 (found with 165, in its tree of macroblocks) seems to read memory that was never
    set: equal frames give other files each time, with AVX-512 alone.
    """
    if -(-width // _BLOCK) % _BLOCKS_AT_ONCE == 0:
        return {}
    import cv2

    return {"x264-params": f"asm={_AVX2}"} if cv2.checkHardwareSupport(_CPU_AVX512) else {}
