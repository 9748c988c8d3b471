"""Changes pictures as an instruction says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import Models
from sdgraph.nodes.diffusion.tuning.working_memory import planned_size
from sdgraph.nodes.image.padding import Padding
from sdgraph.values import Checkpoint, Image

from .families import Purpose, Task, families_for, family_of
from .node import Diffusion
from .picture_fields import refuse_empty_list

__all__ = ["Edit"]


class Edit(Diffusion[Image]):
    """A picture changed as the prompt says, in its size (FLUX.1 Kontext, FLUX.2, Qwen-Image-Edit).

    InstructPix2Pix does too, with one picture and `image_guidance`.

    With several pictures, the result has the size of the first, and the prompt may speak of all:
    "the cat of image 1 in the room of image 2".
    """

    purposes: ClassVar[tuple[Purpose, ...]] = ("edit",)

    image: In[Image] | Sequence[In[Image]] = Field(
        description="the picture to change, or several that the prompt speaks of"
    )
    checkpoint: In[Checkpoint] = Field(
        description="one that edits by instruction, such as black-forest-labs/FLUX.1-Kontext-dev"
    )
    image_guidance: float | None = Field(
        default=None,
        ge=1,
        le=100,
        description="how closely the picture is followed, by InstructPix2Pix; 1.5 if not given",
    )

    @model_validator(mode="after")
    def _some_picture(self) -> Self:
        refuse_empty_list("image", self.image)
        return self

    def task(self) -> Task:
        return "edit"

    def size_source(self) -> object:
        return self.pictures()[0]

    def pictures(self) -> Sequence[object]:
        """The pictures that it edits, as values or nodes, in order."""
        return self.image if isinstance(self.image, list | tuple) else (self.image,)

    def prompt_pictures(self) -> Sequence[object]:
        return self.pictures() if self.family.prompt_encoding.pictures else ()

    def seen_pictures(self, arguments: Mapping[str, Any]) -> Any:
        if not self.prompt_pictures():
            return None
        return self._padded(arguments["image"], arguments["checkpoint"])[0]

    def _padded(self, image: Image | tuple[Image, ...], checkpoint: Checkpoint) -> Any:
        """The picture, or a list of several, as the pipelines read them, and its padding."""
        pictures = image if isinstance(image, tuple) else (image,)
        padding = Padding.of(pictures[0].size, self.family.size_multiple(checkpoint))
        # The pipelines read the others in any size of at least 64 × 64.
        others = [Padding.of(each.size, 1).pad(each.rgb) for each in pictures[1:]]
        padded = [padding.pad(pictures[0].rgb), *others]
        return padded if others else padded[0], padding

    def reference_area(self) -> int:
        family, native = self.family, self.family.native_size(self.known_checkpoint)
        if family.reference_area is None:
            return 0
        sizes = (planned_size(picture) or native for picture in self.pictures())
        return sum(family.reference_area(width * height) for width, height in sizes)

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        family = family_of(self.checkpoint) if isinstance(self.checkpoint, Checkpoint) else None
        count = len(self.pictures())
        if family is not None and "edit" in family.pipelines and count > family.max_pictures:
            found = f"{count} pictures for {family.label}"
            fix = "put them side by side with a Grid, or take a checkpoint that reads several"
            yield Problem("image", found, f"at most {family.max_pictures}", fix)
        if family is not None and self.image_guidance and not family.guidance.image_argument:
            labels = " and ".join(
                other.label for other in families_for("edit") if other.guidance.image_argument
            )
            found = f"{self.image_guidance:g} for {family.label}, which takes none"
            yield Problem("image_guidance", found, f"none; it is for {labels}", "leave it out")

    def warnings(self) -> Iterator[Problem]:
        """An `image_guidance` without effect, besides the warnings of all diffusion nodes."""
        yield from super().warnings()
        if self.image_guidance is None or not isinstance(self.checkpoint, Checkpoint):
            return
        if self.family.guidance.image_argument and not self.is_guided:
            found = f"{self.image_guidance:g} with guidance {self.chosen_guidance:g}"
            wanted = f"guidance above {self.family.guidance.none_up_to:g}"
            fix = "raise guidance, or leave it out: it has no effect"
            yield Problem("image_guidance", found, wanted, fix)

    def chosen_fields(self) -> Mapping[str, object]:
        chosen = dict(super().chosen_fields())
        if self.image_guidance is None and self.family.guidance.image_argument:
            chosen["image_guidance"] = self.family.guidance.image_scale
        return chosen

    def _image_guidance(self) -> dict[str, float]:
        """The argument of the pipeline for how closely the picture is followed, if it has one."""
        guidance = self.family.guidance
        if not guidance.image_argument:
            return {}
        given = self.image_guidance
        return {guidance.image_argument: guidance.image_scale if given is None else given}

    def run(
        self,
        image: Image | tuple[Image, ...],
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Image:
        pictures, padding = self._padded(image, checkpoint)
        width, height = padding.padded
        pixels = self.generate(
            self.assemble(models, checkpoint),
            models,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            image=pictures,
            **self.family.size_arguments((width, height)),
            **self._image_guidance(),
            **self.family.edit_options(width, height),
        )
        return Image(padding.cut(pixels))
