"""Stable Diffusion 3 and 3.5 (Esser et al. 2024)."""

from __future__ import annotations

from sdgraph.values import DepthMap, EdgeMap, PoseMap

from .control_settings import ControlSettings
from .family_settings import FamilyVersion, Guidance, TextEncoder
from .ip_adapter_settings import IpAdapterSettings
from .lora_names import LoraNames
from .model_family import ModelFamily
from .networks import Config
from .prompt_encoding import PromptEncoding
from .transformer_networks import (
    CLIP_G_LORA_PREFIXES,
    CLIP_L_LORA_PREFIXES,
    T5_LORA_PREFIXES,
    T5_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 256

_LORA_NAMES = LoraNames(
    label="Stable Diffusion 3",
    widths=(1536, 2432),
    mark=r"joint_blocks_\d+_",
    layers={
        "joint_blocks.*.x_block.attn.qkv": "transformer_blocks.*.attn.{to_q,to_k,to_v}",
        "joint_blocks.*.x_block.attn2.qkv": "transformer_blocks.*.attn2.{to_q,to_k,to_v}",
        "joint_blocks.*.context_block.attn.qkv": (
            "transformer_blocks.*.attn.{add_q_proj,add_k_proj,add_v_proj}"
        ),
        "joint_blocks.*.x_block.attn.proj": "transformer_blocks.*.attn.to_out.0",
        "joint_blocks.*.x_block.attn2.proj": "transformer_blocks.*.attn2.to_out.0",
        "joint_blocks.*.context_block.attn.proj": "transformer_blocks.*.attn.to_add_out",
        "joint_blocks.*.x_block.mlp.fc1": "transformer_blocks.*.ff.net.0.proj",
        "joint_blocks.*.x_block.mlp.fc2": "transformer_blocks.*.ff.net.2",
        "joint_blocks.*.context_block.mlp.fc1": "transformer_blocks.*.ff_context.net.0.proj",
        "joint_blocks.*.context_block.mlp.fc2": "transformer_blocks.*.ff_context.net.2",
        # The modulation of the last context block has other rows; it is left out.
        "joint_blocks.*.x_block.adaLN_modulation.1": "transformer_blocks.*.norm1.linear",
        "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
        "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
        "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
        "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
        "x_embedder.proj": "pos_embed.proj",
        "final_layer.linear": "proj_out",
        "final_layer.adaLN_modulation.1": "norm_out.linear",
    },
    swapped=("final_layer.adaLN_modulation.1",),
)

_LARGE = 38
"""The attention heads of Stable Diffusion 3.5 Large."""


def _is_newer(denoiser: Config) -> bool:
    """Whether a transformer is of version 3.5, which normalises the queries of its attention."""
    return bool(denoiser.get("qk_norm"))


STABLE_DIFFUSION_3 = ModelFamily(
    label="Stable Diffusion 3",
    class_names=("StableDiffusion3",),
    name_hint="stable-diffusion-3",
    pipelines={
        "text-to-image": "StableDiffusion3Pipeline",
        "image-to-image": "StableDiffusion3Img2ImgPipeline",
        "inpaint": "StableDiffusion3InpaintPipeline",
        "controlnet": "StableDiffusion3ControlNetPipeline",
        "controlnet-inpaint": "StableDiffusion3ControlNetInpaintingPipeline",
    },
    denoiser=transformer("SD3Transformer2DModel", tensors=12.7, text_tokens=200),
    text_encoders=(
        TextEncoder(classes=("CLIPTextModelWithProjection",)),
        TextEncoder(
            name="text_encoder_2",
            tokenizer="tokenizer_2",
            classes=("CLIPTextModelWithProjection",),
        ),
        TextEncoder(
            name="text_encoder_3",
            tokenizer="tokenizer_3",
            max_tokens=_MAX_TOKENS,
            optional=True,
            classes=("T5EncoderModel",),
            tokenizer_classes=T5_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=(
            "prompt_embeds",
            "negative_prompt_embeds",
            "pooled_prompt_embeds",
            "negative_pooled_prompt_embeds",
        ),
        options={
            "prompt_2": None,
            "prompt_3": None,
            "num_images_per_prompt": 1,
            "max_sequence_length": _MAX_TOKENS,
        },
    ),
    guidance=Guidance(scale=7.0, skipping_tasks=("text-to-image",)),
    steps=28,
    few_steps=4,
    min_multiple=16,
    takes_image_size=True,
    flow_matching=True,
    control=ControlSettings(
        class_name="SD3ControlNetModel",
        has_strength=False,
        repaints_by_map=False,
        repainting_channels="extra_conditioning_channels",
        same_settings=("in_channels", "joint_attention_dim", "pooled_projection_dim"),
        borrows_layers=True,
        samples_unseeded=True,
    ),
    adapters=("lora", "controlnet", "ip-adapter"),
    ip_adapter=IpAdapterSettings(layout="sd3", encoder="SiglipVisionModel", max_pictures=1),
    lora_prefixes={
        **TRANSFORMER_LORA_PREFIXES,
        **dict.fromkeys(CLIP_L_LORA_PREFIXES, "text_encoder"),
        **dict.fromkeys(CLIP_G_LORA_PREFIXES, "text_encoder_2"),
        **dict.fromkeys(("text_encoder_3.", *T5_LORA_PREFIXES), "text_encoder_3"),
    },
    lora_names=_LORA_NAMES,
    knobs=TRANSFORMER_KNOBS,
    versions=(
        FamilyVersion(
            label="Stable Diffusion 3",
            fits=lambda denoiser: not _is_newer(denoiser),
            controlnets={
                EdgeMap: "InstantX/SD3-Controlnet-Canny",
                PoseMap: "InstantX/SD3-Controlnet-Pose",
            },
            repainting_controlnet="alimama-creative/SD3-Controlnet-Inpainting",
        ),
        FamilyVersion(
            label="Stable Diffusion 3.5 Large",
            fits=lambda denoiser: _is_newer(denoiser) and denoiser["num_attention_heads"] == _LARGE,
            name_hint="stable-diffusion-3.5-large",
            controlnets={
                EdgeMap: "stabilityai/stable-diffusion-3.5-large-controlnet-canny",
                DepthMap: "stabilityai/stable-diffusion-3.5-large-controlnet-depth",
            },
        ),
        FamilyVersion(
            label="Stable Diffusion 3.5 Medium",
            fits=lambda denoiser: _is_newer(denoiser),
            name_hint="stable-diffusion-3.5",
        ),
    ),
)
