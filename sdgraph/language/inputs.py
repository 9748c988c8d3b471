"""The inputs that a workflow declares: their types, their defaults, and checks of their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from sdgraph.errors import MAX_PROBLEMS, UNLISTED, InvalidWorkflowError, Problem, did_you_mean
from sdgraph.graph import (
    DeferredValue,
    Port,
    describe_kind,
    describe_value,
    one_of,
    switch_fix,
    text_fix,
)
from sdgraph.values import Checkpoint, Series, Value, shipped_kinds

from .yaml_document import Document, parse_document
from .yaml_scalars import parse_scalar

SCALARS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}

Kind = type[Value]

KINDS: dict[str, Kind] = {
    name: kind
    for name, kind in shipped_kinds().items()
    if not issubclass(kind, Checkpoint | Series)
}
"""The kinds of value that ship; the value of such an input is a node, or the path of a file."""

INPUT_TYPES = (*SCALARS, "Path", "Checkpoint", *KINDS)
"""The types that an input may have, in addition to the kinds of the node packs in use."""

RESERVED_NAMES = ("only", "session", "on_event", "keep_going", "uncached", "zip", "overwrite")
"""Names of the parameters of `run`, `run_many` and `Workflow.graph`, which no input may have."""

MISSING = type("Missing", (), {"__repr__": lambda _: "MISSING"})()
"""The default of an input that needs a value."""


_LONGEST_NUMBER = 300


@dataclass(frozen=True)
class Input:
    """An input that a workflow declares.

    Args:
        name: Its name, as in `sdgraph run FILE name=value`.
        type: One of INPUT_TYPES, or a kind of a node pack.
        default: Its value if the user sets none; MISSING if the user must set one.
        description: What it is for.

    Example:
        >>> Input("seed", "int", default=0).problem("many")
        Problem(subject='seed', found="the text 'many'", wanted='a whole number', fix='', at=None)
    """

    name: str
    type: str
    default: Any = MISSING
    description: str = ""
    pack_kind: Kind | None = field(default=None, repr=False)
    """The class of its kind if a node pack defines it."""

    @property
    def kind(self) -> Kind | None:
        """The kind of its value; None for scalars, paths and checkpoints."""
        return self.pack_kind or KINDS.get(self.type)

    @property
    def loader(self) -> str | None:
        """The node type that loads its value from the path of a file; None if there is none."""
        return self.kind.loader if self.kind is not None else None

    @property
    def takes_path(self) -> bool:
        """Whether its value may be the path of a file."""
        return self.type == "Path" or self.loader is not None

    @property
    def required(self) -> bool:
        """Whether it has no default, so that it needs a value."""
        return self.default is MISSING

    def is_path(self, value: Any) -> bool:
        """Whether a value for this input is the path of a file."""
        return self.takes_path and isinstance(value, str | Path)

    def parse(self, text: str) -> Any:
        """The value that a text on the command line stands for.

        Raises ValueError with a message that says what is wanted.
        """
        if self.type == "bool":
            if text.lower() not in ("true", "false"):
                raise ValueError("true or false")
            return text.lower() == "true"
        if self.type in ("int", "float") and len(text) > _LONGEST_NUMBER:
            raise ValueError(f"a number of at most {_LONGEST_NUMBER} characters")
        if self.type == "int":
            value = parse_scalar(text)
            if type(value) is not int:
                raise ValueError("a whole number")
            return value
        if self.type == "float":
            value = parse_scalar(text)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError("a number")
            return float(value)
        if self.type == "Checkpoint" and text.lstrip().startswith("{"):
            return _parse_map(text)
        return text

    def problem(self, value: Any) -> Problem | None:
        """The problem with a value for this input; None if it is valid."""
        wanted = {
            "str": "text",
            "int": "a whole number",
            "float": "a finite number" if isinstance(value, float) else "a number",
            "bool": "true or false",
            "Path": "a path",
            "Checkpoint": "a checkpoint: a hub id, a folder or a map with source",
        }
        fits = {
            "str": isinstance(value, str),
            "int": type(value) is int,
            "float": type(value) is int or (type(value) is float and isfinite(value)),
            "bool": type(value) is bool,
            "Path": isinstance(value, str | Path),
            "Checkpoint": isinstance(value, str | Path | dict | Checkpoint),
        }
        if isinstance(value, DeferredValue):
            kind = kind_of_input(self)
            fits_wire = kind is None or Port((kind,)).takes(value.output)
            return (
                None
                if fits_wire
                else Problem(self.name, describe_value(value), describe_kind(kind))
            )
        if self.kind is not None:
            if self.is_path(value) or isinstance(value, self.kind):
                return None
            more = ", or the path of one" if self.loader else ""
            return Problem(self.name, describe_value(value), f"{self.kind.label}{more}")
        if fits[self.type]:
            return None
        fixes = {"bool": switch_fix, "str": text_fix}
        fix = fixes[self.type](value) if self.type in fixes else ""
        return Problem(self.name, describe_value(value), wanted[self.type], fix)


def _parse_map(text: str) -> Any:
    """The map that a text such as {source: a/b, variant: fp16} stands for."""
    try:
        return parse_document(f"map: {text}").data["map"]
    except InvalidWorkflowError as error:
        found = error.problems[0].found
        raise ValueError(f"a map such as {{source: a/b, variant: fp16}} ({found})") from None


def kind_of_input(declared: Input) -> type | None:
    """The kind of value of an input; None if its type allows several, as that of a text does."""
    if declared.type == "str":
        return None
    return declared.kind or SCALARS.get(declared.type)


def read_declarations(
    document: Document, problems: list[Problem], pack_kinds: Mapping[str, Kind]
) -> dict[str, Input]:
    """The inputs that a workflow file declares.

    Args:
        document: The file.
        problems: The problems of wrong declarations are added here.
        pack_kinds: The kinds of value of the node packs in use, by the names they may have.
    """
    raw = document.data.get("inputs")
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        problems.append(
            Problem("inputs", describe_value(raw), "a map of names", at=document.mark("inputs"))
        )
        return {}
    inputs = {}
    for name, declaration in raw.items():
        is_full = len(problems) >= MAX_PROBLEMS
        declared = _declare(name, declaration, pack_kinds, suggest=not is_full)
        if isinstance(declared, Problem) and is_full:
            problems.append(UNLISTED)
        elif isinstance(declared, Problem):
            at = document.mark("inputs", name)
            problems.append(declared.under("inputs", at))
        else:
            inputs[name] = declared
    return inputs


def _declare(
    name: str, raw: Any, pack_kinds: Mapping[str, Kind], *, suggest: bool
) -> Input | Problem:
    """The input of a declaration, or what is wrong with it, with the name that may be meant."""
    if not name.isidentifier():
        return Problem(name, f"the name {name!r}", "letters, digits and _", "rename the input")
    if name in RESERVED_NAMES:
        wanted = "a name that is not an argument of Python's `run`"
        return Problem(name, f"the name {name!r}", wanted, "rename the input")
    if not isinstance(raw, dict):
        kind = {str: "str", bool: "bool", int: "int", float: "float"}.get(type(raw))
        if kind is None:
            fix = f"write {name}: {{type: …, default: …}}"
            return Problem(name, describe_value(raw), "a default, or a map with type", fix)
        return Input(name, kind, raw)
    allowed = ("type", "default", "description")
    for key in raw:
        if key not in allowed:
            fix = did_you_mean(key, allowed) if suggest else ""
            return Problem(name, f"a key {key!r}", one_of(allowed), fix)
    default = raw.get("default", MISSING)
    kind = raw.get("type") or {str: "str", bool: "bool", int: "int", float: "float"}.get(
        type(default)
    )
    if not isinstance(kind, str) or (kind not in INPUT_TYPES and kind not in pack_kinds):
        return _unknown_type(name, kind, pack_kinds) if suggest else UNLISTED
    description = str(raw.get("description", ""))
    declared = Input(name, kind, default, description, pack_kinds.get(kind))
    problem = None if declared.required else declared.problem(default)
    return problem or declared


def _unknown_type(name: str, kind: Any, pack_kinds: Mapping[str, Kind]) -> Problem:
    found = "no type" if kind is None else f"the type {kind!r}"
    types = (*INPUT_TYPES, *(kind_name for kind_name in pack_kinds if "." not in kind_name))
    same = [kind_name for kind_name in pack_kinds if kind_name.endswith(f".{kind}")]
    fix = f"write {' or '.join(same)}" if same else did_you_mean(str(kind), types)
    return Problem(name, found, f"one of {', '.join(types)}", fix)


def input_problems(inputs: Mapping[str, Input], values: Mapping[str, Any]) -> list[Problem]:
    """The problems of values for inputs; their subject is `inputs.NAME`."""
    problems = []
    for name, value in values.items():
        if name not in inputs:
            listed = one_of(inputs) if inputs else "no inputs: it declares none"
            fix = did_you_mean(name, inputs)
            problems.append(Problem(f"inputs.{name}", f"an input {name!r}", listed, fix))
        elif problem := inputs[name].problem(value):
            problems.append(problem.under("inputs"))
    return problems
