"""Makes pictures like other pictures by an image encoder next to the text encoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress, Stage
from sdgraph.models import Models
from sdgraph.nodes.diffusion.tuning.working_memory import complete_size
from sdgraph.values import Checkpoint, Image, Part

from .families import FEATURE_EXTRACTOR, ModelFamily, Task, family_of, pipeline_class_of
from .node import Diffusion
from .picture_fields import chosen_sides, refuse_empty_list

__all__ = ["Variation"]

_PREFIX = "redux_"
"""What the names of the components of Redux begin with among those of the node."""
_ENCODER, _EMBEDDER = "image_encoder", "image_embedder"
_TOKENS, _MAX_WORDS = 729, 512
"""The tokens that a picture adds to those of the prompt, and the number of those."""
_PIXELS_OF_TOKEN = 16**2


class Variation(Diffusion[Image]):
    """A picture like another one, or several: its subjects and style in a new composition.

    For FLUX.1 the pictures are read by FLUX.1 Redux, whose features join those of the prompt;
    without a prompt no text encoder is loaded. Stable Diffusion Image Variation reads a picture
    itself, and no words.
    """

    image: In[Image] | Sequence[In[Image]] = Field(
        description="the picture that the result is like, or several, which are mixed"
    )
    prompt: In[str] = Field(default="", description="what else the picture shows; may be empty")
    checkpoint: In[Checkpoint] = Field(
        description="FLUX.1, such as black-forest-labs/FLUX.1-dev, or one that reads a picture "
        "itself, such as lambdalabs/sd-image-variations-diffusers"
    )
    redux: In[Checkpoint] | None = Field(
        default=None,
        description="what reads the picture for FLUX.1: black-forest-labs/FLUX.1-Redux-dev",
    )
    width: int | None = Field(
        default=None,
        ge=64,
        le=8192,
        description="pixels; the checkpoint's native size if not given",
    )
    height: int | None = Field(
        default=None,
        ge=64,
        le=8192,
        description="pixels; the checkpoint's native size if not given",
    )

    @model_validator(mode="after")
    def _some_picture(self) -> Self:
        refuse_empty_list("image", self.image)
        return self

    def task(self) -> Task:
        return "variation"

    def size_source(self) -> object:
        return self.width, self.height

    def planned_size(self) -> tuple[int, int] | None:
        native = self.family.native_size(self.known_checkpoint)
        return complete_size(self.size_source(), native)

    def chosen_fields(self) -> Mapping[str, object]:
        sides = chosen_sides(self.family, self.known_checkpoint, self.width, self.height)
        return {**super().chosen_fields(), **sides}

    def reference_area(self) -> int:
        return _TOKENS * _PIXELS_OF_TOKEN if self.family.text_components else 0

    def parts(self) -> Mapping[str, Part]:
        parts = dict(super().parts())
        if self.prompt == "" and not self.loras:  # which may have layers for them
            for name in self.family.text_components:
                parts.pop(name, None)
        redux = self.redux
        if redux is None:
            return parts
        assert isinstance(redux, Checkpoint), "a node in this field was replaced by its result"
        redux = redux.in_dtype(self.known_checkpoint.dtype)
        for name in (_ENCODER, FEATURE_EXTRACTOR, _EMBEDDER):
            parts[f"{_PREFIX}{name}"] = self.make_part(redux, name)
        return parts

    def stages(self) -> Iterator[Stage]:
        if self.prompt and self.family.text_components:
            yield from super().stages()

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        family = family_of(self.checkpoint) if isinstance(self.checkpoint, Checkpoint) else None
        if family is not None and "variation" in family.pipelines:
            yield from self._reader_problems(family)
        class_name = pipeline_class_of(self.redux) if isinstance(self.redux, Checkpoint) else ""
        if class_name and class_name != "FluxPriorReduxPipeline":
            assert isinstance(self.redux, Checkpoint)
            found = f"{self.redux.source}, a {class_name} checkpoint"
            fix = "for example black-forest-labs/FLUX.1-Redux-dev"
            yield Problem("redux", found, "FLUX.1 Redux", fix)

    def _reader_problems(self, family: ModelFamily) -> Iterator[Problem]:
        """The problems of what reads the pictures, and of words that nothing reads."""
        if family.text_components:
            if self.redux is None:
                fix = "add `redux: black-forest-labs/FLUX.1-Redux-dev`"
                yield Problem("redux", f"none for {family.label}", "FLUX.1 Redux", fix)
            return
        label = f"{family.label}, which reads the picture itself"
        if self.redux is not None:
            yield Problem("redux", f"one for {label}", "none", "leave it out")
        for name in ("prompt", "negative_prompt"):
            if getattr(self, name):
                yield Problem(name, f"a text for {label}, and no words", "none", "leave it out")
        if isinstance(self.image, list | tuple) and len(self.image) > 1:
            found = f"{len(self.image)} pictures for {family.label}"
            yield Problem("image", found, "one picture", "take FLUX.1, which mixes several")

    def assemble(self, models: Models, checkpoint: Checkpoint, **more: Any) -> Any:
        return super().assemble(models.without(_PREFIX), checkpoint, **more)

    def embed_prompts(
        self,
        pipe: Any,
        models: Models,
        prompt: str,
        negative_prompt: str,
        pictures: Any = None,
    ) -> dict[str, Any]:
        """The features of the prompt and of the pictures, one after the other.

        There are none for a pipeline that reads the picture itself.
        """
        if not self.family.text_components:
            return {}
        import torch

        encoder, embedder = models[f"{_PREFIX}{_ENCODER}"], models[f"{_PREFIX}{_EMBEDDER}"]
        seen = models[f"{_PREFIX}{FEATURE_EXTRACTOR}"].preprocess(
            images=pictures, do_resize=True, return_tensors="pt", do_convert_rgb=True
        )
        with torch.no_grad():
            hidden = encoder(**seen.to(models.device, encoder.dtype)).last_hidden_state
            features = embedder(hidden).image_embeds
        if prompt:
            embedded = super().embed_prompts(pipe, models, prompt, negative_prompt)
            words, pooled = embedded["prompt_embeds"], embedded["pooled_prompt_embeds"]
        else:
            config = pipe.transformer.config
            words = features.new_zeros(1, _MAX_WORDS, config.joint_attention_dim)
            pooled = features.new_zeros(1, config.pooled_projection_dim)
        count = len(features)
        joined = torch.cat([words.expand(count, -1, -1), features], dim=1)
        return {
            "prompt_embeds": joined.sum(dim=0, keepdim=True),
            "pooled_prompt_embeds": pooled.expand(count, -1).sum(dim=0, keepdim=True),
        }

    def run(
        self,
        image: Image | tuple[Image, ...],
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        redux: Checkpoint | None,
        models: Models,
        progress: Progress,
    ) -> Image:
        pictures = [each.rgb for each in (image if isinstance(image, tuple) else (image,))]
        seen = {"seen": pictures} if self.family.text_components else {"image": pictures[0]}
        pixels = self.generate(
            self.assemble(models, checkpoint),
            models,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            **seen,
            width=self.width,
            height=self.height,
        )
        return Image(pixels)
