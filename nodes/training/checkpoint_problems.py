"""Which checkpoints a training can use, as far as their configs show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import resolve, resolve_part
from sdgraph.nodes.diffusion.families import (
    SCHEDULER,
    SDXL,
    STABLE_DIFFUSION,
    ModelFamily,
    Purpose,
    Task,
    family_of,
    pipeline_class_of,
)
from sdgraph.nodes.diffusion.pipelines.compatibility import class_problems, width_problems
from sdgraph.values import Checkpoint, Part

ESTIMATOR_CLASS = "DPTForDepthEstimation"
"""The class of the depth estimators that are trained."""


def purpose_problems(field: str, checkpoint: Any, *purposes: Purpose) -> Iterator[Problem]:
    """Why a checkpoint cannot be used that must have one text encoder and serve a purpose.

    Args:
        field: The field whose value it is.
        checkpoint: The value.
        purposes: What it may have been trained for, the usual purpose first.
    """
    if not _is_here(checkpoint):
        return
    channels, network = STABLE_DIFFUSION.channels_for(purposes[0]), STABLE_DIFFUSION.denoiser.label
    wish = f"a {STABLE_DIFFUSION.label} checkpoint whose {network} takes {channels} channels"
    family = _family(checkpoint)
    if (
        family is None
        or len(family.text_encoders) != 1
        or not any(family.channels_for(purpose) for purpose in purposes)
    ):
        yield Problem(field, _name_and_class(checkpoint), wish)
    elif family.purpose_of(checkpoint) not in purposes:
        count, network = family.input_channels(checkpoint), family.denoiser.label
        yield Problem(field, f"{checkpoint.source}, whose {network} takes {count} channels", wish)
    else:
        yield from _component_problems(field, checkpoint, family)


def sdxl_problems(**checkpoints: Any) -> Iterator[Problem]:
    """Why checkpoints, by field, are not in SDXL's layout."""
    for field, checkpoint in checkpoints.items():
        if not _is_here(checkpoint):
            continue
        family = _family(checkpoint)
        if family is None or len(family.text_encoders) != len(SDXL.text_encoders):
            wish = "a checkpoint in SDXL's layout, with two text encoders"
            yield Problem(field, _name_and_class(checkpoint), wish)
        else:
            yield from _component_problems(field, checkpoint, family)


def pipeline_problems(task: Task, wish: str, **checkpoints: Any) -> Iterator[Problem]:
    """Why checkpoints, by field, are not of a family that can do a task.

    Args:
        task: The task.
        wish: What is wanted, in words.
        checkpoints: The values of the fields.
    """
    for field, checkpoint in checkpoints.items():
        if _is_here(checkpoint):
            family = _family(checkpoint)
            if family is None or task not in family.pipelines:
                yield Problem(field, _name_and_class(checkpoint), wish)
            else:
                yield from _component_problems(field, checkpoint, family)


def estimator_problems(field: str, checkpoint: Any) -> Iterator[Problem]:
    """Why a checkpoint is no DPT."""
    if isinstance(checkpoint, Checkpoint):
        config = resolve(checkpoint).config()
        class_name = ((config or {}).get("architectures") or ["nothing"])[0]
        if config is not None and class_name != ESTIMATOR_CLASS:
            found = f"{checkpoint.source}, a {config.get('_class_name', class_name)}"
            yield Problem(field, found, f"a depth estimator ({ESTIMATOR_CLASS})")
        elif config is not None and field != "like":
            yield from model_problems(field, checkpoint)


def model_problems(field: str, checkpoint: Any) -> Iterator[Problem]:
    """Why a checkpoint that is one model cannot be loaded, as far as its files show."""
    if _is_here(checkpoint):
        try:
            resolve_part(Part(checkpoint)).check()
        except CheckpointError as error:
            yield from error.as_problems_of(field, "a checkpoint that can be used")


def _component_problems(
    field: str, checkpoint: Checkpoint, family: ModelFamily
) -> Iterator[Problem]:
    """Why components of a pipeline's checkpoint cannot be loaded, as far as their files show.

    Of a checkpoint in the field "like" only configs, tokenizers and the scheduler are read.
    """
    weightless = (*family.tokenizers, SCHEDULER)
    if resolve(checkpoint).single_file is not None:
        fix = "convert it: `from_single_file` of diffusers' pipeline, then `save_pretrained`"
        wish = "a folder in diffusers' layout, whose files the trained checkpoint takes over"
        yield Problem(field, f"{checkpoint.source}, one file", wish, fix)
        return
    if checkpoint.parts:
        found = f"{checkpoint.source} with {', '.join(checkpoint.parts)} from elsewhere"
        fix = "copy the component into a folder of its own checkpoint, and train that"
        yield Problem(field, found, "a folder, whose files the trained checkpoint takes over", fix)
        return
    try:
        classes = class_problems(checkpoint, family)
        for problem in (*classes, *width_problems(checkpoint, family)):
            yield replace(problem, subject=field)
        for name in (*family.components, SCHEDULER):
            part = resolve_part(Part(checkpoint, name))
            _ = part.library_and_class
            if field != "like" or name in weightless:
                part.check()
    except CheckpointError as error:
        yield from error.as_problems_of(field, "a checkpoint that can be used")


def _is_here(checkpoint: Any) -> bool:
    """Whether it is a checkpoint, and not a node that makes one, whose configs are on this disk."""
    return isinstance(checkpoint, Checkpoint) and resolve(checkpoint).index is not None


def _family(checkpoint: Checkpoint) -> ModelFamily | None:
    """The family of a checkpoint; None for a single model, and for a family that is not known."""
    try:
        return family_of(checkpoint)
    except CheckpointError:
        return None


def _name_and_class(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.source} ({pipeline_class_of(checkpoint) or 'a single model'})"
