"""Many seeds of one prompt, compared with a diffusers loop that generates ten at a time.

The small checkpoint that ships is one row; a U-Net of the width of Stable Diffusion 1.5 with random
weights, which computes latents of 16 × 16 for one step, is another.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from sdgraph import Session, run_many
from sdgraph.language import Workflow, workflow_from_yaml
from sdgraph.models.sources.shipped import shipped_folder

from .timing import Row, cpu_seconds, measure_pair

PICTURES, AT_ONCE, ROUNDS = 24, 10, 5
STAR = "a yellow star on a navy background"
_SMALL = "tiny/text-to-image"

FLOW = """\
inputs:
  seed: 0
nodes:
  picture: {{type: Text2Image, prompt: {prompt}, steps: {steps}, guidance: 3.0, seed: $inputs.seed, checkpoint: {checkpoint}, width: {side}, height: {side}}}
  result: {{type: Save, image: $picture, path: "ours/{{seed:04d}}.png"}}
"""  # noqa: E501  a workflow has a line for each node


def run_seeds(session: Session, workflow: Workflow, count: int) -> Callable[[], object]:
    """The sweep over seeds as a user runs it: binding, checks, plan and run."""
    return lambda: run_many(workflow, session=session, overwrite=True, seed=range(count))


def bare(
    pipeline: Any, folder: Path, count: int, at_once: int, steps: int, side: int
) -> Callable[[], object]:
    """The loop that a script with a loaded pipeline would have, several seeds at a time."""
    import torch

    def generate(seeds: Sequence[int]) -> list[PIL.Image.Image]:
        # A script that wants the same pictures each time makes a new scheduler, as the node does.
        pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
        pictures: list[PIL.Image.Image] = pipeline(
            [STAR] * len(seeds),
            num_inference_steps=steps,
            guidance_scale=3.0,
            width=side,
            height=side,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds],
        ).images
        return pictures

    def loop() -> None:
        for start in range(0, count, at_once):
            seeds = range(start, min(start + at_once, count))
            for seed, picture in zip(seeds, generate(seeds), strict=True):
                picture.save(folder / f"{seed:04d}.png")

    return loop


def load(checkpoint: Path) -> Any:
    """A diffusers pipeline without a progress bar."""
    import diffusers
    import torch

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(checkpoint, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_wide(folder: Path) -> Path:
    """A checkpoint whose U-Net has the width of Stable Diffusion 1.5 and random weights."""
    import diffusers
    import torch

    pipeline = load(shipped_folder(_SMALL))
    torch.manual_seed(0)
    width = pipeline.text_encoder.config.hidden_size
    pipeline.unet = diffusers.UNet2DConditionModel(sample_size=16, cross_attention_dim=width)
    pipeline.save_pretrained(folder)
    return folder


def rows() -> Iterator[Row]:
    """The CPU time of a picture compared with the loop's, and how many pictures are equal."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small = shipped_folder(_SMALL)
        yield _row("the small checkpoint", folder / "a", _SMALL, small, PICTURES, 20, 64, ROUNDS)
        wide = save_wide(folder / "wide")
        yield _row("a U-Net of real width", folder / "b", wide, wide, PICTURES, 1, 64, 1)


def _row(
    label: str,
    folder: Path,
    checkpoint: object,
    files: Path,
    count: int,
    steps: int,
    side: int,
    rounds: int,
) -> Row:
    for name in ("theirs", "alone"):
        (folder / name).mkdir(parents=True)
    text = FLOW.format(prompt=STAR, steps=steps, side=side, checkpoint=checkpoint)
    workflow = workflow_from_yaml(text, folder=folder)
    session = Session(device="cpu", store=None)
    pipeline = load(files)
    loop = bare(pipeline, folder / "theirs", count, AT_ONCE, steps, side)
    one_by_one = cpu_seconds(bare(pipeline, folder / "alone", count, 1, steps, side))
    first = cpu_seconds(run_seeds(session, workflow, count))
    ours, its, ratio = measure_pair(run_seeds(session, workflow, count), loop, rounds)
    equal = sum(_same(path, folder / "alone" / path.name) for path in (folder / "ours").iterdir())
    return Row(
        f"{count} seeds, {steps} steps, {label}: a picture",
        f"{ours / count * 1e3:.1f} ms CPU ({first / count * 1e3:.1f} with loading)",
        f"diffusers loop by {AT_ONCE} {its / count * 1e3:.1f} ms, "
        f"one by one {one_by_one / count * 1e3:.1f} ms",
        f"{ratio:.3f}, {equal} of {count} equal to one by one",
        "≤ 1.05, equal",
    )


def _same(one: Path, other: Path) -> bool:
    first, second = (np.asarray(PIL.Image.open(path).convert("RGB")) for path in (one, other))
    return np.array_equal(first, second)
