"""SDXL Turbo: a student that makes in one step what its teacher makes in fifty."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from sdgraph.checkpoints import config, index
from sdgraph.errors import Problem
from sdgraph.loading import quiet
from sdgraph.node import In, Node, TargetFile
from sdgraph.values import Checkpoint

from .assembly import (
    adopt,
    check_noise,
    fresh_parts,
    hash_of,
    load_trained,
    save_pipeline,
    taken_from,
)
from .data import Dataset
from .loop import Progress, Settings, generator_for, train
from .samples import sheet
from .sdxl import SdxlTrainee

KEPT = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
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

        from .discriminator import Foe

        super().__init__(parts, data, settings)
        self.teacher = teacher.eval().requires_grad_(False)
        self.how = how or Distillation()
        self.modules = {"unet": parts["unet"]}
        self.times = torch.tensor(times_in_use(parts["scheduler"]))
        self.noise = noise_in_use(parts["scheduler"])
        self.adversary = Foe(self, self.how.adversary_rate, self.how.steepness)
        self._batch: Batch | None = None

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What else decides the weights."""
        frozen = {name: hash_of(self.parts[name]) for name in KEPT if "tokenizer" not in name}
        own = {"data": self.data.content, "teacher": hash_of(self.teacher), **vars(self.how)}
        return {**own, **frozen}

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
        latents = self.latents[places]
        with torch.no_grad():
            words, summary = self.words(places)
        made = self.made(latents, words, summary, random)
        limit = int(CLEAREST * self.noise_schedule.config.num_train_timesteps)
        times = torch.randint(limit, (count,), generator=random)
        noise = torch.randn(latents.shape, generator=random)
        with torch.no_grad():
            true_seen = self._seen(latents, noise, times, words, summary)
        made_seen = self._seen(made, noise, times, words, summary)
        return Batch(step, random, latents, words, summary, made, true_seen, made_seen)

    def made(self, latents: Any, words: Any, summary: Any, random: Any) -> Any:
        """The student's one-step pictures, from latents noised to the times of use.

        At the noisiest time there is noise alone, of the deviation that it has in use.
        """
        import torch

        count = len(latents)
        chosen = self.times[torch.randint(len(self.times), (count,), generator=random)]
        first = torch.rand(count, generator=random) < FROM_NOISE
        times = torch.where(first, self.times[0], chosen)
        noise = torch.randn(latents.shape, generator=random)
        noised = self.noise_schedule.add_noise(latents, noise, times)
        alone = (times == self.times[0])[:, None, None, None]
        noised = torch.where(alone, noise * self.noise, noised)
        said = self.ask(self.parts["unet"], noised, times, words, summary)
        return self.cleared(noised, said, times)

    def ask(self, unet: Any, noised: Any, times: Any, words: Any, summary: Any) -> Any:
        """What a U-Net says of noised latents and captions."""
        return unet(noised, times, words, added_cond_kwargs=self._told(summary)).sample

    def _told(self, summary: Any) -> dict[str, Any]:
        import torch

        side = self.data.side
        sizes = torch.tensor([[side, side, 0, 0, side, side]], dtype=summary.dtype)
        return {"text_embeds": summary, "time_ids": sizes.repeat(len(summary), 1)}

    def _seen(self, latents: Any, noise: Any, times: Any, words: Any, summary: Any) -> list[Any]:
        from .discriminator import features

        noised = self.noise_schedule.add_noise(latents, noise, times)
        return features(self.teacher, noised, times, words, self._told(summary))

    def cleared(self, noised: Any, said: Any, times: Any) -> Any:
        """The latents without noise, by what a U-Net says (noise, or v) of the noised ones."""
        level = self.noise_schedule.alphas_cumprod[times][:, None, None, None]
        alpha, sigma = level.sqrt(), (1 - level).sqrt()
        if self.noise_schedule.config.prediction_type == "v_prediction":
            return alpha * noised - sigma * said
        return (noised - sigma * said) / alpha

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
        times = torch.randint(steps, (count,), generator=random)
        noise = torch.randn(batch.made.shape, generator=random)
        with torch.no_grad():
            noised = self.noise_schedule.add_noise(batch.made, noise, times)
            wanted = self.cleared(noised, self._guided(noised, times, batch), times)
        weight = self.noise_schedule.alphas_cumprod[times].sqrt()
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


class TrainTurbo(Node[Checkpoint]):
    """A checkpoint for one to four steps, distilled from one in SDXL's layout (Sauer et al. 2023).

    Only the U-Net is trained; the rest is the teacher's.
    """

    category: ClassVar[str] = "train"

    data: In[Dataset] = Field(description="captioned pictures, as the teacher learned from")
    teacher: In[Checkpoint] = Field(description="the checkpoint in SDXL's layout; stays as it is")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/turbo"), description="whose scheduler and layout are taken"
    )
    out: TargetFile = Field(description="the folder for the checkpoint and the training's state")
    steps: int = Field(default=5_000, ge=1, description="optimizer steps")
    batch: int = Field(default=32, ge=1, description="pictures a step")
    learning_rate: float = Field(default=3e-4, gt=0, description="AdamW, decayed linearly")
    adversary_rate: float = Field(default=1e-3, gt=0, description="the discriminator's")
    guidance: float = Field(default=3.0, ge=0, le=100, description="the teacher's")
    distil: float = Field(
        default=2.5, ge=0, description="weight of the teacher beside the adversary"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="the same seed gives the same weights")

    def check(self) -> Iterator[Problem]:
        for name in ("teacher", "like"):
            checkpoint = getattr(self, name)
            parts = index(checkpoint) if isinstance(checkpoint, Checkpoint) else None
            if parts is not None and not {"unet", "text_encoder_2"} <= set(parts):
                found = f"{checkpoint.source} ({parts.get('_class_name', 'a single model')})"
                yield Problem(name, found, "a checkpoint in SDXL's layout, with two text encoders")
        if isinstance(self.like, Checkpoint) and index(self.like) is not None:
            spacing = (config(self.like, "scheduler") or {}).get("timestep_spacing")
            if spacing != "trailing":  # by others, one step is at the clear end of the schedule
                found = f"{self.like.source}, whose timestep_spacing is {spacing!r}"
                yield Problem("like", found, 'a scheduler with timestep_spacing "trailing"')

    @quiet()
    def run(
        self, data: Dataset, teacher: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        folder = Path(self.out)
        check_noise(teacher, like)
        parts = load_trained(teacher, (*KEPT, "unet"))
        frozen, fresh = parts["unet"], fresh_parts(like, ("unet",), self.seed)
        adopt(fresh["unet"], frozen.state_dict(), f"{teacher.source} in {like.source}")
        parts = {**parts, "unet": fresh["unet"], "scheduler": fresh["scheduler"]}
        settings = Settings(
            self.steps, self.batch, self.learning_rate, seed=self.seed, betas=(0.5, 0.99)
        )
        how = Distillation(self.guidance, self.distil, self.adversary_rate)
        trainee = TurboTrainee(parts, frozen, data, settings, how)
        weights = train(trainee, settings, folder / "training", progress)
        parts["unet"].load_state_dict(weights["unet"], strict=False)
        kept = taken_from(teacher, KEPT)
        return save_pipeline({"unet": parts["unet"]}, like, folder / "checkpoint", taken=kept)
