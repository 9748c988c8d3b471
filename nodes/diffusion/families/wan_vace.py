"""Wan VACE (Jiang et al. 2025): videos that follow others, are painted by masks, show pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .family_settings import OptionalComponent, VideoControlSettings
from .model_family import ModelFamily
from .networks import Config
from .tasks import Task
from .transformer_networks import patch_side, transformer, transformer_memory
from .wan import WAN

_TASKS: tuple[Task, ...] = (
    "text-to-video",
    "image-to-video",
    "frames-to-video",
    "video-control",
)
_CLASS = "WanVACETransformer3DModel"
_TENSORS, _PER_FEED_FORWARD = 8.0, 1.56
_LAYERS = (0, 5, 10, 15, 20, 25, 30, 35)
"""The layers to which results of the control's layers are added, if the config does not say."""


def _step_memory(
    config: Config, images: int, area: int, dtype: str, *, controls: Sequence[Config] = ()
) -> int:
    """The bytes that a step needs: besides those of Wan, a result of each layer of the control."""
    held = _TENSORS + len(config.get("vace_layers") or _LAYERS)
    memory = transformer_memory(held, 0, patch_side(config), _PER_FEED_FORWARD)
    return memory(config, images, area, dtype, controls=controls)


assert WAN.video is not None, "Wan makes videos"

WAN_VACE: ModelFamily = replace(
    WAN,
    label="Wan VACE",
    class_names=("WanVACE",),
    name_hint="vace",
    pipelines=dict.fromkeys(_TASKS, "WanVACEPipeline"),
    fitting_tasks=None,
    examples={},
    packages=dict.fromkeys(_TASKS, ("ftfy",)),
    times_per_token=None,
    denoiser=replace(
        transformer(_CLASS, tensors=_TENSORS),
        memory=_step_memory,
        timed_memory=None,
        patch=patch_side,
    ),
    optional=(OptionalComponent(name="transformer_2", classes=(_CLASS,), denoises=True),),
    index_settings=("boundary_ratio",),
    video=replace(
        WAN.video,
        by_config=None,
        takes_frames_between=True,
        control=VideoControlSettings(takes_masks=True, max_scale=10.0),
    ),
    caches={},
)
