"""Results on disk: an unchanged second run, and one changed leaf of a thousand nodes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sdgraph import Graph, Node, Session, events
from sdgraph.execution import Plan
from sdgraph.language import workflow_from_yaml
from sdgraph.store import Store

from .engine import Start, Step
from .timing import Row, process

ROUNDS = 7
CHAINS, LENGTH = 100, 10

SYSTEMS = """\
name: five
nodes:
  photo: {{type: LoadImage, path: {photo}}}
  edges: {{type: Canny, image: $photo}}
  star: {{type: ControlNet, control: $edges, prompt: a yellow star on the left on a brown background, steps: 4, guidance: 3.0}}
  window: {{type: Mask, image: $star, box: [35, 20, 59, 44]}}
  pair: {{type: Inpaint, image: $star, mask: $window, prompt: a blue ring on the right on a brown background, steps: 4, guidance: 3.0}}
  evening: {{type: DepthToImage, image: $pair, prompt: a star and a ring on a sunset background, steps: 4, guidance: 3.0}}
  sketch: {{type: Turbo, image: $evening, prompt: a star and a ring on a sunset background, steps: 2, strength: 0.5}}
  video: {{type: Text2Video, prompt: a red star moving right on a gray background, steps: 4, seconds: 1.0, fps: 8.0}}
  picture: {{type: Save, image: $sketch, path: out/picture.png}}
"""  # noqa: E501

CODE = """
import sys
from sdgraph.cli import main
try:
    main(["run", "five.yaml", "--only", "picture", "--only", "video"])
except SystemExit as end:
    print("torch imported" if "torch" in sys.modules else "no torch", end.code)
"""


def run_unchanged() -> Row:
    """CPU seconds of the second run of all five systems, each run a process of its own."""
    photo = Path(__file__).parents[2] / "workflows" / "samples" / "red_star.png"
    before = Path.cwd(), os.environ.get("SDGRAPH_HOME")
    with TemporaryDirectory() as folder:
        Path(folder, "five.yaml").write_text(SYSTEMS.format(photo=photo))
        os.environ["SDGRAPH_HOME"] = str(Path(folder, "home"))
        os.chdir(folder)
        try:
            first = process(["-c", CODE])
            rounds = [process(["-c", CODE]) for _ in range(ROUNDS)]
        finally:
            os.chdir(before[0])
            if before[1] is None:
                del os.environ["SDGRAPH_HOME"]
            else:
                os.environ["SDGRAPH_HOME"] = before[1]
    torch_lines = {
        line for round_ in rounds for line in round_.output.splitlines() if "torch" in line
    }
    loads = {"0 models loaded" in round_.output for round_ in rounds}
    seconds = median(round_.cpu for round_ in rounds)
    return Row(
        "five systems in a chain, run again unchanged in another process",
        f"{seconds:.2f} s CPU, {'; '.join(sorted(torch_lines)).removesuffix(' 0')}, "
        f"{'no model' if loads == {True} else 'models'} loaded",
        f"first run {first.cpu:.1f} s",
        f"{seconds / first.cpu:.3f}",
        "< 0.5 s, no torch, no model",
    )


def new_seed() -> Row:
    """What is loaded when only the seeds change, compared with the plan and the first run."""
    photo = Path(__file__).parents[2] / "workflows" / "samples" / "red_star.png"
    with TemporaryDirectory() as folder:
        first, _ = _loaded(Session(store=Store(folder=folder)), photo, folder, seed=0)
        again, plan = _loaded(Session(store=Store(folder=folder)), photo, folder, seed=1)
    texts = [sum("text_encoder" in name for name in names) for names in (first, again)]
    planned = [load.name for load in plan.loads]
    return Row(
        "five systems in a chain, a new seed in a new session: text encoders loaded",
        f"{texts[1]}; {len(again)} components in all, {'as' if again == planned else 'not as'} "
        "planned",
        f"first run {texts[0]}; {len(first)} in all",
        f"{len(again) / len(first):.2f}",
        "0, as planned",
    )


def _loaded(session: Session, photo: Path, folder: str, *, seed: int) -> tuple[list[str], Plan]:
    """The components that a run of the chain loads, and its plan."""
    workflow = workflow_from_yaml(SYSTEMS.format(photo=photo), folder=folder)
    seeded = ("star", "pair", "evening", "sketch", "video")
    graph = workflow.with_fields({f"{name}.seed": seed for name in seeded}).graph(
        only=("picture", "video")
    )
    plan = session.plan(graph)
    loaded: list[str] = []

    def note_load(event: events.Event) -> None:
        if isinstance(event, events.Loaded):
            loaded.append(event.component)

    session.run(graph, note_load)
    return loaded, plan


def leaves(changed: int) -> Graph:
    """A hundred chains of ten nodes, the first of which begins with another number."""
    ends: list[Node[int]] = []
    for chain in range(CHAINS):
        node: Node[int] = Start(value=10_000 * (chain or changed))
        for _ in range(LENGTH - 1):
            node = Step(value=node)
        ends.append(node)
    return Graph.of(*ends)


def run_with_one_changed_leaf(on_disk: bool) -> Row:
    """The time of a run of a thousand remembered nodes when one leaf has changed."""
    with TemporaryDirectory() as folder:
        session = Session(store=Store(folder=folder if on_disk else None))
        session.run(leaves(-1))
        took, ran = [], set()
        for number in range(ROUNDS):
            graph = leaves(-2 - number)
            if on_disk:
                session = Session(store=Store(folder=folder))  # nothing in memory
            event_log: list[events.Event] = []
            began = time.process_time()
            session.run(graph, event_log.append)
            took.append(time.process_time() - began)
            ran.add(sum(isinstance(event, events.NodeFinished) for event in event_log))
    return Row(
        f"one leaf of {CHAINS * LENGTH:,} nodes changed, the rest "
        f"{'on disk' if on_disk else 'in memory'}",
        f"{1000 * median(took):.1f} ms",
        f"{', '.join(map(str, sorted(ran)))} nodes ran",
        f"{LENGTH} are its descendants and it",
        "< 20 ms",
    )


def rows() -> Iterator[Row]:
    yield run_unchanged()
    yield new_seed()
    yield run_with_one_changed_leaf(on_disk=False)
    yield run_with_one_changed_leaf(on_disk=True)
