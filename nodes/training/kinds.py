"""Which checkpoints a procedure can use, as far as their configs show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sdgraph.errors import Problem
from sdgraph.models import resolve
from sdgraph.values import Checkpoint


def channel_problems(**wanted: tuple[Any, int]) -> Iterator[Problem]:
    """Why checkpoints, by field, have no U-Net of so many channels, as far as configs show."""
    for name, (checkpoint, channels) in wanted.items():
        if not isinstance(checkpoint, Checkpoint):
            continue
        parts = resolve(checkpoint).index
        if parts is None:
            continue
        wish = f"a Stable Diffusion checkpoint whose U-Net takes {channels} channels"
        if "unet" not in parts or "text_encoder_2" in parts:
            kind = parts.get("_class_name", "a single model")
            yield Problem(name, f"{checkpoint.source} ({kind})", wish)
            continue
        found = (resolve(checkpoint).config("unet") or {}).get("in_channels")
        if found != channels:
            yield Problem(name, f"{checkpoint.source}, whose U-Net takes {found} channels", wish)


def sdxl_problems(**wanted: Any) -> Iterator[Problem]:
    """Why checkpoints, by field, are not in SDXL's layout, as far as configs show."""
    for name, checkpoint in wanted.items():
        parts = resolve(checkpoint).index if isinstance(checkpoint, Checkpoint) else None
        if parts is not None and not {"unet", "text_encoder_2"} <= set(parts):
            found = f"{checkpoint.source} ({parts.get('_class_name', 'a single model')})"
            yield Problem(name, found, "a checkpoint in SDXL's layout, with two text encoders")


def estimator_problems(field: str, checkpoint: Any) -> Iterator[Problem]:
    """Why a checkpoint is no DPT, as far as configs show."""
    if isinstance(checkpoint, Checkpoint):
        own = resolve(checkpoint).config()
        kinds = (own or {}).get("architectures") or ["nothing"]
        if own is not None and kinds[0] != "DPTForDepthEstimation":
            found = f"{checkpoint.source}, a {own.get('_class_name', kinds[0])}"
            yield Problem(field, found, "a depth estimator (DPTForDepthEstimation)")
