"""What every node over a diffusion pipeline shares: fields, parts, checks, and the run itself."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from inspect import signature
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node, Progress, Stage, refuse
from sdgraph.models import Models, quiet_libraries, resolve
from sdgraph.values import Checkpoint, Part

from . import compatibility, lora, prompt_embeddings, textual_inversion
from . import working_memory as working
from .families import MAX_TOKENS, PARTS, TEXT, UNCAST, Family, family_of
from .offloading import Offload, offloaded
from .performance import KNOBS, NO_TUNING, Tuning, tuned
from .schedulers import Scheduler, make_scheduler

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T_co = TypeVar("T_co", covariant=True)

_ABSENT = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
"""What these nodes do without."""

_OPTIONS = ("force_zeros_for_empty_prompt", "requires_aesthetics_score", *_ABSENT)
"""Settings of a pipeline beside its components, from the model index where it has them."""


class Diffusion(Node[T_co], Generic[T_co]):
    """The fields that all diffusion nodes have."""

    category: ClassVar[str] = "generate"
    families: ClassVar[tuple[Family, ...]] = ("sd", "xl")
    channels: ClassVar[tuple[int, ...]] = (4,)
    """How many input channels its U-Net may have: 4 latents, 9 for inpainting, 5 with depth."""

    prompt: In[str] = Field(description="what the picture shows")
    negative_prompt: In[str] = Field(
        default="", description="what it must not show; needs guidance > 1"
    )
    steps: int = Field(default=50, ge=1, le=1000, description="denoising steps")
    guidance: float = Field(
        default=7.5, ge=0, le=100, description="classifier-free guidance scale; up to 1 is none"
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="one seed, one picture; its low 32 bits count, as in torch",
    )
    scheduler: Scheduler | None = Field(
        default=None, description="by name; the checkpoint's own if unset"
    )
    offload: Offload = Field(
        default="none",
        description="keep weights in host memory, moved over by model, by block or by layer",
    )
    loras: Sequence[lora.Adapter] = Field(
        default=(),
        description="adapters put on for this node: a folder, a file or a hub id each, with scale",
    )
    embeddings: Sequence[lora.Adapter] = Field(
        default=(),
        description="textual inversions, whose words the prompts may have: a file or a hub id each",
    )
    tuning: Tuning = Field(
        default=NO_TUNING,
        description=f"knobs of speed and memory: {', '.join(KNOBS)}",
    )

    if TYPE_CHECKING:
        checkpoint: In[Checkpoint]

    @model_validator(mode="after")
    def _some_step_is_left(self) -> Self:
        strength = self.part_of_steps()
        if strength is not None and int(self.steps * strength) < 1:
            raise refuse(
                "strength",
                found=f"strength {strength:g} of {self.steps} steps, which leaves none",
                wanted="strength × steps of at least 1",
                fix=f"raise strength to {ceil(100 / self.steps) / 100:g} or more",
            )
        return self

    def part_of_steps(self) -> float | None:
        """The share of the steps that is run, where the node starts from a picture."""
        return getattr(self, "strength", None)

    def parts(self) -> Mapping[str, Part]:
        """The components of the checkpoint that pipelines of its family compute with."""
        checkpoint = self.checkpoint
        assert isinstance(checkpoint, Checkpoint), "a checkpoint from a node is put in before"
        names = PARTS[family_of(checkpoint) or self.families[0]]
        own = {name: self.part(checkpoint, name) for name in names}
        return {**own, **lora.parts(self.loras), **textual_inversion.parts(self.embeddings)}

    def stages(self) -> Iterator[Stage]:
        """The embedding of its prompts, where neither comes from a node or hangs on an adapter."""
        prompt, negative, checkpoint = self.prompt, self.negative_prompt, self.checkpoint
        if (
            self.loras
            or self.embeddings
            or not (isinstance(prompt, str) and isinstance(negative, str))
        ):
            return
        assert isinstance(checkpoint, Checkpoint), "a checkpoint from a node is put in before"
        texts = tuple(name for name in self.parts() if name.startswith(TEXT))
        yield prompt_embeddings.stage(prompt, negative, checkpoint, texts, guided=self.guidance > 1)

    def embedded(
        self, pipe: Any, models: Models, prompt: str, negative_prompt: str
    ) -> dict[str, Any]:
        """What a prepared pipeline is called with instead of the prompts."""
        guided = self.guidance > 1
        vectors = textual_inversion.loaded(models)
        return prompt_embeddings.embeddings(
            pipe, models, prompt, negative_prompt, guided=guided, vectors=vectors
        )

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        """To denoise or to decode, at the size that can be told before the run."""
        checkpoint = self.checkpoint
        assert isinstance(checkpoint, Checkpoint), "a checkpoint from a node is put in before"
        return working.visiting(self.offload, sizes) + working.generating(
            checkpoint,
            dtype,
            self.told_size(),
            images=self.at_once(),
            guided=self.guidance > 1,
            vae=self.tuning.get("vae"),
            controlled=any(name.startswith("controlnet_") for name in sizes),
        )

    def told_size(self) -> tuple[int, int] | None:
        """The width and height that it works at, as far as they can be told before the run."""
        return working.told_size(self)

    def at_once(self) -> int:
        """How many pictures it makes together."""
        return 1

    def low_memory_variants(self) -> Iterator[tuple[str, Self]]:
        """Its autoencoder in slices and tiles; then weights moved over in groups as well."""
        found = self
        if self.tuning.get("vae") != "both":
            found = self.replace(tuning={**self.tuning, "vae": "both"})
            yield "the autoencoder works by slices and tiles", found
        if self.offload in ("none", "model"):
            yield "weights stay on the host and move by groups", found.replace(offload="group")

    def part(self, checkpoint: Checkpoint, folder: str = "") -> Part:
        """A part placed as `offload` asks, a U-Net in the dtype that `tuning` keeps it in."""
        on_host = self.offload != "none"
        if folder == "unet":
            casting = self.tuning.get("layerwise_casting")
            uncast = UNCAST[family_of(checkpoint) or self.families[0]]
            return Part(
                checkpoint,
                folder,
                on_host=on_host,
                casting=casting,
                uncast_layers=uncast,
                quantized=True,
            )
        max_tokens = MAX_TOKENS if folder.startswith("tokenizer") else None
        return Part(checkpoint, folder, on_host=on_host, max_tokens=max_tokens)

    def check(self) -> Iterator[Problem]:
        """Whether the checkpoint is of a kind this node can use; read from its configs."""
        yield from compatibility.problems(self)

    def assemble(self, pipeline: str, models: Models, checkpoint: Checkpoint, **more: Any) -> Any:
        """A diffusers pipeline made from leased components and a fresh scheduler.

        Takes under a millisecond, and is thrown away after the run.
        """
        import diffusers

        with quiet_libraries():
            cls = getattr(diffusers, pipeline)
        takes = _parameters(cls)
        settings = {**(resolve(checkpoint).index or {}), **_ABSENT}
        options = {name: settings[name] for name in _OPTIONS if name in takes and name in settings}
        scheduler = make_scheduler(checkpoint, self.scheduler)
        # Those of a remembered embedding are not loaded.
        names = PARTS[family_of(checkpoint) or "sd"]
        given = {
            **dict.fromkeys(names),
            **models.without(lora.PREFIX).without(textual_inversion.PREFIX),
        }
        with quiet_libraries():
            made = cls(**{**options, **given, "scheduler": scheduler, **more})
        made.set_progress_bar_config(disable=True)
        return made

    @contextmanager
    def prepared(self, pipe: Any, models: Models) -> Iterator[None]:
        """The pipeline with adapters, knobs and offloading; its modules are left as they were."""
        with (
            lora.put_on(pipe, self.loras, models),
            tuned(pipe, self.tuning, models.device),
            self.offloaded(pipe, models),
        ):
            yield

    def offloaded(self, pipe: Any, models: Models) -> AbstractContextManager[None]:
        """The pipeline with its modules moved to the device as `offload` asks, and back."""
        return offloaded(pipe, self.offload, models.device)

    def generate(
        self,
        pipe: Any,
        models: Models,
        progress: Progress,
        *,
        prompt: str,
        negative_prompt: str,
        **call: Any,
    ) -> npt.NDArray[np.uint8]:
        """The first picture a pipeline makes, as uint8 height × width × 3; the seed is ours."""

        def stepped(pipeline: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            progress(step + 1, pipeline.num_timesteps)
            return tensors

        with quiet_libraries(), self.prepared(pipe, models):
            made = pipe(
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                generator=generator(self.seed),
                callback_on_step_end=stepped,
                output_type="np",
                **self.embedded(pipe, models, prompt, negative_prompt),
                **call,
            )
        return to_pixels(made.images[0])


@cache
def _parameters(pipeline: type) -> Container[str]:
    """The names of what a pipeline is made of."""
    return frozenset(signature(pipeline).parameters)


def generator(seed: int) -> Any:
    """A fresh random generator; on the CPU, so a seed means the same on every device."""
    import torch

    return torch.Generator("cpu").manual_seed(seed)


def to_pixels(picture: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Floats 0..1 as uint8, rounded as diffusers does; NaN is refused."""
    import numpy as np

    if not np.isfinite(picture).all():
        found = "NaN from the network, which would be a black picture"
        fix = "its dtype is too narrow: set the checkpoint's dtype to bfloat16 or float32"
        raise InvalidValueError(Problem("checkpoint", found, "finite numbers", fix))
    return np.asarray((picture * 255).round().astype("uint8"))
