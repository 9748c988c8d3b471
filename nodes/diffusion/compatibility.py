"""Whether what a diffusion node is given goes together, read from configs and headers alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sdgraph.errors import Problem
from sdgraph.models import resolve
from sdgraph.values import Checkpoint, Lora

from . import lora, textual_inversion
from .families import CHANNELS, Family, described, family_of, kind_of, multiple_of, other_node
from .performance import tuning_problems
from .prompt_weights import MOST, too_large

if TYPE_CHECKING:
    from .node import Diffusion


def problems(node: Diffusion[Any]) -> Iterator[Problem]:
    """Why a node cannot use its checkpoint, its adapters, its knobs, its words or its sides."""
    checkpoint = node.checkpoint
    if isinstance(checkpoint, Lora):
        found = f"{checkpoint.source}, an adapter"
        yield Problem("checkpoint", found, "a whole checkpoint", "put it under `loras`")
        return
    known = family_of(checkpoint) if isinstance(checkpoint, Checkpoint) else None
    yield from lora.problems(node.loras, checkpoint, known)
    yield from _word_problems(node, checkpoint if known is not None else None)
    yield from tuning_problems(node.tuning, node.offload, node.loras, checkpoint)
    if isinstance(checkpoint, Checkpoint) and known is not None:
        yield from _checkpoint_problems(node, checkpoint, known)


def _checkpoint_problems(
    node: Diffusion[Any], checkpoint: Checkpoint, family: Family
) -> Iterator[Problem]:
    if family not in node.families:
        yield Problem(
            "checkpoint",
            f"{checkpoint.source}, a {kind_of(checkpoint)} checkpoint",
            f"one for {type(node).__name__} ({', '.join(map(described, node.families))})",
        )
        return
    unet = resolve(checkpoint).config("unet") or {}
    channels = unet.get("in_channels", 4)
    if channels not in node.channels:
        yield Problem(
            "checkpoint",
            f"{checkpoint.source}, whose U-Net takes {channels} channels"
            f" ({CHANNELS.get(channels, 'of an unknown kind')})",
            " or ".join(f"{n} ({CHANNELS[n]})" for n in node.channels),
            other_node(channels),
        )
    yield from _side_problems(node, checkpoint)
    yield from _schedule_problems(node, checkpoint)


def _word_problems(node: Diffusion[Any], checkpoint: object) -> Iterator[Problem]:
    prompts = {"prompt": node.prompt, "negative_prompt": node.negative_prompt}
    yield from textual_inversion.problems(node.embeddings, checkpoint, list(prompts.values()))
    for field, text in prompts.items():
        weight = too_large(text) if isinstance(text, str) else None
        if weight is not None:
            fix = r"write \( and \) for parentheses that give no weight"
            yield Problem(field, f"a weight of {weight:g}", f"-{MOST:g} to {MOST:g}", fix)


def _schedule_problems(node: Diffusion[Any], checkpoint: Checkpoint) -> Iterator[Problem]:
    """LCM and TCD choose their steps among the few that they were distilled for."""
    settings = resolve(checkpoint).config("scheduler") or {}
    name = node.scheduler or settings.get("_class_name")
    most = settings.get("original_inference_steps", 50)
    if name in ("lcm", "tcd", "LCMScheduler", "TCDScheduler") and node.steps > most:
        found = f"{node.steps} steps by {name}"
        yield Problem("steps", found, f"at most {most}", "4 to 8 are enough for it")


def _side_problems(node: Diffusion[Any], checkpoint: Checkpoint) -> Iterator[Problem]:
    multiple = multiple_of(checkpoint)
    for name in ("width", "height"):
        side = getattr(node, name, None)
        if side is not None and side % multiple:
            near = max(multiple, round(side / multiple) * multiple)
            yield Problem(
                name, f"{side} pixels", f"a multiple of {multiple}", f"for example {near}"
            )
