"""Images and videos read from files and written to them, with metadata of how they were made."""

from .embedded import (
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    probe_image,
    probe_video,
    read_image,
    read_video,
    write_image,
)
from .metadata import spelled_out

__all__ = [
    "PICTURE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "probe_image",
    "probe_video",
    "read_image",
    "read_video",
    "spelled_out",
    "write_image",
]
