"""The networks that families share, and formulas for their working memory.

The working memory of a network, without its weights, follows from its config. The peak of a
forward pass is proportional to the number of images, their area, the channels of the widest level
and the bytes per number, because attention is computed without its matrix. The factors count the
tensors of that size that exist at once. `tests/nodes/diffusion/tuning/test_working_memory.py`
measures them as peaks of torch's allocations, without computing, for the architectures of Stable
Diffusion 1.5, 2 and XL and of ModelScope's text-to-video; each formula is within 5 % of the
measurement (10 % with ControlNets).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sdgraph.values import DTYPE_BYTES

Config = Mapping[str, Any]
"""A component's config.json."""

_WITH_ATTENTION, _WITHOUT_ATTENTION, _IN_3D = 26.0, 16.0, 33.3
"""Tensors of the widest level: of a U-Net with attention there, without (SDXL), and in 3-D."""
_CONTROLNET_RESIDUALS = 7.0
"""Tensors of the ControlNets' residuals, which are summed and held while the U-Net runs."""
_MAP_ADAPTER_RESULTS = 1.9
"""Tensors of the results of T2I-Adapters, which are summed and held through all steps."""
_DECODING = 6.0
"""Tensors of the picture's size while an autoencoder decodes."""
_TILE = 512
"""The side of a decoder's tile in pixels, if its config does not say."""

_ATTENTION_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
_ATTENTION_LAYER = re.compile(r"attn([12])[._](?:processor[._])?to_([qkv])(?![a-z])")


def _no_patches(config: Config) -> int:
    return 1


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """The network of a family that runs once per step.

    Args:
        name: The component's name in a model index.
        label: The network's usual name.
        memory: The bytes that a step needs: `memory(config, images, area, dtype, controls=…)`
            as in `unet_memory`.
        timed_memory: The same where each token has a timestep of its own; None if that needs no
            more.
        lora_features: The numbers of input features that a layer may have, by its name in a LoRA
            file and the config; empty if any number may be right.
        lora_targets: What the names of the layers that LoRAs are trained for end with.
        uncast_layers: Further layers that layerwise casting leaves in the dtype of the
            computation, besides norms and patch embeddings: regular expressions of their names.
        sample_size: The side of the latents, if the config does not say.
        latents_per_token: How many latents, one next to the other, are the channels of one token.
        patch: The side of the patch of latents that is one token, by the config.
        tensors: How many tensors of tokens × width exist at once in a step; 0 if it has no tokens.
        classes: The classes that it may have, in diffusers; () for any denoiser.
        batches: Whether its pipelines make several pictures of several prompts at once, and
            `batch_invariant` gives each the bits that it has alone.
    """

    name: str
    label: str
    memory: Callable[..., int]
    lora_features: Callable[[str, Config], set[int]]
    timed_memory: Callable[..., int] | None = None
    lora_targets: tuple[str, ...] = ()
    uncast_layers: tuple[str, ...] = ()
    sample_size: int = 64
    latents_per_token: int = 1
    tensors: float = 0.0
    patch: Callable[[Config], int] = _no_patches
    classes: tuple[str, ...] = ()
    batches: bool = False


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """The network of a family that decodes latents to pictures.

    Args:
        name: The component's name in a model index.
        label: The network's usual name.
        memory: The bytes that it needs: `memory(config, images, area, dtype, mode)` as in
            `autoencoder_memory`.
        scale: The length of a picture's side divided by that of its latents, by the config.
        sliceable: The classes that can decode by slices and tiles.
        classes: The classes that it may have, in diffusers; () for any autoencoder.
    """

    name: str
    label: str
    memory: Callable[..., int]
    scale: Callable[[Config], int]
    sliceable: tuple[str, ...]
    classes: tuple[str, ...] = ()


def unet_memory(
    config: Config, images: int, area: int, dtype: str, *, controls: Sequence[Config] = ()
) -> int:
    """The bytes that a step of a U-Net needs, without its weights.

    Args:
        config: The U-Net's config.
        images: The number of latents that are denoised at once: two for each image with guidance,
            and one for each frame of a video.
        area: Width × height of the latents.
        dtype: The dtype of the computation, such as "float16".
        controls: The configs of the ControlNets or T2I-Adapters, one for each control map.
    """
    blocks = config.get("down_block_types") or ("CrossAttnDownBlock2D",)
    channels = config.get("block_out_channels") or (320,)
    factor = _WITH_ATTENTION if blocks[0].startswith("CrossAttn") else _WITHOUT_ATTENTION
    if any(block.endswith("3D") for block in blocks):
        factor = _IN_3D
    if controls:
        is_adapter = all(control.get("_class_name") == "T2IAdapter" for control in controls)
        factor += _MAP_ADAPTER_RESULTS if is_adapter else _CONTROLNET_RESIDUALS
    return int(factor * images * area * channels[0] * DTYPE_BYTES.get(dtype, 4))


def autoencoder_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that an autoencoder needs to decode pictures, without its weights.

    Args:
        config: The autoencoder's config; with `force_upcast` it computes in float32.
        images: The number of pictures that are decoded at once.
        area: Width × height of a picture in pixels.
        dtype: The dtype of the computation, such as "float16".
        mode: "sliced" for one picture at a time, "tiled" for one tile at a time, "both", or None.
    """
    channels = config.get("block_out_channels") or (128,)
    if mode in ("sliced", "both"):
        images = 1
    if mode in ("tiled", "both"):
        area = min(area, int(config.get("sample_size") or _TILE) ** 2)
    bytes_per_number = 4 if config.get("force_upcast") else DTYPE_BYTES.get(dtype, 4)
    return int(_DECODING * images * area * channels[0] * bytes_per_number)


def text_width(config: Config) -> int | None:
    """The width of the text features that a network attends to, if its config gives one number.

    Transformers such as SANA's first bring the features to a width of their own.
    """
    width = config.get("caption_channels") or config.get("cross_attention_dim")
    return width if isinstance(width, int) else None


def _unet_lora_features(layer: str, config: Config) -> set[int]:
    match = _ATTENTION_LAYER.search(layer)
    if match is None:
        return set()
    if match[1] == "2" and match[2] in "kv":
        width = config.get("cross_attention_dim")
        return {width} if isinstance(width, int) else set(width or ())
    return set(config.get("block_out_channels", ()))


def _autoencoder_scale(config: Config) -> int:
    return int(2 ** (len(config.get("block_out_channels", (0,) * 4)) - 1))


UNET_LORA_PREFIXES = {
    "unet.": "unet",
    "lora_unet_": "unet",
    "diffusion_model.": "unet",
    "lycoris_": "unet",
    "base_model.model.unet.": "unet",
    "base_model.model.": "unet",
    "": "unet",
}
"""What the names of tensors in LoRAs for a U-Net begin with; peft names no component."""

UNET_2D = Denoiser(
    name="unet",
    batches=True,
    label="U-Net",
    memory=unet_memory,
    lora_features=_unet_lora_features,
    lora_targets=_ATTENTION_PROJECTIONS,
    classes=("UNet2DConditionModel",),
)

UNET_3D = Denoiser(
    name="unet",
    label="3-D U-Net",
    memory=unet_memory,
    lora_features=_unet_lora_features,
    lora_targets=_ATTENTION_PROJECTIONS,
    # In its temporal convolutions norms have no names.
    uncast_layers=("time_embedding", r"temp_convs\.\d\.conv\d\.0\."),
    classes=("UNet3DConditionModel",),
)

AUTOENCODER = Decoder(
    name="vae",
    label="VAE",
    memory=autoencoder_memory,
    scale=_autoencoder_scale,
    sliceable=("AutoencoderKL", "AutoencoderTiny"),
    classes=(
        "AutoencoderKL",
        "AutoencoderTiny",
        "AsymmetricAutoencoderKL",
        "ConsistencyDecoderVAE",
    ),
)
