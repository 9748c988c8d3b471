"""The fields that all diffusion nodes share, and what they mean for the checkpoint's family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Self, TypeVar

from pydantic import Field, model_validator

from sdgraph.graph import In, Node, refuse
from sdgraph.nodes.diffusion.adapters import lora
from sdgraph.nodes.diffusion.sampling import guidance_options
from sdgraph.nodes.diffusion.sampling.noise_schedules import Schedule
from sdgraph.nodes.diffusion.sampling.schedulers import Scheduler
from sdgraph.nodes.diffusion.sampling.strength import strength_problems
from sdgraph.nodes.diffusion.tuning import performance
from sdgraph.nodes.diffusion.tuning.offloading import Offload
from sdgraph.values import Checkpoint

from .families import ModelFamily, Purpose, Task, family_of, likely_family

T_co = TypeVar("T_co", covariant=True)


class DiffusionFields(Node[T_co], Generic[T_co]):
    """The fields of diffusion nodes; steps and guidance that were not given are the checkpoint's.

    The `task` of a subclass decides which pipeline it runs, and so which families it takes; its
    `purposes` say what its checkpoint may have been trained for.
    """

    category = "generate"
    counted: ClassVar[bool] = True
    purposes: ClassVar[tuple[Purpose, ...]] = ("text-to-image",)
    """What a checkpoint may have been trained for, the usual one first."""

    prompt: In[str] = Field(description="what the picture shows")
    negative_prompt: In[str] = Field(
        default="", description="what it must not show; needs guidance > 1"
    )
    steps: int | None = Field(
        default=None, ge=1, le=1000, description="denoising steps; the checkpoint's usual number"
    )
    guidance: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="how strongly the prompt is followed: the scale of classifier-free guidance, "
        "none up to 1, or the number that a guidance-distilled model reads; the checkpoint's usual",
    )
    guidance_rescale: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="how far guidance's excess of contrast is taken back (Lin et al. 2024)",
    )
    skip_layers: Sequence[Annotated[int, Field(ge=0)]] = Field(
        default=(),
        description="layers left out in a pass that the picture is guided away from (SD 3.5)",
    )
    seed: int = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="the same seed gives the same picture; only its low 32 bits count, as in torch",
    )
    count: int = Field(
        default=1,
        ge=1,
        le=1000,
        description="how many to make, with the seeds seed, seed + 1, …; nodes that read it run "
        "for each, and Grid takes all",
    )
    scheduler: Scheduler | None = Field(
        default=None, description="a scheduler by name; the checkpoint's own if not given"
    )
    schedule: Schedule | None = Field(
        default=None, description="how noise levels are spaced, by name; as the scheduler's config"
    )
    offload: Offload = Field(
        default="none",
        description="keep weights in host memory and move them by model, by block or by layer",
    )
    loras: Sequence[lora.LoraField] = Field(
        default=(),
        description="LoRAs for this node: each a folder, a file or a hub id, with its scale",
    )
    embeddings: Sequence[lora.LoraField] = Field(
        default=(),
        description="textual inversions, whose words the prompts may have: each a file or a hub id",
    )
    tuning: performance.Tuning = Field(
        default=performance.NO_TUNING,
        description=f"settings of speed and memory: {', '.join(performance.KNOBS)}",
    )

    if TYPE_CHECKING:
        checkpoint: In[Checkpoint]

    @model_validator(mode="after")
    def _some_step_is_left(self) -> Self:
        strength = self.denoising_share()
        if self.steps is not None and strength is not None:
            for problem in strength_problems(self.steps, strength, self.max_steps()):
                raise refuse(
                    problem.subject, found=problem.found, wanted=problem.wanted, fix=problem.fix
                )
        return self

    def max_steps(self) -> int:
        """The largest number of steps that the field takes; 0 for any number."""
        limits = (getattr(m, "le", None) for m in type(self).model_fields["steps"].metadata)
        return max(filter(None, limits), default=0)

    def task(self) -> Task:
        """What the pipeline has to do; it may depend on which fields are given."""
        raise NotImplementedError(f"{type(self).__name__} does not say its task")

    def denoising_share(self) -> float | None:
        """The share of the steps that run; None if it starts from noise and runs them all."""
        return getattr(self, "strength", None)

    @property
    def known_checkpoint(self) -> Checkpoint:
        """The checkpoint as a value, which it is whenever the plan asks for components."""
        checkpoint = self.checkpoint
        assert isinstance(checkpoint, Checkpoint), "a node in this field was replaced by its result"
        return checkpoint

    @property
    def family(self) -> ModelFamily:
        """The family of its checkpoint, or a likely one if the checkpoint is not on this disk."""
        checkpoint = self.known_checkpoint
        return family_of(checkpoint) or likely_family(checkpoint, self.task())

    @property
    def chosen_steps(self) -> int:
        """The number of denoising steps: as given, or the usual one of the checkpoint."""
        if self.steps is not None:
            return self.steps
        return self.family.usual_steps(self.known_checkpoint)

    @property
    def chosen_guidance(self) -> float:
        """The scale of guidance: as given, or the usual one of the checkpoint."""
        if self.guidance is not None:
            return self.guidance
        return self.family.usual_guidance(self.known_checkpoint)

    def guidance_arguments(self) -> dict[str, Any]:
        """The arguments for guidance in the pipeline's call."""
        return guidance_options.guidance_arguments(
            self.family, self.chosen_guidance, self.guidance_rescale, self.skip_layers
        )

    def guidance_components(self) -> dict[str, Any]:
        """The components of the pipeline that guide it, if its call takes no scale of guidance."""
        return guidance_options.guidance_components(
            self.family,
            self.known_checkpoint,
            self.chosen_guidance,
            self.guidance_rescale,
            guided=self.is_guided,
        )

    @property
    def is_guided(self) -> bool:
        """Whether the negative prompt has an effect, and a step is two passes."""
        return self.family.is_guided(self.known_checkpoint, self.chosen_guidance, self.task())

    def chosen_fields(self) -> Mapping[str, object]:
        """The usual steps and guidance of the checkpoint, where they were not given."""
        chosen = {"steps": self.chosen_steps, "guidance": self.chosen_guidance}
        return {name: value for name, value in chosen.items() if getattr(self, name) is None}
