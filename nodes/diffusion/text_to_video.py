"""Generates videos from words."""

from __future__ import annotations

from pydantic import Field

from sdgraph.graph import In, Progress
from sdgraph.models import Models
from sdgraph.values import Checkpoint, Video

from .families import Task
from .video_node import VideoOfAnyLength

__all__ = ["Text2Video"]


class Text2Video(VideoOfAnyLength):
    """A video from a prompt (ModelScope, Wang et al. 2023; Wan; LTX-Video).

    Its length is `frames`, or about `seconds` × `fps` + 1, as the checkpoint can make it.
    """

    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/text-to-video"), description="a text-to-video checkpoint"
    )

    def task(self) -> Task:
        return "text-to-video"

    def size_source(self) -> object:
        return self.width, self.height

    def run(
        self,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Video:
        width, height = self.family.native_size(checkpoint)
        return self.generate_video(
            models,
            checkpoint,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            num_frames=self.batch_size(),
            width=self.width or width,
            height=self.height or height,
        )
