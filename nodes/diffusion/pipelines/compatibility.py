"""Checks whether the fields of a diffusion node fit its checkpoint, by configs alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.formatting import format_count, with_article
from sdgraph.models import SCHEDULERS, resolve
from sdgraph.nodes.diffusion.families import (
    SCHEDULER,
    ModelFamily,
    Purpose,
    Task,
    families_for,
    pipeline_class_of,
    text_width,
)
from sdgraph.nodes.diffusion.prompts.prompt_weights import MAX_WEIGHT, excessive_weight
from sdgraph.nodes.diffusion.sampling.schedulers import (
    fewest_steps,
    schedule_problems,
    schedulers_for,
)
from sdgraph.values import Checkpoint

_NODES: dict[Purpose, str] = {
    "text-to-image": "Text2Image",
    "depth-guided": "DepthToImage",
    "inpainting": "Inpaint",
    "edit": "Edit",
    "upscaling": "Upscale",
}
"""The node that takes checkpoints of a purpose."""

_NODES_BY_TASK: dict[Task, str] = {
    "text-to-image": "Text2Image",
    "image-to-image": "Image2Image",
    "inpaint": "Inpaint",
    "controlnet": "ControlNet",
    "controlnet-image": "ControlNet with an image",
    "controlnet-inpaint": "ControlNet with a mask",
    "depth-to-image": "DepthToImage",
    "edit": "Edit",
    "upscale": "Upscale",
    "variation": "Variation",
    "text-to-video": "Text2Video",
    "image-to-video": "Image2Video",
    "frames-to-video": "Image2Video with `last`",
    "video-to-video": "Video2Video",
    "video-control": "VideoControl",
    "animate": "AnimateCharacter",
}
"""The node that does a task."""

_OTHER_MODELS = "its parts are of different models: copy the checkpoint again"

_FEW_STEPS = ("lcm", "tcd", "LCMScheduler", "TCDScheduler")
"""Schedulers that choose their steps among the few that they were distilled for."""


_DISTILLED = re.compile(r"(turbo|lightning|hyper|lcm|dmd2?|schnell)")
"""What the names of distilled models have in them."""

_DISTILLED_STEPS, _DISTILLED_GUIDANCE = 12, 3
"""What steps and guidance of distilled models are at most, with some to spare."""


def task_problems(
    node_type: str, task: Task, checkpoint: Checkpoint, family: ModelFamily
) -> Iterator[Problem]:
    """The problem of a checkpoint whose family has no pipeline for a node's task.

    Args:
        node_type: The name of the node's class, for the error.
        task: What the node does.
        checkpoint: The checkpoint.
        family: Its family.
    """
    if task == "controlnet-image" and "controlnet" in family.pipelines:
        if task not in family.pipelines:
            found = f"a picture to start from, for {checkpoint.source}"
            wanted = f"none: {family.label} follows control maps from noise alone"
            yield Problem("image", found, wanted, "leave `image` out, or add a mask")
    elif task not in family.pipelines:
        labels = ", ".join(other.label for other in families_for(task))
        yield Problem(
            "checkpoint",
            f"{checkpoint.source}, a {pipeline_class_of(checkpoint)} checkpoint",
            f"one for {node_type} ({labels})",
            _other_ways(node_type, task, family),
        )
    else:
        yield from _fitting_task_problems(task, checkpoint, family)


def _other_ways(node_type: str, task: Task, family: ModelFamily) -> str:
    """What the family is for, and which families with the same network can do the task."""
    # Of "ControlNet" and "ControlNet with an image", the first is enough.
    nodes = [_NODES_BY_TASK[each].partition(" ")[0] for each in family.pipelines]
    *others, last = dict.fromkeys(nodes)
    related = [
        other.label
        for other in families_for(task)
        if set(family.denoiser.classes) & set(other.denoiser.classes)
    ]
    named = f"{', '.join(others)} and {last}" if others else last
    ways = f"{family.label} is for {named}"
    return f"{ways}; for {node_type} take {' or '.join(related)}" if related else ways


def _fitting_task_problems(
    task: Task, checkpoint: Checkpoint, family: ModelFamily
) -> Iterator[Problem]:
    """The problem of a checkpoint that was trained for other tasks of its family."""
    tasks = family.tasks_of(checkpoint)
    if task in tasks:
        return
    nodes = [_NODES_BY_TASK.get(each, each) for each in tasks if each in family.pipelines]
    example = family.examples.get(task)
    yield Problem(
        "checkpoint",
        f"{checkpoint.source}, a {family.label} checkpoint for {' and '.join(nodes)}",
        f"one for {_NODES_BY_TASK.get(task, task)}",
        f"for example {example}" if example else "",
    )


def package_problems(task: Task, family: ModelFamily) -> Iterator[Problem]:
    """The problems of packages that a family's pipeline for a task needs and that are not here."""
    for package in family.packages.get(task, ()):
        if find_spec(package) is None:
            found = f"{family.pipelines[task]} of {family.label}, and no package {package} here"
            yield Problem("checkpoint", found, "the package", f"pip install {package}")


def refuse_missing_packages(task: Task, family: ModelFamily) -> None:
    """Raises InvalidValueError if a package is not here that the pipeline for a task needs."""
    for problem in package_problems(task, family):
        raise InvalidValueError(problem)


def purpose_problems(
    purposes: Sequence[Purpose], checkpoint: Checkpoint, family: ModelFamily
) -> Iterator[Problem]:
    """The problem of a checkpoint that was trained for none of a node's purposes."""
    purpose = family.purpose_of(checkpoint)
    if purpose in purposes or not family.purposes:
        return
    channels = {name: count for count, name in family.purposes.items()}
    yield Problem(
        "checkpoint",
        f"{checkpoint.source}, whose {family.denoiser.label} takes "
        f"{family.input_channels(checkpoint)} channels ({purpose or 'of an unknown kind'})",
        " or ".join(f"{channels[name]} ({name})" for name in purposes if name in channels),
        f"{_NODES[purpose]} takes such a checkpoint" if purpose in _NODES else "",
    )


def class_problems(checkpoint: Checkpoint, family: ModelFamily) -> Iterator[Problem]:
    """The problems of components whose class is not one that a family's pipelines compute with.

    Args:
        checkpoint: The checkpoint, whose index is on this disk.
        family: Its family.
    """
    own_classes = resolve(checkpoint).classes
    for component in family.optional:
        if component.required and component.name not in own_classes:
            found = f"{checkpoint.source}, without the part {component.name}"
            wanted = f"one with it: {' or '.join(component.classes)}"
            yield Problem("checkpoint", found, wanted, "copy the checkpoint again")
    for name, classes in family.classes.items():
        class_name = own_classes.get(name)
        if classes and class_name is not None and class_name not in classes:
            found = f"{checkpoint.source}, whose {name} is {with_article(class_name)}"
            yield Problem(
                "checkpoint", found, f"{with_article(' or '.join(classes))} in {family.label}"
            )


def width_problems(checkpoint: Checkpoint, family: ModelFamily) -> Iterator[Problem]:
    """The problems of components that are of different models, by the widths in their configs.

    Args:
        checkpoint: The checkpoint, whose configs are on this disk.
        family: Its family.

    Raises:
        CheckpointError: A config is missing, or has absurd numbers.
    """
    fix = _OTHER_MODELS
    if checkpoint.parts:
        fix = f"take a {' and a '.join(checkpoint.parts)} that was made for the same base"
    denoiser, decoder = family.denoiser_config(checkpoint), family.decoder_config(checkpoint)
    present = family.text_components_of(checkpoint)
    configs = [
        resolve(checkpoint).config(encoder.name) or {}
        for encoder in family.text_encoders
        if encoder.name in present
    ]
    widths: list[Any] = [config.get("hidden_size") for config in configs]
    wanted = text_width(denoiser)
    if (
        wanted
        and widths
        and all(widths)
        and sum(widths) != wanted
        and not denoiser.get("encoder_hid_dim")
    ):
        found = f"{checkpoint.source}, whose text features are {sum(widths)} wide"
        name = family.denoiser.name
        yield Problem("checkpoint", found, f"{wanted}, which its {name} reads", fix)
    latents, made = decoder.get("latent_channels"), denoiser.get("out_channels")
    if made and made == 2 * denoiser.get("in_channels", 0):
        made //= 2  # the other half is a variance
    per_token = family.denoiser.latents_per_token
    if latents and made and latents * per_token != made:
        found = f"{checkpoint.source}, whose {family.decoder.name} has {latents} latent channels"
        wanted_channels = f"{made // per_token}, which its {family.denoiser.name} makes"
        yield Problem("checkpoint", found, wanted_channels, fix)


def clip_skip_problems(checkpoint: Checkpoint, family: ModelFamily) -> Iterator[Problem]:
    """The problem of leaving out layers of CLIP that a checkpoint does not have.

    Args:
        checkpoint: The checkpoint, whose configs are on this disk.
        family: Its family.
    """
    skipped = checkpoint.clip_skip
    if skipped is None:
        return
    found = f"clip_skip {skipped} for {checkpoint.source}"
    if not family.prompt_encoding.in_windows:
        wanted = f"none: {family.label} does not read prompts by CLIP alone"
        yield Problem("checkpoint", found, wanted, "leave clip_skip out")
        return
    configs = [resolve(checkpoint).config(encoder.name) or {} for encoder in family.text_encoders]
    fewest = min(int(config.get("num_hidden_layers") or 12) for config in configs)
    if skipped >= fewest:
        yield Problem("checkpoint", found, f"at most {fewest - 1}, of {fewest} layers")


def scheduler_problems(
    checkpoint: Checkpoint,
    name: str | None,
    schedule: str | None,
    family: ModelFamily,
    task: Task,
) -> Iterator[Problem]:
    """The problem of a scheduler or a schedule that does not fit, or that diffusers does not have.

    Args:
        checkpoint: The checkpoint, whose configs are on this disk.
        name: The scheduler that the node names; with one, the checkpoint's own is not made.
        schedule: The noise schedule that the node names.
        family: The checkpoint's family.
        task: What the node does.

    Raises:
        CheckpointError: It has no config of a scheduler, or one with absurd numbers.
    """
    fitting = family.task_schedulers.get(task) or schedulers_for(flow_matching=family.flow_matching)
    fitting = () if family.own_scheduler else fitting
    if name is not None and name not in fitting:
        found = f"{name} for {checkpoint.source}, a {family.label} checkpoint"
        wanted = f"one of {', '.join(fitting)}" if fitting else "the checkpoint's own alone"
        yield Problem("scheduler", found, wanted, "leave it out for the checkpoint's own")
    own = (resolve(checkpoint).config(SCHEDULER) or {}).get("_class_name")
    if name in fitting or own in SCHEDULERS:
        yield from schedule_problems(checkpoint, name, schedule)
    if name is None and own not in SCHEDULERS:
        found = f"its scheduler {own!r} is not in this diffusers" if own else "no scheduler named"
        fix = "name one with `scheduler:`, such as euler, or copy the checkpoint again"
        yield Problem(
            "checkpoint", f"{checkpoint.source}: {found}", "a scheduler of diffusers", fix
        )
    if checkpoint.prediction_type is not None and family.flow_matching:
        found = (
            f"{checkpoint.source}: prediction_type {checkpoint.prediction_type} for {family.label}"
        )
        yield Problem("checkpoint", found, "none: it predicts a flow", "leave it out")


def weight_problems(prompts: Mapping[str, object]) -> Iterator[Problem]:
    """The problems of prompts with a weight too large for a picture.

    `prompts` are the values of fields by name; a prompt that a node makes is skipped.
    """
    for field, text in prompts.items():
        weight = excessive_weight(text) if isinstance(text, str) else None
        if weight is not None:
            fix = r"write \( and \) for parentheses that give no weight"
            wanted = f"-{MAX_WEIGHT:g} to {MAX_WEIGHT:g}"
            yield Problem(field, f"a weight of {weight:g}", wanted, fix)


def size_problems(node: object, checkpoint: Checkpoint, family: ModelFamily) -> Iterator[Problem]:
    """The problems of a node's sides; of a checkpoint that is not here, by the family in its name.

    Args:
        node: The node, whose `width` and `height` are looked at if it has them.
        checkpoint: Its checkpoint.
        family: The family of the checkpoint, or a likely one.
    """
    sides = {name: getattr(node, name, None) for name in ("width", "height")}
    is_known = family.hints_at(checkpoint.source) or pipeline_class_of(checkpoint)
    yield from side_problems(sides, family.size_multiple(checkpoint) if is_known else 8)


def side_problems(sides: Mapping[str, int | None], multiple: int) -> Iterator[Problem]:
    """The problems of sides that are not a multiple of what the pipeline takes.

    Args:
        sides: Lengths in pixels by the names of their fields; None is skipped.
        multiple: What each side must be a multiple of.
    """
    for name, side in sides.items():
        if side is not None and side % multiple:
            nearest = max(multiple, round(side / multiple) * multiple)
            wanted = f"a multiple of {multiple}"
            yield Problem(name, f"{side} pixels", wanted, f"for example {nearest}")


def distilled_warnings(checkpoint: Checkpoint, steps: int, guidance: float) -> Iterator[Problem]:
    """A warning for a file that may be distilled for few steps, by its name alone.

    The weights of a distilled model have the names and shapes of the model that it is made from.

    Args:
        checkpoint: The checkpoint.
        steps: The number of denoising steps.
        guidance: The scale of classifier-free guidance.
    """
    single_file = resolve(checkpoint).single_file
    if single_file is None or (steps <= _DISTILLED_STEPS and guidance <= _DISTILLED_GUIDANCE):
        return
    match = _DISTILLED.search(single_file.path.stem.lower())
    if match is not None:
        found = f"{steps} steps with guidance {guidance:g}, by a file named {match[1]}"
        wanted = "1 to 8 steps with guidance 0 to 2, if it is distilled (the file does not say)"
        yield Problem("steps", found, wanted, "set steps and guidance as its page says")


def step_problems(
    steps: int, scheduler: str | None, checkpoint: Checkpoint, family: ModelFamily
) -> Iterator[Problem]:
    """The problem of more steps than a scheduler was distilled for, or of too few.

    Args:
        steps: The number of denoising steps.
        scheduler: The scheduler's name; None for the checkpoint's own.
        checkpoint: The checkpoint.
        family: Its family.
    """
    settings = resolve(checkpoint).config(SCHEDULER) or {}
    name = scheduler or settings.get("_class_name")
    fewest = max(family.fewest_steps(str(name)), fewest_steps(checkpoint, scheduler))
    if steps < fewest:
        found = f"{format_count(steps, 'step')} by {name} for {family.label}"
        wanted = f"at least {fewest}"
        yield Problem("steps", found, wanted, "set more steps, or a scheduler such as lcm")
    limit = settings.get("original_inference_steps", 50)
    if name in _FEW_STEPS and steps > limit:
        found = f"{steps} steps by {name}"
        yield Problem("steps", found, f"at most {limit}", "4 to 8 are enough for it")
