"""Ports and file fields: the annotations of a node's fields."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from sdgraph.errors import InvalidValueError
from sdgraph.files import Existing, expand_home
from sdgraph.formatting import with_article
from sdgraph.values import Checkpoint, Value


class DeferredValue:
    """The base of nodes and placeholders: it stands for a value of the kind `output`."""

    __slots__ = ()

    output: ClassVar[type | None]
    """The kind, or None while it is not known."""


REFERENCE_PATTERN = r"^\$[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$"
"""The regular expression of a reference to a node or an input in a workflow file."""

_SCALARS: dict[type, Any] = {
    str: core_schema.str_schema(strict=True),
    int: core_schema.int_schema(strict=True),
    float: core_schema.float_schema(strict=True, allow_inf_nan=False),
    bool: core_schema.bool_schema(strict=True),
}


@dataclass(frozen=True)
class Port:
    """Marks a field as a port that takes any of `kinds`, as a literal or from a node."""

    kinds: tuple[type, ...]

    @property
    def kind(self) -> str:
        """The kinds in words, with an article: "an Image or a Mask"."""
        return " or ".join(describe_kind(kind) for kind in self.kinds)

    def takes(self, output: type | None) -> bool:
        """Whether a node with this output may be wired here; a float port also takes an int."""
        if output is None or output in self.kinds:
            return True
        if output in _SCALARS:
            return output is int and float in self.kinds
        return issubclass(output, self.kinds)

    def validate(self, value: Any) -> Any:
        """The literal or the node itself; raises PydanticCustomError for another kind."""
        if isinstance(value, DeferredValue):
            if self.takes(value.output):
                return value
            raise PydanticCustomError(
                "wire", "{kind}", {"kind": describe_kind(value.output), "wanted": self.kind}
            )
        for kind in self.kinds:
            if kind is Checkpoint and isinstance(value, str | dict | Path):
                try:
                    return Checkpoint.parse(value)
                except InvalidValueError as error:
                    raise _value_error(error) from None
            if kind is float and type(value) is float and not isfinite(value):
                raise PydanticCustomError("literal", "{wanted}", {"wanted": "a finite number"})
            if type(value) is kind or (kind not in _SCALARS and isinstance(value, kind)):
                return value
            if kind is float and type(value) is int:
                return float(value)
        raise PydanticCustomError("literal", "{wanted}", {"wanted": self.kind})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        reference = {
            "type": "string",
            "pattern": REFERENCE_PATTERN,
            "description": f"{self.kind}: $node",
        }
        literals = [handler(_SCALARS[kind]) for kind in self.kinds if kind in _SCALARS]
        if Checkpoint in self.kinds:
            literals.append({"type": ["string", "object"], "description": "a hub id or a folder"})
        return {"anyOf": [*literals, reference]} if literals else reference


def _value_error(error: InvalidValueError) -> PydanticCustomError:
    """The error of a checkpoint as pydantic's error of the field that holds the checkpoint."""
    problem = error.problems[0]
    part = problem.subject.rpartition(".")[2]
    found = f"{part}: {problem.found}"
    context = {"found": found, "wanted": problem.wanted, "fix": problem.fix}
    return PydanticCustomError("refused", "{found}", context)


@dataclass(frozen=True)
class FileField:
    """Marks a field as a path: of a file or folder to read, or of what is written ("target")."""

    role: Literal["source", "folder", "target"]
    is_folder: bool = False
    """Whether a target is a folder, in which the node does as it likes."""

    @property
    def kind(self) -> str:
        """What it holds, in words."""
        if self.role == "folder":
            return "the path of a folder to read"
        what = "folder" if self.is_folder else "file"
        return f"the path of a {what} to {'read' if self.role == 'source' else 'write'}"

    @staticmethod
    def validate(value: Any) -> Path:
        """The path, `~` expanded."""
        if not isinstance(value, str | Path) or not str(value):
            raise PydanticCustomError("literal", "{wanted}", {"wanted": "a path"})
        if "\0" in str(value):
            raise PydanticCustomError("literal", "{wanted}", {"wanted": "a path without NUL"})
        return expand_home(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> Any:
        what = "a folder" if self.role == "folder" else f"a file ({self.role})"
        if self.is_folder:
            what = "a folder (target)"
        return {"type": "string", "description": f"the path of {what}"}


SourceFile = Annotated[str | Path, FileField("source")]
"""The annotation of a field with the path of a file to read.

The file must exist when the graph is checked. The hash of its content is part of the key of the
result, so that the node runs again when the file has changed.
"""

SourceFolder = Annotated[str | Path, FileField("folder")]
"""The annotation of a field with the path of a folder whose files are read.

The folder must exist when the graph is checked. The names, sizes and times of the files in it are
part of the key of the result, so that the node runs again when one of them has changed.
"""

TargetFile = Annotated[str | Path, FileField("target")]
"""The annotation of a field with the path of a file to write.

A relative path in a workflow file is relative to the folder of that file, or to `--out`. Two nodes
of a graph may not write to the same path.

During a run, the field holds a temporary path with the same file name. When the node has finished,
what it wrote there is moved to the path that the field holds in the graph, or to a numbered one if
there is another file already (see `ExistingFile`). So the file is there completely or not at all,
and a path that the node returns is that of the moved file.
"""

TargetFolder = Annotated[str | Path, FileField("target", is_folder=True)]
"""The annotation of a field with the path of a folder to write into.

The node writes there itself, and decides what happens to a folder that is there already: a training
continues the training in it.
"""

ExistingFile = Annotated[
    Existing,
    Field(
        description="if there is a file: `number` replaces it only if the same node made it from "
        "the same inputs, and writes picture_0002.png otherwise; `replace` always replaces it; "
        "`refuse` is an error"
    ),
]
"""The annotation of the field `existing` of a node that writes files: `existing: ExistingFile =
"number"`. A node without the field numbers its files.

The field has no other name, and is not a part of the node's identity: what a node makes does not
depend on it.
"""


class In:
    """A port: `In[T]` takes a literal `T`, or any node whose output is a `T`."""

    def __class_getitem__(cls, kind: Any) -> Any:
        kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
        return Annotated[Any, Port(kinds)]


def lenient_schema(cls: type, source: Any, handler: GetCoreSchemaHandler) -> Any:
    """The pydantic core schema of a node class: its fields take lists and tuples alike."""
    return any_sequence(handler(source))


def any_sequence(schema: Any) -> Any:
    """A pydantic core schema whose lists and tuples take either; their items stay strict."""
    if isinstance(schema, dict):
        if schema.get("type") in ("list", "tuple"):
            schema["strict"] = False
        for inner in schema.values():
            any_sequence(inner)
    elif isinstance(schema, list):
        for inner in schema:
            any_sequence(inner)
    return schema


def is_nested_too_deep(annotation: Any, depth: int = 0) -> bool:
    """Whether an annotation has a port inside more than one list, where no node can be wired."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        ports = any(isinstance(mark, Port) for mark in annotation.__metadata__)
        return (ports and depth > 1) or is_nested_too_deep(inner[0], depth)
    if origin in (list, tuple, Sequence):
        depth += 1
    elif origin not in (Union, types.UnionType):
        depth += 2
    return any(is_nested_too_deep(argument, depth) for argument in inner)


def marks_in(annotation: Any, metadata: list[Any] | tuple[Any, ...] = ()) -> Iterator[Any]:
    """Every Port and FileField in an annotation, at any depth."""
    yield from (mark for mark in metadata if isinstance(mark, Port | FileField))
    if get_origin(annotation) is Annotated:
        yield from marks_in(get_args(annotation)[0], annotation.__metadata__)
    else:
        for inner in get_args(annotation):
            yield from marks_in(inner)


_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def describe_kind(kind: type | None) -> str:
    """A kind of value in words: "an Image", "a Mask", "text"."""
    if kind is None:
        return "a value"
    if kind in _WORDS:
        return _WORDS[kind]
    return kind.label if issubclass(kind, Value) else with_article(kind.__name__)
