"""The working memory of the transformers, compared with torch's peak, without computing.

Each has the widths of a published model and few layers: without gradients no layer's tensors
outlive it, so the peak is that of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sdgraph.nodes.diffusion.families import FAMILIES
from tests.support.memory_peaks import empty, meta_module, peak
from tests.support.memory_peaks import (
    use_attention_without_matrix as _without_matrix,  # noqa: F401
)

FEW = {"num_layers": 2, "num_single_layers": 2}
FLUX = {**FEW, "guidance_embeds": True}
KLEIN: dict[str, Any] = {
    **FEW,
    "num_attention_heads": 24,
    "attention_head_dim": 128,
    "joint_attention_dim": 7680,
}
KLEIN |= {"guidance_embeds": False, "in_channels": 128, "axes_dims_rope": (32, 32, 32, 32)}
SD3 = {
    "sample_size": 128,
    "num_layers": 3,
    "num_attention_heads": 38,
    "attention_head_dim": 64,
    "caption_projection_dim": 2432,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 2048,
    "in_channels": 16,
    "out_channels": 16,
    "pos_embed_max_size": 192,
    "qk_norm": "rms_norm",
}
QWEN = {"num_layers": 2}
Z_IMAGE = {"n_layers": 2, "n_refiner_layers": 1}
CHROMA = {**FEW}


def _packed(images: int, tokens: int, channels: int, text: int, width: int) -> dict[str, Any]:
    """What the transformers of FLUX's kind read: packed latents, and places of all tokens."""
    return {
        "hidden_states": empty(images, tokens, channels),
        "encoder_hidden_states": empty(images, text, width),
        "timestep": empty(images),
        "img_ids": empty(tokens, 3),
        "txt_ids": empty(text, 3),
    }


def flux(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    inputs = _packed(images, (side // 2) ** 2, 64, 512, 4096)
    inputs |= {"pooled_projections": empty(images, 768), "guidance": empty(images)}
    return FLUX, lambda module: module(**inputs)


def klein(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    inputs = _packed(images, (side // 2) ** 2, 128, 512, 7680)
    inputs |= {"img_ids": empty(images, (side // 2) ** 2, 4), "txt_ids": empty(images, 512, 4)}
    return KLEIN, lambda module: module(**inputs)


def chroma(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    tokens = (side // 2) ** 2
    inputs = _packed(images, tokens, 64, 512, 4096)
    inputs["attention_mask"] = empty(images, tokens + 512)
    return CHROMA, lambda module: module(**inputs)


def sd3(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    inputs = {
        "hidden_states": empty(images, 16, side, side),
        "encoder_hidden_states": empty(images, 77 + 256, 4096),
        "pooled_projections": empty(images, 2048),
        "timestep": empty(images),
    }
    return SD3, lambda module: module(**inputs)


def qwen(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    inputs = {
        "hidden_states": empty(images, (side // 2) ** 2, 64),
        "encoder_hidden_states": empty(images, 512, 3584),
        "timestep": empty(images),
        "img_shapes": [[(1, side // 2, side // 2)]] * images,
    }
    return QWEN, lambda module: module(**inputs)


def z_image(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    latents = [empty(16, 1, side, side)] * images
    words = [empty(512, 2560)] * images
    return Z_IMAGE, lambda module: module(latents, empty(images), words)


CASES = {
    "FLUX.1": ("FluxTransformer2DModel", flux),
    "FLUX.2 Klein": ("Flux2Transformer2DModel", klein),
    "Chroma": ("ChromaTransformer2DModel", chroma),
    "Stable Diffusion 3": ("SD3Transformer2DModel", sd3),
    "Qwen-Image": ("QwenImageTransformer2DModel", qwen),
    "Z-Image": ("ZImageTransformer2DModel", z_image),
}


@pytest.mark.parametrize("label", CASES)
@pytest.mark.parametrize(("images", "side"), [(1, 128), (2, 128), (1, 64)], ids=str)
def test_a_step(label: str, images: int, side: int) -> None:
    import diffusers

    class_name, make = CASES[label]
    config, call = make(images, side)
    module = meta_module(getattr(diffusers, class_name), config, torch.float16)
    family = next(family for family in FAMILIES if family.label == label)
    measured = peak(module, lambda: call(module))
    estimated = family.denoiser.memory(dict(module.config), images, side**2, "float16")
    assert estimated == pytest.approx(measured, rel=0.15)
