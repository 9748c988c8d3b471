"""Runs mutated workflows with models, and compares each picture with one made without the file.

    OMP_NUM_THREADS=1 python -m tests.stress.mutated_runs [--runs 150] [--seed 0]

A mutated workflow that the command line runs is also built as nodes in Python, by the forty lines
below that know nothing of the workflow language but its references. They run in a session that
remembers nothing, while all runs of the command line share one store. The pictures must be equal.
A workflow that is refused must say why, with exit code 2.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

from sdgraph import Graph, Node, Session
from sdgraph.errors import SdgraphError
from sdgraph.graph import Registry, installed_registry
from sdgraph.language import parse_document
from sdgraph.media import read_image
from sdgraph.values import Image

from .commands import run_command
from .fuzz import quiet_place
from .fuzz_cases import Workbench
from .mutations import mutate_data, mutate_text, places, value_at

TEXT = """\
inputs:
  prompt: a red star on a blue background
  seed: 3
nodes:
  picture: {type: Text2Image, prompt: $inputs.prompt, steps: 2, guidance: 3.0, seed: $inputs.seed}
  other: {type: Text2Image, prompt: a cyan ring, steps: 2, seed: 4, scheduler: euler}
  mixed: {type: Blend, image: $picture, over: $other, amount: 0.3}
  result: {type: Save, image: $mixed, path: out/a.png}
  second: {type: Save, image: $other, path: out/b.png}
"""
INPAINT = """\
nodes:
  photo: {type: LoadImage, path: a.png}
  large: {type: Resize, image: $photo, width: 64, height: 64}
  box: {type: MaskBox, image: $large, box: [8, 8, 40, 48]}
  soft: {type: MaskFeather, mask: $box, radius: 2.0}
  star: {type: Inpaint, image: $large, mask: $soft, prompt: a square, steps: 2, strength: 0.9}
  result: {type: Save, image: $star, path: out/a.png}
"""
EDGES = """\
nodes:
  photo: {type: LoadImage, path: a.png}
  large: {type: Resize, image: $photo, width: 64, height: 64}
  edges: {type: Canny, image: $large, low: 50, high: 150}
  star: {type: ControlNet, control: $edges, prompt: a yellow star, steps: 2, scale: 0.8, seed: 6}
  again: {type: Image2Image, image: $star, prompt: a white ring, steps: 2, strength: 0.7}
  result: {type: Save, image: $again, path: out/a.png}
"""
TURBO = """\
inputs: {prompt: a white square, seed: 1}
nodes:
  quick: {type: Turbo, prompt: $inputs.prompt, steps: 1, seed: $inputs.seed}
  crop: {type: Crop, image: $quick, box: [4, 4, 60, 60]}
  note: {type: Text, image: $crop, text: 'it is: a square', size: 10}
  result: {type: Save, image: $note, path: out/a.png}
"""
WORKFLOWS = (TEXT, INPAINT, EDGES, TURBO)

PROMPTS = ("a red star", "a blue ring on the left", "(star:1.3)", "costs $5", "$$x", "a: b", "")
NUMBERS = (0, 1, 2, 3, 5, 0.25, 0.5, 1.0, 2.5, 64, 72)


def mutate(text: str, random: Random) -> str:
    """A workflow after some changes; most leave it valid."""
    style = random.random()
    if style < 0.25:
        return mutate_text(text, random, random.choice((1, 2)))
    data = yaml.safe_load(text)
    if style < 0.4:
        data = mutate_data(data, random)
    for _ in range(random.choice((1, 2, 3))):
        _change_value(data, random)
    nodes = data.get("nodes") if isinstance(data, dict) else None
    if isinstance(nodes, dict):
        items = list(nodes.items())
        random.shuffle(items)
        data["nodes"] = dict(items)
    flow = random.choice((None, True, False))
    return yaml.safe_dump(data, sort_keys=random.random() < 0.5, default_flow_style=flow)


def _change_value(data: Any, random: Random) -> None:
    """Replaces a scalar by another of its type: a number, a prompt, or a reference."""
    found = [place for place in places(data) if len(place) > 2 and place[-1] != "type"]
    if not found:
        return
    place = random.choice(found)
    holder, key = value_at(data, place[:-1]), place[-1]
    value = holder[key]
    if isinstance(value, bool | list | dict) or key == "path":
        return
    if isinstance(value, int | float):
        holder[key] = random.choice(NUMBERS)
    elif isinstance(value, str) and value.startswith("$") and "." not in value:
        names = [*data["nodes"]] if isinstance(data.get("nodes"), dict) else ["a"]
        holder[key] = f"${random.choice(names or ['a'])}"
    elif key in ("prompt", "text"):
        holder[key] = random.choice(PROMPTS)


def build_nodes(data: Mapping[str, Any], registry: Registry, folder: Path) -> dict[str, Node[Any]]:
    """The nodes of a workflow, built in Python from its data.

    Args:
        data: The data of the file.
        registry: The node types.
        folder: Where its paths start.
    """
    declared = data.get("inputs") or {}
    inputs = {name: d["default"] if isinstance(d, dict) else d for name, d in declared.items()}
    built: dict[str, Node[Any]] = {}

    def value_of(written: Any) -> Any:
        if isinstance(written, list):
            return [value_of(item) for item in written]
        if isinstance(written, dict):
            return {key: value_of(item) for key, item in written.items()}
        if not isinstance(written, str) or not written.startswith("$"):
            return written
        if written.startswith("$$"):
            return written[1:]
        name = written[1:]
        if name.startswith("inputs.") and name[7:] in inputs:
            return inputs[name[7:]]
        return node_of(name) if name in data["nodes"] else written

    def node_of(name: str) -> Node[Any]:
        if name not in built:
            fields = {key: value_of(item) for key, item in data["nodes"][name].items()}
            cls = registry[fields.pop("type")]
            fields.pop("cache", None)
            for path in (*cls.definition.sources, *cls.definition.targets):
                if path in fields:
                    fields[path] = folder / fields[path]
            built[name] = cls(**fields)
        return built[name]

    for name in data["nodes"]:
        node_of(name)
    return built


def pictures_in_python(text: str, registry: Registry, folder: Path) -> dict[Path, Image]:
    """What each Save node of a workflow saves, by its path."""
    nodes = build_nodes(parse_document(text).data, registry, folder)
    saves = [node for node in nodes.values() if type(node).__name__ == "Save"]
    images = {Path(getattr(node, "path")): getattr(node, "image") for node in saves}  # noqa: B009
    session = Session(device="cpu", store=None)
    return {
        path: next(iter(session.run(Graph.of(image)).values()))
        for path, image in images.items()
        if isinstance(image, Node)
    }


def is_small(text: str) -> bool:
    """Whether a workflow takes little time, and writes into its own folder."""
    try:
        data = parse_document(text).data
    except SdgraphError:
        return True
    for place in places(data):
        value = value_at(data, place)
        if isinstance(value, int | float) and not -1e6 < value < 130 and place[-1] != "seed":
            return False
        if place and place[-1] == "steps" and not (isinstance(value, int) and value <= 8):
            return False
        if place and place[-1] == "path" and str(value).startswith(("/", "~", "..")):
            return False
    return True


def run_case(random: Random, bench: Workbench, registry: Registry) -> tuple[str, str]:
    """Runs one mutated workflow.

    Returns:
        "equal", "refused", "failed" or "too large", and what is wrong.
    """
    text = mutate(random.choice(WORKFLOWS), random)
    if not is_small(text):
        return "too large", ""
    path = bench.folder / "mutated.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    ending = run_command(["run", "mutated.yaml", "--device", "cpu"], seconds=120)
    if fault := ending.fault():
        return "failed", fault
    if ending.code == 2:
        return "refused", ""
    try:
        expected = pictures_in_python(text, registry, bench.folder)
    except Exception as error:  # whatever Python refuses, the command line must refuse
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return "failed", "" if ending.code == 1 else f"it ran, and in Python it does not: {reason}"
    if ending.code == 1:
        return "failed", f"in Python it runs: {ending.output[-200:]}"
    for file, image in expected.items():
        if not file.exists() or not np.array_equal(np.asarray(read_image(file)), image.numpy):
            return "failed", f"{file.name} is another picture than in Python"
    return "equal", ""


def main() -> None:
    """Prints how many runs were equal, refused or wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=150, help="those that are not refused")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    counts, faults = run_cases(options.runs, options.seed)
    print(f"seed {options.seed}, {time.perf_counter() - started:.0f} s")
    print("| outcome | workflows |", "|---|---|", sep="\n")
    for outcome, count in sorted(counts.items()):
        print(f"| {outcome} | {count} |")
    print(*faults, sep="\n")
    if faults:
        raise SystemExit(1)


def run_cases(runs: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Runs mutated workflows until so many have really run.

    Returns:
        The number of each outcome, and what was wrong.
    """
    counts: Counter[str] = Counter()
    faults = []
    registry = installed_registry()
    with quiet_place() as folder:
        bench = Workbench(folder)
        number = 0
        while counts["equal"] + counts["failed"] < runs:
            outcome, fault = run_case(Random(f"{seed}/{number}"), bench, registry)
            counts[outcome] += 1
            if fault:
                faults.append(f"{number}: {fault}")
            shutil.rmtree(folder / "out", ignore_errors=True)
            bench.clean()
            number += 1
    return counts, faults


if __name__ == "__main__":
    main()
