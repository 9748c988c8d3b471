"""Wan Animate (Cheng et al. 2025): a character in a picture moves as a person in a video does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sdgraph.values import DTYPE_BYTES

from .family_settings import Guidance, OptionalComponent
from .model_family import ModelFamily
from .networks import Config
from .transformer_networks import patch_side, transformer, transformer_memory
from .wan import WAN

_CLASS = "WanAnimateTransformer3DModel"
_TENSORS, _PER_FEED_FORWARD = 9.1, 1.56
_FACES = 181.0
"""Tensors of one channel of the faces that are encoded at once."""


def _step_memory(
    config: Config, images: int, area: int, dtype: str, *, controls: Sequence[Config] = ()
) -> int:
    """The bytes that a step needs: to encode faces, or for the layers of Wan, whichever is more."""
    memory = transformer_memory(_TENSORS, 0, patch_side(config), _PER_FEED_FORWARD)
    side = int(config.get("motion_encoder_size") or 512)
    count = int(config.get("motion_encoder_batch_size") or 8)
    faces = _FACES * count * side**2 * DTYPE_BYTES.get(dtype, 4)
    return max(int(faces), memory(config, images, area, dtype, controls=controls))


assert WAN.video is not None, "Wan makes videos"

WAN_ANIMATE: ModelFamily = replace(
    WAN,
    label="Wan Animate",
    class_names=("WanAnimate",),
    name_hint="animate-14b",
    pipelines={"animate": "WanAnimatePipeline"},
    fitting_tasks=None,
    examples={},
    packages={"animate": ("ftfy",)},
    times_per_token=None,
    denoiser=replace(
        transformer(_CLASS, tensors=_TENSORS),
        memory=_step_memory,
        timed_memory=None,
        patch=patch_side,
    ),
    optional=(
        OptionalComponent(
            name="image_encoder",
            classes=("CLIPVisionModel", "CLIPVisionModelWithProjection"),
            required=True,
        ),
        OptionalComponent(name="image_processor"),
    ),
    guidance=Guidance(scale=1.0, in_turn=True),
    steps=20,
    index_settings=(),
    video=replace(WAN.video, by_config=None, frames=77, fps=30.0, size=(1280, 720)),
    caches={},
)
