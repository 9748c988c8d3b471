"""IP-Adapters with random weights, in the layouts of their authors, for the shipped checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from sdgraph.models import fetch_checkpoint, resolve, tensor_shapes
from sdgraph.values import Checkpoint, Lora

FILE = "ip_adapter.safetensors"
HIDDEN, PROJECTED, SEEN = 32, 24, 32
"""The image encoder's widths, and the side of the pictures it sees."""

ENCODER = {
    "architectures": ["CLIPVisionModelWithProjection"],
    "model_type": "clip_vision_model",
    "hidden_size": HIDDEN,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SEEN,
    "patch_size": 8,
    "projection_dim": PROJECTED,
}

KINDS = ("plain", "plus", "full face")


def ip_adapter(folder: Path, base: str, kind: str = "plain", *, seed: int = 0) -> Lora:
    """Writes an adapter and, next to it, its image encoder."""
    encoder(folder / "image_encoder")
    write(folder / FILE, tensors(base, kind, seed))
    return Lora(folder, file=FILE)


def encoder(folder: Path, **more: Any) -> Checkpoint:
    """Writes a random image encoder."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    settings = {**ENCODER, **more}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(1)
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**settings))
    model.save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(settings))
    return Checkpoint(folder)


def write(path: Path, held: dict[str, Any]) -> Path:
    """Writes tensors."""
    import safetensors.numpy

    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(held, path, metadata={"format": "pt"})
    return path


def tensors(base: str, kind: str = "plain", seed: int = 0) -> dict[str, Any]:
    """The tensors of an adapter for a shipped checkpoint."""
    text = int((resolve(Checkpoint(base)).config("unet") or {})["cross_attention_dim"])
    expected = {f"image_proj.{name}": shape for name, shape in _projection(kind, text).items()}
    for number, width in enumerate(_levels(base)):
        for key in ("k", "v"):
            expected[f"ip_adapter.{2 * number + 1}.to_{key}_ip.weight"] = (width, text)
    draw = np.random.default_rng(seed)
    return {name: draw.normal(0, 0.3, shape).astype(np.float32) for name, shape in expected.items()}


def _levels(base: str) -> list[int]:
    """The widths of a U-Net's cross-attentions, in the order that diffusers goes through them."""
    (path,) = (fetch_checkpoint(Checkpoint(base)) / "unet").glob("*.safetensors")
    levels = {
        name: shape[0]
        for name, shape in tensor_shapes(path).items()
        if name.endswith("attn2.to_k.weight")
    }
    order = ("down_blocks", "up_blocks", "mid_block")
    return [levels[name] for part in order for name in sorted(levels) if name.startswith(part)]


def _projection(kind: str, text: int) -> dict[str, tuple[int, ...]]:
    if kind == "plain":
        return {
            "proj.weight": (4 * text, PROJECTED),
            "proj.bias": (4 * text,),
            "norm.weight": (text,),
            "norm.bias": (text,),
        }
    if kind == "full face":
        return {
            "proj.0.weight": (HIDDEN, HIDDEN),
            "proj.0.bias": (HIDDEN,),
            "proj.2.weight": (text, HIDDEN),
            "proj.2.bias": (text,),
            "proj.3.weight": (text,),
            "proj.3.bias": (text,),
        }
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, 4, 64),
        "proj_in.weight": (64, HIDDEN),
        "proj_in.bias": (64,),
        "proj_out.weight": (text, 64),
        "proj_out.bias": (text,),
        "norm_out.weight": (text,),
        "norm_out.bias": (text,),
    }
    for layer in range(4):
        for norm in ("0.norm1", "0.norm2", "1.0"):
            shapes |= {f"layers.{layer}.{norm}.{part}": (64,) for part in ("weight", "bias")}
        shapes |= {
            f"layers.{layer}.0.to_q.weight": (64, 64),
            f"layers.{layer}.0.to_kv.weight": (128, 64),
            f"layers.{layer}.0.to_out.weight": (64, 64),
            f"layers.{layer}.1.1.weight": (256, 64),
            f"layers.{layer}.1.3.weight": (64, 256),
        }
    return shapes
