"""A workflow file before its inputs have values: its name, declared inputs and node entries."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sdgraph.errors import (
    MAX_PROBLEMS,
    UNLISTED,
    InvalidWorkflowError,
    Mark,
    Problem,
    did_you_mean,
    in_file_order,
)
from sdgraph.files import expand_home, is_there, resolve_path
from sdgraph.graph import Origin, describe_value, one_of, shorten_text
from sdgraph.models import source_for_field
from sdgraph.values import COMPONENTS, Value

from .comfyui_files import comfyui_problem, comfyui_problem_of_file
from .inputs import Input, read_declarations
from .references import parse_reference, walk_scalars
from .yaml_document import Document, read_document

WORKFLOW_KEYS = ("name", "description", "inputs", "nodes", "output", "sdgraph")

FORMAT_VERSION = 1
"""The version of the format of workflow files, which a file may name under `sdgraph`."""

MAX_NAME_LENGTH = 1000
"""How many letters the name of a node or an input may have."""

MAX_FIELDS = 1000
"""How many fields a node may have."""


@dataclass(frozen=True)
class NodeSpec:
    """One entry under `nodes`: the node's name, its type and its fields as they are written."""

    name: str
    type: str
    fields: Mapping[str, Any]
    cache: bool | None = None
    """Whether its result is never remembered (False) or always kept on disk (True)."""

    def references(self) -> list[str]:
        """The name of the node for each reference in the fields, also repeatedly."""
        references = (parse_reference(scalar) for _, scalar in walk_scalars(self.fields))
        return [found.name for found in references if found and not found.to_input]


@dataclass(frozen=True)
class WorkflowTemplate:
    """A workflow file as it is written."""

    name: str
    description: str
    inputs: Mapping[str, Input]
    specs: Mapping[str, NodeSpec]
    output: str | None
    document: Document
    folder: Path
    """The folder that relative paths in the file are relative to."""
    out: Path | None = None
    """The folder for the relative paths of files to write, if it is not `folder`."""
    pack_kinds: Mapping[str, type[Value]] = field(default_factory=dict)
    """The kinds of value of the node packs in use, which may be the types of inputs."""

    @cached_property
    def build_order(self) -> tuple[list[str], list[list[str]]]:
        """The names of the nodes in an order to build them, and the cycles among them."""
        return topological_order(self.specs)

    @cached_property
    def node_marks(self) -> dict[str, dict[str, Mark]]:
        """For each node its place in the file, under "", and those of its fields."""
        document = self.document
        return {
            name: {
                "": document.mark("nodes", name),
                **{field: document.mark("nodes", name, field) for field in spec.fields},
            }
            for name, spec in self.specs.items()
        }

    @cached_property
    def origins(self) -> dict[str, Origin]:
        """Each input, as it is kept with the fields that are read from it."""
        return {
            name: Origin(name, declared.type, declared.description)
            for name, declared in self.inputs.items()
        }

    def role_of(self, name: str) -> str:
        """The role "source" for an input that is the path of a file to read, else ""."""
        declared = self.inputs.get(name)
        return "source" if declared and declared.takes_path else ""


def read_template(path: Path, pack_kinds: Mapping[str, type[Value]]) -> WorkflowTemplate:
    """The template in a file; raises InvalidWorkflowError with every problem found."""
    try:
        document = read_document(path)
    except InvalidWorkflowError:
        if (foreign := comfyui_problem_of_file(path)) is not None:
            raise InvalidWorkflowError([foreign]) from None
        raise
    return parse_template(document, path.resolve().parent, pack_kinds)


def parse_template(
    document: Document, folder: Path, pack_kinds: Mapping[str, type[Value]]
) -> WorkflowTemplate:
    """The template in a document; raises InvalidWorkflowError with every problem found."""
    problems: list[Problem] = []
    data = document.data
    if not isinstance(data, dict):
        found = "an empty file" if data is None else describe_value(data)
        problem = Problem("workflow", found, "a map with `nodes:`", at=document.mark())
        raise InvalidWorkflowError([problem])
    if (foreign := comfyui_problem(document)) is not None:
        raise InvalidWorkflowError([foreign])
    if (version_problem := _version_problem(document)) is not None:
        # The rest of the file may be of a later version, too.
        raise InvalidWorkflowError([version_problem])
    for key in data:
        if key not in WORKFLOW_KEYS:
            is_full = len(problems) >= MAX_PROBLEMS
            problems.append(UNLISTED if is_full else _unknown_key(key, document))
    for key in ("name", "description"):
        if not isinstance(data.get(key, ""), str):
            at = document.mark(key)
            fix = "" if isinstance(data[key], list | dict) else "quote it"
            problems.append(Problem(key, describe_value(data[key]), "text", fix, at))
    inputs = read_declarations(document, problems, pack_kinds)
    specs = _specs(document, problems)
    output = _output(document, specs, problems)
    if problems:
        raise InvalidWorkflowError(in_file_order(problems))
    name = data.get("name") or Path(document.file).stem
    return WorkflowTemplate(
        name,
        data.get("description", ""),
        inputs,
        specs,
        output,
        document,
        folder,
        pack_kinds=pack_kinds,
    )


def _unknown_key(key: str, document: Document) -> Problem:
    wanted, fix = one_of(WORKFLOW_KEYS), did_you_mean(key, WORKFLOW_KEYS)
    found = f"a key {shorten_text(key)!r}"
    return Problem(shorten_text(key), found, wanted, fix, document.key_mark(key))


def _version_problem(document: Document) -> Problem | None:
    version = document.data.get("sdgraph", FORMAT_VERSION)
    if type(version) is int and 1 <= version <= FORMAT_VERSION:
        return None
    wanted = f"{FORMAT_VERSION}, the version of the format of workflow files"
    newer = type(version) is int and version > FORMAT_VERSION
    fix = "install a newer sdgraph" if newer else f"write sdgraph: {FORMAT_VERSION}"
    return Problem("sdgraph", describe_value(version), wanted, fix, document.mark("sdgraph"))


def topological_order(specs: Mapping[str, NodeSpec]) -> tuple[list[str], list[list[str]]]:
    """The names of the nodes, each after those it refers to; and the cycles among them.

    A cycle is a path of names that ends where it begins. Depth-first, without recursion.
    """
    reads = {name: sorted(specs.keys() & set(spec.references())) for name, spec in specs.items()}
    order: dict[str, None] = {}
    cycles: list[list[str]] = []
    for start in specs:
        path = {start: iter(reads[start])}
        while path:
            name = next(reversed(path))
            following = next((read for read in path[name] if read not in order), None)
            if following is None:
                del path[name]
                order[name] = None
            elif following in path:
                trail = [*path, following]
                cycles.append(trail[trail.index(following) :])
                order.update(dict.fromkeys(path))
                path.clear()
            else:
                path[following] = iter(reads[following])
    return list(order), cycles


def nodes_that_read(template: WorkflowTemplate, inputs: Container[str]) -> set[str]:
    """The names of the nodes that some inputs, or the number of a variant, may change.

    Others are the same for all values of these inputs. A sub-workflow and every text with braces,
    which may be a file's name with `{number}` in it, count as changed.

    Args:
        template: The workflow file.
        inputs: The names of the inputs.
    """
    changed: set[str] = set()
    for name in template.build_order[0]:
        spec = template.specs[name]
        scalars = [scalar for _, scalar in walk_scalars(spec.fields)]
        references = [found for found in map(parse_reference, scalars) if found]
        if (
            spec.type == "Workflow"
            or any(isinstance(scalar, str) and "{" in scalar for scalar in scalars)
            or any(found.name in (inputs if found.to_input else changed) for found in references)
        ):
            changed.add(name)
    return changed


def _specs(document: Document, problems: list[Problem]) -> dict[str, NodeSpec]:
    raw = document.data.get("nodes")
    if not isinstance(raw, dict) or not raw:
        found = "no nodes" if raw is None or raw == {} else describe_value(raw)
        wanted = "a map of named nodes"
        fix = "write nodes: {photo: {type: LoadImage, path: photo.png}}"
        problems.append(Problem("nodes", found, wanted, fix, document.mark("nodes")))
        return {}
    specs = {}
    for name, fields in raw.items():
        problem = _spec_problem(document, name, fields)
        if problem is not None:
            problems.append(UNLISTED if len(problems) >= MAX_PROBLEMS else problem)
        else:
            rest = {key: value for key, value in fields.items() if key not in ("type", "cache")}
            specs[name] = NodeSpec(name, fields["type"], rest, fields.get("cache"))
    return specs


def _spec_problem(document: Document, name: str, fields: Any) -> Problem | None:
    """What is wrong with an entry under `nodes`, before its type is looked at."""
    at = document.mark("nodes", name)
    if not name.isidentifier() or name == "inputs":
        wanted = "letters, digits and _ (and not `inputs`)"
        key = document.key_mark("nodes", name)
        shown = shorten_text(name)
        return Problem(f"nodes.{shown}", f"the name {shown!r}", wanted, at=key)
    if len(name) > MAX_NAME_LENGTH:
        found = f"a name of {len(name):,} letters"
        return Problem(shorten_text(name), found, f"at most {MAX_NAME_LENGTH}", at=at)
    if not isinstance(fields, dict):
        wanted = "a map with its type and fields"
        fix = f"write {name}: {{type: …}}"
        return Problem(name, describe_value(fields), wanted, fix, at)
    if not isinstance(fields.get("type"), str):
        found = describe_value(fields["type"]) if "type" in fields else "no type"
        fix = "`sdgraph nodes` lists the types"
        return Problem(name, found, "type: the name of a node type", fix, at)
    if len(fields) > MAX_FIELDS:
        wanted = f"at most {MAX_FIELDS:,}; no type has as many"
        return Problem(name, f"a node with {len(fields):,} fields", wanted, at=at)
    if not isinstance(fields.get("cache", True), bool):
        at = document.mark("nodes", name, "cache")
        wanted = "true for a result that is always kept, false for a node that runs every time"
        return Problem(f"{name}.cache", describe_value(fields["cache"]), wanted, at=at)
    return None


def _output(
    document: Document, specs: Mapping[str, NodeSpec], problems: list[Problem]
) -> str | None:
    raw = document.data.get("output")
    if raw is None:
        return None
    reference = parse_reference(raw)
    if reference is None or reference.to_input or reference.name not in specs:
        fix = did_you_mean(str(raw).lstrip("$"), specs)
        at = document.mark("output")
        problems.append(Problem("output", describe_value(raw), "$name of a node", fix, at))
        return None
    return reference.name


def place_of_subject(subject: str, fields: Mapping[str, Any]) -> list[str | int]:
    """The place in a node's fields that a problem's subject names: ["terms", 2] of "terms.2".

    A step that is not a number is a key of a map.
    """
    if not subject or subject in fields:
        return [subject] if subject else []
    name, *rest = subject.split(".")
    return [name, *(int(step) if step.isdecimal() else step for step in rest)]


def with_absolute_source(value: Any, folder: Path, field: str = "checkpoint") -> Any:
    """A checkpoint or a list of them; paths that are its source, config or parts are absolute.

    A source is a path if it begins with ./, ../ or ~, or if there is a file or folder of that name
    in `folder`. A name without a slash that is in the current folder only is a path in `folder`,
    too: a file never means what happens to be in the current folder.

    Args:
        value: What a workflow says.
        folder: The folder of the workflow.
        field: The node's field that has the value: the name of a file in the user's model folders
            is one of a file for that field.
    """
    if isinstance(value, str):
        if "\0" in value:
            return value
        value = source_for_field(value, field, folder)
        is_path = value.startswith(("./", "../", "~")) or _is_bare_path(value, folder)
        return str(resolve_path(folder / expand_home(value))) if is_path else value
    if isinstance(value, dict) and isinstance(value.get("source"), str):
        named = {name: field for name in ("source", "config") if name in value}
        if value.get("revision") is not None and not value["source"].startswith((".", "~")):
            named = {}  # on the hub, whatever is in the folder
        named |= {name: name for name in _INNER_CHECKPOINTS if name in value}
        absolute = {
            name: with_absolute_source(value[name], folder, use) for name, use in named.items()
        }
        return {**value, **absolute}
    if isinstance(value, list):
        return [with_absolute_source(item, folder, field) for item in value]
    return value


_INNER_CHECKPOINTS = (*COMPONENTS, "base")
"""The keys of a checkpoint's map that may be checkpoints themselves."""


def _is_bare_path(source: str, folder: Path) -> bool:
    """Whether a source without ./ names a file or folder, and not a checkpoint of the hub."""
    current = Path.cwd()
    is_elsewhere = source.startswith("tiny/") or Path(source).is_absolute()
    if folder == current or not source or is_elsewhere:
        return False
    return is_there(folder / source) or ("/" not in source and is_there(current / source))
