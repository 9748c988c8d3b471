"""Qwen-Image (Wu et al. 2025)."""

from __future__ import annotations

from sdgraph.values import DepthMap, EdgeMap, PoseMap, SoftEdgeMap

from .control_settings import ControlSettings
from .family_settings import FamilyVersion, Guidance, TextEncoder
from .lora_names import LoraNames
from .model_family import ModelFamily
from .prompt_encoding import PromptEncoding
from .transformer_networks import (
    QWEN_AUTOENCODER,
    QWEN_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 512

QWEN_IMAGE = ModelFamily(
    label="Qwen-Image",
    class_names=("QwenImagePipeline", "QwenImageImg2Img", "QwenImageInpaint", "QwenImageControl"),
    name_hint="qwen-image",
    pipelines={
        "text-to-image": "QwenImagePipeline",
        "image-to-image": "QwenImageImg2ImgPipeline",
        "inpaint": "QwenImageInpaintPipeline",
        "controlnet": "QwenImageControlNetPipeline",
        "controlnet-inpaint": "QwenImageControlNetInpaintPipeline",
    },
    denoiser=transformer("QwenImageTransformer2DModel", tensors=14.1, text_tokens=450),
    decoder=QWEN_AUTOENCODER,
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("Qwen2_5_VLForConditionalGeneration",),
            tokenizer_classes=QWEN_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=("prompt_embeds", "prompt_embeds_mask"),
        per_prompt=True,
        options={"max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(argument="true_cfg_scale", scale=4.0, in_turn=True),
    min_multiple=16,
    takes_image_size=True,
    flow_matching=True,
    control=ControlSettings(
        class_name="QwenImageControlNetModel",
        several="one network",
        wrapper="QwenImageMultiControlNetModel",
        has_strength=False,
        repaints_by_map=False,
        repainting_channels="extra_condition_channels",
        same_settings=("in_channels", "joint_attention_dim"),
        samples_unseeded=True,
    ),
    adapters=("lora", "controlnet"),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    lora_names=LoraNames(
        label="Qwen-Image", widths=(3072,), mark=r"^transformer_blocks_\d+_(img|txt)_(mod|mlp)_"
    ),
    knobs=TRANSFORMER_KNOBS,
    caches=dict.fromkeys(
        ("first-block", "taylorseer", "pyramid-attention", "fastercache"),
        ("text-to-image", "image-to-image", "inpaint", "edit"),
    ),
    versions=(
        FamilyVersion(
            label="Qwen-Image",
            controlnets=dict.fromkeys(
                (EdgeMap, SoftEdgeMap, DepthMap, PoseMap), "InstantX/Qwen-Image-ControlNet-Union"
            ),
            repainting_controlnet="InstantX/Qwen-Image-ControlNet-Inpainting",
        ),
    ),
)
