"""What a workflow file says before its inputs are known: names, inputs, node specifications."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem, did_you_mean, in_file_order
from sdgraph.files import expand_home
from sdgraph.graph import describe, one_of

from .inputs import LOADERS, Input, declared
from .yaml_document import Document, places, read

KEYS = ("name", "description", "inputs", "nodes", "output")

REFERENCE = re.compile(r"\$(?:(inputs)\.)?([^\W\d]\w*)\Z")
"""`$name` or `$inputs.name`, and nothing else in the string."""


@dataclass(frozen=True)
class Reference:
    """A string that is wholly a reference: to a node, or to an input."""

    name: str
    to_input: bool

    def __str__(self) -> str:
        return f"$inputs.{self.name}" if self.to_input else f"${self.name}"


def reference(value: Any) -> Reference | None:
    """The reference a value is, or None: "costs $5" and "$$x" are only text."""
    if not isinstance(value, str) or not value.startswith("$"):
        return None
    match = REFERENCE.match(value)
    return Reference(match[2], bool(match[1])) if match and match[2].isidentifier() else None


def unescaped(text: str) -> str:
    """`$$x` is the text `$x`; every other text is itself."""
    return text[1:] if text.startswith("$$") else text


def escaped(text: str) -> str:
    """The text as it must be written so that it is read back as itself."""
    return f"${text}" if text.startswith("$$") or reference(text) else text


@dataclass(frozen=True)
class Spec:
    """One entry under `nodes`: a type and its fields as written."""

    name: str
    type: str
    fields: Mapping[str, Any]
    cache: bool = True
    """Whether its result may be remembered and reused."""

    def references(self) -> Iterator[str]:
        """The names of the nodes it refers to, as often as it does."""
        for value in self.fields.values():
            if type(value) is str:
                if (found := reference(value)) and not found.to_input:
                    yield found.name
            elif isinstance(value, list | dict):
                for _, inner in places(value):
                    if (found := reference(inner)) and not found.to_input:
                        yield found.name


@dataclass(frozen=True)
class Template:
    """A workflow as written."""

    name: str
    description: str
    inputs: Mapping[str, Input]
    specs: Mapping[str, Spec]
    output: str | None
    document: Document
    folder: Path
    """What relative paths in the file are relative to."""
    out: Path | None = None
    """What relative paths of files to write are relative to, if not `folder`."""

    def role_of(self, name: str) -> str:
        """Whether an input holds a path, as the role of a field: "source" or ""."""
        declared = self.inputs.get(name)
        return "source" if declared and declared.type in ("Path", *LOADERS) else ""


def read_template(path: Path) -> Template:
    """The template in a file; raises InvalidWorkflowError with every problem found."""
    return template(read(path), path.resolve().parent)


def template(document: Document, folder: Path) -> Template:
    """The template in a document; raises InvalidWorkflowError with every problem found."""
    problems: list[Problem] = []
    data = document.data
    if not isinstance(data, dict):
        found = "an empty file" if data is None else describe(data)
        problem = Problem("workflow", found, "a map with `nodes:`", at=document.mark())
        raise InvalidWorkflowError([problem])
    for key in data:
        if key not in KEYS:
            at = document.key_mark(key)
            problems.append(
                Problem(key, f"a key {key!r}", one_of(KEYS), did_you_mean(key, KEYS), at)
            )
    for key in ("name", "description"):
        if not isinstance(data.get(key, ""), str):
            at = document.mark(key)
            fix = "" if isinstance(data[key], list | dict) else "quote it"
            problems.append(Problem(key, describe(data[key]), "text", fix, at))
    inputs = declared(document, problems)
    specs = _specs(document, problems)
    output = _output(document, specs, problems)
    if problems:
        raise InvalidWorkflowError(in_file_order(problems))
    name = data.get("name") or Path(document.file).stem
    return Template(name, data.get("description", ""), inputs, specs, output, document, folder)


def reading_order(specs: Mapping[str, Spec]) -> tuple[list[str], list[list[str]]]:
    """The names, each after those it refers to, and the cycles that are in the way of it.

    A cycle is a path of names that ends where it begins.
    """
    reads = {name: sorted(specs.keys() & set(spec.references())) for name, spec in specs.items()}
    order: dict[str, None] = {}
    cycles: list[list[str]] = []
    for start in specs:
        path = {start: iter(reads[start])}
        while path:
            name = next(reversed(path))
            following = next((each for each in path[name] if each not in order), None)
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


def _specs(document: Document, problems: list[Problem]) -> dict[str, Spec]:
    raw = document.data.get("nodes")
    if not isinstance(raw, dict) or not raw:
        found = "no nodes" if raw is None or raw == {} else describe(raw)
        wanted = "a map of named nodes"
        fix = "write nodes: {photo: {type: LoadImage, path: photo.png}}"
        problems.append(Problem("nodes", found, wanted, fix, document.mark("nodes")))
        return {}
    specs = {}
    for name, fields in raw.items():
        at = document.mark("nodes", name)
        if not name.isidentifier() or name == "inputs":
            wanted = "letters, digits and _ (and not `inputs`)"
            key = document.key_mark("nodes", name)
            problems.append(Problem(f"nodes.{name}", f"the name {name!r}", wanted, at=key))
        elif not isinstance(fields, dict):
            wanted = "a map with its type and fields"
            fix = f"write {name}: {{type: …}}"
            problems.append(Problem(name, describe(fields), wanted, fix, at))
        elif not isinstance(fields.get("type"), str):
            found = describe(fields["type"]) if "type" in fields else "no type"
            fix = "`sdgraph nodes` lists the types"
            problems.append(Problem(name, found, "type: the name of a node type", fix, at))
        elif not isinstance(fields.get("cache", True), bool):
            at = document.mark("nodes", name, "cache")
            wanted = "true, or false for a node that is to run every time"
            problems.append(Problem(f"{name}.cache", describe(fields["cache"]), wanted, at=at))
        else:
            rest = {key: value for key, value in fields.items() if key not in ("type", "cache")}
            specs[name] = Spec(name, fields["type"], rest, fields.get("cache", True))
    return specs


def _output(document: Document, specs: Mapping[str, Spec], problems: list[Problem]) -> str | None:
    raw = document.data.get("output")
    if raw is None:
        return None
    found = reference(raw)
    if found is None or found.to_input or found.name not in specs:
        fix = did_you_mean(str(raw).lstrip("$"), specs)
        at = document.mark("output")
        problems.append(Problem("output", describe(raw), "$name of a node", fix, at))
        return None
    return found.name


def place_in(subject: str, fields: Mapping[str, Any]) -> list[str | int]:
    """A problem's subject as a place in a node's fields: "terms.2" is the third of `terms`.

    A step that is no number is a key of a map.
    """
    if not subject or subject in fields:
        return [subject] if subject else []
    name, *rest = subject.split(".")
    return [name, *(int(step) if step.isdecimal() else step for step in rest)]


def value_at(fields: Any, place: list[str | int]) -> Any:
    """What stands at a place in a node's fields, or None."""
    found = fields
    for step in place:
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, list | tuple) and isinstance(step, int) and step < len(found):
            found = found[step]
        else:
            return None
    return found


def rebased(value: Any, folder: Path) -> Any:
    """A checkpoint whose source is a path (./x, ../x, ~/x) with that path made whole."""
    if isinstance(value, str) and value.startswith(("./", "../", "~")):
        return str((folder / expand_home(value)).resolve())
    if isinstance(value, dict) and isinstance(value.get("source"), str):
        return {**value, "source": rebased(value["source"], folder)}
    if isinstance(value, list):
        return [rebased(each, folder) for each in value]
    return value
