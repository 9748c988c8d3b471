"""Animated GIFs, read and written frame by frame, so that only one frame is in memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from sdgraph.values import Video

from .metadata import pillow_metadata

if TYPE_CHECKING:
    import PIL.Image

    from sdgraph.values import Pixels

_DEFAULT_DELAY_MS = 100  # browsers treat a delay of 0 as this
_MAX_REPEATS = 10


def is_gif(path: str | Path) -> bool:
    """Whether the file at `path` begins as a GIF does."""
    with Path(path).open("rb") as file:
        return file.read(4) == b"GIF8"


def write_gif(video: Video, path: Path, provenance: str | None) -> None:
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
        for frame, (start, end) in zip(video, pairwise(ends), strict=True):
            picture = frame.pil
            box = difference(previous, picture).getbbox() if previous else (0, 0, *video.size)
            file.write(_encode_frame(picture, box, max(end - start, 1)))
            previous = picture
        file.write(b";")


def gif_frames(gif: PIL.Image.Image, longest: int | None) -> tuple[float, Iterator[Pixels]]:
    """The rate of a GIF in frames per second, and its frames; those shown longer are repeated.

    Args:
        gif: The opened file.
        longest: How many pixels the longer side may have; None leaves the size as it is.
    """
    import numpy as np
    from PIL import ImageSequence

    delays = [
        frame.info.get("duration") or _DEFAULT_DELAY_MS for frame in ImageSequence.Iterator(gif)
    ]
    repeats = [round(delay / min(delays)) for delay in delays]
    if sum(repeats) > _MAX_REPEATS * len(repeats):  # one long pause must not fill the memory
        repeats = [1] * len(repeats)

    def repeat_frames() -> Iterator[Pixels]:
        for frame, count in zip(ImageSequence.Iterator(gif), repeats, strict=True):
            size = limit_size(frame.size, longest)
            picture = frame.convert("RGB")
            pixels = np.asarray(picture if size == picture.size else picture.resize(size))
            yield from (pixels for _ in range(count))

    return 1000 * sum(repeats) / sum(delays), repeat_frames()


def limit_size(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """The size reduced so that its longer side is at most `longest`; proportions are kept."""
    if longest is None or max(size) <= longest:
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


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
