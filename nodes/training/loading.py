"""The modules that a training works with: untrained ones, and those of a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import fetch_checkpoint, load_part, resolve, resolve_part
from sdgraph.nodes.diffusion.families import SCHEDULER, ModelFamily, family_of
from sdgraph.values import Checkpoint, Part

from .pipeline_parts import PipelineParts


def pipeline_family(checkpoint: Checkpoint) -> ModelFamily:
    """The family of a pipeline's checkpoint.

    Raises:
        CheckpointError: It is not on this disk, or no pipeline of a known family.
    """
    family = family_of(checkpoint)
    if family is None:
        raise CheckpointError(
            Problem(checkpoint.source, "it is not here", "a checkpoint whose configs are here")
        )
    return family


def untrained_parts(like: Checkpoint, names: Sequence[str], seed: int) -> PipelineParts:
    """Untrained modules with a checkpoint's architecture, and its tokenizers and scheduler.

    Args:
        like: The checkpoint of a pipeline, whose configs are read.
        names: The components to make, in the order in which they draw their weights.
        seed: What their weights are drawn by.

    Raises:
        CheckpointError: It is not on this disk, or no pipeline of a known family.
    """
    family = pipeline_family(like)
    parts = {name: _load(like, name) for name in (*family.tokenizers, SCHEDULER)}
    return PipelineParts(family, {**parts, **_untrained_modules(like, names, seed)})


def untrained_model(like: Checkpoint, seed: int) -> Any:
    """An untrained module with the architecture of a single model's checkpoint."""
    return _untrained_modules(like, ("",), seed)[""]


def untrained_autoencoder(like: Checkpoint, seed: int) -> Any:
    """An untrained autoencoder with the architecture of a pipeline's, or of one alone."""
    name = _autoencoder_name(like)
    return _untrained_modules(like, (name,), seed)[name]


def load_parts(checkpoint: Checkpoint, names: Sequence[str] | None = None) -> PipelineParts:
    """Parts of a pipeline's checkpoint, downloaded where need be: modules frozen, in float32.

    Args:
        checkpoint: The checkpoint of a pipeline.
        names: Which parts; None for all components of its family and the scheduler.

    Raises:
        CheckpointError: It cannot be had, or is no pipeline of a known family.
    """
    fetch_checkpoint(checkpoint)
    family = pipeline_family(checkpoint)
    names = names or (*family.components, SCHEDULER)
    return PipelineParts(family, {name: _load(checkpoint, name) for name in names})


def load_text_parts(checkpoint: Checkpoint) -> PipelineParts:
    """The text encoders and tokenizers of a pipeline's checkpoint, as in `load_parts`."""
    fetch_checkpoint(checkpoint)
    return load_parts(checkpoint, pipeline_family(checkpoint).text_components)


def load_model(checkpoint: Checkpoint) -> Any:
    """The module of a single model's checkpoint, frozen, in float32."""
    return _load(checkpoint, "")


def load_autoencoder(checkpoint: Checkpoint) -> Any:
    """The autoencoder of a checkpoint (a pipeline's, or one alone), frozen, in float32."""
    fetch_checkpoint(checkpoint)
    return _load(checkpoint, _autoencoder_name(checkpoint))


def load_scheduler(checkpoint: Checkpoint) -> Any:
    """The scheduler of a pipeline's checkpoint."""
    return _load(checkpoint, SCHEDULER)


def scheduler_class(checkpoint: Checkpoint) -> Any:
    """The class of a pipeline's scheduler."""
    return _class_of(checkpoint, SCHEDULER)


def _autoencoder_name(checkpoint: Checkpoint) -> str:
    """The autoencoder's folder in a checkpoint; "" where the checkpoint is an autoencoder."""
    is_pipeline = bool(resolve(checkpoint).index)
    return pipeline_family(checkpoint).decoder.name if is_pipeline else ""


def _class_of(checkpoint: Checkpoint, name: str) -> Any:
    import diffusers
    import transformers

    library, class_name = resolve_part(Part(checkpoint, name)).library_and_class
    return getattr(diffusers if library == "diffusers" else transformers, class_name)


def _untrained_modules(like: Checkpoint, names: Sequence[str], seed: int) -> dict[str, Any]:
    import torch

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return {name: _fresh_module(like, name) for name in names}


def _fresh_module(like: Checkpoint, name: str) -> Any:
    cls = _class_of(like, name)
    settings = dict(resolve(like).config(name) or {})
    if cls.__module__.startswith("diffusers."):
        return cls.from_config(settings)
    return cls(cls.config_class.from_dict(settings))


def _load(checkpoint: Checkpoint, name: str) -> Any:
    """A component; a module is frozen, in float32, on the CPU."""
    return load_part(resolve_part(Part(checkpoint, name)), "float32", "cpu")
