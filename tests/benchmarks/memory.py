"""Memory and load seconds of a chain of four systems, compared with a script of pipelines.

Inpainting, ControlNet, depth and Turbo over random checkpoints with the layouts of the real ones;
the pictures are small, so that weights are compared and not pictures. Each way is a process of its
own, on Linux: `python -m tests.benchmarks.memory WAY FOLDER [ARGUMENT …]`.

Peak RSS is the kernel's own count (VmHWM), over that of a bare interpreter. On a CPU in float32 the
libraries map weight files into memory and copy nothing, so weights count among the pages of files.
The system may take those back, but a step that computes wants all of them: what a run needs is the
whole of RSS. The anonymous part alone, sampled, is told beside it: it hardly has weights in it.

Load seconds are the CPU's in the thread that loads, all of `from_pretrained`: files are in the
system's cache, so nothing waits for a disk, and a shared machine's clock would tell of others. What
the libraries do once (imports, and the garbage collection after them) is done before.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml

from sdgraph import Session, load_workflow
from sdgraph.execution import Plan
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache
from sdgraph.models.loading.loader import load_quietly
from sdgraph.models.sources.shipped import shipped_folder

from . import layouts
from .timing import Row, process

PAIRS = 5
SIDE = 64
BOX = (16, 16, 48, 48)
PROMPT = "a red star"
STEPS = 2
CHAIN = "inpaint → ControlNet → depth → Turbo"
SYSTEMS = ("inpaint", "control", "depth", "turbo")


def nodes(alone: str | None = None) -> dict[str, dict[str, Any]]:
    """The chain's nodes as in a workflow file; or those of one system, which reads the photo."""
    words = {"prompt": PROMPT, "steps": STEPS}
    reads = dict.fromkeys(SYSTEMS, "$photo")
    if alone is None:
        reads |= {"control": "$inpaint", "depth": "$control", "turbo": "$depth"}
    entries: dict[str, dict[str, Any]] = {
        "photo": {"type": "LoadImage", "path": "photo.png"},
        "window": {"type": "Mask", "image": "$photo", "box": list(BOX)},
        "edges": {"type": "Canny", "image": reads["control"]},
        "inpaint": {"type": "Inpaint", "image": reads["inpaint"], "mask": "$window", **words},
        "control": {
            "type": "ControlNet",
            "control": "$edges",
            "controlnet": "./controlnet-edges",
            **words,
        },
        "depth": {"type": "DepthToImage", "image": reads["depth"], **words},
        "turbo": {"type": "Turbo", "image": reads["turbo"], **words},
        "result": {"type": "Save", "image": f"${alone or 'turbo'}", "path": "out/result.png"},
    }
    for system in SYSTEMS:
        if alone in (None, system):
            source = "text-to-image" if system == "control" else system
            entries[system]["checkpoint"] = f"./{source}"
        else:
            del entries[system]
    return entries


def write(folder: Path) -> None:
    """The checkpoints, a photo, and a workflow for the chain and for each system alone."""
    from sdgraph.nodes.tiny_world import random_scene, render_scene
    from sdgraph.values import Image

    layouts.make(folder)
    Image(render_scene(random_scene(0), SIDE)).pil.save(folder / "photo.png")
    for name in ("chain", *SYSTEMS):
        flow = {"name": name, "nodes": nodes(None if name == "chain" else name)}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(flow))


def libraries(folder: Path) -> float:
    """Loads small checkpoints of every kind and releases them."""
    import diffusers

    at = shipped_folder
    diffusers.StableDiffusionInpaintPipeline.from_pretrained(at("tiny/inpaint"))
    net = diffusers.ControlNetModel.from_pretrained(at("tiny/controlnet-edges"))
    diffusers.StableDiffusionControlNetPipeline.from_pretrained(
        at("tiny/text-to-image"), controlnet=net
    )
    diffusers.StableDiffusionDepth2ImgPipeline.from_pretrained(at("tiny/depth"))
    diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(at("tiny/turbo"))
    return 0.0


def session(load: Callable[..., Any], keep_alive: float | None, budget: int | None) -> Session:
    models = ModelCache(load, Budgets(host=budget), keep_alive=keep_alive)
    return Session(device="cpu", store=None, models=models)


def ours(folder: Path, name: str, budget: str = "") -> float:
    """A workflow as `sdgraph run` does it; returns its load seconds."""
    return _run(folder / f"{name}.yaml", 0, int(budget) if budget else None)


def run_in_kept_session(folder: Path, name: str) -> float:
    """A workflow in a session that keeps what is loaded for the next; returns its load seconds."""
    return _run(folder / f"{name}.yaml", None, None)


def _run(path: Path, keep_alive: float | None, budget: int | None) -> float:
    seconds = []

    def load(*arguments: Any) -> Any:
        began = time.thread_time()
        component = load_quietly(*arguments)
        seconds.append(time.thread_time() - began)
        return component

    session(load, keep_alive, budget).run(load_workflow(path).graph())
    return sum(seconds)


def script(folder: Path) -> float:
    """The same by hand: each pipeline loaded on its own and kept; returns load seconds."""
    import cv2
    import diffusers
    import numpy as np
    import PIL.Image

    seconds = []

    def load(name: str, source: str, **more: Any) -> Any:
        began = time.thread_time()
        component = getattr(diffusers, name).from_pretrained(folder / source, **more)
        seconds.append(time.thread_time() - began)
        return component

    words: dict[str, Any] = {"prompt": PROMPT, "num_inference_steps": STEPS}
    photo = PIL.Image.open(folder / "photo.png").convert("RGB")
    mask = PIL.Image.new("L", photo.size)
    mask.paste(255, BOX)
    size = {"width": SIDE, "height": SIDE}
    inpaint = load("StableDiffusionInpaintPipeline", "inpaint")
    picture = inpaint(image=photo, mask_image=mask, **size, **words).images[0]
    edges = np.repeat(cv2.Canny(np.asarray(picture), 100, 200)[..., None], 3, axis=2)
    net = load("ControlNetModel", "controlnet-edges")
    control = load("StableDiffusionControlNetPipeline", "text-to-image", controlnet=net)
    picture = control(image=PIL.Image.fromarray(edges), **words).images[0]
    depth = load("StableDiffusionDepth2ImgPipeline", "depth")
    picture = depth(image=picture, **words).images[0]
    turbo = load("StableDiffusionXLImg2ImgPipeline", "turbo")
    turbo(image=picture, strength=0.5, guidance_scale=0.0, **words)
    return sum(seconds)


WAYS: dict[str, Callable[..., float]] = {
    "libraries": libraries,
    "ours": ours,
    "kept": run_in_kept_session,
    "script": script,
}


class Used(NamedTuple):
    """What a process used: its peak RSS and that of its anonymous part in bytes, load seconds."""

    peak: int
    anonymous: int
    seconds: float


def status(field: str) -> int:
    """A field of this process's /proc status, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


@contextmanager
def sample_status(field: str) -> Iterator[list[int]]:
    """The largest value of a status field, looked at every few milliseconds."""
    most, over = [0], threading.Event()

    def sample() -> None:
        while not over.wait(0.005):
            most[0] = max(most[0], status(field))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield most
    finally:
        over.set()
        thread.join()


def measure(way: str, folder: Path, *arguments: str) -> Used:
    """Runs one of the ways in its own process, with all weight files in the system's cache."""
    for path in folder.rglob("*.safetensors"):
        with path.open("rb") as file:
            while file.read(2**23):
                pass
    done = process(["-m", "tests.benchmarks.memory", way, str(folder), *arguments])
    return Used(*json.loads(done.output.splitlines()[-1]))


def bare() -> int:
    """The peak RSS of an interpreter that does nothing."""
    code = "print(next(x for x in open('/proc/self/status') if x.startswith('VmHWM')).split()[1])"
    return int(process(["-c", code]).output) * 1024


def plan_chain(folder: Path) -> tuple[Plan, int]:
    """The chain's plan, and the bytes that the largest of its nodes needs."""
    plan = session(load_quietly, 0, None).plan(load_workflow(folder / "chain.yaml").graph())
    return plan, max(
        sum(use.component.bytes for use in step.uses) + step.working_bytes for step in plan.steps
    )


def pairs(folder: Path) -> list[tuple[Used, Used]]:
    """The chain by sdgraph and by the script, several times in turn."""
    measured = []
    for number in range(PAIRS):
        ways = {"ours": ("chain",), "script": ()}
        order = list(ways)[:: 1 if number % 2 else -1]
        done = {way: measure(way, folder, *ways[way]) for way in order}
        measured.append((done["ours"], done["script"]))
    return measured


def rows() -> Iterator[Row]:
    """Peak RSS without a budget and with the smallest, and load seconds."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write(folder)
        yield from _rows(folder)


def _rows(folder: Path) -> Iterator[Row]:
    plan, need = plan_chain(folder)
    floor, imports = bare(), measure("libraries", folder)
    measured = pairs(folder)
    mine, its = (sorted(column)[PAIRS // 2] for column in zip(*measured, strict=True))

    def as_words(used: Used) -> str:
        return f"{(used.peak - floor) / 1e6:.0f} MB (anonymous {used.anonymous / 1e6:.0f})"

    def row(label: str, used: Used, words: str, baseline: Used, aim: str = "") -> Row:
        ratio = (used.peak - floor) / (baseline.peak - floor)
        return Row(label, as_words(used), f"{words} {as_words(baseline)}", f"{ratio:.2f}", aim)

    words = f"imports alone {as_words(imports)}; script that loads each pipeline and keeps it"
    sizes = f"{plan.bytes_loaded / 1e9:.1f} GB, by the plan {plan.peak_host / 1e6:.0f} MB at once"
    yield row(f"peak RSS: {CHAIN}, weights of {sizes}", mine, words, its, "≤ 0.6")
    keeping = measure("kept", folder, "chain")
    yield row("peak RSS: the same, models kept for a next run", keeping, "that script", its)
    lean = measure("ours", folder, "chain", str(need))
    alone = max(measure("ours", folder, name) for name in SYSTEMS)
    yield row(
        f"peak RSS: the same, budget of {need / 1e6:.0f} MB, what the largest node needs",
        lean,
        "that node alone",
        alone,
        "≤ 1.1",
    )
    yield Row(
        "load seconds: the same",
        f"{median(ours.seconds for ours, _ in measured):.2f} s CPU",
        f"that script {median(script.seconds for _, script in measured):.2f} s",
        f"{median(ours.seconds / script.seconds for ours, script in measured):.2f}",
        "≤ 0.65",
    )


if __name__ == "__main__":
    with sample_status("RssAnon") as anonymous:
        libraries(Path())
        gc.collect()
        spent = WAYS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
    print(json.dumps([status("VmHWM"), anonymous[0], spent]))
