"""The JSON Schema of workflow files agrees with the engine on what is right and what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sdgraph.cli.node_docs import document_node
from sdgraph.errors import InvalidWorkflowError
from sdgraph.graph import Registry, installed_registry
from sdgraph.language import node_schema, shipped_workflows, workflow_from_yaml, workflow_schema
from tests.support import cli_nodes

TOYS = Registry({}).with_file(Path(cli_nodes.__file__))

RIGHT = [
    "nodes: {a: {type: ToySquare}}",
    "nodes: {a: {type: ToySquare, size: 64, points: [[1, 2.5]], mode: round}}",
    """
    name: all
    description: of it
    inputs:
      grey: 40
      size: {type: int, description: its side}
      x: {type: float, default: 1}
      words: {type: str, default: $5}
    nodes:
      a: {type: ToySquare, grey: $inputs.grey, size: $inputs.size, points: [[$inputs.x, 2]]}
      b: {type: ToyEdges, image: $a, mask: null}
      c: {type: ToyStack, images: [$a, $b], title: $inputs.words}
      d: {type: ToySave, image: $c, path: out.png}
    output: $c
    """,
    "nodes: {a: {type: ToyModel, checkpoint: tiny/inpaint}}",
    "nodes: {a: {type: ToyModel, checkpoint: {source: tiny/inpaint}}}",
    "nodes: {a: {type: ToySquare}, b: {type: ToyStack, images: [$a], title: costs $5}}",
    "inputs: null\nnodes: {größe: {type: ToySquare}, b: {type: ToyEdges, image: $größe}}",
]

WRONG = {
    "no nodes": "name: x",
    "empty nodes": "nodes: {}",
    "an unknown key": "nodes: {a: {type: ToySquare}}\nnode: {}",
    "no type": "nodes: {a: {size: 3}}",
    "an unknown type": "nodes: {a: {type: ToySquar}}",
    "an unknown field": "nodes: {a: {type: ToySquare, sise: 3}}",
    "a field of another type": "nodes: {a: {type: ToySquare, low: 3}}",
    "a text for a number": "nodes: {a: {type: ToySquare, size: '3'}}",
    "a fraction for a whole number": "nodes: {a: {type: ToySquare, size: 3.5}}",
    "a number out of bounds": "nodes: {a: {type: ToySquare, grey: 256}}",
    "an unknown word": "nodes: {a: {type: ToySquare, mode: oval}}",
    "too many items": "nodes: {a: {type: ToySquare, points: [[1,1],[1,1],[1,1],[1,1],[1,1]]}}",
    "a wrong item": "nodes: {a: {type: ToySquare, points: [[1, x]]}}",
    "a pair of three": "nodes: {a: {type: ToySquare, points: [[1, 2, 3]]}}",
    "a port left open": "nodes: {a: {type: ToyEdges}}",
    "a file for a port": "nodes: {a: {type: ToyEdges, image: photo.png}}",
    "a dotted reference": "nodes: {a: {type: ToySquare}, b: {type: ToyEdges, image: $a.image}}",
    "a node for a parameter": "nodes: {a: {type: ToyRead, path: $a}}",
    "one wire for a list": "nodes: {a: {type: ToySquare}, b: {type: ToyStack, images: $a}}",
    "a name with a dash": "nodes: {a-b: {type: ToySquare}}",
    "the name inputs": "nodes: {inputs: {type: ToySquare}}",
    "an unknown input type": "inputs: {x: {type: Integer}}\nnodes: {a: {type: ToySquare}}",
    "an input without type": "inputs: {x: {description: y}}\nnodes: {a: {type: ToySquare}}",
    "an input's wrong default": "inputs: {x: {type: int, default: a}}\n"
    "nodes: {a: {type: ToySquare}}",
    "an input's unknown key": "inputs: {x: {type: int, min: 1}}\nnodes: {a: {type: ToySquare}}",
    "an output that is no reference": "nodes: {a: {type: ToySquare}}\noutput: a",
    "a workflow without path": "nodes: {a: {type: Workflow}}",
}


@pytest.fixture(scope="module")
def validator() -> Any:
    return jsonschema.Draft7Validator(workflow_schema(TOYS))


def engine_takes(text: str) -> bool:
    try:
        return not workflow_from_yaml(text, registry=TOYS).problems()
    except InvalidWorkflowError:
        return False


@pytest.mark.parametrize("text", RIGHT)
def test_what_the_engine_takes_fits_the_schema(validator: Any, text: str) -> None:
    assert engine_takes(text)
    assert [error.message for error in validator.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_what_the_schema_refuses_the_engine_refuses_too(validator: Any, text: str) -> None:
    assert not validator.is_valid(yaml.safe_load(text))
    assert not engine_takes(text)


def test_a_sub_workflow_takes_a_path_and_any_inputs(validator: Any) -> None:
    nodes = {"a": {"type": "Workflow", "path": "inner.yaml", "size": 3, "image": "$b"}}
    assert validator.is_valid({"nodes": nodes})
    assert not validator.is_valid({"nodes": {"a": {"type": "Workflow", "path": "$inputs.x"}}})


def test_the_schema_is_valid_draft_07_and_json() -> None:
    schema = workflow_schema(installed_registry())
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert json.loads(json.dumps(schema, allow_nan=False)) == schema


def test_every_shipped_workflow_fits_the_schema() -> None:
    check = jsonschema.Draft7Validator(workflow_schema(installed_registry()))
    for name, path in shipped_workflows().items():
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert [(name, error.message) for error in check.iter_errors(data)] == []


def test_a_wrong_field_is_named_and_not_every_other_type(validator: Any) -> None:
    (error,) = validator.iter_errors({"nodes": {"a": {"type": "ToySquare", "sise": 3}}})
    assert "'sise' was unexpected" in error.message
    assert list(error.absolute_path) == ["nodes", "a"]


def test_fields_carry_descriptions_defaults_bounds_and_words() -> None:
    definitions = workflow_schema(TOYS)["definitions"]
    square = definitions["type.ToySquare"]["properties"]
    assert square["type"] == {"const": "ToySquare"}
    assert square["size"]["description"] == "its side in pixels"
    assert square["size"]["default"] == 8
    assert square["size"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 64}
    assert square["mode"]["anyOf"][0]["enum"] == ["flat", "round"]
    edges = definitions["type.ToyEdges"]["properties"]
    assert edges["image"]["description"] == "an Image: what to look at"
    assert edges["mask"]["description"] == "a Mask"


def test_a_default_checkpoint_stands_in_the_schema_as_one_writes_it() -> None:
    assert node_schema(TOYS["ToyModel"])["properties"]["checkpoint"]["default"] == "tiny/inpaint"


def test_the_node_type_is_completed_with_its_summary() -> None:
    kind = workflow_schema(TOYS)["definitions"]["node"]["properties"]["type"]
    descriptions = dict(zip(kind["enum"], kind["markdownEnumDescriptions"], strict=True))
    assert descriptions["ToySquare"] == "A square of one grey."
    assert "Workflow" in descriptions


@pytest.mark.parametrize("name", sorted({**installed_registry(), **TOYS}))
def test_the_documented_example_of_every_node_fits_its_schema(name: str) -> None:
    registry = {**installed_registry(), **TOYS}
    data = {"nodes": yaml.safe_load(document_node(registry[name]).example)}
    check = jsonschema.Draft7Validator(workflow_schema({name: registry[name]}))
    assert [error.message for error in check.iter_errors(data)] == []
