"""Pictures and videos from and to files, with the text of how they were made inside them."""

from __future__ import annotations

from pathlib import Path

from sdgraph.files import atomic_write, convert_read_errors

from . import sidecar
from .images import PICTURE_SUFFIXES, opened_picture, probe_image, read_image, write_image
from .metadata import text_in, unsigned
from .videos import VIDEO_SUFFIXES, opened_film, probe_video, read_video, write_video

__all__ = [
    "PICTURE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "atomic_write",
    "probe_image",
    "probe_video",
    "read_image",
    "read_provenance",
    "read_video",
    "write_image",
    "write_video",
]


def read_provenance(path: str | Path) -> str | None:
    """The text that `write_image` or `write_video` put into a file or beside it, else None."""
    import PIL

    with convert_read_errors(path, "a picture or video"):
        try:
            with opened_picture(path) as picture:
                inside = text_in(picture)
        except PIL.UnidentifiedImageError:
            with opened_film(path) as film:
                tags = {name.lower(): text for name, text in film.metadata.items()}
            inside = unsigned(tags.get("comment", ""))
        return sidecar.read(Path(path)) if inside is None else inside
