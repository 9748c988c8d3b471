"""A ControlNet in one file has the weights, and makes the pictures, of its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from sdgraph import Checkpoint, Session, run
from sdgraph.models import resolve_part
from sdgraph.models.loading.loader import load_quietly
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import ControlNet, Text2Image
from sdgraph.values import EdgeMap, Part
from tests.support.failing_runs import refused_before_load
from tests.support.ldm_layout import ldm_controlnet

EDGES = EdgeMap(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "home"))


def write_network(folder: Path, stages: tuple[int, ...], **config: Any) -> Any:
    """Writes a small ControlNet whose zero convolutions are not zero, as a folder."""
    import diffusers

    torch.manual_seed(3)
    network = diffusers.ControlNetModel(
        **{
            "block_out_channels": (32, 64, 64),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "layers_per_block": 1,
            "cross_attention_dim": 64,
            "conditioning_embedding_out_channels": stages,
            **config,
        }
    )
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "controlnet" in name:
                weights.normal_(std=0.3)
    network.save_pretrained(folder)
    return network


def node(network: Checkpoint, **fields: Any) -> ControlNet:
    return ControlNet(control=EDGES, prompt="a star", steps=2, controlnet=network, **fields)


def test_it_makes_the_pictures_of_the_folder(tmp_path: Path, session: Session) -> None:
    network = write_network(tmp_path / "network", (8, 16, 32))
    path = tmp_path / "edges.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    made = run(node(Checkpoint(path)), session=session)
    assert made == run(node(Checkpoint(tmp_path / "network")), session=session)
    other_heads = run(node(Checkpoint(path, config=str(tmp_path / "network"))), session=session)
    assert made == other_heads


def test_a_config_that_is_named_says_what_shapes_do_not(tmp_path: Path, session: Session) -> None:
    folder = shipped_folder("tiny/controlnet-edges")
    path = tmp_path / "edges.safetensors"
    path.write_bytes((folder / "diffusion_pytorch_model.safetensors").read_bytes())
    shipped = run(node(Checkpoint("tiny/controlnet-edges")), session=session)
    named = Checkpoint(path, config=str(folder))
    assert run(node(named), session=session) == shipped


@pytest.mark.parametrize("config", [{}, {"down_block_types": ("CrossAttnDownBlock2D",) * 3}])
def test_the_layout_of_ldm_is_converted_as_by_diffusers(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    import diffusers

    network = write_network(tmp_path / "network", (16, 32, 96, 256), **config)
    path = tmp_path / "control_v11p.safetensors"
    tensors = ldm_controlnet(network.state_dict(), network.config)
    safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, path)
    made = load_quietly(resolve_part(Part(Checkpoint(path))), "float32", "cpu")
    expected = diffusers.ControlNetModel.from_single_file(
        str(path), config=str(tmp_path / "network"), local_files_only=True
    )
    assert made.config["block_out_channels"] == [32, 64, 64]
    assert made.config["down_block_types"] == list(network.config.down_block_types)
    assert made.state_dict().keys() == expected.state_dict().keys()
    for name, tensor in expected.state_dict().items():
        assert torch.equal(made.state_dict()[name], tensor), name


def test_what_does_not_fit_is_refused_before_any_load(tmp_path: Path) -> None:
    network = write_network(tmp_path / "network", (8, 16, 32), cross_attention_dim=32)
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    text = refused_before_load(node(Checkpoint(path)))
    assert "for text features of 32" in text
    as_base = Text2Image(prompt="a", checkpoint=Checkpoint(path))
    assert "a ControlNet" in refused_before_load(as_base)
    text = refused_before_load(node(Checkpoint(path, config=str(tmp_path))))
    assert "which has no config.json" in text


def test_weights_of_another_kind_are_named_as_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "style.safetensors"
    safetensors.torch.save_file({"lora_unet_x.lora_down.weight": torch.zeros(2, 2)}, path)
    assert "a LoRA" in refused_before_load(node(Checkpoint(path)))
