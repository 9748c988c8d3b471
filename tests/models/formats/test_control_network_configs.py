"""The config of a ControlNet in one file is that of the folder with the same weights."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sdgraph.models.formats.control_network_configs import control_network_config

SD15: dict[str, Any] = {"cross_attention_dim": 768, "attention_head_dim": 8}
SD21: dict[str, Any] = {
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "use_linear_projection": True,
}
XL: dict[str, Any] = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "cross_attention_dim": 2048,
    "attention_head_dim": [5, 10, 20],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
SMALL_XL = {
    **XL,
    "down_block_types": ["DownBlock2D"] * 3,
    "mid_block_type": "UNetMidBlock2D",
    "transformer_layers_per_block": 1,
}
UNION = {**XL, "conditioning_embedding_out_channels": [48, 96, 192, 384], "num_control_type": 8}
FLUX = {"num_layers": 2, "num_single_layers": 3, "guidance_embeds": True}
CASES = [
    ("ControlNetModel", SD15),
    ("ControlNetModel", SD21),
    ("ControlNetModel", XL),
    ("ControlNetModel", SMALL_XL),
    ("ControlNetUnionModel", UNION),
    ("FluxControlNetModel", {**FLUX, "num_mode": 10}),
    ("FluxControlNetModel", {**FLUX, "num_mode": None}),
    ("QwenImageControlNetModel", {"num_layers": 2}),
    ("QwenImageControlNetModel", {"num_layers": 2, "extra_condition_channels": 4}),
    (
        "ZImageControlNetModel",
        {
            "control_layers_places": [0, 5, 10, 15, 20, 25],
            "control_refiner_layers_places": [],
            "control_in_dim": 16,
        },
    ),
]


def module_of(class_name: str, config: dict[str, Any]) -> Any:
    import diffusers
    import torch

    with torch.device("meta"):
        return getattr(diffusers, class_name).from_config(config)


@pytest.mark.torch
@pytest.mark.parametrize(("class_name", "config"), CASES, ids=range(len(CASES)))
def test_the_shapes_of_published_networks_tell_their_config(
    class_name: str, config: dict[str, Any]
) -> None:
    module = module_of(class_name, config)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    told = control_network_config(shapes)
    assert told is not None and told["_class_name"] == class_name
    again = module_of(class_name, told)
    own, other = dict(module.config), dict(again.config)
    differing = {
        name
        for name in own
        if name != "_use_default_values" and _plain(own[name]) != _plain(other[name])
    }
    assert not differing
    assert {n: t.shape for n, t in again.state_dict().items()} == {
        n: t.shape for n, t in module.state_dict().items()
    }


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_other_names_tell_nothing() -> None:
    assert control_network_config({"x.weight": (4, 4)}) is None


@pytest.mark.parametrize(
    "shapes",
    [
        {"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3)},
        {"controlnet_cond_embedding.conv_in.weight": (16,), "down_blocks.999999999.x": (1,)},
        {"input_hint_block.0.weight": (16, 3, 3, 3), "input_blocks.0.0.weight": ()},
        {"controlnet_x_embedder.weight": (64, 64), "txt_in.weight": (64, 64)},
        {"controlnet_x_embedder.weight": (64, 64), "context_embedder.weight": (64, 64)},
    ],
)
def test_a_part_of_a_network_tells_nothing(shapes: dict[str, tuple[int, ...]]) -> None:
    assert control_network_config(shapes) is None
