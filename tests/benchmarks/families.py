"""A warm run of each family with random weights, compared with the diffusers script."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from sdgraph import Checkpoint, Graph, Session
from sdgraph.errors import CheckpointError
from sdgraph.models import quiet_libraries
from sdgraph.nodes import Text2Image, Text2Video
from sdgraph.nodes.diffusion.families import family_of
from sdgraph.nodes.diffusion.node import Diffusion
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import (
    PIPELINES,
    animated_pipelines,
    make_checkpoint,
)

from .timing import Row, cpu_seconds, measure_pair

ROUNDS = 7
_LEAST_SECONDS = 0.5
"""The CPU seconds that a bare script takes at least."""
_FEWEST_STEPS, _MOST_STEPS = 2, 48
_LARGEST_SIDE = 512
_FRAMES = 9
_SEED = 7


def text_node(folder: Path, side: int, steps: int) -> Diffusion[Any] | None:
    """The node that makes something from a prompt alone; None if it needs more, or a package."""
    checkpoint = Checkpoint(folder)
    try:
        family = family_of(checkpoint)
    except CheckpointError:  # a ControlNet, or a model that another checkpoint is used with
        return None
    assert family is not None, "a checkpoint that was just made is here"
    tasks = [
        task
        for task in family.tasks_of(checkpoint)
        if all(find_spec(package) for package in family.packages.get(task, ()))
    ]
    fields: dict[str, Any] = {
        "prompt": "a red star",
        "checkpoint": checkpoint,
        "width": side,
        "height": side,
        "steps": steps,
        "seed": _SEED,
    }
    if "text-to-image" in tasks:
        return Text2Image(**fields)
    return Text2Video(**fields, frames=_FRAMES) if "text-to-video" in tasks else None


def bare_script(pipe: Any, node: Diffusion[Any]) -> Callable[[], Any]:
    """The call of a loaded pipeline that should make the same pixels as a node."""
    import torch

    call: dict[str, Any] = {"width": node.width, "height": node.height}  # type: ignore[attr-defined]
    accepted = inspect.signature(pipe.__call__).parameters
    if "use_resolution_binning" in accepted:
        call["use_resolution_binning"] = False
    if isinstance(node, Text2Video):
        call["num_frames"] = _FRAMES
    if node.is_guided and "negative_prompt" in accepted:
        encoding = node.family.prompt_encoding
        call["negative_prompt"] = "" if encoding.per_prompt else encoding.empty_negative

    def script() -> Any:
        # A script that wants the same picture each time makes a new scheduler, as the node does.
        pipe.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
        output = pipe(
            prompt=node.prompt,
            num_inference_steps=node.steps,
            generator=torch.Generator("cpu").manual_seed(_SEED),
            output_type="np",
            **node.guidance_arguments(),
            **call,
        )
        return to_pixels(output.frames[0] if hasattr(output, "frames") else output.images[0])

    return script


def long_enough(pipe: Any, folder: Path, most: int) -> Diffusion[Any]:
    """The smallest picture and the fewest steps of which a bare script takes half a second."""
    side, steps = 64, _FEWEST_STEPS
    while True:
        node = text_node(folder, side, steps)
        assert node is not None, "that there is a node does not depend on its size"
        script = bare_script(pipe, node)
        script()  # what is done once, such as tables of positions, is no part of a warm run
        seconds = cpu_seconds(script)
        if seconds >= _LEAST_SECONDS or (side == _LARGEST_SIDE and steps == most):
            return node
        if steps == most:
            side, steps = side * 2, _FEWEST_STEPS
        else:
            steps = min(most, max(steps + 1, ceil(steps * _LEAST_SECONDS * 1.1 / seconds)))


def row(name: str, folder: Path, rounds: int) -> Row | None:
    """CPU milliseconds of both, their ratio, and whether the pixels agree; None without a node."""
    import diffusers
    import torch

    with quiet_libraries():
        make_checkpoint(name, folder)
        if text_node(folder, 64, _FEWEST_STEPS) is None:
            return None
        adapter = {"motion_adapter": None} if name in animated_pipelines.PIPELINES else {}
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32, **adapter)
        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                part.requires_grad_(False)
        pipe.set_progress_bar_config(disable=True)
        most = _FEWEST_STEPS if name == "sana-sprint" else _MOST_STEPS
        node = long_enough(pipe, folder, most)
        script = bare_script(pipe, node)
        run = partial(Session(store=None, device="cpu").run, Graph.of(node))
        (value,) = run().values()
        equal = np.array_equal(value.frames if hasattr(value, "frames") else value.numpy, script())
        ours, theirs, ratio = measure_pair(run, script, rounds)
    size = f"{node.steps} steps, {node.width}×{node.height}"  # type: ignore[attr-defined]
    return Row(
        f"warm run: random/{name}, {size}",
        f"{ours * 1e3:.0f} ms CPU",
        f"diffusers script {theirs * 1e3:.0f} ms",
        f"{ratio:.3f}, pixels {'equal' if equal else 'DIFFER'}",
        "≤ 1.05, equal",
    )


def rows(rounds: int = ROUNDS, names: Iterable[str] = PIPELINES) -> Iterator[Row]:
    """A row for each checkpoint with random weights that makes something from words."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if (made := row(name, Path(folder) / name, rounds)) is not None:
                yield made
