"""The working memory of a step with ControlNets of transformers, compared with torch's peak."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from sdgraph.nodes.diffusion.families.control_memory import control_tensors
from tests.support.effort import each_nth
from tests.support.memory_peaks import empty, meta_module, peak
from tests.support.memory_peaks import (
    use_attention_without_matrix as _without_matrix,  # noqa: F401
)

from .test_transformer_memory import QWEN, SD3, Z_IMAGE, family_called
from .test_transformer_memory import flux as flux_step
from .test_transformer_memory import qwen as qwen_step
from .test_transformer_memory import sana as sana_step
from .test_transformer_memory import sd3 as sd3_step

Step = tuple[Any, list[Any], Callable[[], Any]]
"""A denoiser, its ControlNets, and a function that runs a step of them."""


def flux(images: int, side: int, layers: int, single: int = 0, count: int = 1) -> Step:
    import diffusers

    config, _ = flux_step(images, side)
    denoiser = meta_module(diffusers.FluxTransformer2DModel, config, torch.float16)
    own = {"num_layers": layers, "num_single_layers": single}
    nets = [meta_module(diffusers.FluxControlNetModel, own, torch.float16) for _ in range(count)]
    tokens = (side // 2) ** 2
    inputs = {
        "hidden_states": empty(images, tokens, 64),
        "encoder_hidden_states": empty(images, 512, 4096),
        "timestep": empty(images),
        "img_ids": empty(tokens, 3),
        "txt_ids": empty(512, 3),
        "pooled_projections": empty(images, 768),
    }
    network = nets[0] if count == 1 else diffusers.FluxMultiControlNetModel(nets)
    picture: Any = empty(images, tokens, 64)
    several: dict[str, Any] = {
        "controlnet_cond": [picture] * count,
        "controlnet_mode": [empty(1)] * count,
        "conditioning_scale": [1.0] * count,
    }
    given = {"controlnet_cond": picture} if count == 1 else several

    def step() -> None:
        made, of_single = network(return_dict=False, **given, **inputs)
        denoiser(
            controlnet_block_samples=made,
            controlnet_single_block_samples=of_single,
            guidance=empty(images),
            **inputs,
        )

    return denoiser, nets, step


def qwen_image(images: int, side: int, layers: int) -> Step:
    import diffusers

    qwen_step(images, side)
    denoiser = meta_module(diffusers.QwenImageTransformer2DModel, QWEN, torch.float16)
    net = meta_module(diffusers.QwenImageControlNetModel, {"num_layers": layers}, torch.float16)
    tokens = (side // 2) ** 2
    inputs = {
        "hidden_states": empty(images, tokens, 64),
        "encoder_hidden_states": empty(images, 512, 3584),
        "timestep": empty(images),
        "img_shapes": [[(1, side // 2, side // 2)]] * images,
    }

    def step() -> None:
        made = net(controlnet_cond=empty(images, tokens, 64), return_dict=False, **inputs)
        denoiser(controlnet_block_samples=made, **inputs)

    return denoiser, [net], step


def stable_diffusion_3(images: int, side: int, layers: int) -> Step:
    import diffusers

    sd3_step(images, side)
    denoiser = meta_module(diffusers.SD3Transformer2DModel, SD3, torch.float16)
    net = meta_module(diffusers.SD3ControlNetModel, {**SD3, "num_layers": layers}, torch.float16)
    latents = empty(images, 16, side, side)
    inputs = {
        "hidden_states": latents,
        "encoder_hidden_states": empty(images, 77 + 256, 4096),
        "pooled_projections": empty(images, 2048),
        "timestep": empty(images),
    }

    def step() -> None:
        (made,) = net(controlnet_cond=latents, return_dict=False, **inputs)
        denoiser(block_controlnet_hidden_states=made, **inputs)

    return denoiser, [net], step


def z_image(images: int, side: int, layers: int, channels: int = 16) -> Step:
    import diffusers

    denoiser = meta_module(diffusers.ZImageTransformer2DModel, Z_IMAGE, torch.float16)
    config: dict[str, Any] = {
        "control_layers_places": list(range(layers)),
        "control_refiner_layers_places": [0, 1] if channels > 16 else [],
        "control_in_dim": channels,
        "add_control_noise_refiner": "control_noise_refiner" if channels > 16 else None,
    }
    net = meta_module(diffusers.ZImageControlNetModel, config, torch.float16)
    net = diffusers.ZImageControlNetModel.from_transformer(net, denoiser)
    latents = [empty(16, 1, side, side)] * images
    words, context = [empty(512, 2560)] * images, [empty(channels, 1, side, side)] * images

    def step() -> None:
        made = net(latents, empty(images), words, context)
        denoiser(latents, empty(images), words, controlnet_block_samples=made)

    return denoiser, [net], step


def sana(images: int, side: int, layers: int) -> Step:
    import diffusers

    config, _ = sana_step(images, side)
    denoiser = meta_module(diffusers.SanaTransformer2DModel, config, torch.float16)
    net = meta_module(diffusers.SanaControlNetModel, {"num_layers": layers}, torch.float16)
    latents = empty(images, 32, side, side)
    inputs = {
        "encoder_hidden_states": empty(images, 300, 2304),
        "encoder_attention_mask": empty(images, 300),
        "timestep": empty(images),
    }

    def step() -> None:
        (made,) = net(latents, controlnet_cond=latents, return_dict=False, **inputs)
        denoiser(latents, controlnet_block_samples=tuple(made), **inputs)

    return denoiser, [net], step


CASES: list[tuple[str, Callable[..., Step], dict[str, int]]] = [
    ("FLUX.1", flux, {"layers": 6}),
    ("FLUX.1", flux, {"layers": 5, "single": 10}),
    ("FLUX.1", flux, {"layers": 4, "count": 2}),
    ("Qwen-Image", qwen_image, {"layers": 5}),
    ("Qwen-Image", qwen_image, {"layers": 12}),
    ("SANA", sana, {"layers": 7}),
    ("Stable Diffusion 3", stable_diffusion_3, {"layers": 6}),
    ("Stable Diffusion 3", stable_diffusion_3, {"layers": 12}),
    ("Z-Image", z_image, {"layers": 6}),
    ("Z-Image", z_image, {"layers": 15, "channels": 33}),
]


@pytest.mark.parametrize(
    ("label", "make", "more"),
    each_nth(CASES, 3, arguments=3),
    ids=[f"{label}, {more}" for label, _, more in CASES],
)
@pytest.mark.parametrize(
    ("images", "side"),
    [
        (1, 64),
        pytest.param(1, 128, marks=pytest.mark.slow),
        pytest.param(2, 128, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_step(
    label: str, make: Callable[..., Step], more: dict[str, int], images: int, side: int
) -> None:
    denoiser, nets, step = make(images, side, **more)
    measured = peak(torch.nn.ModuleList([denoiser, *nets]), step)
    configs = [dict(net.config) for net in nets]
    memory = family_called(label).denoiser.memory
    estimated = memory(dict(denoiser.config), images, side**2, "float16", controls=configs)
    assert estimated == pytest.approx(measured, rel=0.15)


def test_a_network_without_layers_adds_nothing() -> None:
    assert control_tensors(17.0, [{"num_layers": 0}], 10, 8) == 17.0
    assert control_tensors(17.0, [], 10, 8) == 17.0
