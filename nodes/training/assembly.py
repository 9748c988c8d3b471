"""Checkpoints put together and taken apart: fresh parts, trained parts, and folders of both."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdgraph.checkpoints import INDEX, class_of, config, configs, index, weights
from sdgraph.checkpoints import Part as PartOf
from sdgraph.errors import CheckpointError
from sdgraph.values import Checkpoint

WEIGHTLESS = ("tokenizer", "tokenizer_2", "scheduler")


def fresh_parts(like: Checkpoint, names: Sequence[str], seed: int) -> dict[str, Any]:
    """Untrained modules with a checkpoint's architecture, and its tokenizers and scheduler."""
    import torch

    there = index(like) or {}
    parts: dict[str, Any] = {n: _weightless(like, n) for n in WEIGHTLESS if n in there}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        for name in names:
            parts[name] = _fresh(like, name)
    return parts


def _fresh(like: Checkpoint, name: str) -> Any:
    import diffusers
    import transformers

    library, class_name = class_of(PartOf(like, name))
    settings = dict(config(like, name) or {})
    if library == "diffusers":
        return getattr(diffusers, class_name).from_config(settings)
    cls = getattr(transformers, class_name)
    return cls(cls.config_class.from_dict(settings))


def _weightless(like: Checkpoint, name: str) -> Any:
    import diffusers
    import transformers

    folder = configs(like)
    if folder is None:
        raise CheckpointError(f"{like.source} is not here; wanted its {name}")
    library, class_name = class_of(PartOf(like, name))
    module = diffusers if library == "diffusers" else transformers
    return getattr(module, class_name).from_pretrained(folder / name, local_files_only=True)


def load_vae(checkpoint: Checkpoint) -> Any:
    """The autoencoder of a checkpoint (a pipeline's, or one alone), frozen, in float32."""
    import torch
    from diffusers import AutoencoderKL

    folder = weights(checkpoint)
    folder = folder / "vae" if (folder / INDEX).is_file() else folder
    vae = AutoencoderKL.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return vae.eval().requires_grad_(False)


def save_pipeline(parts: Mapping[str, Any], like: Checkpoint, folder: Path) -> Checkpoint:
    """A checkpoint folder laid out as `like`'s, with these parts' weights in half precision.

    Configs that did not change are copied to the letter; the folder appears whole or not at all.
    """
    source = configs(like)
    assert source is not None, "fresh_parts has read it"
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(source, beside)
    for name, module in parts.items():
        if hasattr(module, "state_dict") and hasattr(module, "parameters"):
            write_weights(module, beside / name)
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
    return Checkpoint(folder)


def write_weights(module: Any, folder: Path) -> None:
    """A module's weights beside its config, as half-precision safetensors."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    of_diffusers = type(module).__module__.startswith("diffusers")
    name = "diffusion_pytorch_model" if of_diffusers else "model"
    state = {
        key: value.detach().to(torch.float16 if value.is_floating_point() else value.dtype)
        for key, value in module.state_dict().items()
    }
    state = {key: value.contiguous().clone() for key, value in state.items()}
    save_file(state, folder / f"{name}.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    if of_diffusers and path.is_file() and hasattr(module.config, "scaling_factor"):
        settings = json.loads(path.read_text("utf-8"))
        settings["scaling_factor"] = module.config.scaling_factor
        path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
