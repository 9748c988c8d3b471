"""Adapters of other kinds than plain LoRA change weights by their papers' formulas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models import tensor_shapes
from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.adapters.lora import apply_loras
from sdgraph.nodes.diffusion.adapters.lora_fit import fit_problem, format_problem
from sdgraph.nodes.diffusion.families import FLUX, STABLE_DIFFUSION
from sdgraph.nodes.diffusion.random_checkpoints import PIPELINES
from sdgraph.values import Lora
from tests.support.bare_scripts import pipeline
from tests.support.lora_files import lora, write

pytestmark = pytest.mark.torch
Array = npt.NDArray[np.float32]
Tensors = dict[str, Any]

BASE = "tiny/text-to-image"
LINEAR = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q"
CONV = "down_blocks.1.resnets.0.conv1"
NORM = "down_blocks.1.resnets.0.norm1"
RANK, ALPHA, SCALE = 2, 3.0, 0.7


@pytest.fixture(scope="module")
def pipe() -> Any:
    return pipeline("StableDiffusionPipeline", BASE)


def kohya(layer: str) -> str:
    return f"lora_unet_{layer.replace('.', '_')}"


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed + sum(shape)).normal(0, 0.5, shape).astype(np.float32)


def matrices(shape: tuple[int, ...], kind: str) -> tuple[Tensors, Array]:
    """The tensors of an adapter for a weight, and what it adds to it at a scale of 1."""
    out, into, kernel = shape[0], shape[1], shape[2:]
    ratio, columns = ALPHA / RANK, int(np.prod(shape[1:]))
    if kind in ("lora", "dora"):
        down, up = random(RANK, into, *kernel), random(out, RANK, *(1,) * len(kernel))
        delta = up.reshape(out, RANK) @ down.reshape(RANK, columns)
        return {"lora_down.weight": down, "lora_up.weight": up}, ratio * delta
    if kind == "tucker":
        down, mid, up = (
            random(RANK, into, 1, 1),
            random(RANK, RANK, *kernel),
            random(out, RANK, 1, 1),
        )
        held = {"lora_down.weight": down, "lora_mid.weight": mid, "lora_up.weight": up}
        delta = np.einsum("om,mnkl,ni->oikl", up[:, :, 0, 0], mid, down[:, :, 0, 0])
        return held, ratio * delta
    if kind == "loha":
        w1a, w1b, w2a, w2b = (
            random(*size, seed=n) for n, size in enumerate([(out, RANK), (RANK, columns)] * 2)
        )
        held = {"hada_w1_a": w1a, "hada_w1_b": w1b, "hada_w2_a": w2a, "hada_w2_b": w2b}
        return held, ratio * (w1a @ w1b) * (w2a @ w2b)
    if kind == "loha tucker":
        names = ("hada_t1", "hada_w1_a", "hada_w1_b", "hada_t2", "hada_w2_a", "hada_w2_b")
        sizes = [(RANK, RANK, *kernel), (RANK, out), (RANK, into)] * 2
        held = {
            name: random(*size, seed=n)
            for n, (name, size) in enumerate(zip(names, sizes, strict=True))
        }
        first, second = (
            np.einsum(
                "ijkl,jr,ip->prkl", held[f"hada_t{n}"], held[f"hada_w{n}_b"], held[f"hada_w{n}_a"]
            )
            for n in (1, 2)
        )
        return held, ratio * first * second
    if kind == "lokr":
        w1, w2 = random(4, 2), random(out // 4, into // 2, *kernel)
        left = w1.reshape(4, 2, *(1,) * len(kernel))
        return {"lokr_w1": w1, "lokr_w2": w2}, np.kron(left, w2)
    if kind == "lokr factors":
        w1, w2a, w2b = random(4, 2), random(out // 4, RANK), random(RANK, columns // 2)
        w2 = (w2a @ w2b).reshape(out // 4, into // 2, *kernel)
        left = w1.reshape(4, 2, *(1,) * len(kernel))
        held = {"lokr_w1": w1, "lokr_w2_a": w2a, "lokr_w2_b": w2b}
        return held, ratio * np.kron(left, w2)
    assert kind == "diff"
    return {"diff": random(*shape)}, random(*shape)


KINDS = [
    (LINEAR, "lora"),
    (LINEAR, "dora"),
    (CONV, "dora"),
    (CONV, "tucker"),
    (LINEAR, "loha"),
    (CONV, "loha"),
    (CONV, "loha tucker"),
    (LINEAR, "lokr"),
    (CONV, "lokr"),
    (LINEAR, "lokr factors"),
    (CONV, "lokr factors"),
    (LINEAR, "diff"),
    (CONV, "diff"),
]


def weight_of(pipe: Any, layer: str, name: str = "weight") -> Array:
    found: Array = pipe.unet.get_parameter(f"{layer}.{name}").detach().numpy().copy()
    return found


def file_of(folder: Path, layers: dict[str, Tensors], name: str = "style") -> Path:
    held = {
        f"{kohya(layer)}.{what}": value
        for layer, tensors in layers.items()
        for what, value in tensors.items()
    }
    folder.mkdir(exist_ok=True)
    return write(folder / f"{name}.safetensors", held)


@contextmanager
def applied(pipe: Any, *files: tuple[Path, float]) -> Iterator[None]:
    """Applies files to the pipeline; checks before that the header is accepted."""
    family = STABLE_DIFFUSION if hasattr(pipe, "unet") else FLUX
    for path, _ in files:
        shapes = tensor_shapes(path)
        assert format_problem(shapes, family) == ""
        if family is STABLE_DIFFUSION:
            assert fit_problem(shapes, Checkpoint(BASE), family) == ""
    loras = [Lora(path, scale=scale) for path, scale in files]
    models = {f"lora_{number}": path for number, (path, _) in enumerate(files)}
    with apply_loras(pipe, loras, models, family):
        yield


def lengths(weight: Array, by_column: bool = False) -> Array:
    axes = tuple(axis for axis in range(weight.ndim) if axis != int(by_column))
    found: Array = np.sqrt((weight.astype(np.float64) ** 2).sum(axis=axes, keepdims=True))
    return found


@pytest.mark.parametrize(("layer", "kind"), KINDS)
def test_a_weight_is_changed_by_the_formula_and_put_back(
    tmp_path: Path, pipe: Any, layer: str, kind: str
) -> None:
    before = weight_of(pipe, layer)
    own = pipe.unet.get_parameter(f"{layer}.weight")
    tensors, delta = matrices(before.shape, kind)
    tensors["alpha"] = np.array(ALPHA, np.float32)
    expected = before + SCALE * delta.reshape(before.shape)
    if kind == "dora":
        magnitude = np.abs(random(before.shape[0], *(1,) * (before.ndim - 1))) + 1
        tensors["dora_scale"] = magnitude
        expected = magnitude * expected / lengths(expected)
    if kind == "lora":  # a bias makes it one that peft does not compute
        tensors = {**tensors, "diff": np.zeros(before.shape, np.float32)}
        expected = before
    with applied(pipe, (file_of(tmp_path, {layer: tensors}), SCALE)):
        found = weight_of(pipe, layer)
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert kind == "lora" or not np.allclose(found, before)
    assert pipe.unet.get_parameter(f"{layer}.weight") is own
    assert (weight_of(pipe, layer) == before).all()


def test_a_magnitude_of_columns_is_one_of_columns(tmp_path: Path, pipe: Any) -> None:
    before = weight_of(pipe, CONV)
    tensors, delta = matrices(before.shape, "dora")
    magnitude = np.abs(random(1, before.shape[1], 1, 1)) + 1
    tensors |= {"alpha": np.array(ALPHA, np.float32), "dora_scale": magnitude}
    changed = before + delta.reshape(before.shape)
    with applied(pipe, (file_of(tmp_path, {CONV: tensors}), 1.0)):
        expected = magnitude * changed / lengths(changed, by_column=True)
        assert np.allclose(weight_of(pipe, CONV), expected, rtol=1e-4, atol=1e-5)


def test_norms_and_biases_are_changed_by_differences(tmp_path: Path, pipe: Any) -> None:
    norm, bias = weight_of(pipe, NORM), weight_of(pipe, CONV, "bias")
    tensors = {NORM: {"w_norm": random(*norm.shape)}, CONV: {"diff_b": random(*bias.shape)}}
    with applied(pipe, (file_of(tmp_path, tensors), SCALE)):
        assert np.allclose(weight_of(pipe, NORM), norm + SCALE * tensors[NORM]["w_norm"])
        found = weight_of(pipe, CONV, "bias")
        assert np.allclose(found, bias + SCALE * tensors[CONV]["diff_b"])
    assert (weight_of(pipe, NORM) == norm).all() and (weight_of(pipe, CONV, "bias") == bias).all()


@pytest.mark.parametrize("by_input", [True, False])
def test_factors_of_rows_or_columns_multiply_a_weight(
    tmp_path: Path, pipe: Any, by_input: bool
) -> None:
    before = weight_of(pipe, LINEAR)
    factors = random(before.shape[1] if by_input else before.shape[0])
    tensors = {"weight": factors, "on_input": np.array(by_input)}
    with applied(pipe, (file_of(tmp_path, {LINEAR: tensors}), SCALE)):
        spread = factors[None] if by_input else factors[:, None]
        assert np.allclose(weight_of(pipe, LINEAR), before * (1 + SCALE * spread), atol=1e-6)


def test_two_add_up_and_dora_is_equal_to_pefts(tmp_path: Path, pipe: Any) -> None:
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

    before = weight_of(pipe, LINEAR)
    loha, first = matrices(before.shape, "loha")
    lokr, second = matrices(before.shape, "lokr")
    loha["alpha"] = np.array(ALPHA, np.float32)
    files = [
        (file_of(tmp_path, {LINEAR: loha}, "a"), SCALE),
        (file_of(tmp_path, {LINEAR: lokr}, "b"), -0.3),
    ]
    with applied(pipe, *files):
        expected = before + SCALE * first - 0.3 * second
        assert np.allclose(weight_of(pipe, LINEAR), expected, rtol=1e-4, atol=1e-5)

    import torch

    network = torch.nn.ModuleDict(
        {"q": torch.nn.Linear(before.shape[1], before.shape[0], bias=False)}
    )
    network["q"].weight.data = torch.tensor(before)
    config = LoraConfig(r=RANK, lora_alpha=int(ALPHA), target_modules=["q"], use_dora=True)
    inject_adapter_in_model(config, network)
    magnitude = np.abs(random(before.shape[0])) + 1
    dora, _ = matrices(before.shape, "dora")
    down, up = dora["lora_down.weight"], dora["lora_up.weight"]
    state = {"q.lora_A.weight": down, "q.lora_B.weight": up, "q.lora_magnitude_vector": magnitude}
    set_peft_model_state_dict(network, {key: torch.tensor(state[key]) for key in state})
    network["q"].merge()
    held = {
        f"unet.{LINEAR}.lora_A.weight": down,
        f"unet.{LINEAR}.lora_B.weight": up,
        f"unet.{LINEAR}.lora_magnitude_vector.weight": magnitude,
        f"unet.{LINEAR}.alpha": np.array(ALPHA, np.float32),
    }
    with applied(pipe, (write(tmp_path / "c.safetensors", held), 1.0)):
        theirs = network["q"].weight.detach().numpy()
        assert np.allclose(weight_of(pipe, LINEAR), theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["loha", "lokr", "dora"])
def test_a_fused_layer_of_flux_is_changed_whole(tmp_path: Path, kind: str) -> None:
    pipe = PIPELINES["flux"]()
    block = pipe.transformer.single_transformer_blocks[0]
    layers = (block.attn.to_q, block.attn.to_k, block.attn.to_v, block.proj_mlp)
    joined = np.concatenate([layer.weight.detach().numpy() for layer in layers])
    tensors, delta = matrices(joined.shape, kind)
    expected = joined + delta * (1 if kind == "lokr" else RANK / ALPHA)
    if kind == "dora":
        tensors["dora_scale"] = np.abs(random(joined.shape[0], 1)) + 1
        expected = tensors["dora_scale"] * expected / lengths(expected)
    begin = "diffusion_model.single_blocks.0.linear1"
    held = {f"{begin}.{what}": value for what, value in tensors.items()}
    with applied(pipe, (write(tmp_path / "a.safetensors", held), 1.0)):
        found = np.concatenate([layer.weight.detach().numpy() for layer in layers])
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-5)
    after = np.concatenate([layer.weight.detach().numpy() for layer in layers])
    assert (after == joined).all()


def test_a_file_of_loras_and_differences_as_for_wan_is_applied_whole(tmp_path: Path) -> None:
    pipe = PIPELINES["wan"]()
    block = pipe.transformer.blocks[0]
    width = block.attn1.to_q.weight.shape[0]
    held = {
        "diffusion_model.blocks.0.self_attn.q.lora_down.weight": random(RANK, width),
        "diffusion_model.blocks.0.self_attn.q.lora_up.weight": random(width, RANK),
        "diffusion_model.blocks.0.self_attn.q.diff_b": random(width),
        "diffusion_model.blocks.0.norm3.diff": random(width),
        "diffusion_model.blocks.0.modulation.diff": random(1, 6, width),
    }
    parameters = (block.attn1.to_q.weight, block.attn1.to_q.bias, block.norm2.weight)
    before = [parameter.detach().numpy().copy() for parameter in parameters]
    table = block.scale_shift_table.detach().numpy().copy()
    down, up, bias, norm, modulation = held.values()
    path = write(tmp_path / "a.safetensors", held)
    from sdgraph.nodes.diffusion.families.wan import WAN

    with apply_loras(pipe, [Lora(path)], {"lora_0": path}, WAN):
        changed = (block.attn1.to_q.weight, block.attn1.to_q.bias, block.norm2.weight)
        for value, own, delta in zip(changed, before, (up @ down, bias, norm), strict=True):
            assert np.allclose(value.detach().numpy(), own + delta, rtol=1e-4, atol=1e-5)
        assert np.allclose(block.scale_shift_table.detach().numpy(), table + modulation)
    assert (block.scale_shift_table.detach().numpy() == table).all()


def test_a_node_applies_it_and_leaves_nothing_behind(tmp_path: Path, session: Session) -> None:
    base: dict[str, Any] = {"prompt": "a red star", "steps": 1, "width": 64, "height": 64}
    plain = Text2Image(checkpoint=Checkpoint(BASE), **base)
    before = run(plain, session=session)
    tensors, _ = matrices((64, 64), "loha")
    style = Lora(file_of(tmp_path, {LINEAR: tensors}), scale=2)
    other = lora(tmp_path / "plain", BASE)
    alone = run(plain.replace(loras=[style]), session=session)
    both = run(plain.replace(loras=[style, other]), session=session)
    assert len({before.content, alone.content, both.content}) == 3
    assert run(plain, session=session) == before
