"""Generates videos from videos and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import Models
from sdgraph.nodes.diffusion.pipelines.video_conditions import (
    fitting_size,
    frame_counts,
    pictures_of,
    with_sound_of,
)
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
        return fitting_size(size, multiple, self.width, self.height)

    def chosen_size(self) -> tuple[int, int] | None:
        return known_size(self)

    def chosen_fields(self) -> Mapping[str, object]:
        own = super().chosen_fields()
        return {name: value for name, value in own.items() if name != "fps"}

    def frame_range(self) -> tuple[int, int] | None:
        if not isinstance(self.checkpoint, Checkpoint):
            return None
        counts, most_frames = frame_counts(self.video), self.settings.most_frames
        return None if counts is None else (most_frames(counts[0]), most_frames(counts[1]))

    def length_field(self) -> str:
        return "video"

    def batch_size(self) -> int:
        counts = self.frame_range()
        return self.settings.frames if counts is None else counts[1]

    def warnings(self) -> Iterator[Problem]:
        """Frames that are left out, besides the warnings of all diffusion nodes."""
        yield from super().warnings()
        if isinstance(self.video, Video) and isinstance(self.checkpoint, Checkpoint):
            yield from self.settings.left_out_warnings("video", len(self.video))

    def run(
        self,
        video: Video,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Video:
        width, height = self.output_size(video.size)
        frames = pictures_of(video, self.settings.most_frames(len(video)), video.size)
        rate, rate_argument = self.fps or video.fps, self.settings.fps_argument
        made = self.generate_video(
            models,
            checkpoint,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            width=width,
            height=height,
            **self.settings.video_arguments(frames, self.strength),
            **({rate_argument: rate} if rate_argument else {}),
        )
        return with_sound_of(video, made, rate)
