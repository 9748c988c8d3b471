"""SDXL Turbo: a student that makes in one step what its teacher makes in fifty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries, resolve
from sdgraph.nodes.diffusion.families import SDXL
from sdgraph.values import Checkpoint

from .assembly import adopt, check_noise, fresh_parts, load_trained, save_pipeline, taken_from
from .data import Dataset
from .frozen import hash_of
from .kinds import sdxl_problems
from .loop import Settings, generator_for
from .placement import move_modules, to_device
from .procedure import Training
from .samples import sheet
from .sdxl import SdxlTrainee

__all__ = ["TrainTurbo"]

KEPT = SDXL.other_components
"""What the student has from its teacher, to the bit."""

MOST_STEPS = 4
"""In how many steps a student is used at most."""

FROM_NOISE = 0.5
"""The share of a batch that begins with noise alone, which is all that one step ever sees."""

CLEAREST = 0.75
"""The discriminator looks at latents noised up to this share of the schedule: beyond, true and
made ones look alike."""


@dataclass(frozen=True)
class Distillation:
    """How the student is pulled: by the teacher (guided so much), and against the adversary."""

    guidance: float = 3.0
    distil: float = 2.5
    adversary_rate: float = 1e-3
    steepness: float = 1e-2


@dataclass(frozen=True)
class Batch:
    """What both losses of a step look at."""

    step: int
    random: Any
    latents: Any
    words: Any
    summary: Any
    made: Any
    """The student's latents, with the graph that leads to its weights."""
    true_seen: list[Any]
    made_seen: list[Any]


def times_in_use(scheduler: Any, most: int = MOST_STEPS) -> list[int]:
    """The times at which a scheduler asks the U-Net in 1 to `most` steps, the noisiest first."""
    found: set[int] = set()
    own = type(scheduler).from_config(scheduler.config)
    for count in range(1, most + 1):
        own.set_timesteps(count)
        found |= {round(float(time)) for time in own.timesteps}
    return sorted(found, reverse=True)


def noise_in_use(scheduler: Any) -> float:
    """The deviation of the noise that a scheduler hands the U-Net at its first time."""
    own = type(scheduler).from_config(scheduler.config)
    own.set_timesteps(1)
    return float(own.init_noise_sigma / (own.sigmas[0] ** 2 + 1) ** 0.5)


class TurboTrainee(SdxlTrainee):
    """A one-step student against a discriminator and beside its frozen teacher.

    Adversarial diffusion distillation (Sauer et al. 2023): the student's picture from latents
    noised to a time of use is noised anew, and the teacher's guided picture from there is what it
    is drawn to, by c(t) = alpha_t; the discriminator's hinge loss is in `adversary`.
    """

    def __init__(
        self,
        parts: Mapping[str, Any],
        teacher: Any,
        data: Dataset,
        settings: Settings,
        how: Distillation | None = None,
    ) -> None:
        import torch

        from .discriminator import Adversary

        super().__init__(parts, data, settings)
        self.teacher = teacher.eval().requires_grad_(False)
        move_modules([self.teacher])
        self.how = how or Distillation()
        frozen = {name: hash_of(parts[name]) for name in KEPT if "tokenizer" not in name}
        own = {"data": data.content, "teacher": hash_of(self.teacher), **vars(self.how)}
        self.identity = {**own, **frozen}
        self.modules = {"unet": parts["unet"]}
        self.times = torch.tensor(times_in_use(parts["scheduler"]))
        self.noise = noise_in_use(parts["scheduler"])
        self.adversary = Adversary(self, self.how.adversary_rate, self.how.steepness)
        self._batch: Batch | None = None

    def batch(self, step: int) -> Batch:
        """The batch of a step, made once for both losses."""
        if self._batch is None or self._batch.step != step:
            self._batch = None
            self._batch = self._make(step)
        return self._batch

    def _make(self, step: int) -> Batch:
        import torch

        random = generator_for(self.settings.seed, step)
        count = self.settings.batch
        places = torch.randint(len(self.latents), (count,), generator=random)
        latents = to_device(self.latents[places], self.device)
        with torch.no_grad():
            words, summary = self.words(places)
        made = self.student_latents(latents, words, summary, random)
        limit = int(CLEAREST * self.noise_schedule.config.num_train_timesteps)
        times = to_device(torch.randint(limit, (count,), generator=random), self.device)
        noise = to_device(torch.randn(latents.shape, generator=random), self.device)
        with torch.no_grad():
            true_seen = self._features(latents, noise, times, words, summary)
        made_seen = self._features(made, noise, times, words, summary)
        return Batch(step, random, latents, words, summary, made, true_seen, made_seen)

    def student_latents(self, latents: Any, words: Any, summary: Any, random: Any) -> Any:
        """The student's one-step pictures, from latents noised to the times of use.

        At the noisiest time there is noise alone, of the deviation that it has in use.
        """
        import torch

        count = len(latents)
        chosen = self.times[torch.randint(len(self.times), (count,), generator=random)]
        first = torch.rand(count, generator=random) < FROM_NOISE
        times = to_device(torch.where(first, self.times[0], chosen), self.device)
        noise = to_device(torch.randn(latents.shape, generator=random), self.device)
        noised = self.noise_schedule.add_noise(latents, noise, times)
        alone = (times == int(self.times[0]))[:, None, None, None]
        noised = torch.where(alone, noise * self.noise, noised)
        said = self.ask(self.parts["unet"], noised, times, words, summary)
        return self.denoise(noised, said, times)

    def ask(self, unet: Any, noised: Any, times: Any, words: Any, summary: Any) -> Any:
        """What a U-Net says of noised latents and captions."""
        return unet(noised, times, words, added_cond_kwargs=self.added_conditions(summary)).sample

    def _features(
        self, latents: Any, noise: Any, times: Any, words: Any, summary: Any
    ) -> list[Any]:
        from .discriminator import features

        noised = self.noise_schedule.add_noise(latents, noise, times)
        return features(self.teacher, noised, times, words, self.added_conditions(summary))

    def denoise(self, noised: Any, said: Any, times: Any) -> Any:
        """The latents without noise, by what a U-Net says (noise, or v) of the noised ones."""
        level = self._levels(times)[:, None, None, None]
        alpha, sigma = level.sqrt(), (1 - level).sqrt()
        if self.noise_schedule.config.prediction_type == "v_prediction":
            return alpha * noised - sigma * said
        return (noised - sigma * said) / alpha

    def _levels(self, times: Any) -> Any:
        """The schedule's alpha (the share of the signal, squared) at times."""
        return to_device(self.noise_schedule.alphas_cumprod, times.device)[times]

    def loss(self, step: int) -> Any:
        """The adversary's view of the student's pictures, and their distance to the teacher's."""
        batch = self.batch(step)
        scores = self.adversary.judge(batch.made_seen, batch.summary)
        self._batch = None  # its graph is used up by this step
        return self.how.distil * self.distance(batch) - scores.mean()

    def distance(self, batch: Batch) -> Any:
        """The squared distance to the guided teacher's pictures, weighted by alpha_t."""
        import torch

        count, random = len(batch.made), batch.random
        steps = self.noise_schedule.config.num_train_timesteps
        times = to_device(torch.randint(steps, (count,), generator=random), self.device)
        noise = to_device(torch.randn(batch.made.shape, generator=random), self.device)
        with torch.no_grad():
            noised = self.noise_schedule.add_noise(batch.made, noise, times)
            wanted = self.denoise(noised, self._guided(noised, times, batch), times)
        weight = self._levels(times).sqrt()
        return (weight * (batch.made - wanted).square().mean(dim=(1, 2, 3))).mean()

    def _guided(self, noised: Any, times: Any, batch: Batch) -> Any:
        """The teacher's word, with classifier-free guidance; an empty caption is all zeros."""
        import torch

        words = torch.cat([torch.zeros_like(batch.words), batch.words])
        summary = torch.cat([torch.zeros_like(batch.summary), batch.summary])
        twice = torch.cat([noised, noised]), torch.cat([times, times])
        without, told = self.ask(self.teacher, *twice, words, summary).chunk(2)
        return without + self.how.guidance * (told - without)

    def sample(self) -> Any:
        """Pictures as they are used: one step, no guidance."""
        return sheet(self.parts, self.data.side, guidance=0.0, steps=1)


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
        default=2.5, ge=0, description="weight of the teacher beside the adversary"
    )

    def check(self) -> Iterator[Problem]:
        yield from sdxl_problems(teacher=self.teacher, like=self.like)
        if isinstance(self.like, Checkpoint) and resolve(self.like).index is not None:
            spacing = (resolve(self.like).config("scheduler") or {}).get("timestep_spacing")
            if spacing != "trailing":  # by others, one step is at the clear end of the schedule
                found = f"{self.like.source}, whose timestep_spacing is {spacing!r}"
                yield Problem("like", found, 'a scheduler with timestep_spacing "trailing"')

    @quiet_libraries()
    def run(
        self, data: Dataset, teacher: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        check_noise(teacher, like)
        parts = load_trained(teacher, (*KEPT, "unet"))
        frozen, fresh = parts["unet"], fresh_parts(like, ("unet",), self.seed)
        adopt(fresh["unet"], frozen.state_dict(), f"{teacher.source} in {like.source}")
        parts = {**parts, "unet": fresh["unet"], "scheduler": fresh["scheduler"]}
        settings = self.settings(weight_decay=0.0, betas=(0.5, 0.99))
        how = Distillation(self.guidance, self.distil, self.adversary_rate)
        trainee = TurboTrainee(parts, frozen, data, settings, how)
        self.fit(trainee, data, settings, progress)
        kept = taken_from(teacher, KEPT)
        return save_pipeline({"unet": parts["unet"]}, like, self.folder / "checkpoint", taken=kept)
