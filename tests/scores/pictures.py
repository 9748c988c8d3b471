"""The scores of what makes pictures from words, and of the autoencoder under all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from sdgraph import Checkpoint, Graph, Node, Session
from sdgraph.models import weights
from sdgraph.nodes import Text2Image, Turbo
from sdgraph.nodes.tiny_world import Scene, Verdict, caption, render
from sdgraph.nodes.tiny_world.reading import Pixels
from sdgraph.values import Image
from tests.benchmarks.timing import paired

from .asked import SIDE, still
from .measure import decibels, verdict
from .studio import Studio
from .table import Row

PARTS = ("shape", "colour", "place", "background")


def vae(studio: Studio, count: int) -> Iterator[Row]:
    """How much of a picture is left after its way to latents and back."""
    through = _autoencoder(studio.checkpoint("text-to-image"))
    pictures = (render(each, SIDE) for each in still(count))
    found = [decibels(through(picture), picture) for picture in pictures]
    row = partial(studio.row, checkpoint="text-to-image", settings="to latents and back")
    yield row("vae", "PSNR, dB", found, "≥ 30")


def text_to_image(studio: Studio, count: int) -> Iterator[Row]:
    """Pictures from captions."""
    return _from_captions(studio, "text-to-image", count)


def sdxl(studio: Studio, count: int) -> Iterator[Row]:
    """Pictures from captions through two text encoders."""
    return _from_captions(studio, "sdxl", count)


def turbo(studio: Studio, count: int) -> Iterator[Row]:
    """Pictures in one step, beside those of the teacher, and the time that both take."""
    scenes, effort = still(count), studio.effort
    fast = partial(_turbo_node, studio)
    slow = partial(_drawing_node, studio, "sdxl", effort.teacher_steps)
    own = [each.all for each in drawn(studio, scenes, fast)]
    teachers = [each.all for each in drawn(studio, scenes, slow)]
    settings = studio.settings("turbo", 1, 0)
    beside = studio.settings("sdxl", effort.teacher_steps)
    yield studio.row("turbo", "all right", own, settings=settings)
    yield studio.row("turbo", "teacher, all right", teachers, settings=beside, checkpoint="sdxl")
    both = f"{settings}; teacher: {beside}"
    if any(teachers):
        ratio = sum(own) / sum(teachers)
        yield studio.row(
            "turbo", "all right, over the teacher's", [ratio], "≥ 0.95", settings=both, count=count
        )
    times = _time_ratio(studio, slow(caption(scenes[0]), 0), fast(caption(scenes[0]), 0))
    yield studio.row(
        "turbo",
        "CPU time of the teacher's node over its own",
        [times],
        "≥ 20",
        settings=both,
        count=effort.rounds,
    )


def drawn(
    studio: Studio, scenes: Sequence[Scene], node: Callable[[str, int], Node[Image]]
) -> list[Verdict]:
    """What is right of a picture for each scene's caption, made by the node of it and a seed."""
    made = (studio.made(node(caption(each), seed)) for seed, each in enumerate(scenes))
    return [verdict(picture.numpy, each) for picture, each in zip(made, scenes, strict=True)]


def _from_captions(studio: Studio, name: str, count: int) -> Iterator[Row]:
    scenes = still(count)
    verdicts = drawn(studio, scenes, partial(_drawing_node, studio, name, studio.effort.steps))
    row = partial(studio.row, name, settings=studio.settings(name))
    for part in PARTS:
        yield row(f"{part} right", [getattr(each, part) for each in verdicts])
    yield row("all right", [each.all for each in verdicts], "≥ 0.98")
    for objects, told in ((1, "one object"), (2, "two objects")):
        pairs = zip(scenes, verdicts, strict=True)
        if some := [found.all for each, found in pairs if len(each.things) == objects]:
            yield row(f"all right, {told}", some)


def _autoencoder(checkpoint: Checkpoint) -> Callable[[Pixels], npt.NDArray[np.float32]]:
    """What sends a picture to a checkpoint's latents and back: floats of 0..255, not rounded."""
    import torch
    from diffusers import AutoencoderKL

    model = AutoencoderKL.from_pretrained(
        weights(checkpoint) / "vae", dtype=torch.float32, local_files_only=True
    )

    def through(picture: Pixels) -> npt.NDArray[np.float32]:
        given = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.no_grad():
            back = model.decode(model.encode(given).latent_dist.mode()).sample[0]
        return np.asarray((back.clamp(-1, 1).permute(1, 2, 0).numpy() + 1) * 127.5)

    return through


def _drawing_node(studio: Studio, name: str, steps: int, prompt: str, seed: int) -> Node[Image]:
    guidance, checkpoint = studio.effort.guidance, studio.checkpoint(name)
    return Text2Image(
        prompt=prompt, steps=steps, guidance=guidance, seed=seed, checkpoint=checkpoint
    )


def _turbo_node(studio: Studio, prompt: str, seed: int) -> Node[Image]:
    return Turbo(prompt=prompt, steps=1, seed=seed, checkpoint=studio.checkpoint("turbo"))


def _time_ratio(studio: Studio, slow: Node[Image], fast: Node[Image]) -> float:
    """The time of one node's warm run over another's: medians, run in turn in one process."""
    long, short = (partial(_again, studio.session, Graph.of(node)) for node in (slow, fast))
    long()
    short()
    slow_seconds, fast_seconds, _ = paired(long, short, studio.effort.rounds)
    return slow_seconds / fast_seconds


def _again(session: Session, graph: Graph) -> None:
    session.run(graph)
