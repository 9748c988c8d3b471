"""Which checkpoints a procedure can use, as far as their configs show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import resolve
from sdgraph.nodes.diffusion.families import SDXL, ModelFamily, family_of, pipeline_class_of
from sdgraph.values import Checkpoint


def channel_problems(**wanted: tuple[Any, int]) -> Iterator[Problem]:
    """Why checkpoints, by field, have no U-Net of so many channels, as far as configs show.

    A procedure reads captions by one text encoder, as Stable Diffusion's pipelines do.
    """
    for name, (checkpoint, channels) in wanted.items():
        if not _is_here(checkpoint):
            continue
        wish = f"a Stable Diffusion checkpoint whose U-Net takes {channels} channels"
        family = _family(checkpoint)
        if family is None or len(family.text_encoders) != 1:
            kind = pipeline_class_of(checkpoint) or "a single model"
            yield Problem(name, f"{checkpoint.source} ({kind})", wish)
            continue
        count = family.denoiser_config(checkpoint).get("in_channels")
        if count != channels:
            network = family.denoiser.label
            found = f"{checkpoint.source}, whose {network} takes {count} channels"
            yield Problem(name, found, wish)


def sdxl_problems(**wanted: Any) -> Iterator[Problem]:
    """Why checkpoints, by field, are not in SDXL's layout, as far as configs show."""
    for name, checkpoint in wanted.items():
        if not _is_here(checkpoint):
            continue
        family = _family(checkpoint)
        if family is None or len(family.text_encoders) != len(SDXL.text_encoders):
            kind = pipeline_class_of(checkpoint) or "a single model"
            found = f"{checkpoint.source} ({kind})"
            yield Problem(name, found, "a checkpoint in SDXL's layout, with two text encoders")


def _is_here(checkpoint: Any) -> bool:
    """Whether it is a checkpoint, and not a node that makes one, whose configs are on this disk."""
    return isinstance(checkpoint, Checkpoint) and resolve(checkpoint).index is not None


def _family(checkpoint: Checkpoint) -> ModelFamily | None:
    """The family of a checkpoint; None for a single model, and for a family that is not known."""
    try:
        return family_of(checkpoint)
    except CheckpointError:
        return None


def estimator_problems(field: str, checkpoint: Any) -> Iterator[Problem]:
    """Why a checkpoint is no DPT, as far as configs show."""
    if isinstance(checkpoint, Checkpoint):
        own = resolve(checkpoint).config()
        kinds = (own or {}).get("architectures") or ["nothing"]
        if own is not None and kinds[0] != "DPTForDepthEstimation":
            found = f"{checkpoint.source}, a {own.get('_class_name', kinds[0])}"
            yield Problem(field, found, "a depth estimator (DPTForDepthEstimation)")
