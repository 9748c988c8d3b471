"""The table of networks by base and kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sdgraph import Checkpoint, CheckpointError
from sdgraph.models import shipped
from sdgraph.nodes import Canny
from sdgraph.nodes.diffusion.controlnet_defaults import NETWORKS, default_network
from sdgraph.values import ControlMap, DepthMap, EdgeMap, NormalMap, PoseMap


def test_every_entry_is_a_kind_of_control_map_and_a_source() -> None:
    for base, networks in NETWORKS.items():
        assert networks, base
        for kind, source in networks.items():
            assert issubclass(kind, ControlMap) and kind is not ControlMap
            Checkpoint(source)


def test_shipped_networks_exist() -> None:
    assert set(NETWORKS["tiny"].values()) <= set(shipped.names())


@pytest.mark.parametrize(
    ("width", "kind", "wanted"),
    [
        (768, EdgeMap, "lllyasviel/sd-controlnet-canny"),
        (768, NormalMap, "lllyasviel/sd-controlnet-normal"),
        (1024, DepthMap, "thibaud/controlnet-sd21-depth-diffusers"),
        (2048, PoseMap, "xinsir/controlnet-openpose-sdxl-1.0"),
    ],
)
def test_the_base_is_known_by_the_width_of_its_text_features(
    copied: Callable[[str], Path], width: int, kind: type[ControlMap], wanted: str
) -> None:
    folder = copied("tiny/text-to-image")
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "cross_attention_dim": width}))
    assert default_network(Checkpoint(folder, dtype="float16"), kind) == Checkpoint(
        wanted, dtype="float16"
    )


@pytest.mark.parametrize("base", ["Stable Diffusion 1.x", "SDXL"])
def test_every_kind_of_map_has_its_network(base: str) -> None:
    kinds = set(ControlMap.__subclasses__())
    none_in_a_folder_of_its_own = {NormalMap} if base == "SDXL" else set()
    assert set(NETWORKS[base]) == kinds - none_in_a_folder_of_its_own


def test_a_kind_without_a_network_says_which_have_one(
    no_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    known = "EdgeMap, DepthMap, PoseMap, SegmentMap, ScribbleMap, SoftEdgeMap"
    with pytest.raises(CheckpointError, match=rf"NormalMap over SDXL \(known: {known}\); name one"):
        default_network(Checkpoint("someone/SDXL"), NormalMap)


def test_an_unknown_base_says_its_width(copied: Callable[[str], Path]) -> None:
    with pytest.raises(CheckpointError, match=r"a base with text features of 64 \(known: none\)"):
        default_network(Checkpoint(copied("tiny/text-to-image")), EdgeMap)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("someone/stable-diffusion-xl-base", "diffusers/controlnet-canny-sdxl-1.0"),
        ("someone/SDXL", "diffusers/controlnet-canny-sdxl-1.0"),
        ("someone/dreams", "lllyasviel/sd-controlnet-canny"),
    ],
)
def test_a_base_that_is_not_here_is_known_by_its_name(
    no_hub: Path, monkeypatch: pytest.MonkeyPatch, source: str, wanted: str
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert default_network(Checkpoint(source), EdgeMap).source == wanted


def test_a_base_made_by_a_node_needs_its_network_named() -> None:
    with pytest.raises(CheckpointError, match="name the network"):
        default_network(Canny, EdgeMap)
