"""The provenance record: how a file was made, as text that is stored in the file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Self

from pydantic import TypeAdapter

from sdgraph.errors import CheckpointError, InvalidWorkflowError, MediaError, Problem
from sdgraph.graph import Graph, Node, has_computed_checkpoint, parts_of, source_files, target_files
from sdgraph.language import PortablePaths, write_workflow
from sdgraph.media import converted_profile, foreign_program, read_provenance
from sdgraph.memoize import memoized_scope
from sdgraph.models import file_sha256, resolve, resolve_part
from sdgraph.models.loading.libraries import RECORDED_LIBRARIES, installed_version
from sdgraph.values import Image, Lora, Part

Files = Sequence[tuple[Path, str]]
"""Files, each with its sha256."""

_VERSION = 2
"""The version of the record's format. Version 1 had no inputs, sources and checkpoints."""


MAX_VALUES = 2_000_000
"""About how many values a record may hold; that of a large graph has a few thousand."""


@dataclass(frozen=True)
class ProvenanceRecord:
    """How a saved file was made.

    It contains no date, and of paths only the part below the workflow's folder, so that the same
    workflow makes the same file, byte for byte, in any folder. The fields that version 1 did not
    have, have defaults.
    """

    workflow: str
    """YAML that makes the same file again; the defaults of its inputs are the values used."""
    node: str
    """The name of the node that saved the file."""
    device: str
    dtype: str | None
    versions: Mapping[str, str]
    """The versions of the libraries that the pixels depend on."""
    altered: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """The nodes that ran with changed settings because memory ran out, and the changes."""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """The value of each input."""
    seeds: Mapping[str, int] = field(default_factory=dict)
    """The seed of each node that has one."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """The files that were read, by their paths relative to the workflow, with their sha256.

    A file that is not below the workflow's folder or the current one has only its name here."""
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By node: the values of fields that were left unset, such as a checkpoint's usual steps."""
    profiles: Mapping[str, str] = field(default_factory=dict)
    """The source pictures that were converted to sRGB, each with its colour profile's name."""
    checkpoints: tuple[Mapping[str, Any], ...] = ()
    """The checkpoints: the fields that were set, the commit, and the sha256 of each file."""
    folder: str = ""
    """The folder of the file, relative to that of the workflow, such as "out"."""
    identity: str = ""
    """A hash of the node and all that it reads, if a workflow file cannot hold them; else empty."""

    def to_text(self) -> str:
        """The record as JSON."""
        data = {"sdgraph_record": _VERSION, **self.__dict__}
        if not self.identity:
            del data["identity"]
        return json.dumps(data, ensure_ascii=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The record in a JSON text. Fields that a newer version added are ignored.

        Raises:
            ValueError: The text is not JSON, not a record, or has more than MAX_VALUES values.
        """
        if sum(map(text.count, "[{,")) > MAX_VALUES:  # each takes up to 100 bytes of memory
            raise ValueError("too many values for a record")
        data = json.loads(text)
        if not isinstance(data, dict) or "sdgraph_record" not in data:
            raise ValueError("no record")
        return TypeAdapter(cls).validate_python(data)


def make_record(
    graph: Graph,
    node: str,
    *,
    device: str,
    dtype: str | None,
    sources: Mapping[Path, str] | None = None,
    altered: Mapping[str, Sequence[str]] | None = None,
    weights: Mapping[Part, Files] | None = None,
    batches: Mapping[str, int] | None = None,
) -> ProvenanceRecord:
    """The record of the file that the last node of `graph` saves.

    Args:
        graph: The node that saves the file and all that it reads.
        node: The name of that node.
        device: Where the run computes, such as "cpu" or "cuda:1".
        dtype: What it computes in, such as "float16".
        sources: The sha256 of each source file, computed when it was read; computed now if left
            out.
        altered: The nodes that ran with changed settings because memory ran out, and the changes.
        weights: The files of components, with hashes that are known already.
        batches: The most pictures that were generated at once, of nodes for which that matters.
    """
    graph = _without_existing(graph)
    portable = PortablePaths(graph)
    workflow, inputs, identity = _write_graph(graph, node, portable)
    hashes = hash_source_files(graph) if sources is None else sources
    seeds = {graph.names[step]: step.random_seed for step in graph.nodes}
    paths = dict.fromkeys(path for step in graph.nodes for _, path in source_files(step))
    texts = {path: portable.path(path, is_target=False) for path in paths}
    return ProvenanceRecord(
        workflow,
        node,
        device,
        dtype,
        installed_versions(),
        altered or {},
        inputs,
        {name: seed for name, seed in seeds.items() if seed is not None},
        {texts[path]: hashes[path] for path in paths if path in hashes},
        _chosen_fields(graph, batches or {}),
        {texts[path]: name for path in paths if (name := _profile(path))},
        tuple(list_checkpoints(graph, weights, portable)),
        _folder_of_file(graph, portable),
        identity,
    )


def _write_graph(
    graph: Graph, node: str, portable: PortablePaths
) -> tuple[str, dict[str, Any], str]:
    """The graph as a workflow file and the defaults of its inputs; else what identifies it."""
    name = node.replace("/", "_")
    try:
        workflow, declared = write_workflow(graph, name=name, paths=portable, with_inputs=True)
    except InvalidWorkflowError as error:
        # A picture that was passed from Python has no file: comments in the record say so.
        comments = "".join(f"# {line}\n" for line in str(error).splitlines())
        return comments, {}, graph.nodes[-1].identity.hex()
    return workflow, {name: declaration.default for name, declaration in declared.items()}, ""


def _without_existing(graph: Graph) -> Graph:
    """The graph without what its nodes do with files that are there already.

    A file is the same whatever was there before, and made again it must not replace others.
    """
    writers = [node for node in graph.nodes if type(node).definition.has_existing]
    if not writers:
        return graph
    # A node is equal to the one that it replaces, so that it has the same name and place.
    default = {node: node.replace(existing="number") for node in writers}
    origins = {
        node: {place: origin for place, origin in of_node.items() if place != ("existing",)}
        for node, of_node in graph.origins.items()
    }
    nodes = tuple(default.get(node, node) for node in graph.nodes)
    return replace(graph, nodes=nodes, origins=origins)


def _chosen_fields(graph: Graph, batches: Mapping[str, int]) -> dict[str, Mapping[str, Any]]:
    """By the name of each node that has any: the values it uses for fields that were left unset.

    The size of batches, by node, is one more of them.
    """
    chosen: dict[str, dict[str, Any]] = {}
    with memoized_scope():
        for node in graph.nodes:
            if "models" not in type(node).definition.services or has_computed_checkpoint(node):
                continue
            try:
                chosen[graph.names[node]] = dict(node.chosen_fields())
            except (CheckpointError, OSError):
                continue  # its checkpoint has been removed since it was loaded
    for name, batch in batches.items():
        chosen.setdefault(name, {})["batch"] = batch
    return {name: fields for name, fields in chosen.items() if fields}


def _profile(path: Path) -> str | None:
    return converted_profile(path) if Image.reads(path) else None


def _folder_of_file(graph: Graph, paths: PortablePaths) -> str:
    """The folder of the file that the last node of a graph writes; "" if that is the first one."""
    files = (path for _, path in target_files(graph.nodes[-1])) if graph.nodes else iter(())
    texts = [paths.path(path, is_target=True) for path in files]
    parent = PurePosixPath(texts[0]).parent.as_posix() if texts else "."
    return "" if parent == "." else parent


def hash_source_files(graph: Graph) -> dict[Path, str]:
    """The sha256 of each file that a graph reads, as it is now; unreadable files are left out."""
    hashes = {}
    for node in graph.nodes:
        for _, path in source_files(node):
            try:
                hashes[path] = file_sha256(path)
            except OSError:
                continue
    return hashes


def list_checkpoints(
    graph: Graph,
    weights: Mapping[Part, Files] | None = None,
    paths: PortablePaths | None = None,
) -> Iterator[dict[str, Any]]:
    """The checkpoints that a graph's nodes load from, each with the sha256 of the files used.

    Args:
        graph: The nodes.
        weights: The files of components, with hashes that are known already.
        paths: How the paths of checkpoints are written.
    """
    paths = paths or PortablePaths(graph)
    entries: dict[Any, dict[str, Any]] = {}
    with memoized_scope():
        for node in graph.nodes:
            for checkpoint, files in _weights(node, weights or {}):
                data = paths.checkpoint(checkpoint)
                entry = entries.setdefault(
                    checkpoint, {"source": data} if isinstance(data, str) else dict(data)
                )
                if isinstance(checkpoint, Lora):
                    entry["adapter"] = True
                root = resolve(checkpoint).root
                if root is not None and root.parent.name == "snapshots":
                    entry["commit"] = root.name  # the hub cache names the folder after the commit
                entry.setdefault("files", {}).update(files)
    yield from entries.values()


def _weights(
    node: Node[Any], weights: Mapping[Part, Files]
) -> Iterator[tuple[Any, dict[str, str]]]:
    """The checkpoint of each component a node uses, with the component's files."""
    if "models" not in type(node).definition.services or has_computed_checkpoint(node):
        return
    try:
        for part in parts_of(node).values():
            resolved = resolve_part(part)
            files = weights.get(part) or resolved.hashed_files
            yield part.checkpoint, {resolved.file_name(path): sha for path, sha in files}
    except (CheckpointError, OSError):
        return  # the files have been removed since they were loaded


def installed_versions() -> dict[str, str]:
    """The versions of the installed packages that the pixels depend on."""
    return {name: here for name in RECORDED_LIBRARIES if (here := installed_version(name))}


def read_record(path: Path) -> ProvenanceRecord:
    """The record in a saved file or in its sidecar.

    Args:
        path: A picture or video that sdgraph saved.

    Raises:
        MediaError: The file cannot be read or has no record.
    """
    text = read_provenance(path)
    try:
        return ProvenanceRecord.parse(text or "null")
    except (ValueError, RecursionError):
        raise MediaError(_without_record(path)) from None


_OTHER_PROGRAMS = {
    "ComfyUI": (
        "write its graph as YAML with the node types that `sdgraph nodes` lists: Text2Image has "
        "the fields of KSampler (steps, guidance, seed, scheduler) and of both prompts"
    ),
    "A1111": (
        "write its settings as a workflow (`sdgraph show text --yaml` prints one): Text2Image has "
        "prompt, negative_prompt, steps, guidance (CFG scale), seed and scheduler (sampler)"
    ),
    "InvokeAI": (
        "write its settings as a workflow (`sdgraph show text --yaml` prints one): Text2Image has "
        "prompt, negative_prompt, steps, guidance (cfg_scale), seed and scheduler"
    ),
}
"""What to do with files of other programs, which say in their own ways how they were made."""


def _without_record(path: Path) -> Problem:
    """The problem of a picture or video that has no record of sdgraph."""
    wanted = "a picture or video saved by sdgraph"
    if (program := foreign_program(path)) is not None:
        found = f"a file of {program}, whose record is not one of sdgraph"
        return Problem(str(path), found, wanted, _OTHER_PROGRAMS[program])
    found = "no record of how it was made (an editor or a web site may have removed it)"
    return Problem(str(path), found, wanted)
