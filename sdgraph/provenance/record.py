"""How a picture was made, as text that a file can carry: workflow, inputs, files, versions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from sdgraph.errors import CheckpointError, InvalidWorkflowError, MediaError, Problem
from sdgraph.graph import Graph, Node, late_checkpoint, parts_of, source_files
from sdgraph.language import write_workflow
from sdgraph.media import embedded
from sdgraph.memoize import memoized_scope
from sdgraph.models import file_sha256, resolve, resolve_part
from sdgraph.values import Lora, Part

PACKAGES = (
    "sdgraph",
    "torch",
    "diffusers",
    "transformers",
    "peft",
    "torchao",
    "bitsandbytes",
    "xformers",
    "pillow",
    "opencv-python-headless",
)

Files = Sequence[tuple[Path, str]]
"""Files, each with its sha256."""

_VERSION = 2
"""Of the record. 1 had no inputs, sources and checkpoints."""


@dataclass(frozen=True)
class Record:
    """What a saved file says of its making; what an older record does not say has a default.

    Not when: the same workflow makes the same file, byte for byte.
    """

    workflow: str
    """YAML that makes the same file, unless it was altered; inputs default to their values then."""
    node: str
    device: str
    dtype: str | None
    versions: Mapping[str, str]
    altered: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The nodes that were made in another way than asked for, for want of memory, and how."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """The values of the inputs that it was made from."""
    seeds: Mapping[str, int] = field(default_factory=dict)
    """The seed of each node that has one."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The files that were read, each with the sha256 of its content."""
    checkpoints: tuple[Mapping[str, Any], ...] = ()
    """The checkpoints: source and whatever else was asked for, commit, sha256 of each file."""

    def to_text(self) -> str:
        """The record as one JSON text."""
        return json.dumps({"sdgraph_record": _VERSION, **self.__dict__}, ensure_ascii=False)

    @classmethod
    def of(cls, text: str) -> Self:
        """The record in a text; what a newer one says beside is left out. Raises ValueError."""
        data = json.loads(text)
        if not isinstance(data, dict) or "sdgraph_record" not in data:
            raise ValueError("no record")
        return TypeAdapter(cls).validate_python(data)


def record(
    graph: Graph,
    node: str,
    *,
    device: str,
    dtype: str | None,
    sources: Mapping[Path, str] | None = None,
    altered: Mapping[str, Sequence[str]] | None = None,
    weights: Mapping[Part, Files] | None = None,
) -> Record:
    """The record of what the last node of `graph` saves.

    `sources` are the hashes of the files it reads as they were when they were read; `altered` the
    nodes that memory forced to be made otherwise, and how; `weights` the files of components as
    far as they were looked at before.
    """
    inputs: dict[str, Any] = {}
    try:
        workflow, declared = write_workflow(graph, name=node.replace("/", "_"), with_inputs=True)
        inputs = {name: each.default for name, each in declared.items()}
    except InvalidWorkflowError as error:
        # A picture handed in from Python has no file to name; say so rather than fail to save.
        workflow = "".join(f"# {line}\n" for line in str(error).splitlines())
    known = hashes(graph) if sources is None else sources
    seeds = {graph.names[each]: each.random_seed for each in graph.nodes}
    read = dict.fromkeys(path for each in graph.nodes for _, path in source_files(each))
    return Record(
        workflow,
        node,
        device,
        dtype,
        versions(),
        altered or {},
        inputs,
        {name: seed for name, seed in seeds.items() if seed is not None},
        {str(path): known[path] for path in read if path in known},
        tuple(_checkpoints(graph, weights or {})),
    )


def hashes(graph: Graph) -> dict[Path, str]:
    """The sha256 of each file that a graph reads, as it is now; those that cannot be read lack."""
    found = {}
    for node in graph.nodes:
        for _, path in source_files(node):
            try:
                found[path] = file_sha256(path)
            except OSError:
                continue
    return found


def _checkpoints(graph: Graph, known: Mapping[Part, Files]) -> Iterator[dict[str, Any]]:
    """What a graph's nodes take weights from, each with the files that were used of it."""
    made: dict[Any, dict[str, Any]] = {}
    with memoized_scope():
        for node in graph.nodes:
            for checkpoint, files in _weights(node, known):
                told = checkpoint.as_data()
                entry = made.setdefault(
                    checkpoint, {"source": told} if isinstance(told, str) else dict(told)
                )
                if isinstance(checkpoint, Lora):
                    entry["adapter"] = True
                root = resolve(checkpoint).root
                if root is not None and root.parent.name == "snapshots":
                    entry["commit"] = root.name  # as a hub's cache names the folder
                entry.setdefault("files", {}).update(files)
    yield from made.values()


def _weights(node: Node[Any], known: Mapping[Part, Files]) -> Iterator[tuple[Any, dict[str, str]]]:
    """The checkpoint of each component a node uses, with the component's files."""
    if "models" not in type(node).definition.services or late_checkpoint(node):
        return
    try:
        for part in parts_of(node).values():
            files = known.get(part) or resolve_part(part).hashed_files
            root = resolve(part.checkpoint).root or Path()
            yield part.checkpoint, {path.relative_to(root).as_posix(): sha for path, sha in files}
    except (CheckpointError, OSError):
        return  # gone since it was loaded


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
    """The record in a saved file, or beside it; raises MediaError where there is none."""
    text = embedded.read_provenance(path)
    try:
        return Record.of(text or "null")
    except (ValueError, RecursionError):
        found = "no record of how it was made (an editor or a web site may have removed it)"
        wanted = "a picture or video saved by sdgraph"
        raise MediaError(Problem(str(path), found, wanted)) from None
