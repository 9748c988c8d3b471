"""Loads pictures and videos from files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sdgraph import media  # its names are imported when they are first used
from sdgraph.errors import MediaError, Problem
from sdgraph.graph import Node, SourceFile
from sdgraph.values import Image, Video

__all__ = ["LoadImage", "LoadVideo"]


def image_problems(path: str | Path) -> Iterator[Problem]:
    """The problem of a node whose `path` cannot be opened as a picture; reads only its header."""
    try:
        media.probe_image(path)
    except MediaError as error:
        yield from error.as_problems_of("path", "a picture that can be opened")


class LoadImage(Node[Image]):
    """Loads a picture as 8-bit RGB or RGBA, rotated as its EXIF data says."""

    category = "file"

    path: SourceFile = Field(description="a PNG, JPEG, WebP, TIFF, BMP or GIF file")

    def check(self) -> Iterator[Problem]:
        yield from image_problems(self.path)

    def warnings(self) -> Iterator[Problem]:
        if media.has_several_frames(Path(self.path)):
            found = f"{self.path}, a file of several pictures, of which only the first is loaded"
            yield Problem("path", found, fix="LoadVideo loads the frames of an animation")

    def size_source(self) -> object:
        return self.path

    def run(self) -> Image:
        return Image.from_pil(media.read_image(self.path))


class LoadVideo(Node[Video]):
    """Loads a video: MP4, WebM, MKV, MOV, AVI and others, and animated GIF, WebP and PNG.

    Each frame is taken at the time at which it is shown. The sound comes with the frames. Of a long
    video, frames are read when they are needed, so that few of them are in memory.
    """

    category = "file"
    version: ClassVar[int] = 2  # with sound

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
            media.probe_video(self.path)
        except MediaError as error:
            yield from error.as_problems_of("path", "a video that can be opened")

    def frame_range(self) -> tuple[int, int] | None:
        count = media.estimate_frames(
            Path(self.path), start=self.start, seconds=self.seconds, fps=self.fps
        )
        if count is None:
            return None
        slack = 1 + count // 50  # time stamps are rounded, and frames need not be evenly spaced
        return max(1, count - slack), count + slack

    def run(self) -> Video:
        return media.load_video(
            self.path, start=self.start, seconds=self.seconds, fps=self.fps, longest=self.longest
        )
