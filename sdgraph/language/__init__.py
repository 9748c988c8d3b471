"""The workflow language: YAML files to graphs, graphs to YAML files, and their JSON Schema."""

from .binding import bind
from .filename_patterns import braces_kept, slug
from .inputs import Input, given_problems
from .json_schema import Schema, node_schema, workflow_schema
from .node_builder import Bound, Unbuilt
from .template import Reference, Spec, Template, rebased, reference
from .workflow import Workflow, find, load_workflow, shipped, workflow_from_yaml
from .writer import resolved, to_yaml
from .yaml_document import places

__all__ = [
    "Bound",
    "Input",
    "Reference",
    "Schema",
    "Spec",
    "Template",
    "Unbuilt",
    "Workflow",
    "bind",
    "braces_kept",
    "find",
    "given_problems",
    "load_workflow",
    "node_schema",
    "places",
    "rebased",
    "reference",
    "resolved",
    "shipped",
    "slug",
    "to_yaml",
    "workflow_from_yaml",
    "workflow_schema",
]
