"""How a picture was made, as text that a file can carry: workflow, versions, device, dtype."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from . import media
from .errors import InvalidWorkflow, MediaError
from .graph import Graph
from .workflow import graph_to_yaml

PACKAGES = (
    "sdgraph", "torch", "diffusers", "transformers", "peft", "torchao", "bitsandbytes", "xformers",
    "pillow", "opencv-python-headless",
)  # fmt: skip


@dataclass(frozen=True)
class Record:
    """What a saved file says of its making."""

    workflow: str
    """YAML with every input resolved: run again, it makes the same file, unless it was altered."""
    node: str
    device: str
    dtype: str | None
    versions: Mapping[str, str]
    altered: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The nodes that were made in another way than asked for, for want of memory, and how."""

    def to_text(self) -> str:
        """The record as one JSON text."""
        return json.dumps({"sdgraph_record": 1, **self.__dict__}, ensure_ascii=False)


def record(
    graph: Graph, node: str, *, device: str, dtype: str | None,
    altered: Mapping[str, Sequence[str]] | None = None,
) -> Record:  # fmt: skip
    """The record of what the last node of `graph` saves."""
    try:
        workflow = graph_to_yaml(graph, name=node.replace("/", "_"))
    except InvalidWorkflow as error:
        # A picture handed in from Python has no file to name; say so rather than fail to save.
        workflow = "".join(f"# {line}\n" for line in str(error).splitlines())
    return Record(workflow, node, device, dtype, versions(), altered or {})


@cache
def versions() -> dict[str, str]:
    """The versions of the packages that decide what pixels come out."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def read(path: Path) -> Record:
    """The record in a saved file; raises MediaError where there is none."""
    text = media.read_provenance(path)
    try:
        data = json.loads(text or "null")
        data.pop("sdgraph_record")
        return Record(**data)
    except (ValueError, TypeError, AttributeError, KeyError):
        raise MediaError(
            f"{path}: found no record of how it was made, wanted a picture or video saved by "
            "sdgraph (an editor or a web site may have stripped it)"
        ) from None
