"""Components of one file are quantized by the functions of diffusers and transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint
from sdgraph.errors import CheckpointError
from sdgraph.models import resolve_part
from sdgraph.models.checkpoint import part_checks
from sdgraph.models.loading import quantization
from sdgraph.models.loading.loader import load_quietly
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.values import Part
from tests.support import gguf_files

pytestmark = pytest.mark.torch

BASE = "tiny/text-to-image"
UNET = shipped_folder(BASE) / "unet/diffusion_pytorch_model.safetensors"
TEXT = shipped_folder(BASE) / "text_encoder/model.safetensors"


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretends that the packages are installed."""
    monkeypatch.setattr(part_checks, "find_spec", lambda _: True)


def same_state(module: Any, other: Any) -> bool:
    state, wanted = module.state_dict(), other.state_dict()
    return state.keys() == wanted.keys() and all((state[key] == wanted[key]).all() for key in state)


@pytest.mark.parametrize(
    ("component", "file", "field"),
    [("unet", UNET, "quantization"), ("text_encoder", TEXT, "text_quantization")],
)
def test_all_weights_of_a_file_reach_the_library(
    component: str, file: Path, field: str, packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def no_config(name: str, dtype: str, cls: Any) -> None:
        asked.append((name, dtype, cls.__name__))

    monkeypatch.setattr(quantization, "quantization_config", no_config)
    fields: dict[str, Any] = {component: file, field: "int8wo"}
    part = Part(
        Checkpoint(BASE, **fields),
        component,
        quantized=component == "unet",
        encodes_text=component == "text_encoder",
    )
    module = load_quietly(resolve_part(part), "float32", "cpu")
    plain = load_quietly(resolve_part(Part(Checkpoint(BASE), component)), "float32", "cpu")
    assert same_state(module, plain) and not module.training
    assert [(name, dtype) for name, dtype, _ in asked] == [("int8wo", "float32")]


def test_a_class_whose_files_diffusers_does_not_load_is_told(
    packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from diffusers.loaders import single_file_model

    monkeypatch.setattr(quantization, "quantization_config", lambda *_: None)
    monkeypatch.delitem(single_file_model.SINGLE_FILE_LOADABLE_CLASSES, "UNet2DConditionModel")
    part = Part(Checkpoint(BASE, unet=UNET, quantization="int8wo"), "unet", quantized=True)
    with pytest.raises(CheckpointError, match="of one file of a UNet2DConditionModel"):
        load_quietly(resolve_part(part), "float32", "cpu")


def test_its_bytes_are_planned_as_those_of_a_folder(packages: None) -> None:
    planned = [
        resolve_part(Part(checkpoint, "unet", quantized=True)).footprint("float32")
        for checkpoint in (
            Checkpoint(BASE, quantization="nf4"),
            Checkpoint(BASE, unet=UNET, quantization="nf4"),
            Checkpoint(BASE),
        )
    ]
    assert planned[0] == planned[1] < planned[2]


def test_blocks_of_a_gguf_file_are_not_quantized_again(packages: None, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    file = gguf_files.write_module(tmp_path / "x.gguf", [UNET])
    part = Part(Checkpoint(BASE, unet=file, quantization="int8wo"), "unet", quantized=True)
    with pytest.raises(CheckpointError, match="whose weights are quantized already"):
        resolve_part(part).check()
