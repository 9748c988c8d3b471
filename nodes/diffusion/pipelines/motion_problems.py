"""Checks whether a motion adapter fits the U-Net that it animates, by configs alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sdgraph.errors import Problem
from sdgraph.models import resolve
from sdgraph.nodes.diffusion.families import Config, ModelFamily
from sdgraph.values import MOTION, Checkpoint

_SUBJECT = f"checkpoint.{MOTION}"


def motion_problems(checkpoint: Checkpoint, family: ModelFamily) -> Iterator[Problem]:
    """The problems of a checkpoint's motion adapter; none if it has none, or it is not here.

    Args:
        checkpoint: The checkpoint, whose configs are on this disk.
        family: Its family.
    """
    adapter = checkpoint.parts.get(MOTION)
    if adapter is None:
        return
    if checkpoint.quantization is not None:
        found = f"quantization {checkpoint.quantization} with a motion adapter"
        wanted = "none: the two are joined to one U-Net, which takes plain weights"
        yield Problem("checkpoint", found, wanted, "leave the quantization out")
    unet, motion = family.denoiser_config(checkpoint), resolve(checkpoint).config(MOTION)
    if not unet or motion is None:
        return
    if unet.get("_class_name") == "UNetMotionModel":
        found = f"{adapter.source} for {checkpoint.source}, which has motion modules of its own"
        wanted = "a checkpoint that makes pictures"
        yield Problem(_SUBJECT, found, wanted, "leave `motion` out")
        return
    if motion.get("conv_in_channels"):
        found = f"{adapter.source}, which also reads a picture (PIA)"
        yield Problem(_SUBJECT, found, "a motion adapter that reads latents alone")
    own, wanted_levels = _levels(motion, "motion_layers_per_block"), _levels(unet)
    if own != wanted_levels:
        yield Problem(
            _SUBJECT,
            f"{adapter.source}, for a U-Net of the widths {_in_words(own)}",
            f"{_in_words(wanted_levels)}, as {checkpoint.source} has",
            _advice(own),
        )


def _levels(config: Config, layers_key: str = "layers_per_block") -> tuple[tuple[int, int], ...]:
    """The width of each level of a network, and how many layers it has."""
    widths: Sequence[int] = config.get("block_out_channels") or (320, 640, 1280, 1280)
    layers: Any = config.get(layers_key, 2)
    counts = layers if isinstance(layers, list | tuple) else [layers] * len(widths)
    return tuple(zip(widths, counts, strict=False))


def _in_words(levels: Sequence[tuple[int, int]]) -> str:
    widths = ", ".join(str(width) for width, _ in levels)
    counts = {count for _, count in levels}
    layers = ", ".join(str(count) for _, count in levels) if len(counts) > 1 else f"{max(counts)}"
    return f"{widths} with {layers} layers each" if counts != {2} else widths


def _advice(levels: Sequence[tuple[int, int]]) -> str:
    """What to do about an adapter for U-Nets of other widths."""
    bases = {(320, 640, 1280, 1280): "Stable Diffusion 1.x", (320, 640, 1280): "SDXL"}
    base = bases.get(tuple(width for width, _ in levels))
    fix = "take a motion adapter that was made for the same base"
    return f"it is for {base}: {fix}" if base else fix
