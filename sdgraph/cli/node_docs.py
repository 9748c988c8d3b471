"""The documentation of node classes as `sdgraph nodes` prints it, as text and as data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from typing import Any

from sdgraph.errors import InvalidError
from sdgraph.formatting import align_columns, snake_case
from sdgraph.graph import Node
from sdgraph.language import JsonSchema, NodePlaceholder, node_schema, parse_reference

_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
}
_NOT_TEXT = ("true", "false", "yes", "no", "on", "off", "y", "n", "null")
"""Words that YAML reads as something else than text."""


@dataclass(frozen=True)
class FieldDoc:
    """The documentation of one field of a node class."""

    name: str
    kind: str
    """What it accepts: "an Image", "a whole number from 0 to 255"."""
    required: bool
    default: Any
    description: str
    port: bool
    example: Any
    """A value that it accepts, as written in a workflow file."""

    @property
    def default_text(self) -> str:
        """The default, or whether the field is required or optional."""
        if self.required:
            return "required"
        return "optional" if self.default is None else f"default {_yaml(self.default)}"


@dataclass(frozen=True)
class NodeDoc:
    """The documentation of a node class."""

    name: str
    output: str
    category: str
    effect: bool
    doc: str
    fields: tuple[FieldDoc, ...]
    example_fields: Mapping[str, Any]
    """The fields of the example."""

    @property
    def example(self) -> str:
        """A line of YAML that makes such a node with only the fields that it needs."""
        fields = ", ".join(f"{name}: {_yaml(value)}" for name, value in self.example_fields.items())
        return f"{snake_case(self.name)}: {{type: {self.name}{', ' if fields else ''}{fields}}}"

    def as_data(self) -> dict[str, Any]:
        """The documentation as data for JSON."""
        fields = [
            {"name": f.name, "port": f.port, "kind": f.kind, "required": f.required}
            | ({} if f.required else {"default": f.default})
            | {"description": f.description}
            for f in self.fields
        ]
        return {
            "name": self.name,
            "output": self.output,
            "category": self.category,
            "effect": self.effect,
            "doc": self.doc,
            "fields": fields,
            "example": self.example,
        }

    def as_text(self) -> str:
        """The documentation as a page of text."""
        lines = [f"{self.name} → {self.output}   ({self.category})", ""]
        lines += self.doc.splitlines() or ["(not documented)"]
        if self.effect:
            lines += ["", "It has an effect beyond its value, so it always runs."]
        for title, is_port in (("Ports", True), ("Parameters", False)):
            rows = [
                (f.name, f.default_text, f"{f.kind}; {f.description}" if f.description else f.kind)
                for f in self.fields
                if f.port == is_port
            ]
            if rows:
                lines += ["", title, *(f"  {row}" for row in align_columns(rows))]
        return "\n".join([*lines, "", "Example", f"  {self.example}"])


def node_summary(cls: type[Node[Any]]) -> str:
    """The first line of a node class's documentation."""
    return (cls.__doc__ or "").strip().partition("\n")[0].rstrip()


def document_node(cls: type[Node[Any]], name: str = "") -> NodeDoc:
    """The documentation of a node class, from its docstring, fields and schema.

    Args:
        cls: A subclass of `Node`.
        name: Its name in workflow files; "" for that of the class.
    """
    schema = node_schema(cls)
    required = schema.get("required", ())
    fields = tuple(
        _field_doc(cls, name, form, name in required) for name, form in schema["properties"].items()
    )
    doc = cleandoc(cls.__doc__ or "")
    output = cls.definition.output.__name__
    example = _example_fields(cls, fields)
    return NodeDoc(name or cls.__name__, output, cls.category, cls.effect, doc, fields, example)


def _example_fields(cls: type[Node[Any]], fields: Sequence[FieldDoc]) -> dict[str, Any]:
    """The required fields, and one optional field if the class does not accept them alone."""
    required = {field.name: field.example for field in fields if field.required}
    optional = ({field.name: field.example} for field in fields if not field.required)
    for more in ({}, *optional):
        try:
            cls(
                **{name: _replace_references(value) for name, value in {**required, **more}.items()}
            )
        except InvalidError:
            continue
        return {**required, **more}
    return required


def _replace_references(value: Any) -> Any:
    """An example value in which each `$name` is replaced by a placeholder for a node."""
    if isinstance(value, list):
        return [_replace_references(item) for item in value]
    return NodePlaceholder(None) if parse_reference(value) else value


def _field_doc(cls: type[Node[Any]], name: str, schema: JsonSchema, required: bool) -> FieldDoc:
    port, targets = cls.definition.ports.get(name), cls.definition.targets
    description = cls.model_fields[name].description or ""
    forms = schema.get("anyOf", [schema])
    is_list = any(form.get("type") == "array" for form in forms)
    if port is not None:
        kind = f"a list, each {port.kind}" if is_list else port.kind
        example: Any = _example_wires(name, forms) if is_list else f"${name}"
    elif name in cls.definition.folders:
        kind, example = "a folder to read", name
    elif name in (*cls.definition.sources, *targets):
        what = "folder" if name in set(targets) - set(cls.definition.target_files) else "file"
        kind = f"a {what} to {'write' if name in targets else 'read'}"
        example = f"{name}.png"
    else:
        kind, example = describe_schema(schema), _example(schema)
    if "examples" in schema:
        example = schema["examples"][0]
    default = schema.get("default")
    return FieldDoc(name, kind, required, default, description, port is not None, example)


def _example_wires(name: str, forms: Sequence[JsonSchema]) -> list[str]:
    """References for a port that takes a list: as many as it needs at least."""
    least = max(form.get("minItems", 1) for form in forms)
    return [f"${name}", *(f"${name}_{number}" for number in range(2, least + 1))]


def describe_schema(schema: JsonSchema) -> str:
    """A JSON schema in words.

    Args:
        schema: The schema of a field.

    Example:
        >>> describe_schema({"type": "integer", "minimum": 0, "maximum": 255})
        'a whole number from 0 to 255'
    """
    if "anyOf" in schema:
        forms = [form for form in schema["anyOf"] if form.get("type") != "null"]
        return " or ".join(dict.fromkeys(map(describe_schema, forms)))
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type")
    words = _WORDS.get(str(kind), "a value")
    if kind == "array":
        if "prefixItems" in schema:
            return f"[{', '.join(map(describe_schema, schema['prefixItems']))}]"
        inner = describe_schema(schema.get("items", {}))
        count = _range(schema, "minItems", "maxItems", " items")
        return f"{words}{f' of{count},' if count else ','} each {inner}"
    return words + _range(schema, "minimum", "maximum", "")


def _range(schema: JsonSchema, low: str, high: str, unit: str) -> str:
    least, most = schema.get(low), schema.get(high)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    words = []
    if least is not None and most is not None:
        words = [f"from {least} to {most}{unit}" if least != most else f"{least}{unit}"]
    elif least is not None or most is not None:
        words = [f"at least {least}{unit}" if most is None else f"at most {most}{unit}"]
    words += [f"above {above}"] * (above is not None) + [f"below {below}"] * (below is not None)
    step = schema.get("multipleOf")
    words += [f"a multiple of {step}"] * (step is not None)
    return f" {', '.join(words)}" if words else ""


def _example(schema: JsonSchema) -> Any:
    """A value that fits a schema, for the example of a node."""
    form = schema.get("anyOf", [schema])[0]
    if "enum" in form:
        return form["enum"][0]
    if "const" in form:
        return form["const"]
    kind = form.get("type")
    if kind in ("integer", "number"):
        low = form.get("minimum", form.get("exclusiveMinimum", 0))
        return max(form.get("multipleOf", 1), low + ("exclusiveMinimum" in form))
    if kind == "array":
        inner = form.get("prefixItems") or [form.get("items", {})] * max(form.get("minItems", 1), 1)
        return [_example(item) for item in inner]
    return {"boolean": True, "null": None, "object": {}}.get(str(kind), "…")


def _yaml(value: Any) -> str:
    """A value as YAML on one line: like JSON, but plain words have no quotes."""
    plain = (
        isinstance(value, str)
        and value.removeprefix("$").replace(".", "_").isidentifier()
        and value.lower() not in _NOT_TEXT
    )
    if isinstance(value, list):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def group_by_category(
    registry: Mapping[str, type[Node[Any]]],
) -> dict[str, list[tuple[str, type[Node[Any]]]]]:
    """The node types by category, with their names in workflow files; both are sorted."""
    groups: dict[str, list[tuple[str, type[Node[Any]]]]] = {}
    for name in sorted(registry, key=lambda name: (registry[name].category, name)):
        groups.setdefault(registry[name].category, []).append((name, registry[name]))
    return groups
