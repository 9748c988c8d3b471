"""Denoising: what every procedure that trains a U-Net has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sdgraph.errors import InvalidValueError, Problem

from .latents import encode, tokens_of
from .loop import Settings, generator_for
from .placement import move_modules, to_device

if TYPE_CHECKING:
    from .data import Dataset

DROPPED = 0.1
"""The share of captions left out, so that guidance has something to compare with
(Ho & Salimans 2022)."""


class DiffusionTrainee:
    """Predicts what the noise schedule asks for (noise, or v) from noised latents and a caption.

    Those of its modules are trained that require a gradient. Denoising diffusion (Ho et al. 2020)
    with v-prediction (Salimans & Ho 2022) where the checkpoint's scheduler says so. Subclasses add
    channels or residuals.
    """

    def __init__(self, parts: Mapping[str, Any], data: Dataset, settings: Settings) -> None:
        from diffusers import DDPMScheduler

        move_modules(parts.values())
        self.parts = parts
        self.settings = settings
        self.data = data
        self.noise_schedule = DDPMScheduler.from_config(parts["scheduler"].config)
        self.tokens = tokens_of(parts["tokenizer"], data.captions)
        self.latents = encode(parts["vae"], data.pictures)
        self.modules: Mapping[str, Any] = {
            name: parts[name]
            for name in ("unet", "text_encoder", "text_encoder_2")
            if name in parts and any(value.requires_grad for value in parts[name].parameters())
        }
        self.identity: Mapping[str, Any] = {"data": data.content}

    def loss(self, step: int) -> Any:
        """The mean squared error of the prediction on the batch of a step."""
        import torch
        from torch.nn.functional import mse_loss

        random = generator_for(self.settings.seed, step)
        count = self.settings.batch
        places = torch.randint(len(self.latents), (count,), generator=random)
        latents = to_device(self.latents[places], self.device)
        noise = to_device(torch.randn(latents.shape, generator=random), self.device)
        times = to_device(self.drawn_times(count, random), self.device)
        dropped = torch.rand(count, generator=random) < DROPPED
        words = self.words(torch.where(dropped, len(self.tokens) - 1, places))
        noised = self.noise_schedule.add_noise(latents, noise, times)
        predicted = self.predict(noised, times, words, places, random)
        return mse_loss(predicted.float(), self.target(latents, noise, times))

    def drawn_times(self, count: int, random: Any) -> Any:
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
        return self.parts["unet"].device

    def words(self, places: Any) -> Any:
        """The text features of some captions: count × length × width."""
        tokens = to_device(self.tokens[places], self.device)
        return self.parts["text_encoder"](tokens).last_hidden_state

    def predict(self, noised: Any, times: Any, words: Any, places: Any, random: Any) -> Any:
        """What the U-Net says of noised latents; `random` is for what else a batch draws."""
        del places, random
        return self.parts["unet"](noised, times, words).sample

    def target(self, latents: Any, noise: Any, times: Any) -> Any:
        """What the U-Net is to say; raises InvalidValueError where that is neither noise nor v."""
        asked = self.noise_schedule.config.prediction_type
        if asked == "v_prediction":
            return self.noise_schedule.get_velocity(latents, noise, times)
        if asked == "epsilon":
            return noise
        wanted = "'epsilon' or 'v_prediction'"
        raise InvalidValueError(Problem("scheduler", f"prediction_type {asked!r}", wanted))

    def sample(self) -> Any:
        """Eight pictures made from captions of held-out scenes; None where there is no world."""
        return None
