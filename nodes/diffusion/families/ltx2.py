"""LTX-2 (HaCohen et al. 2026): videos, with sound that is made along with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sdgraph.values import DTYPE_BYTES

from .family_settings import (
    FamilyVersion,
    Guidance,
    OptionalComponent,
    TextEncoder,
    VideoControlSettings,
    VideoSettings,
)
from .model_family import ModelFamily
from .networks import Config, Decoder
from .prompt_encoding import MASKED_EMBEDDINGS, PromptEncoding
from .tasks import Task
from .transformer_networks import (
    GEMMA_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 1024
_STEP = 8
"""How many frames each frame of latents stands for, besides the first."""

_DECODING, _MORE_FRAMES = 0.166, 1.2
"""Tensors of the video's size while it is decoded, as if it had so many frames more, by the width
of the decoder's first block."""

_CONNECTING = 6.5
"""Tensors of the size of the embeddings while the connectors bring them to the denoiser's width."""

_LANGUAGE_LAYERS = 49
"""The hidden states of Gemma 3 12B, all of which are embeddings."""

_TASKS: tuple[Task, ...] = ("text-to-video", "image-to-video", "frames-to-video", "video-control")


def _decoding_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that decoding needs: all frames are decoded at once."""
    del mode
    widths = config.get("decoder_block_out_channels") or (256,)
    numbers = _DECODING * (images + _MORE_FRAMES) * area * int(widths[0])
    return int(numbers * DTYPE_BYTES.get(dtype, 4))


def _connecting_memory(denoiser: Config, prompts: int, dtype: str) -> int:
    """The bytes that the connectors need for embedded prompts."""
    width = int(denoiser.get("caption_channels") or 3840) * _LANGUAGE_LAYERS
    return int(_CONNECTING * prompts * _MAX_TOKENS * width * DTYPE_BYTES.get(dtype, 4))


def _conditions(frames: Mapping[int, Any], *, crf: int) -> Mapping[str, Any]:
    """The pictures, each with the number of the frame of latents that it is in.

    Args:
        frames: The pictures by the numbers of their frames.
        crf: How much they are compressed, as those of the training were.
    """
    from diffusers.pipelines.ltx2 import LTX2VideoCondition

    places = ((-(-number // _STEP), image) for number, image in frames.items())
    return {
        "conditions": [LTX2VideoCondition(frames=image, index=at, crf=crf) for at, image in places]
    }


def _reference(frames: Sequence[Any], scale: float) -> Mapping[str, Any]:
    """A video to follow, whose tokens the denoiser gets besides those that it denoises."""
    from diffusers.pipelines.ltx2.pipeline_ltx2_ic_lora import LTX2ReferenceCondition

    condition = LTX2ReferenceCondition(frames=list(frames), strength=scale)
    return {"reference_conditions": [condition], "num_frames": len(frames)}


def _video_by_config(index: Config, denoiser: Config) -> Mapping[str, Any]:
    """How pictures are compressed, as diffusers decides by the text encoder: 18 in LTX-2.5."""
    entry = index.get("text_encoder")
    class_name = str(entry[1]) if isinstance(entry, list) and len(entry) == 2 else ""
    crf = 18 if class_name.startswith("Gemma4") else 33
    return {
        "first_options": {"image_crf": crf},
        "frame_arguments": partial(_conditions, crf=crf),
    }


LTX2 = ModelFamily(
    label="LTX-2",
    class_names=("LTX2Pipeline", "LTX2ImageToVideo", "LTX2Condition", "LTX2InContext"),
    name_hint="ltx-2",
    pipelines={
        "text-to-video": "LTX2Pipeline",
        "image-to-video": "LTX2ImageToVideoPipeline",
        "frames-to-video": "LTX2ConditionPipeline",
        "video-control": "LTX2InContextPipeline",
    },
    times_per_token=lambda task, index: task != "text-to-video",
    task_schedulers=dict.fromkeys(_TASKS, ("flow-euler",)),
    denoiser=transformer(
        "LTX2VideoTransformer3DModel", tensors=18.1, text_tokens=226, patch=1, times_per_token=13.0
    ),
    decoder=Decoder(
        name="vae",
        label="VAE",
        memory=_decoding_memory,
        scale=lambda config: int(config.get("spatial_compression_ratio") or 32),
        sliceable=("AutoencoderKLLTX2Video",),
        classes=("AutoencoderKLLTX2Video",),
    ),
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("Gemma3ForConditionalGeneration", "Gemma4UnifiedForConditionalGeneration"),
            tokenizer_classes=GEMMA_TOKENIZERS,
        ),
    ),
    optional=(
        OptionalComponent(name="connectors", classes=("LTX2TextConnectors",), required=True),
        OptionalComponent(name="audio_vae", classes=("AutoencoderKLLTX2Audio",), required=True),
        OptionalComponent(
            name="vocoder", classes=("LTX2Vocoder", "LTX2VocoderWithBWE"), required=True
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=MASKED_EMBEDDINGS,
        options={"max_sequence_length": _MAX_TOKENS},
        # All hidden states of 1024 tokens are 385 MB, those of a usual prompt a few.
        left_padding=_MAX_TOKENS,
        memory=_connecting_memory,
    ),
    guidance=Guidance(
        scale=3.0,
        rescaled_tasks=_TASKS,
        # Sound is guided by scales of its own, and there are two more passes with guidance.
        unguided_options={
            "audio_guidance_scale": 1.0,
            "stg_scale": 0.0,
            "audio_stg_scale": 0.0,
            "modality_scale": 1.0,
            "audio_modality_scale": 1.0,
            "guidance_rescale": 0.0,
            "audio_guidance_rescale": 0.0,
        },
    ),
    steps=30,
    min_multiple=32,
    flow_matching=True,
    video=VideoSettings(
        frames=121,
        frame_step=_STEP,
        fps=24.0,
        size=(768, 512),
        fps_argument="frame_rate",
        by_config=_video_by_config,
        takes_frames_between=True,
        picture_step=_STEP,
        control=VideoControlSettings(
            arguments=_reference, max_scale=1.0, adds_tokens=True, by_lora=True
        ),
    ),
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="LTX-2"),),
)
