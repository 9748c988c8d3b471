"""The weights that a training goes on from: a base's, put into another architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.values import Checkpoint

from .loading import load_parts, load_scheduler, pipeline_family, scheduler_class, untrained_parts
from .pipeline_parts import PipelineParts
from .unet import with_wider_input

_NOISE_SETTINGS = (
    "prediction_type",
    "num_train_timesteps",
    "beta_schedule",
    "beta_start",
    "beta_end",
    "rescale_betas_zero_snr",
)
"""What a scheduler's config says of the noise that a denoiser is trained on."""


def with_untrained_denoiser(base: PipelineParts, like: Checkpoint, seed: int) -> PipelineParts:
    """A base's parts with an untrained denoiser in `like`'s architecture and `like`'s scheduler."""
    name = pipeline_family(like).denoiser.name
    fresh = untrained_parts(like, (name,), seed)
    return fresh | base.select(*fresh.family.components_without(name))


def load_widened_parts(base: Checkpoint, like: Checkpoint, seed: int) -> PipelineParts:
    """A base's parts with its denoiser in `like`'s architecture, whose input has more channels.

    The denoiser's weights are the base's. Those that read the further channels are zero, so at
    first it predicts what the base predicts.

    Raises:
        InvalidValueError: The two checkpoints do not fit together.
    """
    trained = load_parts(base)
    parts = with_untrained_denoiser(trained, like, seed)
    check_noise(base, like)
    weights = with_wider_input(trained.denoiser.state_dict(), parts.denoiser)
    load_weights(parts.denoiser, weights, f"{base.source} in {like.source}")
    return parts


def load_weights(module: Any, weights: Mapping[str, Any], subject: str) -> None:
    """Puts all weights into a module.

    Args:
        module: What takes them.
        weights: Tensors by name.
        subject: What an error is about.

    Raises:
        InvalidValueError: Names or shapes differ; it says the first that does.
    """
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    others = {name: tuple(value.shape) for name, value in weights.items()}
    for name in [*own, *others]:
        if own.get(name) != others.get(name):
            found = f"{name} of shape {others.get(name, 'none')}"
            fix = "set `like` to a checkpoint of the base's architecture"
            raise InvalidValueError(Problem(subject, found, str(own.get(name, "none")), fix))
    module.load_state_dict(weights)


def check_noise(base: Checkpoint, like: Checkpoint) -> None:
    """Refuses two checkpoints whose schedulers add other noise or predict something else.

    Raises:
        InvalidValueError: A setting of the noise differs.
    """
    base_config, like_config = (load_scheduler(each).config for each in (base, like))
    default = scheduler_class(like)().config
    for name in _NOISE_SETTINGS:
        wanted = base_config.get(name, default.get(name))
        value = like_config.get(name, default.get(name))
        if wanted != value:
            raise InvalidValueError(
                Problem(
                    like.source,
                    f"a scheduler with {name} {value!r}",
                    f"the base's {wanted!r} ({base.source})",
                    "the U-Net goes on from what it has learned: take a `like` that fits the base",
                )
            )
