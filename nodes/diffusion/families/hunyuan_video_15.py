"""HunyuanVideo 1.5 (Tencent 2025): videos from words, or from a picture."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from sdgraph.values import DTYPE_BYTES

from .family_settings import (
    FamilyVersion,
    Guidance,
    OptionalComponent,
    TextEncoder,
    VideoSettings,
)
from .model_family import ModelFamily
from .networks import Config, Decoder
from .prompt_encoding import PromptEncoding
from .tasks import Task
from .transformer_networks import (
    QWEN_TOKENIZERS,
    TRANSFORMER_KNOBS,
    patch_side,
    transformer,
    transformer_width,
)

_MAX_TOKENS = 995
"""Of 1000 tokens five are written after a prompt."""

_MAX_QUOTED = 256

_SIZES = {640: (848, 480), 960: (1280, 720)}
"""The usual width and height, by `target_size` in the transformer's config."""

_QUOTED = re.compile(r"\"(.*?)\"|“(.*?)”")

_TEXT_TOKENS = 1000 + 256 + 729
"""The tokens of the prompt, of its quoted words, and of a picture."""

_TENSORS, _REFINING = 7.28, 13.7
"""Tensors of tokens × width in a step; and those of a thousand tokens that are refined first."""

_MASKS = 2
"""Masks of one byte for each pair of tokens, which the attention of diffusers makes."""

_DECODING = 7.02
"""Tensors of the decoded frames' size while the autoencoder decodes."""


class _VaeSettings:
    """What the pipeline's constructor reads of its VAE, which embedding prompts does not need."""

    config = SimpleNamespace(latent_channels=32)
    temporal_compression_ratio = 4
    spatial_compression_ratio = 16


def _step_memory(
    config: Config, images: int, area: int, dtype: str, *, controls: Sequence[Config] = ()
) -> int:
    """The bytes that a step needs, as in `unet_memory`; masks grow with the tokens' square."""
    del controls
    tokens = images * area // patch_side(config) ** 2 + _TEXT_TOKENS
    numbers = (_TENSORS * tokens + _REFINING * 1000) * transformer_width(config)
    return int(numbers * DTYPE_BYTES.get(dtype, 4)) + _MASKS * tokens**2


def _decoding_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that decoding needs: all frames are decoded at once."""
    del mode
    width = int((config.get("block_out_channels") or (128,))[0])
    return int(_DECODING * images * area * width * DTYPE_BYTES.get(dtype, 4))


def _fitting_tasks(index: Config, denoiser: Config) -> Collection[Task]:
    """A checkpoint for pictures has an image encoder."""
    has_encoder = (index.get("image_encoder") or [None])[0] is not None
    task: Task = "image-to-video" if has_encoder else "text-to-video"
    return (task,)


def _video_by_config(index: Config, denoiser: Config) -> Mapping[str, Any]:
    target = int(denoiser.get("target_size") or 640)
    return {"size": _SIZES.get(target, (target, target))}


def _quoted_words(prompt: str) -> str:
    """What the second text encoder reads: the words in quotation marks, as the pipeline does."""
    found = dict.fromkeys(first or second for first, second in _QUOTED.findall(prompt))
    return "".join(f'Text "{words}". ' for words in found)


def _size_arguments(pipe: Any, task: Task, width: int, height: int) -> Mapping[str, object]:
    """The pipeline for pictures takes no size: it chooses one by the picture's proportions."""
    if task != "image-to-video":
        return {"width": width, "height": height}
    pipe.video_processor.calculate_default_height_width = partial(_chosen_size, (height, width))
    return {}


def _chosen_size(size: tuple[int, int], **picture: int) -> tuple[int, int]:
    return size


HUNYUAN_VIDEO_15 = ModelFamily(
    label="HunyuanVideo 1.5",
    class_names=("HunyuanVideo15",),
    name_hint="hunyuanvideo-1.5",
    pipelines={
        "text-to-video": "HunyuanVideo15Pipeline",
        "image-to-video": "HunyuanVideo15ImageToVideoPipeline",
    },
    fitting_tasks=_fitting_tasks,
    examples={
        "text-to-video": "hunyuanvideo-community/HunyuanVideo-1.5-480p_t2v",
        "image-to-video": "hunyuanvideo-community/HunyuanVideo-1.5-480p_i2v",
    },
    denoiser=replace(
        transformer("HunyuanVideo15Transformer3DModel", tensors=_TENSORS),
        memory=_step_memory,
        timed_memory=None,
        patch=patch_side,
    ),
    decoder=Decoder(
        name="vae",
        label="VAE",
        memory=_decoding_memory,
        scale=lambda config: int(config.get("spatial_compression_ratio") or 16),
        sliceable=("AutoencoderKLHunyuanVideo15",),
        classes=("AutoencoderKLHunyuanVideo15",),
    ),
    text_encoders=(
        TextEncoder(
            name="text_encoder_2",
            tokenizer="tokenizer_2",
            max_tokens=_MAX_QUOTED,
            classes=("T5EncoderModel",),
            tokenizer_classes=("ByT5Tokenizer",),
            words_read=_quoted_words,
        ),
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("Qwen2_5_VLTextModel",),
            tokenizer_classes=QWEN_TOKENIZERS,
        ),
    ),
    optional=(
        OptionalComponent(
            name="image_encoder", classes=("SiglipVisionModel",), tasks=("image-to-video",)
        ),
        OptionalComponent(name="feature_extractor", tasks=("image-to-video",)),
    ),
    prompt_encoding=PromptEncoding(
        results=(
            "prompt_embeds",
            "prompt_embeds_mask",
            "prompt_embeds_2",
            "prompt_embeds_mask_2",
        ),
        per_prompt=True,
        read_by_constructor={"vae": _VaeSettings()},
    ),
    guidance=Guidance(
        argument="",
        scale=6.0,
        guider="guider",
        in_turn=True,
        rescaled_tasks=("text-to-video", "image-to-video"),
    ),
    is_distilled=lambda index, denoiser: bool(denoiser.get("use_meanflow")),
    distilled_steps=8,
    min_multiple=16,
    apply_size=_size_arguments,
    flow_matching=True,
    video=VideoSettings(frames=121, frame_step=4, fps=24.0, by_config=_video_by_config),
    adapters=(),  # diffusers' pipelines load no LoRA
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="HunyuanVideo 1.5"),),
)
