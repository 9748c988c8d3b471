"""The JSON Schema of workflow files, made from the node classes. Torch-free.

It is draft-07, which editors (yaml-language-server) support best. A node's `type` decides which
fields it has; every value may also be `$inputs.name`, at any depth, as in the engine. The schema
does not check what depends on the whole graph (whether `$photo` makes an Image); `sdgraph validate`
does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import to_jsonable_python

from sdgraph.graph import REFERENCE_PATTERN, Node, Registry
from sdgraph.values import Checkpoint

from .inputs import INPUT_TYPES, RESERVED_NAMES
from .template import FORMAT_VERSION

JsonSchema = dict[str, Any]

_NAME = "[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*"
_INPUT = {"$ref": "#/definitions/input"}
_REFERENCE = rf"^\$(inputs\.)?{_NAME}$"
_CACHE = {
    "type": "boolean",
    "description": "true: its result is always kept on disk; false: it runs every time, and its "
    "result is neither remembered nor reused",
}
_NOTES = ("description", "default", "examples")
"""Keys that describe a field in all its forms."""


def workflow_schema(registry: Mapping[str, type[Node[Any]]]) -> JsonSchema:
    """The JSON Schema (draft-07) of workflow files.

    Args:
        registry: The node types that a file may use, by name.

    Returns:
        The schema as plain data.

    Example:
        >>> from sdgraph.graph import installed_registry
        >>> workflow_schema(installed_registry())["required"]
        ['nodes']
    """
    types = sorted(registry)
    pack_kinds = registry.pack_kinds if isinstance(registry, Registry) else {}
    definitions: JsonSchema = {
        "input": {
            "type": "string",
            "pattern": rf"^\$inputs\.{_NAME}$",
            "description": "the value of a declared input: $inputs.name",
        },
        "declaration": _declaration(pack_kinds),
        "node": _any_node(registry, types),
        "type.Workflow": _sub_workflow(),
    }
    for name in types:
        own, nested = _node(name, registry[name])
        definitions[f"type.{name}"] = own
        definitions.update(nested)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A workflow of sdgraph",
        **_top(),
        "definitions": definitions,
    }


def node_schema(cls: type[Node[Any]]) -> JsonSchema:
    """The JSON Schema of a node's own fields, as pydantic sees them; `$defs` for nested models."""
    schema = cls.model_json_schema(schema_generator=_Generator)
    properties = schema.get("properties", {})
    schema["properties"] = {name: dict(field) for name, field in properties.items()}
    for field in schema["properties"].values():
        field.pop("title", None)
    return schema


class _Generator(GenerateJsonSchema):
    """pydantic's generator, which can also write defaults that are values of sdgraph."""

    def encode_default(self, dft: Any) -> Any:
        return to_jsonable_python(dft, fallback=_as_data)


def _as_data(value: Any) -> Any:
    return value.as_data() if isinstance(value, Checkpoint) else repr(value)


def _top() -> JsonSchema:
    return {
        "type": "object",
        "required": ["nodes"],
        "additionalProperties": False,
        "properties": {
            "sdgraph": {
                "type": "integer",
                "minimum": 1,
                "maximum": FORMAT_VERSION,
                "description": "the version of the format of this file",
            },
            "name": {"type": "string", "description": "what the workflow is called"},
            "description": {"type": "string", "description": "what it does, in a sentence"},
            "inputs": {
                "type": ["object", "null"],
                "description": "what a user may set: sdgraph run FILE name=value",
                "propertyNames": {"pattern": f"^{_NAME}$", "not": {"enum": list(RESERVED_NAMES)}},
                "additionalProperties": {"$ref": "#/definitions/declaration"},
            },
            "nodes": {
                "type": "object",
                "description": "the nodes by name; $name elsewhere is what the node makes",
                "minProperties": 1,
                "propertyNames": {"pattern": f"^{_NAME}$", "not": {"const": "inputs"}},
                "additionalProperties": {"$ref": "#/definitions/node"},
            },
            "output": {
                "type": ["string", "null"],
                "pattern": rf"^\${_NAME}$",
                "description": "the node ($name) whose value this workflow has inside another one",
            },
        },
    }


def _declaration(pack_kinds: Iterable[str]) -> JsonSchema:
    """The declaration of an input: only a default, or a map with a default of its type."""
    json_types = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
    matching_defaults = [
        {
            "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
            "then": {"properties": {"default": {"type": json_type}}},
        }
        for kind, json_type in {**json_types, "Path": "string"}.items()
    ]
    full = {
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["type"]}, {"required": ["default"]}],
        "properties": {
            "type": {
                "enum": [*INPUT_TYPES, *pack_kinds],
                "description": "what kind of value it takes",
            },
            "default": {
                "description": "its value if none is set; without a default one must be set"
            },
            "description": {"type": "string"},
        },
        "allOf": matching_defaults,
    }
    return {"anyOf": [{"type": ["string", "number", "boolean"]}, full]}


def _any_node(registry: Mapping[str, type[Node[Any]]], types: list[str]) -> JsonSchema:
    """The schema of a node of any type: its `type` decides which schema applies.

    It uses if/then and not oneOf, so that an editor points at the wrong field instead of listing
    all other types.
    """
    every = [*types, "Workflow"]
    summaries = [_first_line(registry[name]) for name in types]
    return {
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {
                "type": "string",
                "description": "the node type; `sdgraph nodes` lists them",
                "enum": every,
                "markdownEnumDescriptions": [*summaries, "Another workflow file as one node."],
            }
        },
        "allOf": [
            {
                "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
                "then": {"$ref": f"#/definitions/type.{name}"},
            }
            for name in every
        ],
    }


def _sub_workflow() -> JsonSchema:
    return {
        "type": "object",
        "description": "Another workflow file as one node: its path, and values for its inputs.",
        "required": ["type", "path"],
        "properties": {
            "type": {"const": "Workflow"},
            "cache": _CACHE,
            "path": {
                "type": "string",
                "description": "the workflow file, relative to this one",
                "not": {"pattern": _REFERENCE},
            },
        },
        "additionalProperties": True,
    }


def _node(name: str, cls: type[Node[Any]]) -> tuple[JsonSchema, JsonSchema]:
    """The schema of a node of one type, and the definitions that it refers to."""
    schema = node_schema(cls)
    fields = {}
    for field, field_schema in schema["properties"].items():
        port = cls.definition.ports.get(field)
        written = _field(field_schema, name, is_port=port is not None)
        if port is not None:
            text = getattr(cls.model_fields[field], "description", None)
            written["description"] = f"{port.kind}: {text}" if text else port.kind
        fields[field] = written
    own: JsonSchema = {
        "type": "object",
        "description": schema.get("description", ""),
        "required": ["type", *schema.get("required", ())],
        "additionalProperties": False,
        "properties": {"type": {"const": name}, "cache": _CACHE, **fields},
    }
    nested = {
        f"{name}.{key}": _to_draft7(definition, name, is_port=False)
        for key, definition in schema.get("$defs", {}).items()
    }
    return own, nested


def _field(schema: JsonSchema, name: str, *, is_port: bool) -> JsonSchema:
    """The schema of a value that may be written in the file or be `$inputs.name`."""
    inner = _to_draft7(schema, name, is_port=is_port)
    notes = {key: inner.pop(key) for key in _NOTES if key in inner and not _is_reference(inner)}
    if _is_reference(inner):  # a port's own pattern covers inputs
        return {**inner, **notes}
    forms = inner["anyOf"] if set(inner) == {"anyOf"} else [inner]
    if any(map(_is_reference, forms)) or inner == {}:
        return {**inner, **notes}
    return {**notes, "anyOf": [*forms, _INPUT]}


def _is_reference(schema: JsonSchema) -> bool:
    return schema.get("pattern") == _REFERENCE


def _to_draft7(schema: JsonSchema, name: str, *, is_port: bool) -> JsonSchema:
    """The schema in draft-07, where `$inputs.name` may replace a value at any depth."""
    draft7 = {key: value for key, value in schema.items() if key != "title"}
    if "$ref" in draft7:
        return {"$ref": f"#/definitions/{name}.{draft7['$ref'].rpartition('/')[2]}"}
    if draft7.get("pattern") == REFERENCE_PATTERN:
        # The engine's references have no dots but the one after `inputs`.
        draft7["pattern"] = _REFERENCE
        draft7["patternErrorMessage"] = f"wanted {draft7.get('description', '$node')}"
    elif draft7.get("type") == "string" and not is_port and "enum" not in draft7:
        draft7["not"] = {"pattern": rf"^\${_NAME}$"}  # a parameter takes no node
    if "prefixItems" in draft7:
        draft7["items"] = [
            _field(item, name, is_port=is_port) for item in draft7.pop("prefixItems")
        ]
    elif isinstance(draft7.get("items"), dict):
        draft7["items"] = _field(draft7["items"], name, is_port=is_port)
    if isinstance(draft7.get("additionalProperties"), dict):
        draft7["additionalProperties"] = _field(
            draft7["additionalProperties"], name, is_port=is_port
        )
    if "properties" in draft7:
        draft7["properties"] = {
            key: _field(item, name, is_port=is_port) for key, item in draft7["properties"].items()
        }
    for key in ("anyOf", "oneOf", "allOf"):
        if key in draft7:
            draft7[key] = [_to_draft7(form, name, is_port=is_port) for form in draft7[key]]
    return draft7


def _first_line(cls: type[Node[Any]]) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]
