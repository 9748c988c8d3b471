"""A sweep of 200 variants of a workflow with six nodes, compared with a diffusers loop."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from sdgraph import Session, events, run_many
from sdgraph.graph import name_without_variant
from sdgraph.language import Workflow, workflow_from_yaml
from sdgraph.language import shipped_workflows as workflows
from sdgraph.models.sources.shipped import shipped_folder

from .timing import Row, measure_pair

VARIANTS = 200
ROUNDS = 7
BOX = (35, 20, 59, 44)
STAR = "a yellow star on the left on a brown background"
PAIR = "a yellow star on the left and a blue ring on the right on a brown background"

FLOW = f"""\
inputs:
  photo: {{type: Path}}
  seed: 0
nodes:
  photo: {{type: LoadImage, path: $inputs.photo}}
  edges: {{type: Canny, image: $photo}}
  window: {{type: Mask, image: $photo, box: {list(BOX)}}}
  star: {{type: ControlNet, control: $edges, prompt: {STAR}, steps: 2, guidance: 3.0, seed: $inputs.seed, checkpoint: tiny/text-to-image, controlnet: tiny/controlnet-edges}}
  pair: {{type: Inpaint, image: $star, mask: $window, prompt: {PAIR}, steps: 2, guidance: 3.0, seed: $inputs.seed, checkpoint: tiny/inpaint}}
  scene: {{type: Save, image: $pair, path: "ours/{{seed:04d}}.png"}}
"""  # noqa: E501  a workflow has a line for each node

PHOTO = workflows()["inpaint"].parent / "samples" / "red_star.png"


def run_sweep(
    session: Session, workflow: Workflow, count: int, listener: events.Listener | None = None
) -> Callable[[], object]:
    """The whole sweep as a user runs it: binding, checks, plan and run."""
    return lambda: run_many(
        workflow,
        session=session,
        on_event=listener,
        overwrite=True,
        photo=PHOTO,
        seed=range(count),
    )


def bare(folder: Path, count: int) -> Callable[[], object]:
    """The loop over seeds that a script with the loaded pipelines would have."""
    import cv2
    import diffusers
    import torch

    dtype = torch.float32
    control = diffusers.ControlNetModel.from_pretrained(
        shipped_folder("tiny/controlnet-edges"), dtype=dtype
    )
    star = diffusers.StableDiffusionControlNetPipeline.from_pretrained(
        shipped_folder("tiny/text-to-image"), controlnet=control, dtype=dtype
    )
    pair = diffusers.StableDiffusionInpaintPipeline.from_pretrained(
        shipped_folder("tiny/inpaint"), dtype=dtype
    )
    for pipeline in (star, pair):
        pipeline.set_progress_bar_config(disable=True)
    common = {"num_inference_steps": 2, "guidance_scale": 3.0}

    def generate(pipeline: Any, seed: int, **call: Any) -> PIL.Image.Image:
        # A script that wants the same picture each time makes a new scheduler, as the node does.
        pipeline.scheduler = type(pipeline.scheduler).from_config(pipeline.scheduler.config)
        generator = torch.Generator("cpu").manual_seed(seed)
        output: PIL.Image.Image = pipeline(generator=generator, **common, **call).images[0]
        return output

    def loop() -> None:
        photo = PIL.Image.open(PHOTO).convert("RGB")
        lines = cv2.Canny(np.asarray(photo), 100, 200)
        edges = PIL.Image.fromarray(np.repeat(lines[..., None], 3, axis=2))
        area = np.zeros(lines.shape, dtype=np.uint8)
        area[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
        mask = PIL.Image.fromarray(area)
        width, height = photo.size
        for seed in range(count):
            first = generate(star, seed, prompt=STAR, image=edges)
            second = generate(
                pair,
                seed,
                prompt=PAIR,
                image=first,
                mask_image=mask,
                width=width,
                height=height,
                strength=1.0,
            )
            second.save(folder / f"{seed:04d}.png")

    return loop


def rows() -> Iterator[Row]:
    """How often each node ran, and the CPU time of a variant compared with the loop's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workflow = workflow_from_yaml(FLOW, folder=folder)
        session = Session(device="cpu", store=None)
        (theirs := folder / "theirs").mkdir()
        started: Counter[str] = Counter()

        def count(event: events.Event) -> None:
            if isinstance(event, events.NodeStarted):
                started[name_without_variant(event.node)] += 1

        run_sweep(session, workflow, VARIANTS, count)()
        shared = {name: times for name, times in started.items() if times != VARIANTS}
        yield Row(
            f"{VARIANTS} variants of 6 nodes: runs of the shared nodes",
            ", ".join(f"{name} {times}" for name, times in shared.items()),
            f"{3 * VARIANTS} one workflow after another",
            f"{started.total()} runs in all",
            "each once",
        )
        bare(theirs, 2)()
        loop = bare(theirs, VARIANTS)
        ours, its, ratio = measure_pair(run_sweep(session, workflow, VARIANTS), loop, ROUNDS)
        equal = sum(_same(folder / "ours" / file.name, file) for file in theirs.iterdir())
        yield Row(
            f"{VARIANTS} variants of 6 nodes, files written: a variant",
            f"{ours / VARIANTS * 1e3:.1f} ms CPU",
            f"diffusers loop {its / VARIANTS * 1e3:.1f} ms",
            f"{ratio:.3f}, {equal} of {VARIANTS} equal",
            "≤ 1, equal",
        )


def _same(one: Path, other: Path) -> bool:
    """Whether two pictures agree in the box; outside it the node keeps what it was given."""
    left, top, right, bottom = BOX
    first, second = (np.asarray(PIL.Image.open(path).convert("RGB")) for path in (one, other))
    return np.array_equal(first[top:bottom, left:right], second[top:bottom, left:right])
