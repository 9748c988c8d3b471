"""Scores of trained checkpoints by the judge, on held-out scenes only.

`python -m sdgraph.nodes.training.score CHECKPOINT [COUNT]` prints the table of a text-to-image one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sdgraph.errors import SdgraphError

FIRST = 6_000_000
"""The seed of the first scene that is scored; samples along the way are of others."""

PARTS = ("shape", "colour", "place", "background", "all")


@dataclass(frozen=True)
class Score:
    """A share of pictures that are right, in 0..1, or a mean (of dB, of a correlation)."""

    name: str
    value: float
    count: int

    def __str__(self) -> str:
        return f"| {self.name} | {self.value:.4g} | {self.count} |"


def vae_score(vae: Any, side: int, count: int = 500) -> Score:
    """The mean peak signal-to-noise ratio of held-out scenes sent to latents and back, in dB."""
    import numpy as np
    import torch

    from sdgraph.nodes.world import render, scene

    from .latents import to_tensor

    ratios = []
    for start in range(0, count, 50):
        scenes = [scene(FIRST + start + n, held_out=True) for n in range(min(50, count - start))]
        pictures = to_tensor(np.stack([render(each, side) for each in scenes]))
        with torch.no_grad():
            made = vae.decode(vae.encode(pictures).latent_dist.mode()).sample.clamp(-1, 1)
        error = ((made - pictures) ** 2).mean(dim=(1, 2, 3)) / 4
        ratios += (-10 * torch.log10(error)).tolist()
    return Score("VAE, dB", float(np.mean(ratios)), count)


def text_to_image_scores(
    parts: Any, side: int, count: int = 500, *, steps: int = 20, guidance: float = 3.0
) -> list[Score]:
    """The shares of pictures made from held-out captions that are right, by what is asked."""
    from sdgraph.nodes.world import caption, judge, parse, scene

    from .samples import generated

    right = dict.fromkeys(PARTS, 0)
    for start in range(0, count, 50):
        scenes = [scene(FIRST + start + n, held_out=True) for n in range(min(50, count - start))]
        captions = [caption(each) for each in scenes]
        pictures = generated(
            parts, captions, side, steps=steps, guidance=guidance, seed=FIRST + start
        )
        for text, picture in zip(captions, pictures, strict=True):
            verdict = judge(picture, parse(text))
            for part in PARTS:
                right[part] += bool(getattr(verdict, part))
    return [Score(f"text-to-image: {part}", right[part] / count, count) for part in PARTS]


def scores(source: str, count: int) -> Iterator[Score]:
    """Every score of a text-to-image checkpoint."""
    import torch
    from diffusers import DiffusionPipeline

    from sdgraph.checkpoints import weights
    from sdgraph.loading import quiet
    from sdgraph.values import Checkpoint

    with quiet():
        pipe = DiffusionPipeline.from_pretrained(
            weights(Checkpoint(source)), dtype=torch.float32, local_files_only=True
        )
    side = pipe.vae.config.sample_size
    yield vae_score(pipe.vae, side, count)
    yield from text_to_image_scores(pipe.components, side, count)


def main(arguments: list[str]) -> None:
    """Prints the table."""
    if not arguments:
        raise SystemExit("usage: python -m sdgraph.nodes.training.score CHECKPOINT [COUNT]")
    print("| what | score | of |\n|---|---|---|")  # noqa: T201  this is a command
    try:
        for score in scores(arguments[0], int(arguments[1]) if arguments[1:] else 500):
            print(score)  # noqa: T201
    except SdgraphError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main(sys.argv[1:])
