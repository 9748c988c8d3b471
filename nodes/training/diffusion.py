"""Denoising: what every procedure that trains a denoiser has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdgraph.errors import InvalidValueError, Problem

from .latents import encode_pictures, tokenize
from .loop import Settings, generator_for
from .pipeline_parts import PipelineParts
from .placement import move_modules, to_device

if TYPE_CHECKING:
    from .data import Dataset

DROPPED = 0.1
"""The share of captions left out, so that classifier-free guidance works (Ho & Salimans 2022)."""


class DiffusionTrainee:
    """Predicts what the noise schedule asks for (noise, or v) from noised latents and a caption.

    Trains those of its networks that require a gradient, by denoising diffusion (Ho et al. 2020),
    with v-prediction (Salimans & Ho 2022) where the checkpoint's scheduler says so. Subclasses add
    channels or residuals.

    Args:
        parts: The pipeline's parts.
        data: The captioned pictures.
        settings: The loop's settings.
    """

    def __init__(self, parts: PipelineParts, data: Dataset, settings: Settings) -> None:
        move_modules(parts.values())
        self.parts = parts
        self.settings = settings
        self.data = data
        self.noise_schedule = make_noise_schedule(parts)
        self.tokens = tokenize(parts.tokenizers[0], data.captions)
        self.latents = self.encode_data()
        names = (parts.family.denoiser.name, *(each.name for each in parts.family.text_encoders))
        self.modules: Mapping[str, Any] = {
            name: parts[name]
            for name in names
            if any(value.requires_grad for value in parts[name].parameters())
        }
        self.identity: Mapping[str, Any] = {"data": data.content}

    def encode_data(self) -> Any:
        """What is noised: the latents of all pictures, count × channels × height × width."""
        return encode_pictures(self.parts.decoder, self.data.pictures)

    def loss(self, step: int) -> Any:
        """The mean squared error of the prediction on the batch of a step."""
        import torch
        from torch.nn.functional import mse_loss

        random = generator_for(self.settings.seed, step)
        count = self.settings.batch
        indices = torch.randint(len(self.latents), (count,), generator=random)
        latents = to_device(self.latents[indices], self.device)
        noise = to_device(torch.randn(latents.shape, generator=random), self.device)
        times = to_device(self.sample_timesteps(count, random), self.device)
        dropped = torch.rand(count, generator=random) < DROPPED
        words = self.read_captions(torch.where(dropped, len(self.tokens) - 1, indices))
        noised = self.noise_schedule.add_noise(latents, noise, times)
        prediction = self.predict(noised, times, words, indices, random)
        return mse_loss(prediction.float(), self.target(latents, noise, times))

    def sample_timesteps(self, count: int, random: Any) -> Any:
        """Times of the noise schedule for a batch; with a bias above 1, noisy ones more often."""
        import torch

        steps, bias = self.noise_schedule.config.num_train_timesteps, self.settings.timestep_bias
        if bias == 1:
            return torch.randint(steps, (count,), generator=random)
        share = torch.rand(count, generator=random)
        return (steps * (1 - share**bias)).long().clamp_max(steps - 1)

    @property
    def device(self) -> Any:
        """Where it computes."""
        return self.parts.denoiser.device

    def read_captions(self, indices: Any) -> Any:
        """The text features of captions, by their indices: count × length × width."""
        tokens = to_device(self.tokens[indices], self.device)
        return self.parts.text_encoders[0](tokens).last_hidden_state

    def predict(self, noised: Any, times: Any, words: Any, indices: Any, random: Any) -> Any:
        """What the denoiser predicts from noised latents.

        Args:
            noised: Noised latents, count × channels × height × width.
            times: Their times, count.
            words: What `read_captions` returned.
            indices: Which pictures of the data set the batch is made of, count.
            random: The generator for what else a batch draws.
        """
        del indices, random
        return self.parts.denoiser(noised, times, words).sample

    def target(self, latents: Any, noise: Any, times: Any) -> Any:
        """What the denoiser is to predict.

        Raises:
            InvalidValueError: The scheduler asks for neither noise nor v.
        """
        prediction_type = self.noise_schedule.config.prediction_type
        if prediction_type == "v_prediction":
            return self.noise_schedule.get_velocity(latents, noise, times)
        if prediction_type == "epsilon":
            return noise
        found, wanted = f"prediction_type {prediction_type!r}", "'epsilon' or 'v_prediction'"
        raise InvalidValueError(Problem("scheduler", found, wanted))

    def sample(self) -> Any:
        """A sample, as in `Trainee`; None here."""
        return None


def make_noise_schedule(parts: PipelineParts) -> Any:
    """A schedule that adds noise as the pipeline's scheduler takes it away."""
    from diffusers import DDPMScheduler

    return DDPMScheduler.from_config(parts.scheduler.config)
