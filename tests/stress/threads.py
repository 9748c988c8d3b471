"""Runs graphs in several threads at once and compares all pixels with those of sequential runs.

    OMP_NUM_THREADS=1 python -m tests.stress.threads [--runs 1000] [--threads 8]

The graphs are of the five systems and of text-to-image with an IP-Adapter, which share modules: an
adapter or a tokenizer's state that reached another thread would show in the pixels. Nothing is
remembered but the embeddings of prompts, which all threads share.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sdgraph import Checkpoint, Graph, Lora, Node, Session
from sdgraph.nodes import (
    Canny,
    ControlNet,
    DepthToImage,
    Inpaint,
    Mask,
    Text2Image,
    Text2Video,
    Turbo,
)
from sdgraph.nodes.tiny_world import random_scene, render_scene
from sdgraph.nodes.training.ip_adapter import FILE
from sdgraph.values import Image

COLORS = ("red", "cyan", "green", "yellow", "white")


def make_nodes() -> list[Node[object]]:
    """Small nodes that share modules: few steps, 64 × 64 pixels."""
    picture = Image(render_scene(random_scene(3), 64))
    mask = Mask(box=[8, 8, 40, 40], width=64, height=64)
    adapter = Lora(Checkpoint("tiny/ip-adapter").source, file=FILE)
    makers: list[Callable[..., Node[object]]] = [
        partial(Text2Image, checkpoint=Checkpoint("tiny/text-to-image"), steps=2),
        partial(
            Text2Image,
            checkpoint=Checkpoint("tiny/text-to-image"),
            steps=2,
            reference=picture,
            ip_adapter=adapter,
        ),
        partial(
            ControlNet,
            control=Canny(image=picture),
            checkpoint=Checkpoint("tiny/text-to-image"),
            controlnet=Checkpoint("tiny/controlnet-edges"),
            steps=2,
        ),
        partial(Inpaint, image=picture, mask=mask, checkpoint=Checkpoint("tiny/inpaint"), steps=2),
        partial(Turbo, checkpoint=Checkpoint("tiny/turbo"), steps=1),
        partial(
            DepthToImage, image=picture, checkpoint=Checkpoint("tiny/depth"), steps=4, strength=0.5
        ),
        partial(Text2Video, checkpoint=Checkpoint("tiny/text-to-video"), steps=1, frames=2),
    ]
    return [
        make(prompt=f"a {color} star on a gray background", seed=seed)
        for make in makers
        for seed, color in enumerate(COLORS)
    ]


def run_digest(session: Session, node: Node[object]) -> str:
    """The content of a node's value: of all its pixels."""
    graph = Graph.of(node, uncached=[node])
    (value,) = session.run(graph).values()
    return str(getattr(value, "content", None) or hashlib.sha256(repr(value).encode()).hexdigest())


def main() -> None:
    """Prints how many runs differed or failed, by type of node."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=8)
    options = parser.parse_args()
    nodes = make_nodes()
    expected = [run_digest(Session(device="cpu"), node) for node in nodes]
    order = [n % len(nodes) for n in range(options.runs)]
    random.Random(0).shuffle(order)
    session = Session(device="cpu")
    outcomes: Counter[tuple[str, str]] = Counter()

    def run(index: int) -> None:
        try:
            equal = run_digest(session, nodes[index]) == expected[index]
            outcome = "equal" if equal else "other pixels"
        except Exception as error:  # every failure is counted
            outcome = f"{type(error).__name__}: {error}"
        outcomes[type(nodes[index]).__name__, outcome] += 1

    with ThreadPoolExecutor(options.threads) as pool:
        list(pool.map(run, order))
    print(f"{options.runs} runs in {options.threads} threads")
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{kind:14} {outcome}: {count}")


if __name__ == "__main__":
    main()
