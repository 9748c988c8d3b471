"""Peak memory of a chain over one base, beside the script that loads each pipeline on its own.

The checkpoints are the tiny family's, widened to some hundred megabytes a U-Net, so that weights
and not libraries are compared. `python -m tests.benchmarks.memory ours|script FOLDER` runs one.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdgraph import shipped

from .timing import Row, peak_bytes_here, process

WIDER = 4
SIDE = 64
NAMES = ("text-to-image", "inpaint", "controlnet-edges", "controlnet-depth", "depth")
PROMPT = "a red star"


def widen(name: str, folder: Path) -> None:
    """Copies a tiny checkpoint, its U-Net or ControlNet made wider, with random weights."""
    import diffusers

    target = Path(shutil.copytree(shipped.folder(f"tiny/{name}"), folder / name))
    part = target / "unet" if (target / "unet").is_dir() else target
    config = json.loads((part / "config.json").read_text())
    config["block_out_channels"] = [n * WIDER for n in config["block_out_channels"]]
    getattr(diffusers, config["_class_name"]).from_config(config).save_pretrained(part)


def ours(folder: Path) -> None:
    """The chain as one graph."""
    from sdgraph import Checkpoint, run
    from sdgraph.nodes import Canny, ControlNet, DepthEstimate, DepthToImage, Inpaint, Text2Image

    def at(name: str) -> Checkpoint:
        return Checkpoint(folder / name)

    words: dict[str, Any] = {"prompt": PROMPT, "steps": 2}
    base = Text2Image(checkpoint=at("text-to-image"), **words)
    maps = [Canny(image=base), DepthEstimate(image=base)]
    nets = [at("controlnet-edges"), at("controlnet-depth")]
    man = ControlNet(control=maps, checkpoint=at("text-to-image"), controlnet=nets, **words)
    painted = Inpaint(image=man, mask=_mask(), checkpoint=at("inpaint"), **words)
    run(DepthToImage(image=painted, checkpoint=at("depth"), **words))


def _mask() -> Any:
    import numpy as np

    from sdgraph.values import Mask

    area = np.zeros((SIDE, SIDE), dtype=np.uint8)
    area[16:48, 16:48] = 255
    return Mask(area)


def script(folder: Path) -> None:
    """The same by hand: a pipeline for each step, each loaded on its own and kept."""
    import cv2
    import diffusers
    import numpy as np
    import PIL.Image
    import torch
    from transformers import pipeline

    def at(name: str) -> str:
        return str(folder / name)

    full = {"dtype": torch.float32}
    words: dict[str, Any] = {"prompt": PROMPT, "num_inference_steps": 2}
    base = diffusers.StableDiffusionPipeline.from_pretrained(at("text-to-image"), **full)
    picture = base(**words).images[0]
    edges = np.repeat(cv2.Canny(np.asarray(picture), 100, 200)[..., None], 3, axis=2)
    small = str(shipped.folder("tiny/depth-estimator"))
    estimate = pipeline("depth-estimation", model=small, **full)
    depth = estimate(picture)["depth"].convert("RGB")
    nets = [
        diffusers.ControlNetModel.from_pretrained(at(name), **full)
        for name in ("controlnet-edges", "controlnet-depth")
    ]
    controlled = diffusers.StableDiffusionControlNetPipeline.from_pretrained(
        at("text-to-image"), controlnet=nets, **full
    )
    picture = controlled(image=[PIL.Image.fromarray(edges), depth], **words).images[0]
    inpaint = diffusers.StableDiffusionInpaintPipeline.from_pretrained(at("inpaint"), **full)
    size = {"width": SIDE, "height": SIDE}
    picture = inpaint(image=picture, mask_image=_mask().pil, **size, **words).images[0]
    deep = diffusers.StableDiffusionDepth2ImgPipeline.from_pretrained(at("depth"), **full)
    deep(image=picture, **words)


def rows() -> Iterator[Row]:
    """Peak memory over that of the bare libraries."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in NAMES:
            widen(name, folder)
        peaks = {
            way: process(["-m", "tests.benchmarks.memory", way, made]).output.split()[-1]
            for way in ("libraries", "ours", "script")
        }
    floor, mine, its = (int(peaks[way]) for way in ("libraries", "ours", "script"))
    yield Row(
        "peak memory: chain of four systems",
        f"{(mine - floor) / 1e6:.0f} MB",
        f"script that loads each pipeline {(its - floor) / 1e6:.0f} MB",
        f"{(mine - floor) / (its - floor):.2f}",
        "",
    )


def libraries(_: Path) -> None:
    """Imports what both use and runs nothing."""
    import diffusers
    from transformers import CLIPTextModel

    assert diffusers.StableDiffusionControlNetPipeline and CLIPTextModel


if __name__ == "__main__":
    {"ours": ours, "script": script, "libraries": libraries}[sys.argv[1]](Path(sys.argv[2]))
    print(peak_bytes_here())
