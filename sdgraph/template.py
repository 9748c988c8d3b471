"""What a workflow file says before its inputs are known: names, inputs, node specifications."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .document import Document, places, read
from .errors import InvalidWorkflow, Problem, did_you_mean
from .inputs import Input, declared
from .wording import describe

KEYS = ("name", "description", "inputs", "nodes", "output")

REFERENCE = re.compile(r"\$(?:(inputs)\.)?([A-Za-z_]\w*)\Z")
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
    return Reference(match[2], bool(match[1])) if match else None


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


def read_template(path: Path) -> Template:
    """The template in a file; raises InvalidWorkflow with every problem found."""
    return template(read(path), path.resolve().parent)


def template(document: Document, folder: Path) -> Template:
    """The template in a document; raises InvalidWorkflow with every problem found."""
    problems: list[Problem] = []
    data = document.data
    if not isinstance(data, dict):
        found = "an empty file" if data is None else describe(data)
        problem = Problem("workflow", found, "a map with `nodes:`", at=document.mark())
        raise InvalidWorkflow([problem])
    for key in data:
        if key not in KEYS:
            at = document.key_mark(key)
            listed = ", ".join(KEYS)
            problems.append(Problem(key, f"a key {key!r}", listed, did_you_mean(key, KEYS), at))
    for key in ("name", "description"):
        if not isinstance(data.get(key, ""), str):
            at = document.mark(key)
            problems.append(Problem(key, describe(data[key]), "text", "quote it", at))
    inputs = declared(document, problems)
    specs = _specs(document, problems)
    output = _output(document, specs, problems)
    if problems:
        raise InvalidWorkflow(problems)
    name = data.get("name") or Path(document.file).stem
    return Template(name, data.get("description", ""), inputs, specs, output, document, folder)


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
        else:
            rest = {key: value for key, value in fields.items() if key != "type"}
            specs[name] = Spec(name, fields["type"], rest)
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
