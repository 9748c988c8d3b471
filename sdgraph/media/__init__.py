"""Reads and writes files of images and videos, with a record of how they were made."""

from sdgraph.values import Video

from .embedded import read_provenance, was_edited
from .films import load_video
from .foreign_records import foreign_program
from .image_files import (
    converted_profile,
    has_several_frames,
    probe_image,
    read_image,
    write_image,
)
from .metadata import escape_surrogates
from .player import video_html
from .sidecar import (
    has_foreign_sidecar,
    is_sidecar,
    move_sidecar,
    read_sidecar,
    refuse_foreign_sidecar,
    sidecar_path,
    write_sidecar,
)
from .video_files import write_video
from .video_reader import estimate_frames, probe_video, read_video

Video.html_player = staticmethod(video_html)

__all__ = [
    "converted_profile",
    "escape_surrogates",
    "estimate_frames",
    "foreign_program",
    "has_foreign_sidecar",
    "has_several_frames",
    "is_sidecar",
    "load_video",
    "move_sidecar",
    "probe_image",
    "probe_video",
    "read_image",
    "read_provenance",
    "read_sidecar",
    "read_video",
    "refuse_foreign_sidecar",
    "sidecar_path",
    "video_html",
    "was_edited",
    "write_image",
    "write_sidecar",
    "write_video",
]
