"""SDXL Turbo: a student that makes in one step what its teacher makes in fifty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries, resolve
from sdgraph.nodes.diffusion.families import SCHEDULER
from sdgraph.values import Checkpoint

from .checkpoint_problems import sdxl_problems
from .data import Dataset
from .frozen import hash_module
from .loading import load_parts
from .loop import Settings, generator_for
from .pipeline_parts import PipelineParts
from .placement import move_modules, to_device
from .procedure import Training
from .samples import make_sheet
from .saving import component_files, save_pipeline
from .sdxl import SdxlTrainee
from .starting_weights import check_noise, load_weights, with_untrained_denoiser
from .unet import down_block_features

__all__ = ["TrainTurbo"]

MAX_STEPS = 4
"""In how many steps a student is used at most."""

FROM_NOISE = 0.5
"""The share of a batch that begins with noise alone, which is all that one step works on."""

CLEAREST = 0.75
"""The discriminator compares latents noised up to this share of the schedule; noisier ones do not
tell real pictures from generated ones."""


@dataclass(frozen=True)
class Distillation:
    """What the student is trained by.

    Args:
        guidance: The guidance of the teacher's predictions.
        distil: The weight of the distance to the teacher, next to the discriminator's scores.
        adversary_rate: The discriminator's learning rate.
        steepness: The weight of the discriminator's R1 penalty.
    """

    guidance: float = 3.0
    distil: float = 2.5
    adversary_rate: float = 1e-3
    steepness: float = 1e-2


@dataclass(frozen=True)
class Batch:
    """What both losses of a step are computed from."""

    step: int
    random: Any
    latents: Any
    words: Any
    summary: Any
    student_latents: Any
    """With the graph that leads to the student's weights."""
    real_features: list[Any]
    student_features: list[Any]


def times_in_use(scheduler: Any, max_steps: int = MAX_STEPS) -> list[int]:
    """The times at which a scheduler calls the U-Net in 1 to `max_steps` steps, noisiest first."""
    times: set[int] = set()
    own = type(scheduler).from_config(scheduler.config)
    for count in range(1, max_steps + 1):
        own.set_timesteps(count)
        times |= {round(float(time)) for time in own.timesteps}
    return sorted(times, reverse=True)


def noise_in_use(scheduler: Any) -> float:
    """The deviation of the noise that a scheduler gives the U-Net at its first time."""
    own = type(scheduler).from_config(scheduler.config)
    own.set_timesteps(1)
    return float(own.init_noise_sigma / (own.sigmas[0] ** 2 + 1) ** 0.5)


class TurboTrainee(SdxlTrainee):
    """A one-step student, trained against a discriminator and towards its frozen teacher.

    Adversarial diffusion distillation (Sauer et al. 2023):

    1. The student makes pictures in one step, from latents noised to a time of use.
    2. They are noised again, and the guided teacher makes pictures from these. The distance to
       them, weighted by c(t) = alpha_t, is one term of the loss.
    3. The discriminator's scores of the student's pictures are the other term. Its own loss is in
       `adversary`.

    Args:
        parts: The student's denoiser, and the teacher's other parts.
        teacher: The teacher's denoiser.
        data: The captioned pictures.
        settings: The loop's settings.
        distillation: How the terms are weighted.
    """

    def __init__(
        self,
        parts: PipelineParts,
        teacher: Any,
        data: Dataset,
        settings: Settings,
        distillation: Distillation | None = None,
    ) -> None:
        import torch

        from .discriminator import DiscriminatorTrainee

        super().__init__(parts, data, settings)
        self.teacher = teacher.eval().requires_grad_(False)
        move_modules([self.teacher])
        self.distillation = distillation or Distillation()
        name = parts.family.denoiser.name
        frozen = {each: hash_module(parts[each]) for each in parts.family.networks if each != name}
        own = {"data": data.content, "teacher": hash_module(self.teacher)}
        self.identity = {**own, **vars(self.distillation), **frozen}
        self.modules = {name: parts.denoiser}
        self.times = torch.tensor(times_in_use(parts.scheduler))
        self.noise = noise_in_use(parts.scheduler)
        self.adversary = DiscriminatorTrainee(
            self, self.distillation.adversary_rate, self.distillation.steepness
        )
        self._batch: Batch | None = None

    def batch(self, step: int) -> Batch:
        """The batch of a step, made once for both losses."""
        if self._batch is None or self._batch.step != step:
            self._batch = None
            self._batch = self._make_batch(step)
        return self._batch

    def _make_batch(self, step: int) -> Batch:
        import torch

        random = generator_for(self.settings.seed, step)
        count = self.settings.batch
        indices = torch.randint(len(self.latents), (count,), generator=random)
        latents = to_device(self.latents[indices], self.device)
        with torch.no_grad():
            words, summary = self.read_captions(indices)
        generated = self.student_latents(latents, words, summary, random)
        limit = int(CLEAREST * self.noise_schedule.config.num_train_timesteps)
        times = to_device(torch.randint(limit, (count,), generator=random), self.device)
        noise = to_device(torch.randn(latents.shape, generator=random), self.device)
        with torch.no_grad():
            real_features = self._features(latents, noise, times, words, summary)
        student_features = self._features(generated, noise, times, words, summary)
        return Batch(
            step, random, latents, words, summary, generated, real_features, student_features
        )

    def student_latents(self, latents: Any, words: Any, summary: Any, random: Any) -> Any:
        """The student's one-step pictures, from latents noised to the times of use.

        At the noisiest time there is noise alone, of the deviation that it has in use.
        """
        import torch

        count = len(latents)
        drawn = self.times[torch.randint(len(self.times), (count,), generator=random)]
        from_noise = torch.rand(count, generator=random) < FROM_NOISE
        times = to_device(torch.where(from_noise, self.times[0], drawn), self.device)
        noise = to_device(torch.randn(latents.shape, generator=random), self.device)
        noised = self.noise_schedule.add_noise(latents, noise, times)
        is_noise = (times == int(self.times[0]))[:, None, None, None]
        noised = torch.where(is_noise, noise * self.noise, noised)
        prediction = self.run_denoiser(self.parts.denoiser, noised, times, words, summary)
        return self.denoise(noised, prediction, times)

    def _features(
        self, latents: Any, noise: Any, times: Any, words: Any, summary: Any
    ) -> list[Any]:
        noised = self.noise_schedule.add_noise(latents, noise, times)
        conditions = self.added_conditions(summary)
        return down_block_features(self.teacher, noised, times, words, conditions)

    def denoise(self, noised: Any, prediction: Any, times: Any) -> Any:
        """The latents without noise, by what a denoiser predicts (noise, or v) of noised ones."""
        level = self._levels(times)[:, None, None, None]
        alpha, sigma = level.sqrt(), (1 - level).sqrt()
        if self.noise_schedule.config.prediction_type == "v_prediction":
            return alpha * noised - sigma * prediction
        return (noised - sigma * prediction) / alpha

    def _levels(self, times: Any) -> Any:
        """The schedule's alpha (the share of the signal, squared) at times."""
        return to_device(self.noise_schedule.alphas_cumprod, times.device)[times]

    def loss(self, step: int) -> Any:
        """The distance to the teacher's pictures, less the discriminator's scores."""
        batch = self.batch(step)
        scores = self.adversary.discriminator(batch.student_features, batch.summary)
        self._batch = None  # its graph is used up by this step
        return self.distillation.distil * self.distance(batch) - scores.mean()

    def distance(self, batch: Batch) -> Any:
        """The squared distance to the guided teacher's pictures, weighted by alpha_t."""
        import torch

        generated, random = batch.student_latents, batch.random
        steps = self.noise_schedule.config.num_train_timesteps
        times = torch.randint(steps, (len(generated),), generator=random)
        times = to_device(times, self.device)
        noise = to_device(torch.randn(generated.shape, generator=random), self.device)
        with torch.no_grad():
            noised = self.noise_schedule.add_noise(generated, noise, times)
            wanted = self.denoise(noised, self._guided(noised, times, batch), times)
        weight = self._levels(times).sqrt()
        return (weight * (generated - wanted).square().mean(dim=(1, 2, 3))).mean()

    def _guided(self, noised: Any, times: Any, batch: Batch) -> Any:
        """The teacher's prediction with classifier-free guidance.

        The features of an empty caption are all zeros.
        """
        import torch

        words = torch.cat([torch.zeros_like(batch.words), batch.words])
        summary = torch.cat([torch.zeros_like(batch.summary), batch.summary])
        latents, times = torch.cat([noised, noised]), torch.cat([times, times])
        predictions = self.run_denoiser(self.teacher, latents, times, words, summary)
        unconditional, conditional = predictions.chunk(2)
        return unconditional + self.distillation.guidance * (conditional - unconditional)

    def sample(self) -> Any:
        """Pictures as they are used: one step, no guidance."""
        return make_sheet(self.parts, self.data.side, guidance=0.0, steps=1)


class TrainTurbo(Training):
    """A checkpoint for one to four steps, distilled from one in SDXL's layout (Sauer et al. 2023).

    Only the U-Net is trained; the rest is the teacher's.
    """

    data: In[Dataset] = Field(description="captioned pictures, as the teacher learned from")
    teacher: In[Checkpoint] = Field(description="the checkpoint in SDXL's layout; stays as it is")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/turbo"), description="whose scheduler and layout are taken"
    )
    steps: int = Field(default=5_000, ge=1, description="optimizer steps")
    learning_rate: float = Field(default=3e-4, gt=0, description="AdamW, decayed linearly")
    adversary_rate: float = Field(default=1e-3, gt=0, description="the discriminator's")
    guidance: float = Field(default=3.0, ge=0, le=100, description="the teacher's")
    distil: float = Field(
        default=2.5, ge=0, description="weight of the teacher, next to the adversary"
    )

    def text_source(self) -> object:
        return self.teacher

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        yield from sdxl_problems(teacher=self.teacher, like=self.like)
        if isinstance(self.like, Checkpoint) and resolve(self.like).index is not None:
            spacing = (resolve(self.like).config(SCHEDULER) or {}).get("timestep_spacing")
            if spacing != "trailing":  # with others, one step is at the clear end of the schedule
                found = f"{self.like.source}, whose timestep_spacing is {spacing!r}"
                yield Problem("like", found, 'a scheduler with timestep_spacing "trailing"')

    @quiet_libraries()
    def run(
        self, data: Dataset, teacher: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        check_noise(teacher, like)
        trained = load_parts(teacher)
        parts = with_untrained_denoiser(trained, like, self.seed)
        weights = trained.denoiser.state_dict()
        load_weights(parts.denoiser, weights, f"{teacher.source} in {like.source}")
        settings = self.settings(weight_decay=0.0, betas=(0.5, 0.99))
        distillation = Distillation(self.guidance, self.distil, self.adversary_rate)
        trainee = TurboTrainee(parts, trained.denoiser, data, settings, distillation)
        self.fit(trainee, data, settings, progress)
        name = parts.family.denoiser.name
        copied = component_files(teacher, parts.family.components_without(name))
        own = {name: parts.denoiser}
        return save_pipeline(own, like, self.folder / "checkpoint", copied=copied)
