"""Denoisers in GGUF and in fp8 with scales compute with exactly the weights that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, run
from sdgraph.models import resolve_part
from sdgraph.models.formats.sizes import bytes_of
from sdgraph.models.loading.loader import load_quietly
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Text2Image
from sdgraph.values import Part
from tests.support import gguf_files
from tests.support.bare_scripts import same

BASE = "tiny/text-to-image"
UNET = shipped_folder(BASE) / "unet/diffusion_pytorch_model.safetensors"

Tensors = dict[str, Any]


def in_fp8(path: Path, scale_name: str) -> Tensors:
    """Writes the U-Net in fp8, each linear weight with a scale; returns its weights."""
    import torch
    from safetensors.torch import load_file, save_file

    written: Tensors = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    meant: Tensors = {}
    for name, tensor in load_file(UNET).items():
        written[name] = meant[name] = tensor
        if tensor.dim() == 2 and name.endswith(".weight"):
            per_output = scale_name == "weight_scale"
            scale = tensor.abs().amax(1) / 448 if per_output else tensor.abs().max() / 448
            scale = scale.clamp(min=1e-12).float()
            factor = scale.reshape(-1, 1) if per_output else scale
            small = (tensor / factor).to(torch.float8_e4m3fn)
            written[name] = small
            written[f"{name.removesuffix('weight')}{scale_name}"] = scale
            meant[name] = small.float() * factor
    save_file(written, path)
    return meant


def in_gguf(path: Path) -> Tensors:
    """Writes the U-Net in GGUF, what can be in blocks of 8 bits; returns its weights."""
    import torch
    from safetensors.torch import load_file

    kinds, content, settings = {}, {}, {}
    meant: Tensors = {}
    for name, tensor in load_file(UNET).items():
        values = tensor.float().numpy()
        if values.ndim > 1 and values[0].size % 32 == 0:
            flat = values.reshape(values.shape[0], -1)
            data, numbers = gguf_files.quantize(flat)
            kinds[name], content[name] = ("Q8_0", flat.shape), data
            settings[f"comfy.gguf.orig_shape.{name}"] = list(values.shape)
            meant[name] = torch.from_numpy(numbers.reshape(values.shape))
        else:
            kinds[name], content[name] = ("F32", values.shape), values.tobytes()
            meant[name] = torch.from_numpy(np.array(values))
    assert "Q8_0" in {kind for kind, _ in kinds.values()}
    gguf_files.write(path, kinds, content, settings)
    return meant


def plain_state(module: Any) -> Tensors:
    """The weights of a module, those in blocks as numbers."""
    return {
        name: layer.plain_weight() if hasattr(layer, "plain_weight") and last == "weight" else value
        for name, value in module.state_dict().items()
        for path, _, last in [name.rpartition(".")]
        for layer in [module.get_submodule(path)]
    }


@pytest.mark.parametrize("kind", ["scale_weight", "weight_scale", "gguf"])
def test_the_weights_are_exactly_those_that_the_file_stands_for(tmp_path: Path, kind: str) -> None:
    import torch
    from safetensors.torch import save_file

    write: Callable[[Path], Tensors] = lambda path: in_fp8(path, kind)  # noqa: E731
    if kind == "gguf":
        pytest.importorskip("gguf")
        write = in_gguf
    path = tmp_path / f"x.{'gguf' if kind == 'gguf' else 'safetensors'}"
    meant = write(path)
    part = resolve_part(Part(Checkpoint(BASE, unet=path), "unet"))
    part.check()
    for dtype in ("float32", "bfloat16"):
        module = load_quietly(part, dtype, "cpu")
        assert bytes_of(module) == part.footprint(dtype)
        for name, tensor in plain_state(module).items():
            assert torch.equal(tensor, meant[name].to(getattr(torch, dtype))), name
    plain = tmp_path / "plain.safetensors"
    save_file(meant, plain)
    node = Text2Image(prompt="a red star", steps=1, checkpoint=Checkpoint(BASE, unet=path))
    pixels = run(node).numpy
    assert same(pixels, run(node.replace(checkpoint=Checkpoint(BASE, unet=plain))).numpy)
