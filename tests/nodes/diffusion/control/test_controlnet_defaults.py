"""The table of networks by base and kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sdgraph import Checkpoint, CheckpointError
from sdgraph.models.sources.shipped import shipped_names
from sdgraph.nodes import Canny
from sdgraph.nodes.diffusion.control.controlnet_defaults import default_controlnet
from sdgraph.nodes.diffusion.families import (
    FAMILIES,
    STABLE_DIFFUSION,
    STABLE_DIFFUSION_3,
    FamilyVersion,
)
from sdgraph.values import ControlMap, DepthMap, EdgeMap, NormalMap, PoseMap

pytestmark = pytest.mark.quick

VERSIONS: dict[str, FamilyVersion] = {
    version.label: version
    for family in FAMILIES
    if "controlnet" in family.adapters
    for version in family.versions
}


def test_every_entry_is_a_kind_of_control_map_and_a_source() -> None:
    for family in FAMILIES:
        if "controlnet" in family.adapters:
            assert any(version.controlnets for version in family.versions), family.label
    for version in (*VERSIONS.values(), STABLE_DIFFUSION.shipped):
        for kind, source in version.controlnets.items():
            assert issubclass(kind, ControlMap) and kind is not ControlMap
            Checkpoint(source)


def test_shipped_networks_exist() -> None:
    for family in FAMILIES:
        assert set(family.shipped.controlnets.values()) <= set(shipped_names())


@pytest.mark.parametrize(
    ("width", "kind", "expected"),
    [
        (768, EdgeMap, "lllyasviel/sd-controlnet-canny"),
        (768, NormalMap, "lllyasviel/sd-controlnet-normal"),
        (1024, DepthMap, "thibaud/controlnet-sd21-depth-diffusers"),
        (2048, PoseMap, "xinsir/controlnet-openpose-sdxl-1.0"),
    ],
)
def test_the_base_is_known_by_the_width_of_its_text_features(
    copied: Callable[[str], Path], width: int, kind: type[ControlMap], expected: str
) -> None:
    folder = copied("tiny/sdxl" if width == 2048 else "tiny/text-to-image")
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "cross_attention_dim": width}))
    assert default_controlnet(Checkpoint(folder, dtype="float16"), kind) == Checkpoint(
        expected, dtype="float16"
    )


@pytest.mark.parametrize("base", ["Stable Diffusion 1.x", "SDXL"])
def test_every_kind_of_map_has_its_network(base: str) -> None:
    kinds = set(ControlMap.__subclasses__())
    none_in_a_folder_of_its_own = {NormalMap} if base == "SDXL" else set()
    assert set(VERSIONS[base].controlnets) == kinds - none_in_a_folder_of_its_own


def test_a_kind_without_a_network_says_which_have_one(
    no_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    kinds = "EdgeMap, DepthMap, PoseMap, SegmentMap, ScribbleMap, SoftEdgeMap"
    with pytest.raises(CheckpointError) as caught:
        default_controlnet(Checkpoint("someone/SDXL"), NormalMap)
    (problem,) = caught.value.problems
    assert problem.found == "no known ControlNet for NormalMap over SDXL"
    assert problem.wanted == f"a kind that has one: {kinds}" and "controlnet" in problem.fix


def test_an_unknown_base_says_its_width(copied: Callable[[str], Path]) -> None:
    with pytest.raises(CheckpointError, match="a base with text features of 64"):
        default_controlnet(Checkpoint(copied("tiny/text-to-image")), EdgeMap)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("someone/stable-diffusion-xl-base", "diffusers/controlnet-canny-sdxl-1.0"),
        ("someone/SDXL", "diffusers/controlnet-canny-sdxl-1.0"),
        ("someone/dreams", "lllyasviel/sd-controlnet-canny"),
    ],
)
def test_a_base_that_is_not_here_is_known_by_its_name(
    no_hub: Path, monkeypatch: pytest.MonkeyPatch, source: str, expected: str
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert default_controlnet(Checkpoint(source), EdgeMap).source == expected


def test_a_base_made_by_a_node_needs_its_network_named() -> None:
    with pytest.raises(CheckpointError, match="a network for it by name"):
        default_controlnet(Canny, EdgeMap)


@pytest.mark.parametrize(
    ("source", "kind", "expected"),
    [
        (
            "stabilityai/stable-diffusion-3-medium-diffusers",
            EdgeMap,
            "InstantX/SD3-Controlnet-Canny",
        ),
        (
            "stabilityai/stable-diffusion-3.5-large",
            DepthMap,
            "stabilityai/stable-diffusion-3.5-large-controlnet-depth",
        ),
        ("stabilityai/stable-diffusion-3.5-medium", EdgeMap, "over Stable Diffusion 3.5 Medium"),
        ("Tongyi-MAI/Z-Image-Turbo", EdgeMap, "over Z-Image"),
        ("Efficient-Large-Model/Sana_600M_1024px_diffusers", EdgeMap, "over SANA"),
    ],
)
def test_only_a_network_that_was_trained_for_the_version_is_taken(
    no_hub: Path, monkeypatch: pytest.MonkeyPatch, source: str, kind: type, expected: str
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    if not expected.startswith("over "):
        assert default_controlnet(Checkpoint(source), kind).source == expected
        return
    with pytest.raises(CheckpointError) as caught:
        default_controlnet(Checkpoint(source), kind)
    (problem,) = caught.value.problems
    assert problem.found == f"no known ControlNet for {kind.__name__} {expected}"
    assert (problem.wanted, problem.fix) == (
        "a ControlNet by name",
        "name one with `controlnet:`",
    )


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({"num_attention_heads": 24}, "Stable Diffusion 3"),
        ({"num_attention_heads": 24, "qk_norm": "rms_norm"}, "Stable Diffusion 3.5 Medium"),
        ({"num_attention_heads": 38, "qk_norm": "rms_norm"}, "Stable Diffusion 3.5 Large"),
    ],
)
def test_the_config_of_a_transformer_tells_the_version(
    tmp_path: Path, settings: dict[str, object], label: str
) -> None:
    index = {"_class_name": "StableDiffusion3Pipeline", "transformer": ["diffusers", "X"]}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer" / "config.json").write_text(json.dumps(settings))
    assert STABLE_DIFFUSION_3.version_of(Checkpoint(tmp_path)).label == label
