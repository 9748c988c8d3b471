"""Compares two checkouts: the pixels of all shipped workflows, and the keys of their results.

`python -m tests.benchmarks.compare_trees OLD NEW` runs every workflow that ships for the small
checkpoints from each checkout, in a process of its own, and compares what was written frame by
frame. It also compares the key of each node of these workflows, with the tag of the node's class
replaced by its type name, since the tag is what a moved class may change. Keys hold paths, so each
checkout is copied to one and the same place before it is asked. Exits with 1 when anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_NAMES = """
import json
from sdgraph.{workflow} import {shipped} as shipped
print(json.dumps([name for name in shipped() if "/" not in name]))
"""

_KEYS = """
import dataclasses, json, sys
from sdgraph import load_workflow
import sdgraph.{registry} as registry
from sdgraph.{keys} import {key}
registry_of = getattr(registry, "installed_registry", None) or registry.installed  # its older name
for cls in registry_of().values():
    {mask}
keys = {{}}
for name in json.loads(sys.argv[1]):
    graph = load_workflow(name).graph()
    for node in graph.nodes:
        around = {key}(node, "cpu", "float32")
        keys[f"{{name}}: {{graph.names[node]}}"] = [node.identity.hex(), around]
print(json.dumps(keys))
"""

_LAYOUTS: tuple[Mapping[str, str], ...] = (
    {
        "workflow": "language",
        "shipped": "shipped_workflows",
        "registry": "graph",
        "keys": "store",
        "key": "execution_context",
        "mask": "known = dataclasses.replace(cls.definition.identity, tag=cls.__name__); "
        "cls.definition = dataclasses.replace(cls.definition, identity=known)",
    },
    {
        "workflow": "workflow",
        "shipped": "shipped",
        "registry": "registry",
        "keys": "keys",
        "key": "surroundings",
        "mask": "cls.definition = dataclasses.replace(cls.definition, tag=cls.__name__)",
    },
)
"""Where a checkout has these functions: packages, and the flat folder before them."""


def _environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1", "SDGRAPH_RUNS": ""}


def _ask(tree: Path, code: str, *arguments: str) -> Any:
    """The JSON that a piece of code prints when it runs with the sdgraph of a checkout."""
    for layout in _LAYOUTS:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code.format(**layout), *arguments],
            env=_environment(tree),
            capture_output=True,
            text=True,
        )
        if not done.returncode:
            return json.loads(done.stdout)
    raise SystemExit(f"{tree}: {done.stderr}")


def keys_of(tree: Path, names: str, place: Path) -> dict[str, list[str]]:
    """The identity and the surroundings of each node of some workflows, from a copy at a place."""
    for folder in ("sdgraph", "nodes", "workflows"):
        shutil.copytree(tree / folder, place / folder, symlinks=True)
    try:
        keys: dict[str, list[str]] = _ask(place, _KEYS, names)
    finally:
        shutil.rmtree(place)
    return keys


def _pixels(path: Path) -> str:
    """The sha256 of an image's or a video's decoded pixels."""
    import av
    import numpy as np
    import PIL.Image

    if path.suffix not in (".mp4", ".webm"):
        with PIL.Image.open(path) as image:
            return sha256(repr((image.mode, image.size)).encode() + image.tobytes()).hexdigest()
    digest = sha256()
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            digest.update(np.ascontiguousarray(frame.to_ndarray(format="rgb24")).tobytes())
    return digest.hexdigest()


def pixels_of(tree: Path, workflow: str) -> dict[str, str]:
    """The hash of the pixels of each file that a shipped workflow writes."""
    with TemporaryDirectory() as folder:
        command = ["-m", "sdgraph", "run", workflow, "--no-cache", "--no-metadata", "--out", folder]
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *command],
            env=_environment(tree),
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(f"{tree}: {workflow}: {done.stdout}{done.stderr}")
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return {str(path.relative_to(folder)): _pixels(path) for path in files}


def _compare(subject: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> int:
    differ = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    print(f"{subject}: {len(old)} compared, {len(differ)} differ", *differ, flush=True)
    return len(differ)


def main() -> int:
    """Compares the two checkouts that are named on the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    arguments = parser.parse_args()
    old, new = arguments.old.resolve(), arguments.new.resolve()
    names = json.dumps(_ask(old, _NAMES))
    with TemporaryDirectory() as folder:
        place = Path(folder) / "tree"
        differ = _compare("keys", keys_of(old, names, place), keys_of(new, names, place))
    for name in json.loads(names):
        differ += _compare(name, pixels_of(old, name), pixels_of(new, name))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
