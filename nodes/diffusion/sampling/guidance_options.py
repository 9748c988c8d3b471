"""Refinements of guidance: a rescaled result, and a pass without some layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sdgraph.errors import Problem
from sdgraph.nodes.diffusion.families import ModelFamily, Task, make_guider
from sdgraph.values import Checkpoint


def guidance_arguments(
    family: ModelFamily, scale: float, rescale: float, skipped_layers: Sequence[int]
) -> dict[str, Any]:
    """The arguments for guidance in a pipeline's call; {} for one that a guider guides.

    Args:
        family: The pipeline's family.
        scale: The scale of guidance.
        rescale: As in `guidance_problems`.
        skipped_layers: As in `guidance_problems`.
    """
    if family.guidance.guider:
        return {}
    argument = family.guidance.argument
    arguments: dict[str, Any] = {argument: scale} if argument else {}
    if scale <= family.guidance.none_up_to:
        arguments |= family.guidance.unguided_options
    if rescale:
        arguments["guidance_rescale"] = rescale
    if skipped_layers:
        arguments["skip_guidance_layers"] = list(skipped_layers)
    return arguments


def guidance_components(
    family: ModelFamily, checkpoint: Checkpoint, scale: float, rescale: float, *, guided: bool
) -> dict[str, Any]:
    """The components of a pipeline that guide it; {} for one whose call is told the scale.

    Args:
        family: The pipeline's family.
        checkpoint: Its checkpoint.
        scale: The scale of guidance.
        rescale: As in `guidance_problems`.
        guided: Whether there is guidance.
    """
    name = family.guidance.guider
    return {name: make_guider(checkpoint, name, scale if guided else 1.0, rescale)} if name else {}


def guidance_problems(
    checkpoint: Checkpoint,
    family: ModelFamily,
    task: Task,
    *,
    rescale: float,
    skipped_layers: Sequence[int],
) -> Iterator[Problem]:
    """The problems of refinements of guidance that a pipeline does not have.

    Args:
        checkpoint: The checkpoint.
        family: Its family.
        task: What the pipeline does.
        rescale: How far the contrast of the guided result is set back to that of the unguided one
            (Lin et al. 2024), from 0 to 1.
        skipped_layers: The numbers of the denoiser's layers that are left out in a third pass,
            which the picture is guided away from; () for no such pass.
    """
    guidance = family.guidance
    label = f"{task} by {family.label}"
    fix = "leave it out"
    if rescale and task not in guidance.rescaled_tasks:
        wanted = _wanted(guidance.rescaled_tasks)
        yield Problem("guidance_rescale", f"{rescale:g} for {label}", wanted, fix)
    if not skipped_layers:
        return
    found = f"{list(skipped_layers)} for {label}"
    if task not in guidance.skipping_tasks:
        yield Problem("skip_layers", found, _wanted(guidance.skipping_tasks), fix)
        return
    count = int(family.denoiser_config(checkpoint).get("num_layers") or 0)
    if count and max(skipped_layers) >= count:
        wanted = f"layers of {checkpoint.source}, which are 0 to {count - 1}"
        yield Problem("skip_layers", found, wanted, "name others, such as 7, 8 and 9 of SD 3.5")


def _wanted(tasks: Sequence[str]) -> str:
    if not tasks:
        return "nothing: the pipelines of diffusers for this family have none"
    return f"nothing, or one of the tasks with it: {', '.join(tasks)}"


def guidance_warnings(
    checkpoint: Checkpoint, *, guided: bool, rescale: float, skipped_layers: Sequence[int]
) -> Iterator[Problem]:
    """The warnings of refinements that have no effect, because there is no guidance.

    Args:
        checkpoint: The checkpoint.
        guided: Whether there is classifier-free guidance.
        rescale: As in `guidance_problems`.
        skipped_layers: As in `guidance_problems`.
    """
    given = {"guidance_rescale": rescale, "skip_layers": list(skipped_layers)}
    for name, value in given.items():
        if value and not guided:
            found = f"{value} for {checkpoint.source} without guidance, which has no effect"
            yield Problem(name, found, "guidance above 1", "raise guidance, or leave it out")
