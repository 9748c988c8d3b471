"""Random weights for checkpoints that are configs alone: equal configs get equal weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

_DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"
_TRANSFORMERS_WEIGHTS = "model.safetensors"


def _weights_file(config: Path) -> Path:
    """The path of the weights that belong to a component's config file."""
    by_diffusers = "_class_name" in json.loads(config.read_bytes())
    return config.with_name(_DIFFUSERS_WEIGHTS if by_diffusers else _TRANSFORMERS_WEIGHTS)


def fill(checkpoint: Path) -> None:
    """Writes random weights next to every config of a checkpoint's folder that has none.

    The seed is a digest of the config, so equal configs give equal weights.
    """
    for config in sorted(checkpoint.rglob("config.json")):
        target = _weights_file(config)
        if not target.exists():
            target.write_bytes(_random_weights(json.loads(config.read_bytes())))


def _random_weights(config: Mapping[str, Any]) -> bytes:
    """A safetensors file with the fresh weights of the component that `config` describes.

    The seed is a digest of the config, so equal configs give equal weights in every checkpoint.
    """
    from safetensors.torch import save

    text = json.dumps(config, sort_keys=True)
    make = _maker(config)
    with _drawing_from(int.from_bytes(sha256(text.encode()).digest()[:8])):
        state = make().state_dict()
    return bytes(save(state, metadata={"format": "pt"}))


def _maker(config: Mapping[str, Any]) -> Callable[[], Any]:
    """A function that makes the untrained module; only classes of diffusers and transformers.

    All imports happen here, before the seed is set, so that none can draw from it.
    """
    if "_class_name" in config:
        import diffusers

        return partial(getattr(diffusers, config["_class_name"]).from_config, dict(config))
    import transformers

    model = getattr(transformers, config["architectures"][0])
    return partial(model, model.config_class.from_dict(dict(config)))


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """Torch makes float32 on the CPU from `seed` in this block; its state is restored after it."""
    import torch

    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=()), torch.device("cpu"):
        # Not torch.manual_seed: that would seed the generators of accelerators too.
        torch.default_generator.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
