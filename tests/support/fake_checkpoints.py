"""Tiny checkpoints of random bytes, and a loader that only counts."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from sdgraph.models.loading.cache import LoadedComponent
from sdgraph.testing import CountingLoader as Loader
from sdgraph.testing import FakeModule as Module

__all__ = [
    "Loader",
    "Module",
    "checkpoint",
    "component",
    "in_hub_cache",
    "names",
    "safetensors",
]

WEIGHTS = "diffusion_pytorch_model.safetensors"

CLASSES = {
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
}
"""The library and class of each component; of others, those of a U-Net."""


def safetensors(content: bytes) -> bytes:
    """A whole safetensors file of one tensor with these bytes."""
    count = len(content)
    header = {"weight": {"dtype": "U8", "shape": [count], "data_offsets": [0, count]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def component(folder: Path, weights: bytes, name: str = WEIGHTS, **config: Any) -> None:
    """Writes a component's folder: a config and a file of weights."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"_class_name": "UNet2DConditionModel", **config}
    (folder / "config.json").write_text(json.dumps(contents))
    (folder / name).write_bytes(weights)


def checkpoint(folder: Path, **weights: bytes) -> Path:
    """Writes a checkpoint with one component for each of `weights`."""
    folder.mkdir(parents=True, exist_ok=True)
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline"}
    for name, content in weights.items():
        index[name] = CLASSES.get(name, ("diffusers", "UNet2DConditionModel"))
        library, class_name = index[name]
        file = "model.safetensors" if library == "transformers" else WEIGHTS
        component(folder / name, content, file, _class_name=class_name)
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def in_hub_cache(cache: Path, source: str, folder: Path) -> Path:
    """Copies a checkpoint's folder into a hub cache as the hub's client lays it out."""
    repo = cache / f"models--{source.replace('/', '--')}"
    revision = "a" * 40
    snapshot = repo / "snapshots" / revision
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(revision)
    (repo / "blobs").mkdir()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            digest = sha256(content).hexdigest()
            blob = repo / "blobs" / (digest if path.suffix == ".safetensors" else digest[:40])
            blob.write_bytes(content)
            link = snapshot / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)
    return snapshot


def names(components: tuple[LoadedComponent, ...]) -> list[str]:
    """What is loaded, by the name of each part's folder."""
    return [component.module.name for component in components]
