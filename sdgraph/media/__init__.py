"""Images and videos read from files and written to them, with metadata of how they were made."""

from .embedded import read_provenance
from .images import PICTURE_SUFFIXES, probe_image, read_image, write_image
from .metadata import spelled_out
from .videos import VIDEO_SUFFIXES, probe_video, read_video, write_video

__all__ = [
    "PICTURE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "probe_image",
    "probe_video",
    "read_image",
    "read_provenance",
    "read_video",
    "spelled_out",
    "write_image",
    "write_video",
]
