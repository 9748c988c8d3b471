"""A component's size computed from its files is what it takes once it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Node
from sdgraph.models import resolve_part
from sdgraph.models.formats.sizes import bytes_of
from sdgraph.models.loading.loader import load_quietly
from sdgraph.nodes import Inpaint, Text2Video
from sdgraph.nodes.diffusion.families.wan import WAN
from sdgraph.nodes.diffusion.random_checkpoints import make_checkpoint
from sdgraph.nodes.diffusion.tuning.performance import Knobs
from sdgraph.values import Part
from tests.support.photos import photo, spot

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("folder", ["unet", "vae", "text_encoder"])
def test_in_every_dtype(folder: str, dtype: str) -> None:
    part = Part(Checkpoint("tiny/text-to-image"), folder)
    assert resolve_part(part).footprint(dtype) == bytes_of(
        load_quietly(resolve_part(part), dtype, "cpu")
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["text-to-image", "inpaint", "turbo", "text-to-video"])
def test_in_float8_norms_stay_in_the_dtype_computed_in(name: str, dtype: str) -> None:
    checkpoint = Checkpoint(f"tiny/{name}")
    tuning: Knobs = {"layerwise_casting": "float8_e4m3fn"}
    node: Node[Any]
    if name == "text-to-video":
        node = Text2Video(prompt="x", checkpoint=checkpoint, tuning=tuning)
    else:
        node = Inpaint(
            prompt="x", checkpoint=checkpoint, tuning=tuning, image=photo(8, 8), mask=spot(8, 8)
        )
    part = node.parts()["unet"]
    assert resolve_part(part).footprint(dtype) == bytes_of(
        load_quietly(resolve_part(part), dtype, "cpu")
    )


@pytest.mark.parametrize("casting", [None, "float8_e4m3fn"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_layers_that_stay_in_float32_are_counted_so(
    tmp_path: Path, dtype: str, casting: str | None
) -> None:
    make_checkpoint("wan", tmp_path / "wan")
    checkpoint = Checkpoint(tmp_path / "wan")
    parts = [
        Part(checkpoint, "transformer", casting=casting, uncast_layers=WAN.denoiser.uncast_layers)
    ]
    if casting is None:
        parts.append(Part(checkpoint, "text_encoder"))
    for part in map(resolve_part, parts):
        assert part.footprint(dtype) == bytes_of(load_quietly(part, dtype, "cpu"))
