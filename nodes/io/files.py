"""Loads and saves pictures and videos."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sdgraph.errors import MediaError, Problem
from sdgraph.files import is_folder, is_there
from sdgraph.graph import ExistingFile, In, Node, SourceFile, TargetFile
from sdgraph.media import (
    estimate_frames,
    has_several_frames,
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
    """The problem of a node whose `path` cannot be opened as a picture; reads only its header."""
    try:
        probe_image(path)
    except MediaError as error:
        yield from error.as_problems_of("path", "a picture that can be opened")


class LoadImage(Node[Image]):
    """Loads a picture as 8-bit RGB or RGBA, rotated as its EXIF data says."""

    category = "file"

    path: SourceFile = Field(description="a PNG, JPEG, WebP, TIFF, BMP or GIF file")

    def check(self) -> Iterator[Problem]:
        yield from image_problems(self.path)

    def warnings(self) -> Iterator[Problem]:
        if has_several_frames(Path(self.path)):
            found = f"{self.path}, a file of several pictures, of which only the first is loaded"
            yield Problem("path", found, fix="LoadVideo loads the frames of an animation")

    def size_source(self) -> object:
        return self.path

    def run(self) -> Image:
        return Image.from_pil(read_image(self.path))


class LoadVideo(Node[Video]):
    """Loads a video: MP4, WebM, MKV, MOV, AVI and others, and animated GIF, WebP and PNG.

    Each frame is taken at the time at which it is shown.
    """

    category = "file"

    path: SourceFile = Field(description="a video file")
    start: float = Field(default=0.0, ge=0, le=1e6, description="seconds to skip at the start")
    seconds: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="the length to load in seconds; the rest of the video if not given",
    )
    fps: float | None = Field(
        default=None,
        gt=0,
        le=240,
        description="frames per second, by dropping or repeating some; the file's average if not "
        "given",
    )
    longest: int | None = Field(
        default=None,
        ge=1,
        le=16_384,
        description="shrinks the longer side to this number of pixels",
    )

    def check(self) -> Iterator[Problem]:
        try:
            probe_video(self.path)
        except MediaError as error:
            yield from error.as_problems_of("path", "a video that can be opened")

    def frame_range(self) -> tuple[int, int] | None:
        count = estimate_frames(
            Path(self.path), start=self.start, seconds=self.seconds, fps=self.fps
        )
        if count is None:
            return None
        slack = 1 + count // 50  # time stamps are rounded, and frames need not be evenly spaced
        return max(1, count - slack), count + slack

    def run(self) -> Video:
        return read_video(
            self.path, start=self.start, seconds=self.seconds, fps=self.fps, longest=self.longest
        )


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
        path = Path(self.path)
        note = provenance if self.metadata else None
        write_image(image.pil, path, provenance=note, quality=self.quality)
        return path


class SaveVideo(Node[Path]):
    """Saves a video as MP4 (H.264), WebM (VP9) or GIF, with the workflow which made it."""

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

    def run(self, video: Video, provenance: str) -> Path:
        path = Path(self.path)
        note = provenance if self.metadata else None
        write_video(video, path, provenance=note, quality=self.quality)
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
