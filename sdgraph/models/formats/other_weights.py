"""Recognises weight files that are no whole checkpoint, by tensor names that only one kind has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .safetensors_files import TensorShapes


class _Kind(NamedTuple):
    """A kind of file.

    Args:
        label: What it is, with its article.
        pattern: A regular expression that the name of one of its tensors begins with.
        advice: What to do with it.
    """

    label: str
    pattern: str
    advice: str = ""


class KnownDenoiser(NamedTuple):
    """A denoiser that is recognised by the names of its tensors.

    Args:
        class_prefix: What the names of its classes in diffusers begin with.
        pipeline: The class of its pipeline.
        example: A checkpoint on the hub that has it.
    """

    class_prefix: str
    pipeline: str
    example: str


_LORA = "put it under `loras:` of the node, and name a whole checkpoint here"
_EMBEDDING = "put it under `embeddings:` of the node, and name a whole checkpoint here"
CONTROL_NETWORK = "a ControlNet"
"""The label of a ControlNet's file."""

MAP_ADAPTER = "a T2I-Adapter"
"""The label of a T2I-Adapter's file."""

MOTION_ADAPTER = "an AnimateDiff motion adapter"
"""The label of a motion adapter's file."""

_MOTION = "name it in a checkpoint of Stable Diffusion or SDXL, {source: …, motion: FILE}"
_CONTROL = "name its folder in diffusers' layout as the node's network, or its hub id"
_PART = "it is one part: name it in a checkpoint that has the others, {source: …, PART: FILE}"
_FAMILY = "name its folder in diffusers' layout, or its hub id"

_ADD_ONS = (
    _Kind(
        "a LoRA",
        r".*(lora_(up|down|mid|A|B)\b|\.lora\.(up|down)\.|_lora\.(up|down)\.|lora_linear_layer)",
        _LORA,
    ),
    _Kind("a LoRA of the kind LoHa", r".*\.hada_w[12]_[ab]$", _LORA),
    _Kind("a LoRA of the kind LoKr", r".*\.lokr_w[12](_[ab])?$", _LORA),
    _Kind("a LoRA of the kind OFT", r".*\.(oft_blocks|oft_diag|oft_R|boft_)", _LORA),
    _Kind(
        "an adapter with whole differences of weights",
        r"(lora_unet|diffusion_model)\S*\.diff(_b)?$",
        _LORA,
    ),
    _Kind("a ControlNet-LLLite", r"lllite_", _CONTROL),
    _Kind("a Control-LoRA", r"lora_controlnet$", _CONTROL),
    _Kind("an IP-Adapter", r"(image_proj|ip_adapter)\.", "give it to `ip_adapter:` of the node"),
    _Kind(
        CONTROL_NETWORK,
        r"(control_model\.)?(input_hint_block|zero_convs)\.|controlnet_(cond_embedding|down_blocks"
        r"|mid_block|blocks|single_blocks|x_embedder)\.|control_(layers|all_x_embedder|noise_refiner)\.",
        _CONTROL,
    ),
    _Kind(MOTION_ADAPTER, r".*\.motion_modules\.", _MOTION),
    _Kind(
        MAP_ADAPTER,
        r"(adapter\.)?body\.\d+\.(block1|in_conv|resnets)",
        "give it to `controlnet:` of the node ControlNet",
    ),
)

_TRANSFORMER = r"(model\.diffusion_model\.|transformer\.|diffusion_model\.)?"
_CLIP_TEXT = (
    r"((clip_[lg]|text_encoders?)\.)?((transformer\.)?text_model\.(encoder|embeddings)\."
    r"|transformer\.resblocks\.)"
)

_OTHERS = (
    _Kind(
        "a model of Flux.2",
        rf"{_TRANSFORMER}(single_stream_modulation|double_stream_modulation_img)\.",
        _FAMILY,
    ),
    _Kind("a model of Chroma", rf"{_TRANSFORMER}distilled_guidance_layer\.", _FAMILY),
    _Kind(
        "a model of HunyuanVideo",
        rf"{_TRANSFORMER}(txt_in\.individual_token_refiner|context_embedder\.token_refiner)\.",
        _FAMILY,
    ),
    _Kind("a model of HiDream", rf"{_TRANSFORMER}double_stream_blocks\.", _FAMILY),
    _Kind(
        "a model of Flux",
        rf"{_TRANSFORMER}(double_blocks\.\d+\.img_attn|single_transformer_blocks\.\d+\.proj_mlp)\.",
        _FAMILY,
    ),
    _Kind("a model of Stable Diffusion 3", rf"{_TRANSFORMER}joint_blocks\.", _FAMILY),
    _Kind(
        "a model of AuraFlow",
        rf"{_TRANSFORMER}(double_layers\.\d+\.attn\.w1q|joint_transformer_blocks)\b",
        _FAMILY,
    ),
    _Kind(
        "a model of Qwen-Image", rf"{_TRANSFORMER}transformer_blocks\.\d+\.(img|txt)_mod\.", _FAMILY
    ),
    _Kind(
        "a model of Z-Image",
        rf"{_TRANSFORMER}(layers\.\d+\.adaLN_modulation\.0|all_x_embedder)\.",
        _FAMILY,
    ),
    _Kind("a model of Lumina 2", rf"{_TRANSFORMER}cap_embedder\.", _FAMILY),
    _Kind("a model of LTX-2", rf"{_TRANSFORMER}av_(ca|cross_attn)_\w+\.", _FAMILY),
    _Kind(
        "a model of SANA",
        rf"{_TRANSFORMER}(blocks\.\d+\.cross_attn\.kv_linear|transformer_blocks\.\d+\.ff\.conv_inverted)"
        r"\.",
        _FAMILY,
    ),
    _Kind(
        "a model of LTX-Video",
        rf"{_TRANSFORMER}(patchify_proj\.|transformer_blocks\.\d+\.scale_shift_table$)",
        _FAMILY,
    ),
    _Kind("a model of Wan VACE", rf"{_TRANSFORMER}vace_(blocks|patch_embedding)\.", _FAMILY),
    _Kind(
        "a model of Wan Animate", rf"{_TRANSFORMER}(face_adapter|pose_patch_embedding)\.", _FAMILY
    ),
    _Kind(
        "a model of Wan",
        rf"{_TRANSFORMER}(head\.modulation$|blocks\.\d+\.(self|cross)_attn\.norm_[qk]\.)",
        _FAMILY,
    ),
    _Kind("a model of Mochi", rf"{_TRANSFORMER}blocks\.\d+\.attn\.qkv_x\.", _FAMILY),
    _Kind("a model of Cosmos", r"net\.(blocks|x_embedder)\.", _FAMILY),
    _Kind(
        "a model of Stable Cascade",
        r"(clip_txt_mapper\.|down_blocks\.\d+\.\d+\.channelwise\.)",
        _FAMILY,
    ),
    _Kind("a video model (ModelScope, Zeroscope)", r".*\.temporal_(conv|transformer)", _FAMILY),
    _Kind(
        "a U-Net alone",
        r"(input_blocks|middle_block|output_blocks)\.\d+\.|model\.diffusion_model\.",
        _PART,
    ),
    _Kind("a U-Net alone", r"(down|up)_blocks\.\d+\.(attentions|resnets)\.|mid_block\.", _PART),
    _Kind("an image encoder of CLIP", r"embeddings\.(class_embedding$|patch_embedding\.)", _PART),
    _Kind("a text encoder of CLIP", r"embeddings\.token_embedding\.", _PART),
    _Kind(
        "a VAE",
        r"((vae|first_stage_model)\.)?((encoder|decoder)\.(down|up|mid|middle|conv_in|conv1|conv_out"
        r"|down_blocks|up_blocks|mid_block|layers|stages)\b|(post_)?quant_conv\.)",
        _PART,
    ),
    _Kind(
        "a language model that reads pictures", r"(model\.)?visual\.(blocks|patch_embed)\.", _PART
    ),
    _Kind("an image encoder of CLIP", r"((clip\.)?vision_model|visual)\.", _PART),
    _Kind("a text encoder of CLIP", _CLIP_TEXT, _PART),
    _Kind(
        "text encoders without a denoiser",
        r"(cond_stage_model|conditioner\.embedders\.\d+)\.",
        _PART,
    ),
    _Kind(
        "a text encoder of T5",
        r"(\w+\.)*(encoder\.)?block\.\d+\.layer\.\d+\.(SelfAttention|DenseReluDense)\.",
        _PART,
    ),
    _Kind("a language model", r"(\w+\.)*layers\.\d+\.(self_attn|input_layernorm)\b", _PART),
    _Kind(
        "an upscaler of pictures",
        r"(params(_ema)?\.)?(RRDB_trunk\.|model\.1\.sub\.|body\.\d+\.rdb\d\.|conv_first\."
        r"|layers\.\d+\.residual_group\.|conv_after_body\.|upsampler\.)",
        "no node takes it yet",
    ),
    _Kind("an estimator of depth", r"(pretrained|depth_head|depth_model|backbone)\.", _PART),
)

DENOISERS: Mapping[str, KnownDenoiser] = {
    "a model of Flux.2": KnownDenoiser(
        "Flux2", "Flux2KleinPipeline", "black-forest-labs/FLUX.2-klein-4B"
    ),
    "a model of Chroma": KnownDenoiser("Chroma", "ChromaPipeline", "lodestones/Chroma1-HD"),
    "a model of HunyuanVideo": KnownDenoiser(
        "HunyuanVideo", "HunyuanVideoPipeline", "hunyuanvideo-community/HunyuanVideo"
    ),
    "a model of HiDream": KnownDenoiser(
        "HiDream", "HiDreamImagePipeline", "HiDream-ai/HiDream-I1-Full"
    ),
    "a model of Flux": KnownDenoiser("Flux", "FluxPipeline", "black-forest-labs/FLUX.1-dev"),
    "a model of Stable Diffusion 3": KnownDenoiser(
        "SD3", "StableDiffusion3Pipeline", "stabilityai/stable-diffusion-3.5-medium"
    ),
    "a model of AuraFlow": KnownDenoiser("AuraFlow", "AuraFlowPipeline", "fal/AuraFlow-v0.3"),
    "a model of Qwen-Image": KnownDenoiser("QwenImage", "QwenImagePipeline", "Qwen/Qwen-Image"),
    "a model of Z-Image": KnownDenoiser("ZImage", "ZImagePipeline", "Tongyi-MAI/Z-Image-Turbo"),
    "a model of Lumina 2": KnownDenoiser(
        "Lumina2", "Lumina2Pipeline", "Alpha-VLLM/Lumina-Image-2.0"
    ),
    "a model of LTX-2": KnownDenoiser("LTX2", "LTX2Pipeline", "Lightricks/LTX-2"),
    "a model of LTX-Video": KnownDenoiser("LTX", "LTXPipeline", "Lightricks/LTX-Video"),
    "a model of Wan": KnownDenoiser("Wan", "WanPipeline", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"),
    "a model of Wan VACE": KnownDenoiser(
        "WanVACE", "WanVACEPipeline", "Wan-AI/Wan2.1-VACE-1.3B-diffusers"
    ),
    "a model of Wan Animate": KnownDenoiser(
        "WanAnimate", "WanAnimatePipeline", "Wan-AI/Wan2.2-Animate-14B-Diffusers"
    ),
    "a model of Mochi": KnownDenoiser("Mochi", "MochiPipeline", "genmo/mochi-1-preview"),
    "a model of SANA": KnownDenoiser(
        "Sana", "SanaPipeline", "Efficient-Large-Model/Sana_1600M_1024px_diffusers"
    ),
    "a model of Cosmos": KnownDenoiser(
        "Cosmos", "CosmosTextToWorldPipeline", "nvidia/Cosmos-1.0-Diffusion-7B-Text2World"
    ),
    "a model of Stable Cascade": KnownDenoiser(
        "StableCascadeUNet", "StableCascadeCombinedPipeline", "stabilityai/stable-cascade"
    ),
}
"""The denoisers that are recognised by the names of their tensors, by their files' labels."""


def label_of_denoiser(class_name: str) -> str:
    """The label of files with the denoiser of a class; "" for a class that is not known.

    Example:
        >>> label_of_denoiser("Flux2Transformer2DModel"), label_of_denoiser("UNet2DConditionModel")
        ('a model of Flux.2', '')
    """
    begins = {denoiser.class_prefix: label for label, denoiser in DENOISERS.items()}
    fitting = [begin for begin in begins if class_name.startswith(begin)]
    return begins[max(fitting, key=len)] if fitting else ""


_INVERSIONS = frozenset({"clip_l", "clip_g", "emb_params", "<concept>", "t5xxl"})


def add_on_kind(names: Iterable[str]) -> tuple[str, str] | None:
    """What changes a checkpoint's networks, and what to do with it; None for anything else.

    Args:
        names: The names of a file's tensors.
    """
    return _first_of(_ADD_ONS, names)


def other_kind(shapes: TensorShapes) -> tuple[str, str]:
    """What a file holds that is neither a checkpoint of LDM nor an addition, and what to do.

    Args:
        shapes: The shapes of a file's tensors, by name.
    """
    if not shapes:
        return "a file without any tensor", "copy it again"
    if _is_inversion(shapes):
        return "an embedding (a textual inversion)", _EMBEDDING
    name = next(iter(shapes))
    unknown = f"weights of an unknown kind (the first of {len(shapes)} is {name[:60]!r})"
    return _first_of(_OTHERS, shapes) or (unknown, _FAMILY)


def _is_inversion(shapes: TensorShapes) -> bool:
    """Whether a file has nothing but the vectors of a few words."""
    if not shapes or len(shapes) > 3 or any(not 1 <= len(shape) <= 2 for shape in shapes.values()):
        return False
    return not _INVERSIONS.isdisjoint(shapes) or (
        len(shapes) == 1 and "." not in next(iter(shapes))
    )


def _first_of(kinds: Iterable[_Kind], names: Iterable[str]) -> tuple[str, str] | None:
    """The first kind that one of the names is of, with its advice."""
    listed = tuple(names)
    for kind in kinds:
        begins = re.compile(kind.pattern).match
        if any(begins(name) for name in listed):
            return kind.label, kind.advice
    return None
