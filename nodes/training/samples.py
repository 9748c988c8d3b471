"""Sheets of samples: pictures of held-out scenes' captions, made on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdgraph.nodes.diffusion.families import SDXL, STABLE_DIFFUSION

COUNT = 16


def held_out_captions(count: int = COUNT) -> list[str]:
    """Captions of scenes that no training set has."""
    from sdgraph.nodes.tiny_world import caption, scene

    return [caption(scene(5_000_000 + number, held_out=True)) for number in range(count)]


def sheet(parts: Mapping[str, Any], side: int, *, guidance: float = 3.0, steps: int = 20) -> Any:
    """Sixteen pictures in two rows, from the modules as they are."""
    pictures = generate_samples(parts, held_out_captions(), side, guidance=guidance, steps=steps)
    return rows(pictures, 8)


def generate_samples(
    parts: Mapping[str, Any],
    captions: Sequence[str],
    side: int,
    *,
    guidance: float = 3.0,
    steps: int = 20,
    seed: int = 0,
) -> Any:
    """A picture for each caption: uint8, count × side × side × 3."""
    import torch

    pipe = _pipeline(parts)
    pipe.set_progress_bar_config(disable=True)
    random = torch.Generator("cpu").manual_seed(seed)
    made = pipe(
        list(captions),
        height=side,
        width=side,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=random,
        output_type="np",
    )
    return (made.images * 255).round().astype("uint8")


def _pipeline(parts: Mapping[str, Any]) -> Any:
    """The text-to-image pipeline of the family that has these components."""
    import diffusers

    is_sdxl = SDXL.text_encoders[-1].name in parts
    family = SDXL if is_sdxl else STABLE_DIFFUSION
    settings: dict[str, Any] = {"add_watermarker": False}
    if not is_sdxl:
        settings = {"safety_checker": None, "feature_extractor": None}
        settings["requires_safety_checker"] = False
    scheduler = type(parts["scheduler"]).from_config(parts["scheduler"].config)
    components = {name: parts[name] for name in family.components}
    cls = getattr(diffusers, family.pipelines["text-to-image"])
    return cls(**components, scheduler=scheduler, **settings)


def rows(pictures: Any, across: int) -> Any:
    """Pictures laid in rows, as one Pillow picture."""
    import numpy as np
    from PIL import Image

    lines = [
        np.concatenate(list(pictures[n : n + across]), axis=1)
        for n in range(0, len(pictures), across)
    ]
    return Image.fromarray(np.concatenate(lines, axis=0))
