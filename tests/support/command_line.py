"""A toy workflow for commands, and commands as functions and as processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdgraph.media import read_image
from sdgraph.values import Image
from tests.support import cli_nodes

TOYS = str(Path(cli_nodes.__file__))

FLOW = """\
name: flow
description: A grey square, turned.
inputs:
  grey: {type: int, default: 40, description: how bright}
  target: {type: Path, default: out/turned.png}
nodes:
  square: {type: ToySquare, grey: $inputs.grey, size: 16}
  edges: {type: ToyEdges, image: $square, low: 10}
  slow: {type: ToySlow, image: $edges, steps: 4}
  model: {type: ToyModel}
  result: {type: ToySave, image: $slow, path: $inputs.target}
"""

BAD = """\
inputs:
  photo: {type: Path}
nodes:
  square: {type: ToySquare, grey: 300, sise: 16}
  edges: {type: ToyEdges, image: $squar, low: "10"}
"""


@dataclass
class CommandResult:
    """The exit code of a command and what it printed."""

    code: int
    out: str
    err: str


Command = Callable[..., CommandResult]


def process(*arguments: str, cwd: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command as a process of its own; `code` runs in place of `-m sdgraph`."""
    start = ["-c", code] if code else ["-m", "sdgraph"]
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def grey_of(path: Path) -> int:
    return int(Image.from_pil(read_image(path)).numpy[0, 0, 0])
