"""Pictures and videos from and to files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sdgraph.errors import MediaError, Problem
from sdgraph.graph import In, Node, SourceFile, TargetFile
from sdgraph.media import (
    probe_image,
    probe_video,
    read_image,
    read_video,
    write_image,
    write_video,
)
from sdgraph.values import Image, Mask, Video

__all__ = ["LoadImage", "LoadVideo", "Save", "SaveVideo"]


def image_problems(path: str | Path) -> Iterator[Problem]:
    """Why the file of a field `path` cannot be opened as a picture; reads its header alone."""
    try:
        probe_image(path)
    except MediaError as error:
        yield from error.as_problems_of("path", "a picture that can be opened")


class LoadImage(Node[Image]):
    """The picture in a file, turned as its EXIF says, as 8-bit RGB or RGBA."""

    category: ClassVar[str] = "file"

    path: SourceFile = Field(description="a PNG, JPEG, WebP, TIFF, BMP or GIF file")

    def check(self) -> Iterator[Problem]:
        yield from image_problems(self.path)

    def run(self) -> Image:
        return Image.from_pil(read_image(self.path))


class LoadVideo(Node[Video]):
    """The video in a file: MP4, WebM, GIF, or whatever else FFmpeg reads."""

    category: ClassVar[str] = "file"

    path: SourceFile = Field(description="a video file")
    start: float = Field(default=0.0, ge=0, le=1e6, description="seconds to leave out at the start")
    seconds: float | None = Field(
        default=None, gt=0, le=1e6, description="how much to take; the rest if not given"
    )
    fps: float | None = Field(
        default=None,
        gt=0,
        le=240,
        description="frames a second, dropped or repeated; the file's own if not given",
    )
    longest: int | None = Field(
        default=None, ge=1, le=16_384, description="pixels that the longer side is shrunk to"
    )

    def check(self) -> Iterator[Problem]:
        try:
            probe_video(self.path)
        except MediaError as error:
            yield from error.as_problems_of("path", "a video that can be opened")

    def run(self) -> Video:
        return read_video(
            self.path, start=self.start, seconds=self.seconds, fps=self.fps, longest=self.longest
        )


class Save(Node[Path]):
    """A picture or mask written to a file that carries the workflow which made it.

    The file appears whole or not at all, and replaces one of the same name.
    """

    category: ClassVar[str] = "file"
    effect: ClassVar[bool] = True

    image: In[Image | Mask] = Field(description="what to save")
    path: TargetFile = Field(
        description="the suffix chooses the format: .png, .jpg, .webp …; in a workflow file it may "
        "hold inputs: {seed:04d}_{prompt_slug}.png"
    )
    quality: int = Field(
        default=95, ge=1, le=100, description="for JPEG and WebP; 100 is lossless WebP"
    )
    metadata: bool = Field(default=True, description="put the workflow and versions into the file")

    def check(self) -> Iterator[Problem]:
        yield from _target_problems(Path(self.path), Image.suffixes)

    def run(self, image: Image | Mask, provenance: str) -> Path:
        path = Path(self.path)
        note = provenance if self.metadata else None
        write_image(image.pil, path, provenance=note, quality=self.quality)
        return path


class SaveVideo(Node[Path]):
    """A video written as MP4 (H.264), WebM (VP9) or GIF, with the workflow which made it."""

    category: ClassVar[str] = "file"
    effect: ClassVar[bool] = True

    video: In[Video] = Field(description="what to save")
    path: TargetFile = Field(description="the suffix chooses the format: .mp4, .webm or .gif")
    quality: int = Field(default=95, ge=1, le=100, description="100 is best; of no effect on a GIF")
    metadata: bool = Field(default=True, description="put the workflow and versions into the file")

    def check(self) -> Iterator[Problem]:
        yield from _target_problems(Path(self.path), Video.suffixes)

    def run(self, video: Video, provenance: str) -> Path:
        path = Path(self.path)
        note = provenance if self.metadata else None
        write_video(video, path, provenance=note, quality=self.quality)
        return path


def _target_problems(path: Path, suffixes: tuple[str, ...]) -> Iterator[Problem]:
    """What can be known to go wrong before there is anything to write."""
    if path.suffix.lower() not in suffixes:
        found = f"{path.name}, whose suffix is {path.suffix or 'missing'}"
        yield Problem("path", found, f"a name that ends in {', '.join(suffixes)}")
    if path.is_dir():
        yield Problem("path", f"{path}, which is a folder", "the name of a file")
    folder = next(each for each in path.absolute().parents if each.exists())
    if not folder.is_dir():
        yield Problem("path", f"{path}, where {folder} is a file", "a path through folders")
    elif not os.access(folder, os.W_OK | os.X_OK):
        found = f"{path}, where {folder} may not be written"
        yield Problem("path", found, "a folder that may be written", "choose another folder")
