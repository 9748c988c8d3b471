"""The scores of what makes pictures from words, and of the autoencoder under all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from sdgraph import Checkpoint, Graph, Node, Session
from sdgraph.models import fetch_checkpoint
from sdgraph.nodes.tiny_world import Pixels, Scene, Verdict, describe_scene, render_scene
from sdgraph.values import Image
from tests.benchmarks.timing import measure_pair

from .generation import CheckpointRunner
from .metrics import decibels, judge_against
from .nodes import text_to_image_node, turbo_node
from .scenes import SIDE, still_scenes
from .table import Row

PARTS = ("shape", "colour", "place", "background")


def vae(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """How well a picture survives encoding to latents and decoding."""
    through = _autoencoder(runner.checkpoint("text-to-image"))
    pictures = (render_scene(scene, SIDE) for scene in still_scenes(count))
    errors = [decibels(through(picture), picture) for picture in pictures]
    row = partial(runner.row, checkpoint="text-to-image", settings="to latents and back")
    yield row("vae", "PSNR, dB", errors, "≥ 30")


def text_to_image(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """Pictures from captions."""
    return _from_captions(runner, "text-to-image", count)


def sdxl(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """Pictures from captions through two text encoders."""
    return _from_captions(runner, "sdxl", count)


def turbo(runner: CheckpointRunner, count: int) -> Iterator[Row]:
    """Pictures made in one step, compared with the teacher's, and the time that both take."""
    scenes, options = still_scenes(count), runner.options
    fast = partial(turbo_node, runner)
    slow = partial(text_to_image_node, runner, name="sdxl", steps=options.teacher_steps)
    passed = [verdict.all for verdict in verdicts(runner, scenes, fast)]
    teachers = [verdict.all for verdict in verdicts(runner, scenes, slow)]
    settings = runner.settings("turbo", 1, 0)
    teacher_settings = runner.settings("sdxl", options.teacher_steps)
    yield runner.row("turbo", "all right", passed, settings=settings)
    yield runner.row(
        "turbo", "teacher, all right", teachers, settings=teacher_settings, checkpoint="sdxl"
    )
    both = f"{settings}; teacher: {teacher_settings}"
    if any(teachers):
        ratio = sum(passed) / sum(teachers)
        yield runner.row(
            "turbo", "all right, over the teacher's", [ratio], "≥ 0.95", settings=both, count=count
        )
    times = _time_ratio(
        runner, slow(describe_scene(scenes[0]), 0), fast(describe_scene(scenes[0]), 0)
    )
    yield runner.row(
        "turbo",
        "CPU time of the teacher's node over its own",
        [times],
        "≥ 20",
        settings=both,
        count=options.rounds,
    )


def verdicts(
    runner: CheckpointRunner, scenes: Sequence[Scene], node: Callable[[str, int], Node[Image]]
) -> list[Verdict]:
    """The verdict on a picture for each scene, made by the node for its caption and a seed."""
    pictures = (runner.run(node(describe_scene(scene), seed)) for seed, scene in enumerate(scenes))
    return [
        judge_against(picture.numpy, scene) for picture, scene in zip(pictures, scenes, strict=True)
    ]


def _from_captions(runner: CheckpointRunner, name: str, count: int) -> Iterator[Row]:
    scenes = still_scenes(count)
    results = verdicts(runner, scenes, partial(text_to_image_node, runner, name=name))
    row = partial(runner.row, name, settings=runner.settings(name))
    for part in PARTS:
        yield row(f"{part} right", [getattr(result, part) for result in results])
    yield row("all right", [result.all for result in results], "≥ 0.98")
    for objects, words in ((1, "one object"), (2, "two objects")):
        pairs = zip(scenes, results, strict=True)
        if right := [verdict.all for scene, verdict in pairs if len(scene.objects) == objects]:
            yield row(f"all right, {words}", right)


def _autoencoder(checkpoint: Checkpoint) -> Callable[[Pixels], npt.NDArray[np.float32]]:
    """A function that encodes and decodes a picture: floats of 0..255, not rounded."""
    import torch
    from diffusers import AutoencoderKL

    model = AutoencoderKL.from_pretrained(
        fetch_checkpoint(checkpoint) / "vae", dtype=torch.float32, local_files_only=True
    )

    def through(picture: Pixels) -> npt.NDArray[np.float32]:
        pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            back = model.decode(model.encode(pixels).latent_dist.mode()).sample[0]
        return np.asarray((back.clamp(-1, 1).permute(1, 2, 0).numpy() + 1) * 127.5)

    return through


def _time_ratio(runner: CheckpointRunner, slow: Node[Image], fast: Node[Image]) -> float:
    """The time of one node's warm run over another's: medians, run in turn in one process."""
    long, short = (partial(_again, runner.session, Graph.of(node)) for node in (slow, fast))
    long()
    short()
    slow_seconds, fast_seconds, _ = measure_pair(long, short, runner.options.rounds)
    return slow_seconds / fast_seconds


def _again(session: Session, graph: Graph) -> None:
    session.run(graph)
