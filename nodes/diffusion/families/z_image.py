"""Z-Image and Z-Image Turbo (Tongyi-MAI 2025)."""

from __future__ import annotations

from .control_settings import ControlSettings
from .family_settings import FamilyVersion, Guidance, TextEncoder
from .lora_names import LoraNames
from .model_family import ModelFamily
from .networks import Config
from .prompt_encoding import PromptEncoding
from .transformer_networks import (
    QWEN_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 512

_BLOCKS = ("layers", "noise_refiner", "context_refiner")
_ATTENTION = {"qkv": "{to_q,to_k,to_v}", "out": "to_out.0", "q_norm": "norm_q", "k_norm": "norm_k"}
_LORA_NAMES = LoraNames(
    label="Z-Image",
    widths=(3840,),
    mark=r"^(layers|noise_refiner|context_refiner)_\d+_(attention|feed_forward|adaLN)",
    layers={
        **{
            f"{block}.*.attention.{name}": f"{block}.*.attention.{target}"
            for block in _BLOCKS
            for name, target in _ATTENTION.items()
        },
        "x_embedder": "all_x_embedder.2-1",
        "final_layer.linear": "all_final_layer.2-1.linear",
        "final_layer.adaLN_modulation.1": "all_final_layer.2-1.adaLN_modulation.1",
    },
)


def _control_misfit(config: Config, denoiser: Config) -> tuple[str, str] | None:
    """Why a ControlNet does not fit: it works on layers, or reads latents, that are not there."""
    last, layers = max(config.get("control_layers_places") or [0]), denoiser.get("n_layers")
    if layers is not None and last >= layers:
        return f"for a base of {last + 1} layers or more", f"one for a base of {layers}"
    read, latents = config.get("control_in_dim"), denoiser.get("in_channels")
    if read is not None and latents is not None and read < latents:
        return f"for latents of {read} channels", f"one for {latents}"
    return None


def _repainting_misfit(config: Config, denoiser: Config) -> tuple[str, str] | None:
    """Why a ControlNet cannot repaint: it reads latents of the map, of the picture, and a mask."""
    read, latents = config.get("control_in_dim"), denoiser.get("in_channels", 16)
    if read == 2 * latents + 1:
        return None
    return f"which reads {read} channels and no mask", f"one that repaints ({2 * latents + 1})"


Z_IMAGE = ModelFamily(
    label="Z-Image",
    class_names=("ZImagePipeline", "ZImageImg2Img", "ZImageInpaint", "ZImageControlNet"),
    name_hint="z-image",
    pipelines={
        "text-to-image": "ZImagePipeline",
        "image-to-image": "ZImageImg2ImgPipeline",
        "inpaint": "ZImageInpaintPipeline",
        "controlnet": "ZImageControlNetPipeline",
        "controlnet-inpaint": "ZImageControlNetInpaintPipeline",
    },
    denoiser=transformer("ZImageTransformer2DModel", tensors=15.8, text_tokens=_MAX_TOKENS),
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("Qwen3Model", "Qwen3ForCausalLM"),
            tokenizer_classes=QWEN_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=("prompt_embeds", "negative_prompt_embeds"),
        as_lists=True,
        options={"max_sequence_length": _MAX_TOKENS},
        # Its others have the same function, and some cannot be made without all networks.
        encode_prompt_of="ZImagePipeline",
    ),
    # Its pipelines add the scale to that of the prompt alone: 0 is no guidance.
    guidance=Guidance(scale=5.0, none_up_to=0.0),
    few_steps=9,
    min_multiple=16,
    takes_image_size=True,
    flow_matching=True,
    control=ControlSettings(
        class_name="ZImageControlNetModel",
        several="no",
        has_timing=False,
        has_strength=False,
        same_settings=("n_heads",),
        misfit=_control_misfit,
        repainting_misfit=_repainting_misfit,
        borrows_layers=True,
    ),
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    lora_names=_LORA_NAMES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="Z-Image"),),
)
