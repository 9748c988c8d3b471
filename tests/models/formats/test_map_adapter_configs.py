"""The config of a T2I-Adapter follows from the tensors of its file, in both layouts."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sdgraph.models.formats.map_adapter_configs import map_adapter_config, map_adapter_names

PUBLISHED: dict[str, dict[str, Any]] = {
    "TencentARC/t2iadapter_canny_sd15v2": {"in_channels": 1},
    "TencentARC/t2iadapter_depth_sd15v2": {},
    "TencentARC/t2iadapter_color_sd14v1": {
        "channels": [320, 640, 1280],
        "num_res_blocks": 4,
        "adapter_type": "light_adapter",
    },
    "TencentARC/t2i-adapter-canny-sdxl-1.0": {
        "downscale_factor": 16,
        "adapter_type": "full_adapter_xl",
    },
}


def numbered(name: str, *, light: bool) -> str:
    """The name of a tensor as the adapters' authors have it."""
    name = name.removeprefix("adapter.")
    if light:
        return name.replace("resnets.", "body.")

    def place(match: re.Match[str]) -> str:
        block = int(match[3] or 0)
        return f"body.{2 * int(match[1]) + block}."

    return re.sub(r"body\.(\d+)\.(resnets\.(\d+)\.)?", place, name)


@pytest.mark.torch
@pytest.mark.parametrize("settings", PUBLISHED.values(), ids=PUBLISHED)
def test_the_tensors_tell_the_config(settings: dict[str, Any]) -> None:
    import diffusers
    import torch

    with torch.device("meta"):
        adapter = diffusers.T2IAdapter(**settings)
    shapes = {name: tuple(tensor.shape) for name, tensor in adapter.state_dict().items()}
    light = settings.get("adapter_type") == "light_adapter"
    of_authors = {numbered(name, light=light): shape for name, shape in shapes.items()}
    assert len(of_authors) == len(shapes) and shapes.keys().isdisjoint(of_authors)
    assert {*map_adapter_names(of_authors).values()} == {*shapes}
    for names in (shapes, of_authors):
        config = map_adapter_config(names)
        assert config is not None
        assert config == {
            "_class_name": "T2IAdapter",
            **{name: adapter.config[name] for name in config if name != "_class_name"},
        }
        assert config.keys() - {"_class_name"} == settings.keys() | {
            "in_channels",
            "channels",
            "num_res_blocks",
            "downscale_factor",
            "adapter_type",
        }


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"body.0.block1.weight": (320, 320, 3, 3)},
        {"conv_in.weight": (320, 192, 3, 3)},
        {"conv_in.weight": (320, 100, 3, 3), "body.0.block1.weight": (320, 320, 3, 3)},
        {"conv_in.weight": (), "body.999999999.block1.weight": (1,)},
    ],
)
def test_a_part_of_one_has_no_config(shapes: dict[str, tuple[int, ...]]) -> None:
    assert map_adapter_config(shapes) is None


def test_a_block_with_a_number_of_thousands_of_digits_tells_no_config() -> None:
    assert map_adapter_config({f"body.{'9' * 5000}.block1.weight": (1, 1)}) is None
