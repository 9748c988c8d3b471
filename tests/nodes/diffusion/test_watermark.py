"""No picture has a watermark: pixels do not depend on which packages are installed."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from sdgraph import Checkpoint
from sdgraph.models import Models
from sdgraph.nodes import Canny, ControlNet, Image2Image, Inpaint, Text2Image
from sdgraph.nodes.diffusion.families import SDXL
from sdgraph.nodes.diffusion.node import Diffusion
from tests.support.photos import photo, spot

CHECKPOINT = Checkpoint("tiny/sdxl")
IMAGE, MASK = photo(64, 64), spot(64, 64)
COMMON: dict[str, Any] = {"prompt": "a", "checkpoint": CHECKPOINT}
CONTROLLED: dict[str, Any] = {
    **COMMON,
    "control": Canny(image=IMAGE),
    "controlnet": Checkpoint("tiny/controlnet-edges"),
}
NODES: list[Diffusion[Any]] = [
    Text2Image(**COMMON),
    Image2Image(**COMMON, image=IMAGE),
    Inpaint(**COMMON, image=IMAGE, mask=MASK),
    ControlNet(**CONTROLLED),
    ControlNet(**CONTROLLED, image=IMAGE),
    ControlNet(**CONTROLLED, image=IMAGE, mask=MASK),
]


@pytest.mark.parametrize("node", NODES, ids=[node.task() for node in NODES])
def test_with_invisible_watermark_installed_an_sdxl_pipeline_has_no_watermarker(
    node: Diffusion[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers

    module = sys.modules[getattr(diffusers, SDXL.pipelines[node.task()]).__module__]
    monkeypatch.setattr(module, "is_invisible_watermark_available", lambda: True)
    monkeypatch.setattr(module, "StableDiffusionXLWatermarker", object, raising=False)
    network = {"controlnet": None} if isinstance(node, ControlNet) else {}
    assert node.assemble(Models({}, "cpu", "float32"), CHECKPOINT, **network).watermark is None


def test_every_pipeline_of_sdxl_is_covered() -> None:
    assert {node.task() for node in NODES} == set(SDXL.pipelines)
