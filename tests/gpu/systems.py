"""The five systems and three of the new families, in float16 and bfloat16."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from sdgraph import Checkpoint, Graph, Node, Session
from sdgraph.events import Listener
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache
from sdgraph.nodes import ControlNet, DepthToImage, Inpaint, Text2Image, Text2Video, Turbo
from sdgraph.values import EdgeMap, Image, Mask

from .check import Bench, Check
from .checkpoints import checkpoint

SYSTEMS = ("inpaint", "controlnet", "turbo", "depth", "video")
FAMILIES = ("flux", "z-image", "wan")
DTYPES = ("float16", "bfloat16")
_TINY, _REAL = 64, 512


def session(
    bench: Bench,
    dtype: str = "float16",
    *,
    budget: int | None = None,
    batch: int | None = None,
) -> Session:
    """A session that remembers no results, on the bench's device.

    Args:
        bench: Where it runs.
        dtype: What it computes in; on a CPU float32 in place of float16, which is slow there.
        budget: The bytes of the device that it may take.
        batch: The most pictures that are made at once.
    """
    if bench.is_small and dtype == "float16":
        dtype = "float32"
    on_cpu = bench.is_small
    budgets = Budgets(host=budget) if on_cpu else Budgets(accelerator=budget)
    models = ModelCache(budgets=budgets)
    return Session(device=bench.device, dtype=dtype, store=None, models=models, batch=batch)


def node(bench: Bench, name: str, **fields: Any) -> Node[Any]:
    """The node of a system or a family.

    Args:
        bench: Where its checkpoint is.
        name: One of `SYSTEMS`, "text" or one of `FAMILIES`.
        fields: Fields in place of its own; `checkpoint` may be a map of settings of the checkpoint.
    """
    side, steps = (_TINY, 2) if bench.is_small else (_REAL, 8)
    sources = {"controlnet": "text-to-image", "text": "text-to-image", "video": "text-to-video"}
    source = f"random/{name}" if name in FAMILIES else sources.get(name, name)
    settings = fields.pop("checkpoint", {})
    own: dict[str, Any] = {
        "prompt": "a red star",
        "seed": 7,
        "steps": steps,
        "checkpoint": Checkpoint(checkpoint(bench, source), **settings),
    }
    size = {"width": side, "height": side}
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    area = np.zeros((side, side), dtype=np.uint8)
    area[side // 4 : -side // 4, side // 4 : -side // 4] = 255
    if name == "inpaint":
        return Inpaint(image=Image(pixels), mask=Mask(area), **{**own, **fields})
    if name == "depth":
        return DepthToImage(image=Image(pixels), strength=0.7, **{**own, **fields})
    if name == "controlnet":
        net = Checkpoint(checkpoint(bench, "controlnet-edges"))
        edges = EdgeMap(np.repeat(area[..., None], 3, axis=2))
        return ControlNet(control=edges, controlnet=net, **{**own, **fields})
    if name == "turbo":
        return Turbo(**{**own, "steps": 1, **size, **fields})
    if name in ("video", "wan"):
        frames = {"frames": 8 if name == "video" else 9}
        smaller = {} if bench.is_small else {"width": 256, "height": 256}
        return Text2Video(
            **{**own, **(size if bench.is_small else {}), **smaller, **frames, **fields}
        )
    return Text2Image(**{**own, **size, **fields})


def run(on: Session, what: Node[Any], listener: Listener | None = None) -> Any:
    """The value of a node, whose picture must not be of one colour."""
    (value,) = on.run(Graph.of(what), listener).values()
    return value


def pixels(value: Any) -> Any:
    """The pixels of a picture, or of a video's frames."""
    return (
        np.stack([np.asarray(frame) for frame in value.frames])
        if hasattr(value, "frames")
        else value.numpy
    )


def _works(name: str, dtype: str, bench: Bench) -> tuple[bool, str]:
    on, what = session(bench, dtype), node(bench, name)
    first, second = (pixels(run(on, what)) for _ in range(2))
    difference = int(np.abs(first.astype(int) - second.astype(int)).max())
    varied = int(first.max()) - int(first.min())
    said = f"{'×'.join(map(str, first.shape))}, range {varied}, second run differs by {difference}"
    return varied > 0 and difference == 0, said


def checks() -> Iterator[Check]:
    """Each system and family in each dtype."""
    wanted = "a picture with some range; the same again when warm"
    for name in (*SYSTEMS, *FAMILIES):
        for dtype in DTYPES:
            make: Callable[[Bench], tuple[bool, str]] = partial(_works, name, dtype)
            yield Check(f"{name}, {dtype}", wanted, make, limit=90)
