"""Saves pictures and videos to files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.files import is_folder, is_there
from sdgraph.graph import ExistingFile, In, Node, TargetFile
from sdgraph.progress import Progress
from sdgraph.values import Image, Mask, Video

__all__ = ["Save", "SaveVideo"]


class Save(Node[Path]):
    """Saves a picture or mask to a file that contains the workflow which made it.

    The file is there completely or not at all; one that is there already is not lost (`existing`).
    """

    category = "file"
    effect: ClassVar[bool] = True

    image: In[Image | Mask] = Field(description="the picture or mask to save")
    path: TargetFile = Field(
        description="the suffix is the format: .png, .jpg, .webp and others; in a workflow file it "
        "may contain inputs: {seed:04d}_{prompt_slug}.png"
    )
    quality: int = Field(
        default=95, ge=1, le=100, description="for JPEG and WebP; 100 is lossless WebP"
    )
    metadata: bool = Field(
        default=True, description="write the workflow and the versions into the file"
    )
    existing: ExistingFile = "number"

    def check(self) -> Iterator[Problem]:
        yield from _target_problems(Path(self.path), Image.suffixes)

    def run(self, image: Image | Mask, provenance: str) -> Path:
        from sdgraph.media import (
            write_image,  # imported here because checks and plans write nothing
        )

        path = Path(self.path)
        note = provenance if self.metadata else None
        write_image(image.pil, path, provenance=note, quality=self.quality)
        return path


class SaveVideo(Node[Path]):
    """Saves a video as MP4 (H.264), WebM (VP9) or GIF, with the workflow which made it.

    Sound is saved with it, except in a GIF. The frames of a long video are made while it is
    saved, so that few of them are in memory.
    """

    category = "file"
    effect: ClassVar[bool] = True

    video: In[Video] = Field(description="the video to save")
    path: TargetFile = Field(description="the suffix is the format: .mp4, .webm or .gif")
    quality: int = Field(default=95, ge=1, le=100, description="100 is best; a GIF ignores it")
    metadata: bool = Field(
        default=True, description="write the workflow and the versions into the file"
    )
    existing: ExistingFile = "number"

    def check(self) -> Iterator[Problem]:
        yield from _target_problems(Path(self.path), Video.suffixes)

    def run(self, video: Video, provenance: str, progress: Progress) -> Path:
        from sdgraph.media import (
            write_video,  # imported here because checks and plans write nothing
        )

        path = Path(self.path)
        note = provenance if self.metadata else None
        on_frame = None if video.stream is None else progress
        write_video(video, path, provenance=note, quality=self.quality, progress=on_frame)
        return path


_LONGEST_NAME = 255
"""In bytes, on nearly every file system."""


def _target_problems(path: Path, suffixes: tuple[str, ...]) -> Iterator[Problem]:
    """The problems of an output path that are visible before anything is written."""
    if path.suffix.lower() not in suffixes:
        found = f"{path.name}, whose suffix is {path.suffix or 'missing'}"
        yield Problem("path", found, f"a name that ends in {', '.join(suffixes)}")
    if is_folder(path):
        yield Problem("path", f"{path}, which is a folder", "the name of a file")
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        found = f"{path.name[:60]}…, a name that is too long for a file"
        yield Problem("path", found, f"a name of at most {_LONGEST_NAME} bytes", "shorten it")
    folder = next(parent for parent in path.absolute().parents if is_there(parent))
    if not is_folder(folder):
        yield Problem("path", f"{path}, where {folder} is a file", "a path through folders")
    elif not os.access(folder, os.W_OK | os.X_OK):
        found = f"{path}, where {folder} may not be written"
        yield Problem("path", found, "a folder that may be written", "choose another folder")
