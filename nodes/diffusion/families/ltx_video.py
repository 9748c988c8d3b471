"""LTX-Video (HaCohen et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdgraph.values import DTYPE_BYTES

from .family_settings import FamilyVersion, Guidance, TextEncoder, VideoSettings
from .lora_names import LoraNames
from .model_family import ModelFamily
from .networks import Config, Decoder
from .prompt_encoding import MASKED_EMBEDDINGS, PromptEncoding
from .tasks import Task
from .transformer_networks import (
    T5_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 128
_TASKS: tuple[Task, ...] = (
    "text-to-video",
    "image-to-video",
    "frames-to-video",
    "video-to-video",
)
_DECODING = 0.391
"""Tensors of the video's size while the autoencoder decodes it, by the width of its first block."""


def _decoding_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that decoding needs: all frames are decoded at once."""
    del mode
    widths = config.get("decoder_block_out_channels") or (128,)
    return int(_DECODING * images * area * int(widths[0]) * DTYPE_BYTES.get(dtype, 4))


def _conditions(frames: Mapping[int, Any]) -> Mapping[str, Any]:
    """The pictures, each with the number of the frame that it is."""
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

    items = frames.items()
    return {"conditions": [LTXVideoCondition(image=image, frame_index=at) for at, image in items]}


def _whole_video(frames: Sequence[Any], strength: float) -> Mapping[str, Any]:
    """A video as the condition for all frames, which gets as much noise as it may change."""
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

    condition = LTXVideoCondition(video=list(frames), strength=1 - strength)
    return {"conditions": [condition], "num_frames": len(frames)}


_LORA_NAMES = LoraNames(
    label="LTX-Video",
    widths=(2048,),
    mark=r"^transformer_blocks_\d+_attn[12]_to_",
    layers={
        "patchify_proj": "proj_in",
        "adaln_single.linear": "time_embed.linear",
        "adaln_single.emb.timestep_embedder.linear_*": (
            "time_embed.emb.timestep_embedder.linear_*"
        ),
        "transformer_blocks.*.attn*.q_norm": "transformer_blocks.*.attn*.norm_q",
        "transformer_blocks.*.attn*.k_norm": "transformer_blocks.*.attn*.norm_k",
    },
)

LTX_VIDEO = ModelFamily(
    label="LTX-Video",
    class_names=("LTXPipeline", "LTXImageToVideo", "LTXCondition"),
    name_hint="ltx",
    pipelines={
        "text-to-video": "LTXPipeline",
        "image-to-video": "LTXImageToVideoPipeline",
        "frames-to-video": "LTXConditionPipeline",
        "video-to-video": "LTXConditionPipeline",
    },
    times_per_token=lambda task, index: task != "text-to-video",
    task_schedulers=dict.fromkeys(("frames-to-video", "video-to-video"), ("flow-euler",)),
    denoiser=transformer("LTXVideoTransformer3DModel", tensors=16.2, patch=1, times_per_token=13.0),
    decoder=Decoder(
        name="vae",
        label="VAE",
        memory=_decoding_memory,
        scale=lambda config: int(config.get("spatial_compression_ratio") or 32),
        sliceable=("AutoencoderKLLTXVideo",),
        classes=("AutoencoderKLLTXVideo",),
    ),
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("T5EncoderModel",),
            tokenizer_classes=T5_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=MASKED_EMBEDDINGS,
        options={"max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(scale=3.0, rescaled_tasks=_TASKS),
    min_multiple=32,
    flow_matching=True,
    video=VideoSettings(
        frames=161,
        frame_step=8,
        fps=25.0,
        size=(704, 512),
        fps_argument="frame_rate",
        frame_arguments=_conditions,
        takes_frames_between=True,
        video_arguments=_whole_video,
    ),
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    lora_names=_LORA_NAMES,
    knobs=TRANSFORMER_KNOBS,
    caches=dict.fromkeys(("first-block", "pyramid-attention", "fastercache"), _TASKS),
    versions=(FamilyVersion(label="LTX-Video"),),
)
