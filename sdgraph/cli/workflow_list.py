"""What the shipped workflows do, take and need, read from their files without the engine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from sdgraph.errors import Problem, did_you_mean
from sdgraph.files import shipped_workflows

from .argument_error import ArgumentError

State = Literal["here", "made at first use", "not here"]

DEFAULT_CONTROLNETS = {
    "reference/chain": ("lllyasviel/sd-controlnet-canny", "lllyasviel/sd-controlnet-depth"),
    "reference/controlnet": ("lllyasviel/sd-controlnet-canny",),
    "reference/pose": ("lllyasviel/sd-controlnet-openpose",),
}
"""The ControlNets that a workflow uses by default and does not name, by the workflow's name."""

_SCALARS = {bool: "bool", int: "int", float: "float", str: "str"}
_SOURCE = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = re.compile(r"(out|samples|parts|models|\.\.?)/")


@dataclass(frozen=True)
class ListedInput:
    """An input of a shipped workflow; `default` is None if it must be given."""

    name: str
    type: str
    default: Any
    description: str

    def as_text(self) -> str:
        """The input with its type, default and description in a line."""
        value = "required" if self.default is None else self.default
        shown = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True)
        shown = shown.strip().removesuffix("...").strip()
        return f"{shown}  ({self.type}{', ' if self.description else ''}{self.description})"


@dataclass(frozen=True)
class ListedWorkflow:
    """A shipped workflow.

    Args:
        name: Its name on the command line.
        path: Its file.
        description: What it does.
        inputs: What a user may set.
        checkpoints: The sources of the checkpoints that it names, and those in DEFAULT_CONTROLNETS.
    """

    name: str
    path: Path
    description: str
    inputs: tuple[ListedInput, ...]
    checkpoints: tuple[str, ...]

    def states(self) -> dict[str, State]:
        """For each checkpoint whether it is on this disk."""
        return {source: checkpoint_state(source) for source in self.checkpoints}

    def as_data(self) -> dict[str, Any]:
        """The workflow as plain data for JSON."""
        return {
            "name": self.name,
            "description": self.description,
            "file": str(self.path),
            "inputs": [vars(declared) for declared in self.inputs],
            "checkpoints": [
                {"source": source, "state": state} for source, state in self.states().items()
            ],
        }


def list_workflows() -> list[ListedWorkflow]:
    """All workflows that ship, those in folders last."""
    return [_read(name, path) for name, path in shipped_workflows().items()]


def find_listed(name: str) -> ListedWorkflow:
    """The shipped workflow of a name; raises ArgumentError with a similar name for another."""
    shipped = shipped_workflows()
    if name not in shipped:
        raise ArgumentError(unknown_workflow(name))
    return _read(name, shipped[name])


def unknown_workflow(name: str) -> Problem:
    """The problem of a name that no shipped workflow has, with a similar one."""
    shipped = shipped_workflows()
    endings = [full for full in shipped if full.rpartition("/")[2] == name]
    fix = f"write {' or '.join(endings)}" if endings else did_you_mean(name, shipped)
    wanted = "the name of a workflow that ships"
    return Problem("workflow", f"{name[:100]!r}", wanted, fix or "`sdgraph workflows` lists them")


def checkpoint_state(source: str) -> State:
    """Whether a checkpoint is on this disk; nothing is downloaded.

    Args:
        source: `tiny/NAME`, `random/NAME` or a repository on the hub.
    """
    from sdgraph.models import is_random
    from sdgraph.models.sources.hub import cached_snapshot
    from sdgraph.models.sources.shipped import shipped_names

    if is_random(source):
        return "made at first use"
    if source in shipped_names() or cached_snapshot(source, None) is not None:
        return "here"
    return "not here"


def _read(name: str, path: Path) -> ListedWorkflow:
    # The engine reads YAML 1.2 with places for errors. A test compares what both read.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data = yaml.load(path.read_bytes(), loader)  # a safe loader
    declared = data.get("inputs", {})
    inputs = tuple(_input(name, declaration) for name, declaration in declared.items())
    sources = dict.fromkeys(
        [*_sources(declared), *_sources(data["nodes"]), *DEFAULT_CONTROLNETS.get(name, ())]
    )
    return ListedWorkflow(name, path, data.get("description", ""), inputs, tuple(sources))


def _input(name: str, declaration: Any) -> ListedInput:
    if not isinstance(declaration, Mapping):
        return ListedInput(name, _SCALARS[type(declaration)], declaration, "")
    default = declaration.get("default")
    return ListedInput(name, declaration["type"], default, declaration.get("description", ""))


def _sources(data: Any) -> Iterator[str]:
    """The texts in plain data that name a checkpoint that ships or is on the hub."""
    if isinstance(data, Mapping):
        for value in data.values():
            yield from _sources(value)
    elif isinstance(data, list):
        for item in data:
            yield from _sources(item)
    elif isinstance(data, str) and _SOURCE.fullmatch(data) and not _FILES.match(data):
        yield data
