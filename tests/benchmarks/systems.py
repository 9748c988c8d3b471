"""A warm run of each system, compared with the diffusers script with the same components."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from sdgraph import Graph, Node, Session
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import ControlNet, DepthToImage, Inpaint, Text2Image, Text2Video, Turbo
from sdgraph.values import EdgeMap, Image, Mask

from .timing import Row, measure_pair

SIDE = 256
STEPS = 5
ROUNDS = 15
SHORT_ROUNDS = 41


@dataclass(frozen=True)
class Pair:
    """A node, and the call of a diffusers pipeline that should do the same."""

    name: str
    node: Node[Any]
    pipeline: str
    checkpoint: str
    call: dict[str, Any]
    more: dict[str, str]
    inside: Any = None
    """Where the two must agree (outside, the node keeps the input on purpose)."""


def pictures() -> tuple[Image, Mask, EdgeMap]:
    """A photo of scikit-image's, a mask in its middle, and its edges."""
    import cv2
    import PIL.Image
    import skimage.data

    photo = PIL.Image.fromarray(skimage.data.astronaut()).resize((SIDE, SIDE))
    pixels = np.asarray(photo)
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4] = 255
    edges = np.repeat(cv2.Canny(pixels, 100, 200)[..., None], 3, axis=2)
    return Image(pixels), Mask(mask), EdgeMap(edges)


def pairs() -> list[Pair]:
    """Every system with its diffusers script."""
    image, mask, edges = pictures()
    words = {"prompt": "a red star", "negative_prompt": "blurry"}
    common = {"num_inference_steps": STEPS, "guidance_scale": 7.5, **words}
    fields: dict[str, Any] = {**words, "steps": STEPS, "seed": 7}
    painted = {"image": image.pil, "mask_image": mask.pil, "width": SIDE, "height": SIDE}
    turbo: dict[str, Any] = {
        "prompt": "a red star",
        "num_inference_steps": 1,
        "guidance_scale": 0.0,
    }
    turbo |= {"width": 2 * SIDE, "height": 2 * SIDE}
    video = {**common, "num_frames": 8, "guidance_scale": 9.0}
    return [
        Pair(
            "text to image",
            Text2Image(**fields, width=SIDE, height=SIDE),
            "StableDiffusionPipeline",
            "tiny/text-to-image",
            {**common, "width": SIDE, "height": SIDE},
            {},
        ),
        Pair(
            "inpainting",
            Inpaint(image=image, mask=mask, **fields),
            "StableDiffusionInpaintPipeline",
            "tiny/inpaint",
            {**common, **painted, "strength": 1.0},
            {},
            inside=mask.numpy == 255,
        ),
        Pair(
            "ControlNet",
            ControlNet(control=edges, scale=0.5, **fields),
            "StableDiffusionControlNetPipeline",
            "tiny/text-to-image",
            {**common, "image": edges.pil, "controlnet_conditioning_scale": 0.5},
            {"controlnet": "tiny/controlnet-edges"},
        ),
        Pair(
            "Turbo",
            Turbo(prompt="a red star", seed=7, width=2 * SIDE, height=2 * SIDE),
            "StableDiffusionXLPipeline",
            "tiny/turbo",
            turbo,
            {},
        ),
        Pair(
            "depth to image",
            DepthToImage(image=image, strength=0.7, **fields),
            "StableDiffusionDepth2ImgPipeline",
            "tiny/depth",
            {**common, "image": image.pil, "strength": 0.7},
            {},
        ),
        Pair(
            "text to video",
            Text2Video(**fields, frames=8),
            "TextToVideoSDPipeline",
            "tiny/text-to-video",
            video,
            {},
        ),
    ]


def bare(pair: Pair) -> Callable[[], Any]:
    """The bare script's warm part: its pipeline is loaded already."""
    import diffusers
    import torch

    folder, dtype = shipped_folder(pair.checkpoint), torch.float32
    more = {
        name: diffusers.ControlNetModel.from_pretrained(shipped_folder(source), dtype=dtype)
        for name, source in pair.more.items()
    }
    loaded = getattr(diffusers, pair.pipeline).from_pretrained(folder, dtype=dtype, **more)
    loaded.set_progress_bar_config(disable=True)

    def script() -> Any:
        # A script that wants the same picture each time makes a new scheduler, as the node does.
        loaded.scheduler = type(loaded.scheduler).from_config(loaded.scheduler.config)
        output = loaded(
            generator=torch.Generator("cpu").manual_seed(7), output_type="np", **pair.call
        )
        array = output.frames[0] if hasattr(output, "frames") else output.images[0]
        return (array * 255).round().astype("uint8")

    return script


def shortest_pair() -> Pair:
    """A picture of 64×64 pixels in one step, of which a run's fixed cost is the largest share."""
    side = 64
    call = {"num_inference_steps": 1, "guidance_scale": 0.0, "width": side, "height": side}
    return Pair(
        "Turbo in one step, 64×64",
        Turbo(prompt="a red star", seed=7, width=side, height=side),
        "StableDiffusionXLPipeline",
        "tiny/turbo",
        {"prompt": "a red star", **call},
        {},
    )


def row(session: Session, pair: Pair, rounds: int) -> Row:
    """CPU milliseconds of a warm run and of the script, and whether their pixels agree."""
    script = bare(pair)
    node = partial(session.run, Graph.of(pair.node))
    (value,) = node().values()
    ours = value.frames if hasattr(value, "frames") else value.numpy
    theirs = script()
    compared = np.ones(ours.shape[:2], dtype=bool) if pair.inside is None else pair.inside
    equal = np.array_equal(ours[compared], theirs[compared])
    mine, its, ratio = measure_pair(node, script, rounds)
    return Row(
        f"warm run: {pair.name}",
        f"{mine * 1e3:.1f} ms CPU",
        f"diffusers script {its * 1e3:.1f} ms",
        f"{ratio:.3f}, pixels {'equal' if equal else 'DIFFER'}",
        "≤ 1.05, equal",
    )


def rows() -> Iterator[Row]:
    """A row for each system, and one for the shortest run."""
    session = Session(store=None)
    for pair in pairs():
        yield row(session, pair, ROUNDS)
    yield row(session, shortest_pair(), SHORT_ROUNDS)
