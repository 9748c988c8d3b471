"""Writes animated GIFs frame by frame, so that only one frame is in memory."""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sdgraph.values import Video

from .metadata import pillow_metadata

if TYPE_CHECKING:
    import PIL.Image

FrameProgress: TypeAlias = Callable[[int, int], object]
"""Called after each frame with the number of written frames and of all frames."""


def write_gif(video: Video, path: Path, provenance: str | None, progress: FrameProgress) -> None:
    """Writes a GIF that loops forever; of each frame it stores the part that changed.

    Pillow itself would keep all frames in memory until the last one is added.
    """
    import PIL.Image
    from PIL.GifImagePlugin import getheader
    from PIL.ImageChops import difference

    # The ends of frames are rounded, not their delays, so that the errors do not add up.
    ends = [round(100 * number / video.fps) for number in range(len(video) + 1)]
    metadata = pillow_metadata("GIF", provenance) if provenance is not None else {}
    previous = None
    with path.open("wb") as file:
        file.writelines(getheader(PIL.Image.new("P", video.size), info={"loop": 0, **metadata})[0])
        frames = zip(video.pixels(), pairwise(ends), strict=True)
        for number, (pixels, (start, end)) in enumerate(frames, 1):
            picture = PIL.Image.fromarray(pixels)
            box = difference(previous, picture).getbbox() if previous else (0, 0, *video.size)
            file.write(_encode_frame(picture, box, max(end - start, 1)))
            previous = picture
            progress(number, len(video))
        file.write(b";")


def _encode_frame(picture: PIL.Image.Image, box: tuple[int, ...] | None, delay: int) -> bytes:
    """A frame shown for `delay` / 100 s: a box of the picture, with its own 256 colours.

    If there is no box, nothing changed, and the frame is one transparent pixel.
    """
    left, top, right, bottom = box or (0, 0, 1, 1)
    part = picture.crop((left, top, right, bottom))
    part = part.quantize(min(256, part.width * part.height))
    colours = bytes(part.getpalette() or ())
    bits = max(1, (len(colours) // 3 - 1).bit_length())
    control = struct.pack("<3sBHBB", b"!\xf9\4", box is None, delay, 0, 0)
    descriptor = struct.pack("<cHHHHB", b",", left, top, *part.size, 0x80 | bits - 1)
    table = colours.ljust(3 << bits, b"\0")
    return b"".join([control, descriptor, table, b"\x08", part.tobytes("gif", "P"), b"\0"])
