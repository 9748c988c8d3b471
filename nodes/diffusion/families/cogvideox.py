"""CogVideoX (Yang et al. 2024): videos from words, from a picture, or from a video."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sdgraph.values import DTYPE_BYTES

from .family_settings import (
    FamilyVersion,
    Guidance,
    TextEncoder,
    VideoControlSettings,
    VideoSettings,
)
from .model_family import ModelFamily
from .networks import Config, Decoder
from .prompt_encoding import PromptEncoding
from .tasks import Task
from .transformer_networks import (
    T5_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    patch_side,
    transformer,
)

_MAX_TOKENS = 226
_FROM_WORDS: tuple[Task, ...] = ("text-to-video", "video-to-video")
_FROM_PICTURE: tuple[Task, ...] = ("image-to-video",)
_SCALE = 8
"""The length of a picture's side divided by that of its latents."""


_DECODING = {1: 40.4, 9: 134.0}
"""Tensors of a frame's size while the autoencoder decodes up to so many frames."""

_DECODING_MORE = 178.8
"""The same for more frames, of which it decodes two to three latents at once."""


def _decoding_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that decoding needs: it goes by a few frames at a time."""
    del mode
    tensors = next((held for most, held in _DECODING.items() if images <= most), _DECODING_MORE)
    width = int((config.get("block_out_channels") or (128,))[0])
    return int(tensors * area * width * DTYPE_BYTES.get(dtype, 4))


def _fitting_tasks(index: Config, denoiser: Config) -> Collection[Task]:
    """One for pictures takes the latents of the picture as well, which doubles the channels.

    The pipeline that starts from a video cannot pad it, as version 1.5 would need.
    """
    if denoiser.get("in_channels") != denoiser.get("out_channels"):
        return _FROM_PICTURE
    return _FROM_WORDS[:1] if denoiser.get("patch_size_t") else _FROM_WORDS


def _video_by_config(index: Config, denoiser: Config) -> Mapping[str, Any]:
    """The size and the number of frames of its training; version 1.5 has twice the frame rate."""
    width, height = denoiser.get("sample_width"), denoiser.get("sample_height")
    if not width or not height:
        return {}
    settings: dict[str, Any] = {
        "size": (int(width) * _SCALE, int(height) * _SCALE),
        "only_size": bool(denoiser.get("use_learned_positional_embeddings")),
    }
    frames = denoiser.get("sample_frames")
    if frames and not denoiser.get("patch_size_t"):
        settings["frames"] = int(frames)
    elif frames:
        settings |= {"frames": 81, "fps": 16.0}
    return settings


COGVIDEOX = ModelFamily(
    label="CogVideoX",
    class_names=("CogVideoXPipeline", "CogVideoXImageToVideo", "CogVideoXVideoToVideo"),
    name_hint="cogvideox",
    pipelines={
        "text-to-video": "CogVideoXPipeline",
        "image-to-video": "CogVideoXImageToVideoPipeline",
        "video-to-video": "CogVideoXVideoToVideoPipeline",
    },
    fitting_tasks=_fitting_tasks,
    examples={
        "text-to-video": "zai-org/CogVideoX-5b",
        "image-to-video": "zai-org/CogVideoX-5b-I2V",
        "video-to-video": "zai-org/CogVideoX-5b",
    },
    # The schedulers that can be named ignore `snr_shift_scale` of its own one.
    own_scheduler=True,
    purposes={16: "text-to-video", 32: "text-to-video"},
    denoiser=replace(
        transformer("CogVideoXTransformer3DModel", tensors=13.0),
        patch=patch_side,
    ),
    decoder=Decoder(
        name="vae",
        label="VAE",
        memory=_decoding_memory,
        scale=lambda config: int(2 ** (len(config.get("block_out_channels", (0,) * 4)) - 1)),
        sliceable=("AutoencoderKLCogVideoX",),
        classes=("AutoencoderKLCogVideoX",),
    ),
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("T5EncoderModel",),
            tokenizer_classes=T5_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=("prompt_embeds", "negative_prompt_embeds"),
        options={"max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(scale=6.0),
    # Of an even number of latents the autoencoder would make 3 frames more.
    video=VideoSettings(
        frames=49,
        frame_step=8,
        latent_step=4,
        fps=8.0,
        size=(720, 480),
        by_config=_video_by_config,
    ),
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="CogVideoX"),),
)


def _control(frames: Sequence[Any], scale: float) -> Mapping[str, Any]:
    return {"control_video": frames}


assert COGVIDEOX.video is not None, "CogVideoX makes videos"

COGVIDEOX_FUN: ModelFamily = replace(
    COGVIDEOX,
    label="CogVideoX Fun",
    class_names=("CogVideoXFunControl",),
    name_hint="cogvideox-fun",
    pipelines={"video-control": "CogVideoXFunControlPipeline"},
    fitting_tasks=None,
    examples={},
    video=replace(COGVIDEOX.video, control=VideoControlSettings(arguments=_control)),
)
"""CogVideoX that was trained to follow videos of edges, depth or poses."""
