"""Reads masks from picture files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sdgraph.errors import InvalidValueError, MediaError, Problem
from sdgraph.media import probe_image, read_image
from sdgraph.values import Image, Mask

if TYPE_CHECKING:
    import PIL.Image

_OPAQUE_MODES = ("1", "L", "RGB", "CMYK", "YCbCr", "I;16", "I", "F")
"""Modes of pictures that are only opened, not decoded, before a run."""


def mask_file_problems(path: str | Path) -> Iterator[Problem]:
    """The problem of a node whose `path` cannot be read as a mask.

    Only the header is read, unless the picture may have transparent parts.
    """
    try:
        if probe_image(path)[2] in _OPAQUE_MODES:
            return
        problem = _transparency_problem(read_image(path))
    except MediaError as error:
        yield from error.as_problems_of("path", "a picture that can be opened")
    else:
        if problem is not None:
            yield problem


def read_mask_file(path: str | Path) -> Mask:
    """The mask in a picture file: its brightness.

    Raises:
        InvalidValueError: It is a coloured picture with transparent parts, such as a photo of which
            a part was erased: what is meant is its transparency.
        MediaError: The file cannot be read.
    """
    picture = read_image(path)
    if (problem := _transparency_problem(picture)) is not None:
        raise InvalidValueError(problem)
    return Mask.from_pil(picture)


def _transparency_problem(picture: PIL.Image.Image) -> Problem | None:
    if not picture.has_transparency_data:
        return None
    pixels = Image.from_pil(picture).numpy
    alpha, colors = pixels[..., 3], pixels[..., :3]
    is_grey = (colors == colors[..., :1]).all()
    if is_grey or alpha.min() == alpha.max():
        return None
    found = "a coloured picture with transparent parts, whose brightness would be the mask"
    fix = "for its transparent parts, load it with LoadImage and take MaskFromAlpha"
    return Problem("path", found, "a picture that is white where to paint", fix)
