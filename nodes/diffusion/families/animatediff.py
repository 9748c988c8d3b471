"""AnimateDiff (Guo et al. 2023): videos by Stable Diffusion 1.x or SDXL and a motion adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sdgraph.values import DTYPE_BYTES, MOTION

from .family_settings import Guidance, OptionalComponent, VideoSettings
from .networks import AUTOENCODER, UNET_2D, Config, autoencoder_memory
from .sdxl import SDXL
from .stable_diffusion import STABLE_DIFFUSION
from .tasks import Task

_TENSORS = 26.0
"""Tensors of the widest level in a step: its motion modules need as much as attention to words."""

_DECODED_AT_ONCE = 16
"""How many frames the pipelines of Stable Diffusion 1.x decode at once."""


def _unet_memory(
    config: Config, images: int, area: int, dtype: str, *, controls: Sequence[Config] = ()
) -> int:
    """The bytes that a step of a U-Net with motion modules needs, as `unet_memory` says."""
    channels = config.get("block_out_channels") or (320,)
    return int(_TENSORS * images * area * channels[0] * DTYPE_BYTES.get(dtype, 4))


def _decoding_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    return autoencoder_memory(config, min(images, _DECODED_AT_ONCE), area, dtype, mode)


def _frames_by_config(index: Config, denoiser: Config) -> Mapping[str, Any]:
    """How many frames a motion adapter has positions for."""
    most = int(denoiser.get("motion_max_seq_length") or VideoSettings.max_frames)
    return {"max_frames": most, "frames": min(16, most)}


def join_motion(components: Mapping[str, Any]) -> dict[str, Any]:
    """The components of a pipeline, with a motion adapter joined to the U-Net.

    The U-Net that results has the weights of both, not copies; they stay as they are.

    1. A module without memory is made from the two configs, as diffusers makes it.
    2. Its motion modules get the weights of the adapter, all its other layers those of the U-Net.

    Args:
        components: The leased components; one with motion modules in its own U-Net has no adapter.
    """
    # The pipelines would copy both into a new network themselves.
    joined = {**components, "motion_adapter": None}
    adapter = joined.pop(MOTION, None)
    if adapter is None:
        return joined
    import torch
    from diffusers import UNetMotionModel

    unet = joined["unet"]
    with torch.device("meta"):
        module: Any = UNetMotionModel.from_unet2d(unet, adapter, load_weights=False)
    weights = unet.state_dict() | adapter.state_dict()
    module.load_state_dict({name: weights[name] for name in module.state_dict()}, assign=True)
    return {**joined, "unet": module.eval().requires_grad_(False)}


_VIDEO = VideoSettings(
    frames=16, fps=8.0, max_frames=32, by_config=_frames_by_config, frames_by="motion adapter"
)
_UNET = replace(UNET_2D, memory=_unet_memory, classes=("UNet2DConditionModel", "UNetMotionModel"))
_TASKS: tuple[Task, ...] = ("text-to-video", "video-to-video")
_EXAMPLE = (
    "{source: stable-diffusion-v1-5/stable-diffusion-v1-5, "
    "motion: guoyww/animatediff-motion-adapter-v1-5-3}"
)

ANIMATEDIFF = replace(
    STABLE_DIFFUSION,
    label="AnimateDiff",
    class_names=("AnimateDiff",),
    name_hint="animatediff",
    animates=STABLE_DIFFUSION.label,
    pipelines={
        "text-to-video": "AnimateDiffPipeline",
        "video-to-video": "AnimateDiffVideoToVideoPipeline",
    },
    examples=dict.fromkeys(_TASKS, _EXAMPLE),
    purposes={4: "text-to-video"},
    denoiser=_UNET,
    decoder=replace(AUTOENCODER, memory=_decoding_memory),
    optional=(OptionalComponent(name=MOTION, classes=("MotionAdapter",)),),
    join_components=join_motion,
    # The pipelines embed prompts as that of Stable Diffusion does.
    prompt_encoding=replace(
        STABLE_DIFFUSION.prompt_encoding, encode_prompt_of="StableDiffusionPipeline"
    ),
    guidance=Guidance(scale=7.5, two_pass_tasks=("text-to-video", "video-to-video")),
    video=_VIDEO,
    adapters=("lora", "textual-inversion"),
    knobs=("vae", "attention", "channels_last"),
)

ANIMATEDIFF_XL = replace(
    SDXL,
    label="AnimateDiff XL",
    class_names=("AnimateDiffSDXL",),
    name_hint="animatediff-xl",
    animates=SDXL.label,
    pipelines={"text-to-video": "AnimateDiffSDXLPipeline"},
    fitting_tasks=None,
    examples={},
    purposes={4: "text-to-video"},
    denoiser=_UNET,
    optional=(OptionalComponent(name=MOTION, classes=("MotionAdapter",)),),
    join_components=join_motion,
    prompt_encoding=replace(SDXL.prompt_encoding, encode_prompt_of="StableDiffusionXLPipeline"),
    guidance=Guidance(scale=5.0, rescaled_tasks=("text-to-video",)),
    video=_VIDEO,
    adapters=("lora", "textual-inversion"),
    knobs=ANIMATEDIFF.knobs,
)
