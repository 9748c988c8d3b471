"""FLUX.1 (Black Forest Labs 2024): dev, schnell, Fill and Kontext."""

from __future__ import annotations

from dataclasses import replace

from sdgraph.values import DepthMap, EdgeMap, PoseMap, SoftEdgeMap

from .control_settings import ControlSettings, UnionSettings
from .family_settings import FamilyVersion, Guidance, TextEncoder
from .flux_lora_names import FLUX_LORA_NAMES
from .ip_adapter_settings import IpAdapterSettings
from .model_family import ModelFamily
from .networks import Config
from .prompt_encoding import PromptEncoding
from .transformer_networks import (
    CLIP_L_LORA_PREFIXES,
    T5_LORA_PREFIXES,
    T5_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 512


def _reads_no_guidance(index: Config, denoiser: Config) -> bool:
    """Whether a checkpoint is of the kind of schnell, which takes four steps without guidance."""
    return denoiser.get("guidance_embeds") is False


_MASK_NUMBERS = 256
"""The numbers of the mask in a token: 8 × 8 for each of 2 × 2 latents."""


def _pipeline_by_channels(denoiser: Config) -> str:
    """The pipeline of a transformer that takes further latents: of a map, or of a masked picture.

    It may be the part of a checkpoint of FLUX.1 dev.
    """
    channels = denoiser.get("in_channels") or 0
    latents = denoiser.get("out_channels") or channels
    pipelines = {
        2 * latents: "FluxControlPipeline",
        2 * latents + _MASK_NUMBERS: "FluxFillPipeline",
    }
    return pipelines.get(channels, "") if channels else ""


FLUX = ModelFamily(
    label="FLUX.1",
    pipeline_by_config=_pipeline_by_channels,
    class_names=("FluxPipeline", "FluxImg2Img", "FluxInpaint", "FluxControlNet"),
    name_hint="flux.1",
    pipelines={
        "text-to-image": "FluxPipeline",
        "image-to-image": "FluxImg2ImgPipeline",
        "inpaint": "FluxInpaintPipeline",
        "variation": "FluxPipeline",
        "controlnet": "FluxControlNetPipeline",
        "controlnet-image": "FluxControlNetImg2ImgPipeline",
        "controlnet-inpaint": "FluxControlNetInpaintPipeline",
    },
    denoiser=transformer(
        "FluxTransformer2DModel", tensors=17.1, text_tokens=_MAX_TOKENS, latents_per_token=4
    ),
    text_encoders=(
        TextEncoder(classes=("CLIPTextModel",)),
        TextEncoder(
            name="text_encoder_2",
            tokenizer="tokenizer_2",
            max_tokens=_MAX_TOKENS,
            classes=("T5EncoderModel",),
            tokenizer_classes=T5_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=("prompt_embeds", "pooled_prompt_embeds", ""),
        per_prompt=True,
        options={"prompt_2": None, "max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(scale=3.5, embedded=True),
    steps=28,
    is_distilled=_reads_no_guidance,
    min_multiple=16,
    takes_image_size=True,
    flow_matching=True,
    control=ControlSettings(
        class_name="FluxControlNetModel",
        same_settings=("in_channels", "joint_attention_dim", "pooled_projection_dim"),
        union=UnionSettings(
            class_name="FluxControlNetModel",
            count="num_mode",
            modes={EdgeMap: 0, DepthMap: 2, PoseMap: 4},
        ),
    ),
    adapters=("lora", "controlnet", "ip-adapter"),
    ip_adapter=IpAdapterSettings(layout="flux", tasks=("text-to-image", "inpaint", "controlnet")),
    lora_prefixes={
        **TRANSFORMER_LORA_PREFIXES,
        **dict.fromkeys(CLIP_L_LORA_PREFIXES, "text_encoder"),
        **dict.fromkeys(("text_encoder_2.", "lora_te2_", *T5_LORA_PREFIXES), "text_encoder_2"),
    },
    lora_names=FLUX_LORA_NAMES,
    knobs=TRANSFORMER_KNOBS,
    caches={
        "first-block": ("text-to-image",),
        "taylorseer": ("text-to-image",),
        "pyramid-attention": ("text-to-image",),
        "fastercache": ("text-to-image",),
        "magcache": ("text-to-image",),
    },
    versions=(
        FamilyVersion(
            label="FLUX.1",
            controlnets=dict.fromkeys(
                (EdgeMap, SoftEdgeMap, DepthMap, PoseMap),
                "Shakker-Labs/FLUX.1-dev-ControlNet-Union-Pro-2.0",
            ),
        ),
    ),
)


def _keep_size(width: int, height: int) -> dict[str, object]:
    """Makes the pipeline of Kontext keep the size, which it would change to one of its training."""
    return {"max_area": width * height, "_auto_resize": False}


FLUX_KONTEXT = replace(
    FLUX,
    label="FLUX.1 Kontext",
    pipeline_by_config=None,
    adapters=("lora", "ip-adapter"),
    class_names=("FluxKontext",),
    name_hint="kontext",
    pipelines={"edit": "FluxKontextPipeline", "inpaint": "FluxKontextInpaintPipeline"},
    edit_options=_keep_size,
    inpaint_options=_keep_size,
    reference_area=lambda area: area,
    caches={"pyramid-attention": ("edit", "inpaint"), "fastercache": ("edit", "inpaint")},
    versions=(FamilyVersion(label="FLUX.1 Kontext"),),
)

FLUX_FILL = replace(
    FLUX,
    label="FLUX.1 Fill",
    pipeline_by_config=None,
    adapters=("lora",),
    class_names=("FluxFill",),
    name_hint="flux.1-fill",
    pipelines={"inpaint": "FluxFillPipeline"},
    guidance=Guidance(scale=30.0, embedded=True),
    steps=50,
    caches={},
    versions=(FamilyVersion(label="FLUX.1 Fill"),),
)
