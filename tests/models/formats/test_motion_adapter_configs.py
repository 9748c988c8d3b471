"""The config of a motion adapter follows from the tensors of its file, or is not told."""

from __future__ import annotations

import pytest

from sdgraph.models.formats.motion_adapter_configs import motion_adapter_config

FIRST = "down_blocks.0.motion_modules.0.proj_in.weight"


def test_widths_and_layers_are_read_from_names_and_shapes() -> None:
    shapes = {FIRST: (32, 32), FIRST.replace("modules.0", "modules.1"): (32, 32)}
    config = motion_adapter_config(shapes)
    assert config is not None and config["block_out_channels"] == [32]
    assert config["motion_layers_per_block"] == 2 and not config["use_motion_mid_block"]
    assert motion_adapter_config({f"module.{name}": shape for name, shape in shapes.items()})


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (FIRST, ()),
        (FIRST.replace("blocks.0", f"blocks.{'9' * 5000}"), (32, 32)),
        (FIRST.replace("blocks.0", "blocks.1"), (32, 32)),
    ],
)
def test_tensors_of_no_such_network_tell_nothing(name: str, shape: tuple[int, ...]) -> None:
    assert motion_adapter_config({name: shape}) is None
