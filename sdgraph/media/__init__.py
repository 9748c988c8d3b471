"""Reads and writes files of images and videos, with a record of how they were made."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sdgraph.values import Video

if TYPE_CHECKING:
    from .embedded import read_provenance, was_edited
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
    from .video_loader import load_video
    from .video_reader import estimate_frames, probe_video, read_video

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

_EXPORTS = {
    "embedded": (
        "read_provenance",
        "was_edited",
    ),
    "video_loader": ("load_video",),
    "foreign_records": ("foreign_program",),
    "image_files": (
        "converted_profile",
        "has_several_frames",
        "probe_image",
        "read_image",
        "write_image",
    ),
    "metadata": ("escape_surrogates",),
    "player": ("video_html",),
    "sidecar": (
        "has_foreign_sidecar",
        "is_sidecar",
        "move_sidecar",
        "read_sidecar",
        "refuse_foreign_sidecar",
        "sidecar_path",
        "write_sidecar",
    ),
    "video_files": ("write_video",),
    "video_reader": (
        "estimate_frames",
        "probe_video",
        "read_video",
    ),
}
"""Which module defines each name."""

if not TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> Any:
        for module, names in _EXPORTS.items():
            if name in names:
                value = getattr(import_module(f"{__name__}.{module}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _html_player(video: Video) -> str:
    """The HTML with which a notebook plays a video."""
    from .player import video_html

    return video_html(video)


Video.html_player = staticmethod(_html_player)
