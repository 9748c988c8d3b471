"""Components of one file are quantized by the functions of diffusers and transformers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
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


def same_tensors(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name].dtype == wanted[name].dtype and (found[name] == wanted[name]).all()
        for name in wanted
    )


def test_a_denoiser_in_a_file_is_quantized_by_diffusers(
    packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import diffusers
    import torch
    from diffusers.quantizers import DiffusersAutoQuantizer
    from diffusers.quantizers.base import DiffusersQuantizer

    asked: list[Any] = []

    class Halving(DiffusersQuantizer):  # type: ignore[misc]  # diffusers has no types
        """Quantizes matrices to float16, and says what it was asked."""

        is_serializable: Any = False
        is_trainable: Any = False

        def validate_environment(self, *_: Any, **options: Any) -> None:
            asked.append(f"validate {options['device_map']}")

        def _process_model_before_weight_loading(self, model: Any, **options: Any) -> None:
            asked.append("before")
            assert options["state_dict"].keys() == model.state_dict().keys()

        def check_if_quantized_param(self, model: Any, value: Any, *_: Any, **__: Any) -> bool:
            return bool(value.dim() == 2)

        def create_quantized_param(
            self, model: Any, value: Any, name: str, device: Any, *rest: Any, **more: Any
        ) -> None:
            path, _, last = name.rpartition(".")
            weight = torch.nn.Parameter(value.half().to(device), requires_grad=False)
            model.get_submodule(path)._parameters[last] = weight

        def _process_model_after_weight_loading(self, model: Any, **_: Any) -> Any:
            asked.append("after")
            return model

    monkeypatch.setattr(
        diffusers, "BitsAndBytesConfig", lambda **each: SimpleNamespace(quant_method="half", **each)
    )
    monkeypatch.setattr(quantization, "device_problem", lambda *_: None)
    monkeypatch.setattr(DiffusersAutoQuantizer, "from_config", Halving)
    part = Part(Checkpoint(BASE, unet=UNET, quantization="int8"), "unet", quantized=True)
    module = load_quietly(resolve_part(part), "float32", "cpu")
    assert asked == ["validate {'': 'cpu'}", "before", "after"]
    assert not module.hf_quantizer.pre_quantized and not module.training
    assert module.hf_quantizer.quantization_config.load_in_8bit
    plain = load_quietly(resolve_part(Part(Checkpoint(BASE), "unet")), "float32", "cpu")
    expected = {
        name: tensor.half() if tensor.dim() == 2 else tensor
        for name, tensor in plain.state_dict().items()
    }
    assert same_tensors(module.state_dict(), expected)


def test_a_text_encoder_in_a_file_is_quantized_by_transformers(
    packages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    passed: dict[str, Any] = {}
    load = transformers.CLIPTextModel.from_pretrained

    plain = load_quietly(resolve_part(Part(Checkpoint(BASE), "text_encoder")), "float32", "cpu")

    def from_pretrained(source: Any, *, quantization_config: Any, **options: Any) -> Any:
        passed.update(config=quantization_config, source=source)
        return load(source, **options)

    monkeypatch.setattr(quantization, "quantization_config", lambda *names: list(names))
    monkeypatch.setattr(transformers.CLIPTextModel, "from_pretrained", from_pretrained)
    checkpoint = Checkpoint(BASE, text_encoder=TEXT, text_quantization="int8wo")
    part = Part(checkpoint, "text_encoder", encodes_text=True)
    module = load_quietly(resolve_part(part), "float32", "cpu")
    assert passed["config"][:2] == ["int8wo", "float32"] and passed["source"] is None
    assert same_tensors(module.state_dict(), plain.state_dict()) and not module.training


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
