"""SANA (Xie et al. 2024), and SANA-Sprint, which takes one to four steps (Chen et al. 2025)."""

from __future__ import annotations

from dataclasses import replace

from sdgraph.values import DTYPE_BYTES

from .control_settings import ControlSettings
from .family_settings import FamilyVersion, Guidance, TextEncoder, keep_size
from .model_family import ModelFamily
from .networks import Config, Decoder
from .prompt_encoding import MASKED_EMBEDDINGS, PromptEncoding
from .transformer_networks import (
    GEMMA_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 299
"""Of 300 tokens one is the last of the instruction that the pipeline writes before a prompt."""

_DECODING = 6.5
"""Tensors of the picture's size and the first block's width while the autoencoder decodes."""


def _decoding_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that decoding needs, as in `autoencoder_memory`."""
    if mode in ("sliced", "both"):
        images = 1
    if mode in ("tiled", "both"):
        area = min(area, _TILE**2)
    widths = config.get("decoder_block_out_channels") or (128,)
    return int(_DECODING * images * area * int(widths[0]) * DTYPE_BYTES.get(dtype, 4))


_TILE = 512
"""The side of a decoder's tile in pixels."""


SANA = ModelFamily(
    label="SANA",
    class_names=("SanaPipeline", "SanaControlNet"),
    name_hint="sana",
    pipelines={"text-to-image": "SanaPipeline", "controlnet": "SanaControlNetPipeline"},
    denoiser=transformer("SanaTransformer2DModel", tensors=14.0, text_tokens=45, patch=1),
    decoder=Decoder(
        name="vae",
        label="VAE",
        memory=_decoding_memory,
        scale=lambda config: int(
            2 ** (len(config.get("encoder_block_out_channels", (0,) * 6)) - 1)
        ),
        sliceable=("AutoencoderDC",),
        classes=("AutoencoderDC",),
    ),
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("Gemma2Model", "Gemma2ForCausalLM"),
            tokenizer_classes=GEMMA_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=MASKED_EMBEDDINGS,
        options={"clean_caption": False},
        call_defaults=("max_sequence_length", "complex_human_instruction"),
        empty_negative="",
    ),
    guidance=Guidance(scale=4.5),
    steps=20,
    min_multiple=32,
    needs_sides=True,
    takes_image_size=True,
    flow_matching=True,
    call_options=keep_size,
    control=ControlSettings(
        class_name="SanaControlNetModel",
        several="no",
        has_timing=False,
        same_settings=("in_channels", "cross_attention_dim"),
    ),
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="SANA"),),
)


def _sprint_options(steps: int) -> dict[str, object]:
    """As `keep_size`; the time between two steps is only for two steps."""
    return {**keep_size(steps), **({} if steps == 2 else {"intermediate_timesteps": None})}


SANA_SPRINT = replace(
    SANA,
    label="SANA-Sprint",
    class_names=("SanaSprint",),
    name_hint="sana_sprint",
    pipelines={
        "text-to-image": "SanaSprintPipeline",
        "image-to-image": "SanaSprintImg2ImgPipeline",
    },
    prompt_encoding=replace(
        SANA.prompt_encoding, results=("prompt_embeds", "prompt_attention_mask"), per_prompt=True
    ),
    guidance=Guidance(scale=4.5, embedded=True),
    steps=2,
    own_scheduler=True,
    call_options=_sprint_options,
    versions=(FamilyVersion(label="SANA-Sprint"),),
)
