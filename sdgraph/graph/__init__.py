"""Nodes and their ports, the registry of node types, and the DAG that nodes make."""

from .dag import (
    Graph,
    Marks,
    Origin,
    Origins,
    default_targets,
    late_checkpoint,
    missing_file,
    named,
    parts_of,
    plain_name,
    source_files,
)
from .node import In, Node, Progress, SourceFile, TargetFile, ancestry, refuse
from .node_index import node_modules
from .ports import REFERENCE, Lazy, Port, a
from .registry import Registry, installed, library_module, type_name
from .stage import Stage
from .validation import describe, one_of

__all__ = [
    "REFERENCE",
    "Graph",
    "In",
    "Lazy",
    "Marks",
    "Node",
    "Origin",
    "Origins",
    "Port",
    "Progress",
    "Registry",
    "SourceFile",
    "Stage",
    "TargetFile",
    "a",
    "ancestry",
    "default_targets",
    "describe",
    "installed",
    "late_checkpoint",
    "library_module",
    "missing_file",
    "named",
    "node_modules",
    "one_of",
    "parts_of",
    "plain_name",
    "refuse",
    "source_files",
    "type_name",
]
