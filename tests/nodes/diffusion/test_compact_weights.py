"""Denoisers in GGUF and in fp8 with scales compute with exactly the weights that they stand for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models import resolve_part
from sdgraph.models.checkpoint.resolved_part import ResolvedPart
from sdgraph.models.formats.sizes import bytes_of
from sdgraph.models.loading.loader import load_quietly
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Text2Image
from sdgraph.values import Lora, Part
from tests.support import gguf_files
from tests.support.bare_scripts import same
from tests.support.lora_files import write

BASE = "tiny/text-to-image"
UNET = shipped_folder(BASE) / "unet/diffusion_pytorch_model.safetensors"

Tensors = dict[str, Any]


def in_fp8(path: Path, scale_name: str, source: Path = UNET) -> Tensors:
    """Writes weights in fp8, each matrix of a layer with a scale; returns what they are."""
    import torch
    from safetensors.torch import load_file, save_file

    written: Tensors = {"scaled_fp8": torch.zeros(2, dtype=torch.float8_e4m3fn)}
    meant: Tensors = {}
    for name, tensor in load_file(source).items():
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
    save_file(written, path, {"format": "pt"})
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


@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_weights_with_scales_in_a_folder_are_the_same(
    tmp_path: Path, component: str, files: int
) -> None:
    import torch

    folder = Path(shutil.copytree(shipped_folder(BASE), tmp_path / "x"))
    (file,) = (folder / component).glob("*.safetensors")
    meant = in_fp8(file, "scale_weight", source=file)
    if files == 2:
        split_file(file)
    part = resolve_part(Part(Checkpoint(folder), component))
    part.check()
    for dtype in ("float32", "bfloat16"):
        module = load_quietly(part, dtype, "cpu")
        assert bytes_of(module) == part.footprint(dtype)
        for name, tensor in module.state_dict().items():
            assert torch.equal(tensor, meant[name].to(getattr(torch, dtype))), name


def split_file(file: Path) -> None:
    """Writes the tensors of a file to two, a layer's scale with its weight."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(file)
    layers = sorted({name.rpartition(".")[0] for name in tensors})
    halves = {layer: index % 2 + 1 for index, layer in enumerate(layers)}
    places: dict[str, str] = {}
    for number in (1, 2):
        own = {n: t for n, t in tensors.items() if halves[n.rpartition(".")[0]] == number}
        name = f"{file.stem}-0000{number}-of-00002.safetensors"
        save_file(own, file.with_name(name), {"format": "pt"})
        places |= dict.fromkeys(own, name)
    index = {"metadata": {}, "weight_map": places}
    file.with_name(f"{file.name}.index.json").write_text(json.dumps(index))
    file.unlink()


@pytest.mark.parametrize("kind", ["lora", "diff"])
def test_adapters_over_blocks_are_those_over_numbers(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf")
    path = tmp_path / "x.gguf"
    in_gguf(path)
    layer = "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    size = (4, 64) if kind == "lora" else (64, 64)
    values = np.random.default_rng(0).normal(0, 0.1, size).astype(np.float32)
    held = {f"lora_unet_{layer}.diff": values}
    if kind == "lora":
        held = {
            f"lora_unet_{layer}.lora_down.weight": values,
            f"lora_unet_{layer}.lora_up.weight": values.T.copy(),
        }
    style = Lora(write(tmp_path / "style.safetensors", held), scale=2.0)
    node = Text2Image(prompt="a red star", steps=1, checkpoint=Checkpoint(BASE, unet=path))
    session = Session(device="cpu", store=None)
    plain, styled = (run(each, session=session) for each in (node, node.replace(loras=[style])))
    assert not same(plain.numpy, styled.numpy) and same(
        run(node, session=session).numpy, plain.numpy
    )
    monkeypatch.setattr(ResolvedPart, "keeps_blocks", False)
    numbers = Session(device="cpu", store=None)
    assert same(run(node.replace(loras=[style]), session=numbers).numpy, styled.numpy)


def test_blocks_are_moved_by_groups_and_not_one_by_one(tmp_path: Path) -> None:
    import torch
    from diffusers.hooks import apply_group_offloading

    pytest.importorskip("gguf")
    path = tmp_path / "x.gguf"
    in_gguf(path)
    checkpoint = Checkpoint(BASE, unet=path)
    node = Text2Image(prompt="a red star", checkpoint=checkpoint, offload="sequential")
    (problem,) = node.check()
    assert problem.subject == "offload" and "over the GGUF file" in problem.found
    assert not list(node.replace(offload="group").check())
    modules = [load_quietly(resolve_part(Part(checkpoint, "unet")), "float32", "cpu") for _ in "ab"]
    cpu = torch.device("cpu")
    apply_group_offloading(modules[1], cpu, cpu, "block_level", num_blocks_per_group=1)
    width = modules[0].config.cross_attention_dim
    inputs = torch.ones(1, modules[0].config.in_channels, 8, 8), torch.tensor([5])
    with torch.no_grad():
        found, wanted = (module(*inputs, torch.ones(1, 4, width)).sample for module in modules)
    assert torch.equal(found, wanted)
