"""The working memory of the transformers, compared with torch's peak, without computing.

Each has the widths of a published model and few layers: without gradients no layer's tensors
outlive it, so the peak is that of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sdgraph.nodes.diffusion.families import FAMILIES, ModelFamily
from tests.support.effort import each_nth
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
FLUX2 = {**KLEIN, "num_attention_heads": 48, "joint_attention_dim": 15360, "guidance_embeds": True}
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


def flux2(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    inputs = _packed(images, (side // 2) ** 2, 128, 512, 15360)
    inputs |= {"img_ids": empty(images, (side // 2) ** 2, 4), "txt_ids": empty(images, 512, 4)}
    return FLUX2, lambda module: module(**inputs, guidance=empty(images))


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


def pixart(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    config = {"num_layers": 2, "caption_channels": 4096, "use_additional_conditions": False}
    inputs = {
        "hidden_states": empty(images, 4, side, side),
        "encoder_hidden_states": empty(images, 300, 4096),
        "encoder_attention_mask": empty(images, 300),
        "timestep": empty(images),
        "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
    }
    return {**config, "attention_bias": True}, lambda module: module(**inputs)


def pixart_alpha(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    config, _ = pixart(images, side)
    inputs = {
        "hidden_states": empty(images, 4, side, side),
        "encoder_hidden_states": empty(images, 120, 4096),
        "encoder_attention_mask": empty(images, 120),
        "timestep": empty(images),
        "added_cond_kwargs": {"resolution": empty(images, 2), "aspect_ratio": empty(images, 1)},
    }
    return {**config, "use_additional_conditions": True}, lambda module: module(**inputs)


def sana(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    inputs = {
        "hidden_states": empty(images, 32, side, side),
        "encoder_hidden_states": empty(images, 300, 2304),
        "encoder_attention_mask": empty(images, 300),
        "timestep": empty(images),
    }
    return {"num_layers": 2}, lambda module: module(**inputs)


def sana_sprint(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    config, _ = sana(images, side)
    inputs = {
        "hidden_states": empty(images, 32, side, side),
        "encoder_hidden_states": empty(images, 300, 2304),
        "timestep": empty(images),
        "guidance": empty(images),
    }
    config |= {"guidance_embeds": True, "qk_norm": "rms_norm_across_heads"}
    return config, lambda module: module(**inputs)


def aura_flow(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    latents, words = empty(images, 4, side, side), empty(images, 256, 2048)
    config = {"num_mmdit_layers": 1, "num_single_dit_layers": 2}
    return config, lambda module: module(latents, words, empty(images))


def lumina2(images: int, side: int) -> tuple[Any, Callable[[Any], Any]]:
    latents, words = empty(images, 16, side, side), empty(images, 256, 2304)
    mask = torch.ones(images, 256, dtype=torch.bool)  # its sums are read
    config = {"num_layers": 2, "cap_feat_dim": 2304}
    return config, lambda module: module(latents, empty(images), words, mask)


CASES = {
    "FLUX.1": ("FluxTransformer2DModel", flux),
    "FLUX.2 Klein": ("Flux2Transformer2DModel", klein),
    "FLUX.2": ("Flux2Transformer2DModel", flux2),
    "Chroma": ("ChromaTransformer2DModel", chroma),
    "Stable Diffusion 3": ("SD3Transformer2DModel", sd3),
    "Qwen-Image": ("QwenImageTransformer2DModel", qwen),
    "Z-Image": ("ZImageTransformer2DModel", z_image),
    "PixArt-Alpha": ("PixArtTransformer2DModel", pixart_alpha),
    "PixArt-Sigma": ("PixArtTransformer2DModel", pixart),
    "SANA": ("SanaTransformer2DModel", sana),
    "SANA-Sprint": ("SanaTransformer2DModel", sana_sprint),
    "AuraFlow": ("AuraFlowTransformer2DModel", aura_flow),
    "Lumina 2": ("Lumina2Transformer2DModel", lumina2),
}


@pytest.mark.parametrize("label", each_nth(CASES, len(CASES)))
@pytest.mark.parametrize(
    ("images", "side"), each_nth([(1, 128), (2, 128), (1, 64)], 3, arguments=2), ids=str
)
def test_a_step(label: str, images: int, side: int) -> None:
    import diffusers

    class_name, make = CASES[label]
    config, call = make(images, side)
    module = meta_module(getattr(diffusers, class_name), config, torch.float16)
    family = family_called(label)
    measured = peak(module, lambda: call(module))
    estimated = family.denoiser.memory(dict(module.config), images, side**2, "float16")
    assert estimated == pytest.approx(measured, rel=0.15)


def flux_edit(side: int) -> tuple[Any, Callable[[Any], Any]]:
    inputs = _packed(1, 2 * (side // 2) ** 2, 64, 512, 4096)
    inputs |= {"pooled_projections": empty(1, 768), "guidance": empty(1)}
    return FLUX, lambda module: module(**inputs)


def flux2_edit(side: int) -> tuple[Any, Callable[[Any], Any]]:
    tokens = 2 * (side // 2) ** 2
    inputs = _packed(1, tokens, 128, 512, 15360)
    inputs |= {"img_ids": empty(1, tokens, 4), "txt_ids": empty(1, 512, 4)}
    return FLUX2, lambda module: module(**inputs, guidance=empty(1))


def qwen_edit(side: int) -> tuple[Any, Callable[[Any], Any]]:
    inputs = {
        "hidden_states": empty(1, (side // 2) ** 2 + 64**2, 64),
        "encoder_hidden_states": empty(1, 1369 + 200, 3584),
        "timestep": empty(1),
        "img_shapes": [[(1, side // 2, side // 2), (1, 64, 64)]],
    }
    return QWEN, lambda module: module(**inputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "class_name", "make"),
    [
        ("FLUX.1 Kontext", "FluxTransformer2DModel", flux_edit),
        ("FLUX.2", "Flux2Transformer2DModel", flux2_edit),
        ("Qwen-Image-Edit", "QwenImageTransformer2DModel", qwen_edit),
    ],
)
@pytest.mark.parametrize("side", [128, 64])
def test_a_step_with_the_tokens_of_a_picture_that_is_edited(
    label: str, class_name: str, make: Callable[[int], Any], side: int
) -> None:
    import diffusers

    config, call = make(side)
    module = meta_module(getattr(diffusers, class_name), config, torch.float16)
    measured = peak(module, lambda: call(module))
    family = family_called(label)
    assert family.reference_area is not None
    area = side**2 + family.reference_area((side * 8) ** 2) // 64
    estimated = family.denoiser.memory(dict(module.config), 1, area, "float16")
    assert estimated == pytest.approx(measured, rel=0.15)


def family_called(label: str) -> ModelFamily:
    return next(family for family in FAMILIES if family.label == label)


SANA_BLOCKS = ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3
SANA_WIDTHS = (128, 256, 512, 512, 1024, 1024)
SANA_AUTOENCODER = {
    "latent_channels": 32,
    "encoder_block_types": SANA_BLOCKS,
    "decoder_block_types": SANA_BLOCKS,
    "encoder_block_out_channels": SANA_WIDTHS,
    "decoder_block_out_channels": SANA_WIDTHS,
    "encoder_layers_per_block": (2, 2, 2, 3, 3, 3),
    "encoder_qkv_multiscales": ((), (), (), (5,), (5,), (5,)),
    "decoder_qkv_multiscales": ((), (), (), (5,), (5,), (5,)),
    "upsample_block_type": "interpolate",
    "downsample_block_type": "Conv",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("images", "side", "mode"), [(1, 32, None), (2, 16, None), (1, 64, "tiled"), (2, 16, "sliced")]
)
def test_decoding_by_a_deep_compression_autoencoder(
    images: int, side: int, mode: str | None
) -> None:
    import diffusers

    module = meta_module(diffusers.AutoencoderDC, SANA_AUTOENCODER, torch.float16)
    module.use_tiling, module.use_slicing = mode == "tiled", mode == "sliced"
    measured = peak(module, lambda: module.decode(empty(images, 32, side, side)))
    memory = family_called("SANA").decoder.memory
    estimated = memory(dict(module.config), images, (32 * side) ** 2, "float16", mode)
    assert estimated == pytest.approx(measured, rel=0.15)
