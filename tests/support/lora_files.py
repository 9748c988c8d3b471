"""Adapter files that fit a checkpoint and change what it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from sdgraph.models import fetch_checkpoint
from sdgraph.values import Checkpoint, Lora

NAME = "pytorch_lora_weights.safetensors"
RANK = 2
_OF = {"unet": ("attn1.to_q", "attn2.to_k", "attn2.to_out.0"), "text": ("q_proj", "out_proj")}


def lora(folder: Path, base: str, *, seed: int = 0, layout: str = "diffusers", **more: Any) -> Lora:
    """Writes an adapter for a shipped checkpoint into a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / NAME, tensors(base, seed, layout), **more)
    return Lora(folder)


def write(path: Path, held: dict[str, Any], config: dict[str, Any] | None = None) -> Path:
    """Writes tensors; `config` is what peft knew of the adapter, as diffusers keeps it."""
    import safetensors.numpy

    metadata = {"format": "pt"}
    if config is not None:
        metadata["lora_adapter_metadata"] = json.dumps(config)
    safetensors.numpy.save_file(held, path, metadata=metadata)
    return path


def tensors(base: str, seed: int = 0, layout: str = "diffusers") -> dict[str, Any]:
    """Random adapters of some attention layers of a checkpoint's networks."""
    draw = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for part, name, (out, into) in layers(base):
        for side, shape in (("down", (RANK, into)), ("up", (out, RANK))):
            arrays[_name(layout, part, name, side)] = draw.normal(0, 0.4, shape).astype(np.float32)
        if layout == "kohya":
            arrays[f"{_in_kohya(part, name)}.alpha"] = np.array(RANK, np.float32)
    return arrays


_KOHYA = {"unet": "unet", "text_encoder": "te", "text_encoder_2": "te2"}


def _name(layout: str, part: str, layer: str, side: str) -> str:
    if layout == "kohya":
        return f"{_in_kohya(part, layer)}.lora_{side}.weight"
    middle = "lora" if part == "unet" else "lora_linear_layer"
    return f"{part}.{layer}.{middle}.{side}.weight"


def _in_kohya(part: str, layer: str) -> str:
    within = "" if part == "unet" or layer.startswith("text_model.") else "text_model."
    return f"lora_{_KOHYA[part]}_{(within + layer).replace('.', '_')}"


@cache
def layers(base: str) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    """The layers that get an adapter: part, name, and the shape of the weight."""
    return tuple(_layers(base))


def _layers(base: str) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    from sdgraph.models import tensor_shapes

    for part in ("unet", "text_encoder", "text_encoder_2"):
        for path in (fetch_checkpoint(Checkpoint(base)) / part).glob("*.safetensors"):
            for name, shape in tensor_shapes(path).items():
                layer = name.removesuffix(".weight")
                ends = _OF["unet" if part == "unet" else "text"]
                if name.endswith(".weight") and layer.endswith(ends):
                    yield part, layer, shape
