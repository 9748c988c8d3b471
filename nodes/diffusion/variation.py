"""Makes pictures like other pictures by an image encoder next to the text encoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress, Stage, refuse
from sdgraph.models import Models
from sdgraph.nodes.diffusion.tuning.working_memory import complete_size
from sdgraph.values import Checkpoint, Image, Part

from .families import FEATURE_EXTRACTOR, Task, pipeline_class_of
from .node import Diffusion

__all__ = ["Variation"]

_PREFIX = "redux_"
"""What the names of the components of Redux begin with among those of the node."""
_ENCODER, _EMBEDDER = "image_encoder", "image_embedder"
_TOKENS, _MAX_WORDS = 729, 512
"""The tokens that a picture adds to those of the prompt, and the number of those."""
_PIXELS_OF_TOKEN = 16**2


class Variation(Diffusion[Image]):
    """A picture like another one, or several: its subjects and style in a new composition.

    The pictures are read by FLUX.1 Redux, whose features join those of the prompt. Without a
    prompt no text encoder is loaded.
    """

    image: In[Image] | Sequence[In[Image]] = Field(
        description="the picture that the result is like, or several, which are mixed"
    )
    prompt: In[str] = Field(default="", description="what else the picture shows; may be empty")
    checkpoint: In[Checkpoint] = Field(description="FLUX.1, such as black-forest-labs/FLUX.1-dev")
    redux: In[Checkpoint] = Field(
        description="what reads the picture, such as black-forest-labs/FLUX.1-Redux-dev"
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
        if isinstance(self.image, list | tuple) and not self.image:
            raise refuse("image", found="an empty list", wanted="at least one picture")
        return self

    def task(self) -> Task:
        return "variation"

    def size_source(self) -> object:
        return self.width, self.height

    def planned_size(self) -> tuple[int, int] | None:
        native = self.family.native_size(self.known_checkpoint)
        return complete_size(self.size_source(), native)

    def chosen_fields(self) -> Mapping[str, object]:
        sides = self.family.sides(self.known_checkpoint, self.width, self.height)
        return {
            **super().chosen_fields(),
            **{name: side for name, side in sides.items() if side and not getattr(self, name)},
        }

    def reference_area(self) -> int:
        return _TOKENS * _PIXELS_OF_TOKEN

    def parts(self) -> Mapping[str, Part]:
        parts = dict(super().parts())
        if self.prompt == "" and not self.loras:  # which may have layers for them
            for name in self.family.text_components:
                parts.pop(name, None)
        redux = self.redux
        assert isinstance(redux, Checkpoint), "a node in this field was replaced by its result"
        redux = redux.in_dtype(self.known_checkpoint.dtype)
        for name in (_ENCODER, FEATURE_EXTRACTOR, _EMBEDDER):
            parts[f"{_PREFIX}{name}"] = self.make_part(redux, name)
        return parts

    def stages(self) -> Iterator[Stage]:
        if self.prompt:
            yield from super().stages()

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        class_name = pipeline_class_of(self.redux) if isinstance(self.redux, Checkpoint) else ""
        if class_name and class_name != "FluxPriorReduxPipeline":
            assert isinstance(self.redux, Checkpoint)
            found = f"{self.redux.source}, a {class_name} checkpoint"
            fix = "for example black-forest-labs/FLUX.1-Redux-dev"
            yield Problem("redux", found, "FLUX.1 Redux", fix)

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
        """The features of the prompt and of the pictures, one after the other."""
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
        redux: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Image:
        pictures = image if isinstance(image, tuple) else (image,)
        pixels = self.generate(
            self.assemble(models, checkpoint),
            models,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            seen=[picture.rgb for picture in pictures],
            width=self.width,
            height=self.height,
        )
        return Image(pixels)
