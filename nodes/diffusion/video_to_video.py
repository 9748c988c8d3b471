"""Generates videos from videos and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Node, Progress
from sdgraph.models import Models
from sdgraph.nodes.image.known_size import known_size
from sdgraph.values import Checkpoint, Video

from .families import Task
from .video_node import VideoDiffusion

__all__ = ["Video2Video"]


class Video2Video(VideoDiffusion):
    """A video from a video and a prompt, in its length and size (SDEdit, Meng et al. 2021).

    Where the checkpoint cannot make its length or its size, the last frames are left out, or the
    frames are stretched to the nearest size.
    """

    video: In[Video] = Field(description="the video to start from")
    strength: float = Field(
        default=0.8, ge=0, le=1, description="how much changes: 0 nothing, 1 all of it"
    )
    checkpoint: In[Checkpoint] = Field(
        description="one that starts from videos, such as Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
    )

    def task(self) -> Task:
        return "video-to-video"

    def size_source(self) -> object:
        return (self.width, self.height) if self.width and self.height else self.video

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        if not isinstance(self.checkpoint, Checkpoint):
            return size
        multiple = self.family.size_multiple(self.checkpoint)
        width, height = (max(1, round(side / multiple)) * multiple for side in size)
        return self.width or width, self.height or height

    def chosen_size(self) -> tuple[int, int] | None:
        return known_size(self)

    def chosen_fields(self) -> Mapping[str, object]:
        own = super().chosen_fields()
        return {name: value for name, value in own.items() if name != "fps"}

    def frame_range(self) -> tuple[int, int] | None:
        video = self.video
        if not isinstance(self.checkpoint, Checkpoint):
            return None
        if not isinstance(video, Node):
            return (self._count(len(video)),) * 2
        counts = video.frame_range()
        return None if counts is None else (self._count(counts[0]), self._count(counts[1]))

    def _count(self, frames: int) -> int:
        """The largest number of frames up to a number that the checkpoint can make."""
        step = self.settings.frame_step
        return max(1, (frames - 1) // step * step + 1)

    def batch_size(self) -> int:
        counts = self.frame_range()
        return self.settings.frames if counts is None else counts[1]

    def warnings(self) -> Iterator[Problem]:
        """Frames that are left out, besides the warnings of all diffusion nodes."""
        yield from super().warnings()
        if isinstance(self.video, Video) and isinstance(self.checkpoint, Checkpoint):
            count = len(self.video)
            if (left := count - self._count(count)) > 0:
                found = f"{count} frames, of which the last {left} are left out"
                wanted = f"a multiple of {self.settings.frame_step}, plus 1"
                yield Problem("video", found, wanted)

    def run(
        self,
        video: Video,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Video:
        import PIL.Image

        width, height = self.output_size(video.size)
        frames = np.asarray(video.frames)[: self._count(len(video))]
        made = self.generate_video(
            models,
            checkpoint,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            video=[PIL.Image.fromarray(frame) for frame in frames],
            strength=self.strength,
            width=width,
            height=height,
        )
        return Video(made.frames, self.fps or video.fps)
