"""The networks that families are made of: what their configs say, and the memory they work with.

The memory that a network works with beside its weights is a law of its config. What a forward pass
holds at its peak grows with the number of images, their area, the channels of the widest level and
the bytes of a number, all to the first power: attention is computed without its matrix. The factors
count how many tensors of that size exist at once. They were measured, as peaks of torch's
allocations without computing, on the architectures of Stable Diffusion 1.5, 2 and XL and of
ModelScope's text-to-video by `tests/nodes/diffusion/test_working_memory.py`, which holds each law
to within 5 % of the measurement (10 % with ControlNets).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sdgraph.values import DTYPE_BYTES

Config = Mapping[str, Any]
"""A component's config.json."""

_WITH_ATTENTION, _WITHOUT_ATTENTION, _IN_3D = 26.0, 16.0, 33.3
"""Tensors at the widest level of a U-Net with attention there, without (SDXL), and of a 3-D one."""
_CONTROLNET_RESIDUALS = 7.0
"""The residuals of ControlNets, which are added up and held while the U-Net runs."""
_DECODING = 6.0
"""Tensors of the picture's size while an autoencoder decodes."""
_TILE = 512
"""The side in pixels of a decoder's tile, where its config does not say."""

_ATTENTION_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
_ATTENTION_LAYER = re.compile(r"attn([12])[._](?:processor[._])?to_([qkv])(?![a-z])")


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """The network of a family that runs once a step.

    Args:
        name: The component's name in a model index.
        label: The network as people call it.
        memory: The bytes that a step takes: `memory(config, images, area, dtype, controlled=…)`
            with the latents' area; guidance makes two images of one, a video has one a frame.
        lora_features: How many features a layer, by its name in a LoRA file, may take in by a
            config; empty where any number may be right.
        lora_targets: What the names of the layers end with that LoRA adapters are trained for.
        uncast_layers: Layers that layerwise casting leaves in the dtype that is computed in,
            beside norms and embeddings of patches: regular expressions of their names.
        sample_size: The latents' side, where the config does not say.
    """

    name: str
    label: str
    memory: Callable[..., int]
    lora_features: Callable[[str, Config], set[int]]
    lora_targets: tuple[str, ...] = ()
    uncast_layers: tuple[str, ...] = ()
    sample_size: int = 64


@dataclass(frozen=True, kw_only=True)
class Decoder:
    """The network of a family that makes pictures of latents.

    Args:
        name: The component's name in a model index.
        label: The network as people call it.
        memory: The bytes that it takes: `memory(config, images, area, dtype, mode)` with the
            pictures' area in pixels; `mode` is "sliced", "tiled", "both" or None.
        scale: By how much a picture's side is longer than its latents'.
        sliceable: The classes that can decode by slices and tiles.
    """

    name: str
    label: str
    memory: Callable[..., int]
    scale: Callable[[Config], int]
    sliceable: tuple[str, ...]


def unet_memory(
    config: Config, images: int, area: int, dtype: str, *, controlled: bool = False
) -> int:
    """The bytes that a step of a U-Net takes for so many images of latents of that area.

    Args:
        config: The U-Net's config.
        images: How many latents are denoised at once: two for each image with guidance, and as
            many as there are frames for a video.
        area: Width × height of the latents.
        dtype: What is computed in, such as "float16".
        controlled: Whether ControlNets add their residuals.
    """
    blocks = config.get("down_block_types") or ("CrossAttnDownBlock2D",)
    channels = config.get("block_out_channels") or (320,)
    factor = _WITH_ATTENTION if blocks[0].startswith("CrossAttn") else _WITHOUT_ATTENTION
    if any(block.endswith("3D") for block in blocks):
        factor = _IN_3D
    if controlled:
        factor += _CONTROLNET_RESIDUALS
    return int(factor * images * area * channels[0] * DTYPE_BYTES.get(dtype, 4))


def autoencoder_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that an autoencoder takes to decode pictures of that area in pixels.

    `mode` is "sliced", "tiled", "both" or None. One that overflows in half precision works in
    float32.
    """
    channels = config.get("block_out_channels") or (128,)
    if mode in ("sliced", "both"):
        images = 1
    if mode in ("tiled", "both"):
        area = min(area, int(config.get("sample_size") or _TILE) ** 2)
    number = 4 if config.get("force_upcast") else DTYPE_BYTES.get(dtype, 4)
    return int(_DECODING * images * area * channels[0] * number)


def text_width(config: Config) -> int | None:
    """The width of the text features that a network attends to, if its config gives one number."""
    width = config.get("cross_attention_dim")
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


UNET_2D = Denoiser(
    name="unet",
    label="U-Net",
    memory=unet_memory,
    lora_features=_unet_lora_features,
    lora_targets=_ATTENTION_PROJECTIONS,
)

UNET_3D = Denoiser(
    name="unet",
    label="3-D U-Net",
    memory=unet_memory,
    lora_features=_unet_lora_features,
    lora_targets=_ATTENTION_PROJECTIONS,
    # In its temporal convolutions norms have no names.
    uncast_layers=("time_embedding", r"temp_convs\.\d\.conv\d\.0\."),
)

AUTOENCODER = Decoder(
    name="vae",
    label="VAE",
    memory=autoencoder_memory,
    scale=_autoencoder_scale,
    sliceable=("AutoencoderKL", "AutoencoderTiny"),
)
