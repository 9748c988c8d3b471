"""A folder with a workflow without models, in which commands run as processes of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import PIL.Image

from sdgraph.store import DiskStore

FLOW = """\
inputs: {grey: {type: int, default: 10}}
nodes:
  start: {type: Noise, seed: $inputs.grey}
  one: {type: Resize, image: $start, width: 640, height: 640}
  two: {type: Blend, image: $one, over: $one, amount: 0.5}
  three: {type: Resize, image: $two, width: 700, height: 500}
  result: {type: Save, image: $three, path: 'out/grey_{grey}.png'}
"""

NODES = '''\
import numpy as np
from sdgraph import Node
from sdgraph.values import Image


class Noise(Node[Image]):
    """A picture of noise, whose files are large."""

    seed: int = 0

    def run(self) -> Image:
        random = np.random.default_rng(self.seed)
        return Image(random.integers(0, 255, (600, 600, 3), np.uint8))
'''

COMMANDS = {"run": ("grey=3",), "sweep": ("grey=1..6", "--yes")}
"""The inputs of a run and of a sweep."""


class Place:
    """A folder with the workflow, a home of its own, and the outputs that are right.

    Args:
        folder: An empty folder.

    Attributes:
        expected: The pixels of each file that a command writes, by the name of the command.
        seconds: How long the last command took.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "flow.yaml").write_text(FLOW)
        (folder / "noise.py").write_text(NODES)
        self.expected: dict[str, dict[str, str]] = {}
        for name in COMMANDS:
            started = time.perf_counter()
            if self.start(name).wait() != 0:
                raise RuntimeError(self.said())
            self.seconds = time.perf_counter() - started
            self.expected[name] = self.pictures()
            self.clear()

    @property
    def log(self) -> Path:
        """The file with what the last command printed."""
        return self.folder / "log.txt"

    def said(self) -> str:
        """What the last command printed."""
        return self.log.read_text(errors="replace")

    def start(
        self,
        name: str,
        *options: str,
        environment: Mapping[str, str | None] | None = None,
        prelude: str = "",
        log: str = "log.txt",
    ) -> subprocess.Popen[bytes]:
        """Starts a command.

        Args:
            name: One of `COMMANDS`.
            *options: More of its arguments.
            environment: Environment variables; None removes one.
            prelude: Python code that the process runs first.
            log: The name of the file for what it prints.
        """
        words = ["run", "flow.yaml", *COMMANDS[name], "--nodes", "noise.py", "--quiet"]
        return self.start_command([*words, "--overwrite", *options], environment, prelude, log)

    def start_command(
        self,
        words: list[str],
        environment: Mapping[str, str | None] | None = None,
        prelude: str = "",
        log: str = "log.txt",
    ) -> subprocess.Popen[bytes]:
        """Starts `sdgraph` with arguments; see `start`."""
        variables = {
            **os.environ,
            "SDGRAPH_HOME": str(self.folder / "home"),
            "SDGRAPH_RUNS": str(self.folder / "runs"),
            **(environment or {}),
        }
        program = ["-m", "sdgraph", *words]
        if prelude:
            program = ["-c", f"{prelude}\nfrom sdgraph.cli import main\nmain({words!r})"]
        with (self.folder / log).open("wb") as stream:
            return subprocess.Popen(
                [sys.executable, *program],
                cwd=self.folder,
                env={key: value for key, value in variables.items() if value is not None},
                stdout=stream,
                stderr=stream,
            )

    def pictures(self, folder: str = "out") -> dict[str, str]:
        """The pixels of each file under its final name; raises OSError for half a file."""
        found = {}
        for path in sorted((self.folder / folder).glob("*.png")):
            if not path.name.startswith("."):
                with PIL.Image.open(path) as picture:
                    found[path.name] = hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()
        return found

    def clear(self) -> None:
        """Removes the outputs and the store."""
        for name in ("out", "home", "runs"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def fault_after(self, name: str) -> str:
        """What is wrong after a command was stopped; "" if nothing is."""
        try:
            left = self.pictures()
        except OSError as error:
            return f"half a file: {error}"
        if not left.items() <= self.expected[name].items():
            every = {**self.expected["run"], **self.expected["sweep"]}
            if not left.items() <= every.items():
                return "a file with other pixels"
        if self.unreadable_entries():
            return "an entry of the store that cannot be read"
        return self.fault_of_run(name)

    def fault_of_run(self, name: str) -> str:
        """What is wrong with a command that runs now; "" if nothing is."""
        if (code := self.start(name).wait()) != 0:
            return f"the next run ended with {code}: {self.said().strip()[-200:]}"
        if not self.expected[name].items() <= self.pictures().items():
            return "the next run made other pictures"
        return ""

    def unreadable_entries(self) -> int:
        """How many entries of the store have no header that can be read."""
        store = DiskStore(self.folder / "home" / "results")
        return sum(store.header(entry) is None for entry in store.entries())
