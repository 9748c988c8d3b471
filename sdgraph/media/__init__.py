"""Reads and writes files of images and videos, with a record of how they were made."""

from sdgraph.values import Video

from .embedded import read_provenance
from .image_files import converted_profile, probe_image, read_image, write_image
from .metadata import escape_surrogates
from .player import video_html
from .sidecar import is_sidecar, write_sidecar
from .video_files import write_video
from .video_reader import probe_video, read_video

Video.html_player = staticmethod(video_html)

__all__ = [
    "converted_profile",
    "escape_surrogates",
    "is_sidecar",
    "probe_image",
    "probe_video",
    "read_image",
    "read_provenance",
    "read_video",
    "video_html",
    "write_image",
    "write_sidecar",
    "write_video",
]
