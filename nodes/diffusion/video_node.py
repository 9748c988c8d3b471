"""The base of the nodes that generate videos: their length, frame rate and size, and their run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import Progress, refuse
from sdgraph.models import Models, quiet_libraries, resolve
from sdgraph.nodes.diffusion.pipelines.pipeline_io import random_generator, sound_of, to_pixels
from sdgraph.nodes.diffusion.pipelines.pipeline_settings import step_callback, with_size
from sdgraph.values import Checkpoint, Video

from .families import Purpose, VideoSettings
from .node import Diffusion

_MAX_FRAMES = 10_000
"""The largest number of frames of a video."""

_WANTED, _SHORTER = f"at most {_MAX_FRAMES}", "make it shorter, or lower fps"

_BOUNDARY = "boundary_ratio"
"""The setting in a model index that says at which noise the second denoiser takes over."""


class VideoDiffusion(Diffusion[Video]):
    """The base class of nodes that generate videos."""

    purposes: ClassVar[tuple[Purpose, ...]] = ("text-to-video", "image-to-video")

    fps: float | None = Field(
        default=None, gt=0, le=240, description="frames per second; the checkpoint's usual"
    )
    width: int | None = Field(
        default=None,
        ge=16,
        le=4096,
        description="pixels; the checkpoint's native size if not given",
    )
    height: int | None = Field(
        default=None,
        ge=16,
        le=4096,
        description="pixels; the checkpoint's native size if not given",
    )
    guidance_2: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="for the second denoiser of Wan 2.2, at low noise; the same as guidance",
    )

    @property
    def chosen_fps(self) -> float:
        """Frames per second: as given, or the usual number of the checkpoint."""
        return self.settings.fps if self.fps is None else self.fps

    @property
    def settings(self) -> VideoSettings:
        """The videos that pipelines of its family make."""
        settings = self.family.video_for(self.known_checkpoint)
        assert settings is not None, "a family that makes videos says which"
        return settings

    def chosen_size(self) -> tuple[int, int] | None:
        """The width and height of the video, where they are known before the run."""
        width, height = self.family.native_size(self.known_checkpoint)
        return self.width or width, self.height or height

    def chosen_fields(self) -> Mapping[str, object]:
        chosen: dict[str, object] = dict(super().chosen_fields())
        if self.fps is None:
            chosen["fps"] = self.chosen_fps
        size = self.chosen_size()
        for name, side in zip(("width", "height"), size or (), strict=False):
            if getattr(self, name) is None:
                chosen[name] = side
        return chosen

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        checkpoint = self.checkpoint
        if not isinstance(checkpoint, Checkpoint) or self.family.video is None:
            return
        counts = self.frame_range()
        if counts is not None:
            yield from self._frame_problems(*counts)
        size, native = self.chosen_size(), self.family.native_size(checkpoint)
        if self.settings.only_size and size is not None and size != native:
            yield _size_problem(checkpoint, size, native)
        index = resolve(checkpoint).index
        if self.guidance_2 is not None and index is not None and index.get(_BOUNDARY) is None:
            found = f"{self.guidance_2:g} for {checkpoint.source}, which has one denoiser"
            wanted = "none: only Wan 2.2 with two transformers reads it"
            yield Problem("guidance_2", found, wanted, "leave it out, and set guidance")

    def _frame_problems(self, fewest: int, count: int) -> Iterator[Problem]:
        """The problem of more frames than the checkpoint can make.

        Args:
            fewest: The fewest frames of the video.
            count: The most.
        """
        most = self.settings.max_frames
        if most and fewest > most:
            found = f"{count} frames"
            wanted = f"at most {most}, for which the {self.settings.frames_by} has positions"
            yield Problem(self.length_field(), found, wanted, "make it shorter")

    def length_field(self) -> str:
        """The field that decides on the number of frames."""
        return "frames"

    def warnings(self) -> Iterator[Problem]:
        """A second scale that has no effect, besides the warnings of all diffusion nodes."""
        yield from super().warnings()
        if self.guidance_2 is None or not isinstance(self.checkpoint, Checkpoint):
            return
        if not self.is_guided:
            found = f"{self.guidance_2:g} with guidance {self.chosen_guidance:g}, so without effect"
            wanted = f"guidance above {self.family.guidance.none_up_to:g}"
            yield Problem("guidance_2", found, wanted, "raise guidance, or leave it out")

    def generate_video(
        self,
        models: Models,
        checkpoint: Checkpoint,
        progress: Progress,
        *,
        prompt: str,
        negative_prompt: str,
        **call: Any,
    ) -> Video:
        """Runs the pipeline for its task.

        Args:
            models: The leased components.
            checkpoint: The checkpoint of the components.
            progress: Called after each step.
            prompt: What the video shows.
            negative_prompt: What it must not show.
            call: Further arguments of the pipeline's call, among them the size.

        Raises:
            InvalidValueError: The checkpoint cannot make the size, or the video has NaN in it.
        """
        given = call.get("num_frames") or len(call.get("video") or ())
        for problem in self._frame_problems(given, given):
            raise InvalidValueError(problem)
        size, native = (call["width"], call["height"]), self.family.native_size(checkpoint)
        if self.settings.only_size and size != native:
            raise InvalidValueError(_size_problem(checkpoint, size, native))
        pipe = self.assemble(models, checkpoint)
        if self.guidance_2 is not None:
            call["guidance_scale_2"] = self.guidance_2
        if self.settings.fps_argument:
            call.setdefault(self.settings.fps_argument, self.chosen_fps)
        call = with_size(pipe, self.family, self.task(), call)
        with quiet_libraries(), self.prepare(pipe, models):
            output = pipe(
                **self.embed_prompts(pipe, models, prompt, negative_prompt, call.get("image")),
                num_inference_steps=self.chosen_steps,
                **self.guidance_arguments(),
                generator=random_generator(self.seed),
                output_type="np",
                **step_callback(pipe, progress),
                **self.family.call_options(self.chosen_steps),
                **call,
            )
        sound = sound_of(output, pipe)
        return Video(to_pixels(output.frames[0]), self.chosen_fps, **sound)


def _size_problem(
    checkpoint: Checkpoint, size: tuple[int, int], native: tuple[int, int]
) -> Problem:
    """The problem of a width and height that a checkpoint with one size cannot make."""
    found = f"{size[0]}×{size[1]} for {checkpoint.source}"
    wanted = f"{native[0]}×{native[1]}, the only size that it can make"
    return Problem("width", found, wanted, f"set width {native[0]} and height {native[1]}")


class VideoOfAnyLength(VideoDiffusion):
    """The base class of nodes whose video has the length that is asked for."""

    frames: int | None = Field(
        default=None,
        ge=1,
        le=_MAX_FRAMES,
        description="how many; the checkpoint's usual number",
    )
    seconds: float | None = Field(
        default=None, gt=0, le=600, description="the length in seconds, instead of `frames`"
    )

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.frames is not None and self.seconds is not None:
            fix = "leave one of the two out"
            if self.fps is not None:
                fix = f"{self.seconds:g} s are {round(self.seconds * self.fps) + 1} frames"
            found = "both frames and seconds"
            raise refuse("seconds", found=found, wanted="one of the two", fix=fix)
        if self.seconds is not None and self.fps is not None:
            count = round(self.seconds * self.fps) + 1
            if count > _MAX_FRAMES:
                raise refuse("seconds", found=f"{count} frames", wanted=_WANTED, fix=_SHORTER)
        return self

    def chosen_fields(self) -> Mapping[str, object]:
        chosen: dict[str, object] = dict(super().chosen_fields())
        if self.frames is None:
            chosen["frames"] = self.batch_size()
        return chosen

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        if not isinstance(self.checkpoint, Checkpoint) or self.family.video is None:
            return
        count, settings = self.batch_size(), self.settings
        if count > _MAX_FRAMES:
            yield Problem("seconds", f"{count} frames", _WANTED, _SHORTER)
        elif (nearest := settings.nearest_frames(count)) != count:
            wanted = f"a multiple of {settings.frame_step}, plus 1"
            yield Problem("frames", f"{count} frames", wanted, f"for example {nearest}")

    def frame_range(self) -> tuple[int, int] | None:
        if not isinstance(self.checkpoint, Checkpoint):
            return None
        return self.batch_size(), self.batch_size()

    def length_field(self) -> str:
        return "frames" if self.seconds is None else "seconds"

    def batch_size(self) -> int:
        if self.frames is not None:
            return self.frames
        if self.seconds is None:
            return self.settings.frames
        return self.settings.nearest_frames(self.seconds * self.chosen_fps + 1)
