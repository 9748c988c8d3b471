"""The base of diffusion nodes whose last steps may be those of a refiner.

The base model denoises for a share of the steps; its latents, still with noise, are denoised to the
end by the refiner, which was trained for little noise (Podell et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from pydantic import Field, model_validator

from sdgraph.errors import CheckpointError, Problem
from sdgraph.graph import In, Progress, Stage, refuse
from sdgraph.models import Models, quiet_libraries
from sdgraph.nodes.diffusion.pipelines.pipeline_io import random_generator, to_pixels
from sdgraph.nodes.diffusion.pipelines.pipeline_settings import make_pipeline, step_callback
from sdgraph.nodes.diffusion.prompts import prompt_embeddings
from sdgraph.nodes.diffusion.sampling.schedulers import make_scheduler
from sdgraph.nodes.diffusion.tuning import performance
from sdgraph.nodes.diffusion.tuning.working_memory import peak_bytes
from sdgraph.values import Checkpoint, Part

from . import node_stages
from .families import SCHEDULER, SDXL, ModelFamily, Task, family_of
from .reference_images import ReferenceGuided

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T_co = TypeVar("T_co", covariant=True)

_PREFIX = "refiner_"
"""What the names of the refiner's components begin with among those of the node."""

_USUAL_START = 0.8
_STAGE = "refiner_prompt"
_TASK: Task = "image-to-image"


class RefinedDiffusion(ReferenceGuided[T_co], Generic[T_co]):
    """A diffusion node whose last steps may be those of a refiner of SDXL."""

    refiner: In[Checkpoint] | None = Field(
        default=None,
        description="a refiner of SDXL, which does the last steps: "
        "stabilityai/stable-diffusion-xl-refiner-1.0",
    )
    refiner_start: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="with a refiner: the share of the steps before it; 0.8 if not given",
    )

    @model_validator(mode="after")
    def _a_start_has_a_refiner(self) -> Self:
        if self.refiner is None and self.refiner_start is not None:
            found, fix = "none, and refiner_start is set", "or leave out refiner_start"
            raise refuse("refiner", found=found, wanted="a refiner of SDXL", fix=fix)
        return self

    @property
    def known_refiner(self) -> Checkpoint | None:
        """The refiner as a value, in the dtype of the base; None if there is none."""
        if self.refiner is None:
            return None
        refiner = self.refiner
        assert isinstance(refiner, Checkpoint), "a node in this field was replaced by its result"
        return refiner.in_dtype(self.known_checkpoint.dtype)

    @property
    def chosen_start(self) -> float:
        """The share of the steps after which the refiner takes over."""
        return _USUAL_START if self.refiner_start is None else self.refiner_start

    def chosen_fields(self) -> Mapping[str, object]:
        chosen = super().chosen_fields()
        if self.refiner is None or self.refiner_start is not None:
            return chosen
        return {**chosen, "refiner_start": _USUAL_START}

    def parts(self) -> Mapping[str, Part]:
        parts = dict(super().parts())
        refiner, family = self.known_refiner, self.family
        if refiner is not None:
            for name in family.components_of(refiner, _TASK):
                parts[f"{_PREFIX}{name}"] = self.make_part(refiner, name, family=family)
        return parts

    def stages(self) -> Iterator[Stage]:
        refiner = self.known_refiner
        for stage in super().stages():
            yield stage
            if refiner is not None:
                yield prompt_embeddings.embedding_stage(
                    self.prompt,
                    self.negative_prompt,
                    refiner,
                    self.family,
                    guided=self.is_guided,
                    stage=_STAGE,
                    prefix=_PREFIX,
                    kernels=performance.chosen_kernels(self.tuning),
                )

    def run_stage(self, name: str, models: Models, arguments: Mapping[str, Any]) -> bytes:
        refiner = self.known_refiner
        if name != _STAGE or refiner is None:
            return super().run_stage(name, models, arguments)
        own = {n.removeprefix(_PREFIX): part for n, part in models.items()}
        models = replace(models, components=own)
        return node_stages.embed_alone(self, models, arguments, refiner, _TASK)

    def stage_memory(self, name: str, sizes: Mapping[str, int], dtype: str) -> int:
        refiner = self.known_refiner
        if name != _STAGE or refiner is None:
            return super().stage_memory(name, sizes, dtype)
        return node_stages.embedding_memory(self, sizes, dtype, refiner)

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        needed, refiner = super().working_memory(sizes, dtype), self.known_refiner
        if refiner is None:
            return needed
        vae, size = self.tuning.get("vae"), self.planned_size()
        own = peak_bytes(self.family, refiner, dtype, size, guided=self.is_guided, vae=vae)
        return max(needed, own)

    def can_batch(self) -> bool:
        return self.refiner is None and super().can_batch()

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        base, refiner = self.checkpoint, self.refiner
        if not isinstance(base, Checkpoint) or not isinstance(refiner, Checkpoint):
            return
        family = family_of(base)
        if family is not None and family is not SDXL:
            found = f"one for {base.source}, a {family.label} checkpoint"
            yield Problem("refiner", found, f"none: it is for {SDXL.label}", "leave it out")
            return
        try:
            yield from _refiner_problems(refiner, family_of(refiner), base)
        except CheckpointError as error:
            yield from error.as_problems_of("refiner", "a refiner of SDXL")
        yield from self._share_problems()

    def _share_problems(self) -> Iterator[Problem]:
        """The problem of a share that leaves the base or the refiner no step."""
        steps, share = self.chosen_steps, self.chosen_start
        if min(steps * share, steps * (1 - share)) < 1 - 1e-9:
            found = f"{share:g} of {steps} steps"
            fix = "take more steps, or a share nearer to a half"
            yield Problem("refiner_start", found, "a step at least for each of the two", fix)

    def assemble(self, models: Models, checkpoint: Checkpoint, **more: Any) -> Any:
        return super().assemble(models.without(_PREFIX), checkpoint, **more)

    def generate(
        self, pipe: Any, models: Models, progress: Progress, **call: Any
    ) -> npt.NDArray[np.uint8]:
        if self.refiner is None:
            return super().generate(pipe, models, progress, **call)
        steps = self.chosen_steps

        def report_base(step: int, _: int, /, **more: Any) -> None:
            progress(min(step, steps), steps, **more)

        def report_refiner(step: int, total: int, /, **more: Any) -> None:
            progress(min(max(steps - total, 0) + step, steps), steps, **more)

        call |= {"output_type": "latent", "denoising_end": self.chosen_start}
        latents = self.call_pipeline(pipe, models, report_base, **call)
        prompts = call["prompt"], call["negative_prompt"]
        return to_pixels(self._refine(latents, models, report_refiner, *prompts)[0])

    def _refine(
        self, latents: Any, models: Models, progress: Progress, prompt: str, negative_prompt: str
    ) -> Any:
        """The pictures that the refiner makes of the base's latents."""
        refiner, family = self.known_refiner, self.family
        assert refiner is not None
        own = {n.removeprefix(_PREFIX): part for n, part in models.items() if _is_own(n)}
        scheduler = make_scheduler(refiner, self.scheduler, self.schedule)
        pipe = make_pipeline(family, _TASK, refiner, {**own, SCHEDULER: scheduler})
        with (
            quiet_libraries(),
            performance.apply_tuning(
                pipe, self.tuning, models.device, family, steps=self.chosen_steps
            ),
            self.offload_modules(pipe, models),
        ):
            embedded = prompt_embeddings.embed_prompts(
                pipe,
                family,
                models,
                prompt_embeddings.PromptInputs(
                    prompt=prompt,
                    negative=negative_prompt,
                    guided=self.is_guided,
                    clip_skip=refiner.clip_skip,
                ),
                stage=_STAGE,
            )
            return pipe(
                image=latents,
                denoising_start=self.chosen_start,
                num_inference_steps=self.chosen_steps,
                **self.guidance_arguments(),
                generator=random_generator(self.seed),
                **step_callback(pipe, progress),
                output_type="np",
                **embedded,
            ).images


def _is_own(name: str) -> bool:
    return name.startswith(_PREFIX)


def _refiner_problems(
    refiner: Checkpoint, family: ModelFamily | None, base: Checkpoint
) -> Iterator[Problem]:
    """The problem of a checkpoint that is no refiner, nor another model with the same latents.

    Args:
        refiner: The checkpoint.
        family: Its family; None if it is not on this disk.
        base: The checkpoint whose latents it refines.
    """
    if family is None:
        return
    example = "for example stabilityai/stable-diffusion-xl-refiner-1.0"
    if family is not SDXL:
        found = f"{refiner.source}, a {family.label} checkpoint"
        yield Problem("refiner", found, "a refiner of SDXL", example)
    elif (purpose := family.purpose_of(refiner)) != "text-to-image":
        found = f"{refiner.source}, which is for {purpose or 'another purpose'}"
        yield Problem("refiner", found, "a refiner of SDXL", example)
    elif (scale := family.latent_scale(refiner)) != (wanted := family.latent_scale(base)):
        found = f"{refiner.source}, for latents {scale} times smaller than the picture"
        yield Problem("refiner", found, f"one for those of {base.source} ({wanted} times)", example)
