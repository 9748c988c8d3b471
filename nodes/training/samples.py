"""Sheets of sample pictures, made during training from the captions of held-out scenes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .pipeline_parts import PipelineParts, make_pipeline

SAMPLE_COUNT = 16

SAMPLE_STEPS = 20
"""Denoising steps of each sample."""


def held_out_captions(count: int = SAMPLE_COUNT) -> list[str]:
    """Captions of scenes that no training set has."""
    from sdgraph.nodes.tiny_world import describe_scene, random_scene

    return [
        describe_scene(random_scene(5_000_000 + number, held_out=True)) for number in range(count)
    ]


def make_sheet(parts: PipelineParts, side: int, *, guidance: float = 3.0, steps: int = 0) -> Any:
    """Sixteen pictures in two rows, from the modules as they are; 0 steps are `SAMPLE_STEPS`."""
    captions = held_out_captions()
    pictures = generate_samples(parts, captions, side, guidance=guidance, steps=steps)
    return arrange_in_rows(pictures, 8)


def generate_samples(
    parts: PipelineParts,
    captions: Sequence[str],
    side: int,
    *,
    guidance: float = 3.0,
    steps: int = 0,
    seed: int = 0,
) -> Any:
    """A picture for each caption: uint8, count × side × side × 3; 0 steps are `SAMPLE_STEPS`."""
    import torch

    output = make_pipeline(parts, "text-to-image")(
        list(captions),
        height=side,
        width=side,
        num_inference_steps=steps or SAMPLE_STEPS,
        guidance_scale=guidance,
        generator=torch.Generator("cpu").manual_seed(seed),
        output_type="np",
    )
    return to_uint8(output.images)


def to_uint8(pictures: Any) -> Any:
    """Floats 0..1 as uint8, rounded."""
    return (pictures * 255).round().astype("uint8")


def arrange_in_rows(pictures: Any, across: int) -> Any:
    """Pictures side by side in rows, as one Pillow picture.

    Args:
        pictures: uint8, count × side × side × 3.
        across: How many a row has.
    """
    import numpy as np
    from PIL import Image

    lines = [
        np.concatenate(list(pictures[start : start + across]), axis=1)
        for start in range(0, len(pictures), across)
    ]
    return Image.fromarray(np.concatenate(lines, axis=0))
