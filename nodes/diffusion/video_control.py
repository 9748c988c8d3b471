"""Generates videos that follow another video, are painted by masks, or show what pictures show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph import values
from sdgraph.errors import Problem
from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models
from sdgraph.nodes.diffusion.pipelines.video_conditions import (
    fitting_size,
    frame_counts,
    length_problems,
    masks_of,
    paint_frames,
    pictures_of,
    refuse_other_shapes,
    with_sound_of,
)
from sdgraph.nodes.image.known_size import known_size, size_problems
from sdgraph.values import Checkpoint, Image, Video

from .families import Task, families_for, family_of
from .video_node import VideoOfAnyLength

__all__ = ["VideoControl"]


class VideoControl(VideoOfAnyLength):
    """A video that follows another one, is painted by a mask, or shows what pictures show.

    `control` is followed frame by frame: edges, depth or poses, as Canny, DepthEstimate and
    PoseEstimate make them between Frames and VideoFromFrames. With `video` and `mask` only what
    the mask marks is painted, after `control` if it is given too; the rest stays about as it is.
    `reference` shows what people and things look like (Wan VACE, Jiang et al. 2025).

    CogVideoX Fun follows `control` alone, and so does LTX-2 with a LoRA for the kind of control.
    """

    wire_advice: ClassVar[Mapping[str, tuple[type, str]]] = dict.fromkeys(
        ("control", "video"), (Image, "make a video of the frames by VideoFromFrames")
    )

    control: In[Video] | None = Field(
        default=None, description="what to follow: a video of edges, depth, poses …"
    )
    video: In[Video] | None = Field(
        default=None, description="with mask: the video that is painted where the mask is white"
    )
    mask: In[values.Mask | Video] | None = Field(
        default=None,
        description="with video: where to paint, in all frames, or a video with a mask for each",
    )
    reference: In[Image] | Sequence[In[Image]] | None = Field(
        default=None, description="what the subjects look like: a picture, or several"
    )
    scale: float = Field(
        default=1.0, ge=0, le=10, description="how strongly control, video and reference count"
    )
    checkpoint: In[Checkpoint] = Field(
        description="one that follows videos, such as Wan-AI/Wan2.1-VACE-1.3B-diffusers"
    )

    @model_validator(mode="after")
    def _conditions_fit_together(self) -> Self:
        if isinstance(self.reference, list | tuple) and not self.reference:
            raise refuse("reference", found="an empty list", wanted="at least one picture")
        if self.control is None and self.video is None and self.reference is None:
            wanted = "a video to follow, a video and a mask, or a picture of the subject"
            fix = "Text2Video makes one of words alone"
            raise refuse("control", found="none", wanted=wanted, fix=fix)
        if self.mask is None and self.video is not None:
            fix = "add `mask:`; give it as `control:` to follow it, or take Video2Video"
            raise refuse("video", found="a video without a mask", wanted="both", fix=fix)
        if self.video is None and self.mask is not None:
            fix = "add `video:`, whose masked part is painted"
            raise refuse("mask", found="a mask without a video", wanted="both", fix=fix)
        for name in ("frames", "seconds"):
            if self._source() is not None and getattr(self, name) is not None:
                found = f"{getattr(self, name):g} for a video that has a length"
                fix = "leave it out; LoadVideo cuts a video by `seconds`"
                raise refuse(name, found=found, wanted="none", fix=fix)
        return self

    def task(self) -> Task:
        return "video-control"

    def _source(self) -> In[Video] | None:
        """The video whose size, length and rate the result has; None with pictures alone."""
        return self.control if self.video is None else self.video

    def _references(self) -> Sequence[object]:
        if self.reference is None:
            return ()
        return self.reference if isinstance(self.reference, list | tuple) else (self.reference,)

    def size_source(self) -> object:
        source = self._source()
        sides = self.width, self.height
        return sides if source is None or all(sides) else source

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        if self._source() is None or not isinstance(self.checkpoint, Checkpoint):
            return size
        multiple = self.family.size_multiple(self.checkpoint)
        return fitting_size(size, multiple, self.width, self.height)

    def chosen_size(self) -> tuple[int, int] | None:
        return super().chosen_size() if self._source() is None else known_size(self)

    def chosen_fields(self) -> Mapping[str, object]:
        own = super().chosen_fields()
        of_source = () if self._source() is None else ("fps", "frames")
        return {name: value for name, value in own.items() if name not in of_source}

    def frame_range(self) -> tuple[int, int] | None:
        source = self._source()
        if source is None or not isinstance(self.checkpoint, Checkpoint):
            return super().frame_range() if source is None else None
        counts, most_frames = frame_counts(source), self.settings.most_frames
        return None if counts is None else (most_frames(counts[0]), most_frames(counts[1]))

    def length_field(self) -> str:
        if self._source() is None:
            return super().length_field()
        return "control" if self.video is None else "video"

    def batch_size(self) -> int:
        if self._source() is None:
            return super().batch_size()
        counts = self.frame_range()
        return self.settings.frames if counts is None else counts[1]

    def reference_area(self) -> int:
        """Each picture is a further frame of latents, of which the others have a share."""
        width, height = self.planned_size() or self.family.native_size(self.known_checkpoint)
        latent_frames = self.settings.latent_frames(self.batch_size())
        of_control = width * height if self.settings.control.adds_tokens else 0
        return of_control + len(self._references()) * width * height // latent_frames

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        fields = {"video": self.video, "control": self.control, "mask": self.mask}
        yield from size_problems(*((name, name, each) for name, each in fields.items()))
        yield from length_problems(fields)
        checkpoint = self.checkpoint
        family = family_of(checkpoint) if isinstance(checkpoint, Checkpoint) else None
        if family is None or self.task() not in family.pipelines:
            return
        assert family.video is not None, "a family that follows videos makes them"
        settings, most = family.video.control, family.video.control.max_scale
        if not settings.takes_masks:
            yield from self._unused_problems(family.label)
        if self.scale > most if most else self.scale != 1:
            found, wanted = f"{self.scale:g} for {family.label}", f"at most {most:g}"
            yield Problem("scale", found, wanted if most else "1", "leave it out")

    def _unused_problems(self, label: str) -> Iterator[Problem]:
        """The problems of fields that a family does not take which follows `control` alone."""
        others = [
            each.label
            for each in families_for(self.task())
            if each.video is not None and each.video.control.takes_masks
        ]
        fix = f"leave it out, or take {' or '.join(others)}"
        for name in ("video", "mask", "reference"):
            if getattr(self, name) is not None:
                yield Problem(name, f"one for {label}", "`control` alone", fix)
        if self.control is None:
            yield Problem("control", f"none for {label}", "a video to follow")

    def warnings(self) -> Iterator[Problem]:
        """Frames that are left out and LoRAs that are missing, besides those of all nodes."""
        yield from super().warnings()
        source, checkpoint = self._source(), self.checkpoint
        family = family_of(checkpoint) if isinstance(checkpoint, Checkpoint) else None
        if family is not None and family.video and family.video.control.by_lora and not self.loras:
            found = f"none for {family.label}, which follows no video by itself"
            wanted = "a LoRA for the kind of `control`, such as one for poses"
            yield Problem("loras", found, wanted, "add it to `loras`")
        if isinstance(source, Video) and isinstance(self.checkpoint, Checkpoint):
            yield from self.settings.left_out_warnings(self.length_field(), len(source))

    def run(
        self,
        control: Video | None,
        video: Video | None,
        mask: values.Mask | Video | None,
        reference: Image | tuple[Image, ...] | None,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Video:
        source = control if video is None else video
        if source is None:
            native = self.family.native_size(checkpoint)
            size, count = (self.width or native[0], self.height or native[1]), self.batch_size()
        else:
            refuse_other_shapes({"video": video, "control": control, "mask": mask})
            size, count = self.output_size(source.size), self.settings.most_frames(len(source))
        call = self._conditions(control, video, mask, size, count)
        if self.settings.control.takes_masks:
            pictures = reference if isinstance(reference, tuple) else (reference,)
            call["reference_images"] = [each.rgb for each in pictures if each] or None
            call |= {"conditioning_scale": self.scale, "num_frames": count}
        rate = self.chosen_fps if source is None else self.fps or source.fps
        if self.settings.fps_argument:
            call[self.settings.fps_argument] = rate
        made = self.generate_video(
            models,
            checkpoint,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            width=size[0],
            height=size[1],
            **call,
        )
        return made if source is None else with_sound_of(source, made, rate)

    def _conditions(
        self,
        control: Video | None,
        video: Video | None,
        mask: values.Mask | Video | None,
        size: tuple[int, int],
        count: int,
    ) -> dict[str, Any]:
        """The pipeline's arguments for the frames to follow, and for their masks."""
        arguments = self.settings.control.arguments
        controls = None if control is None else pictures_of(control, count, size)
        if video is None or mask is None:
            return {} if controls is None else dict(arguments(controls, self.scale))
        masks = masks_of(mask, count, size)
        frames = paint_frames(pictures_of(video, count, size), masks, controls)
        return {**arguments(frames, self.scale), "mask": masks}
