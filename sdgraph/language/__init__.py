"""The workflow language: YAML files to graphs, graphs to YAML files, and their JSON Schema."""

from sdgraph.files import shipped_workflows

from .binding import bind_inputs
from .filename_patterns import escape_braces, slugify
from .input_use import unread_inputs
from .inputs import Input, input_problems
from .json_schema import JsonSchema, node_schema, workflow_schema
from .node_builder import BoundNodes, NodePlaceholder
from .references import Reference, parse_reference, walk_scalars
from .template import NodeSpec, WorkflowTemplate, nodes_that_read, with_absolute_source
from .workflow import Workflow, find_workflow, load_workflow, workflow_from_yaml
from .writer import to_yaml, write_workflow
from .written_paths import PortablePaths, workflows_folder
from .yaml_document import MAX_WORKFLOW_BYTES, looks_like_workflow, parse_document

__all__ = [
    "MAX_WORKFLOW_BYTES",
    "BoundNodes",
    "Input",
    "JsonSchema",
    "NodePlaceholder",
    "NodeSpec",
    "PortablePaths",
    "Reference",
    "Workflow",
    "WorkflowTemplate",
    "bind_inputs",
    "escape_braces",
    "find_workflow",
    "input_problems",
    "load_workflow",
    "looks_like_workflow",
    "node_schema",
    "nodes_that_read",
    "parse_document",
    "parse_reference",
    "shipped_workflows",
    "slugify",
    "to_yaml",
    "unread_inputs",
    "walk_scalars",
    "with_absolute_source",
    "workflow_from_yaml",
    "workflow_schema",
    "workflows_folder",
    "write_workflow",
]
