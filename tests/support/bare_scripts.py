"""The scripts that people write with diffusers alone: what every node must equal bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sdgraph import Checkpoint
from sdgraph.models.sources.shipped import shipped_folder

Pixels = npt.NDArray[np.uint8]


Source = str | Path | Checkpoint


def folder(source: Source) -> Path:
    """The folder of a shipped checkpoint; another path as it stands."""
    name = source.source if isinstance(source, Checkpoint) else str(source)
    return shipped_folder(name) if name.startswith("tiny/") else Path(name)


def pipeline(
    cls: str,
    checkpoint: Source,
    *,
    networks: tuple[Source, ...] = (),
    scheduler: tuple[str, dict[str, Any]] | None = None,
    dtype: str = "float32",
) -> Any:
    """A freshly loaded pipeline, its scheduler swapped as diffusers' documentation does it."""
    import diffusers
    import torch

    more: dict[str, Any] = {}
    to = getattr(torch, dtype)
    if networks:
        loaded = [diffusers.ControlNetModel.from_pretrained(folder(n), dtype=to) for n in networks]
        more["controlnet"] = loaded if len(loaded) > 1 else loaded[0]
    pipe = getattr(diffusers, cls).from_pretrained(folder(checkpoint), dtype=to, **more)
    if scheduler is not None:
        name, options = scheduler
        pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, **options)
    # As the engine does with what it loads. For weights that could ask for gradients torch takes
    # other kernels, even where none are asked for, and the last bit may be rounded otherwise.
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def script(
    cls: str,
    checkpoint: Source,
    *,
    seed: int,
    steps: int,
    networks: tuple[Source, ...] = (),
    scheduler: tuple[str, dict[str, Any]] | None = None,
    dtype: str = "float32",
    **call: Any,
) -> Pixels:
    """The picture (or the frames) that the bare script makes, through Pillow."""
    import torch

    pipe = pipeline(cls, checkpoint, networks=networks, scheduler=scheduler, dtype=dtype)
    generator = torch.Generator("cpu").manual_seed(seed)
    output = pipe(num_inference_steps=steps, generator=generator, output_type="pil", **call)
    if hasattr(output, "images"):
        return np.asarray(output.images[0])
    return np.stack([np.asarray(frame) for frame in output.frames[0]])


def same(pixels: Pixels, expected: Pixels) -> bool:
    """Whether two arrays are equal bit for bit; a constant picture would prove nothing."""
    assert expected.min() != expected.max(), "the script made a picture of one colour"
    return pixels.shape == expected.shape and bool((pixels == expected).all())
