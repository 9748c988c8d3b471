"""A ControlNet that does not fit its base is refused by the two configs alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Canny, ControlNet, LoadImage
from sdgraph.nodes.diffusion.control.controlnet_problems import network_problems
from sdgraph.nodes.diffusion.families import STABLE_DIFFUSION
from sdgraph.values import Checkpoint

BASE = Checkpoint("tiny/text-to-image")


@pytest.fixture
def network(tmp_path: Path) -> Callable[..., Checkpoint]:
    """A copy of the shipped ControlNet with other settings in its config."""

    def copy(**settings: Any) -> Checkpoint:
        folder = tmp_path / f"network{len(list(tmp_path.iterdir()))}"
        shutil.copytree(shipped_folder("tiny/controlnet-edges"), folder)
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
        return Checkpoint(folder)

    return copy


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"_class_name": "ControlNetUnionModel"}, "a ControlNetUnionModel"),
        ({"_class_name": "ControlNetUnionModel"}, "(Union) are not supported"),
        ({"_class_name": "FluxControlNetModel"}, "it is for another family of models"),
        ({"_class_name": "SD3ControlNetModel"}, "a SD3ControlNetModel"),
        ({"conditioning_channels": 4}, "which reads 4 channels"),
        ({"cross_attention_dim": 2048}, "for text features of 2048"),
        ({"block_out_channels": [320, 640, 1280]}, "whose block_out_channels is [320, 640, 1280]"),
        ({"layers_per_block": 2}, "whose layers_per_block is 2"),
        ({"in_channels": 16}, "for latents of 16 channels"),
        ({"addition_embed_type": "text_time"}, "an embedding of the size too"),
        ({"conditioning_embedding_out_channels": [8, 8, 8, 8]}, "8 times smaller than the map"),
    ],
)
def test_what_does_not_fit_is_said(
    network: Callable[..., Checkpoint], settings: dict[str, Any], words: str
) -> None:
    (problem,) = network_problems(network(**settings), BASE, STABLE_DIFFUSION)
    assert problem.subject == "controlnet" and words in str(problem)


def test_what_fits_is_accepted(network: Callable[..., Checkpoint]) -> None:
    assert list(network_problems(network(), BASE, STABLE_DIFFUSION)) == []


def test_it_is_told_before_anything_is_loaded(network: Callable[..., Checkpoint]) -> None:
    edges = Canny(image=LoadImage(path="no.png"))
    union = network(_class_name="ControlNetUnionModel")
    node = ControlNet(prompt="a", control=edges, controlnet=union)
    assert "a ControlNetUnionModel" in str(*node.check())
