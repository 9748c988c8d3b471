"""Nodes and their ports, the registry of node types, and the DAG that nodes make."""

from .class_state import code_state
from .counts import collect_values, expand_checked, find_copies, has_counts, nodes_of, with_copies
from .dag import (
    Graph,
    Marks,
    Origin,
    Origins,
    assign_names,
    default_targets,
    has_computed_checkpoint,
    has_known_parts,
    name_without_variant,
    needs_models,
    parts_of,
)
from .definition import EXISTING
from .device_checks import device_problems, likely_device_problems
from .existing_files import all_target_files, existing_rule, find_refused_files
from .frame_series import find_frame_nodes
from .node import In, Node, Progress, SourceFile, SourceFolder, TargetFile, ancestry
from .node_files import missing_file, missing_sources, source_files, source_folders, target_files
from .node_index import node_modules
from .parameters import to_plain
from .ports import (
    REFERENCE_PATTERN,
    DeferredValue,
    ExistingFile,
    Port,
    TargetFolder,
    describe_kind,
)
from .registry import Registry, installed_registry, library_module, type_name
from .source_tree import source_files_of
from .stage import Stage
from .validation import (
    describe_value,
    list_names,
    one_of,
    refuse,
    shorten_text,
    switch_fix,
    text_fix,
)

__all__ = [
    "EXISTING",
    "REFERENCE_PATTERN",
    "DeferredValue",
    "ExistingFile",
    "Graph",
    "In",
    "Marks",
    "Node",
    "Origin",
    "Origins",
    "Port",
    "Progress",
    "Registry",
    "SourceFile",
    "SourceFolder",
    "Stage",
    "TargetFile",
    "TargetFolder",
    "all_target_files",
    "ancestry",
    "assign_names",
    "code_state",
    "collect_values",
    "default_targets",
    "describe_kind",
    "describe_value",
    "device_problems",
    "existing_rule",
    "expand_checked",
    "find_copies",
    "find_frame_nodes",
    "find_refused_files",
    "has_computed_checkpoint",
    "has_counts",
    "has_known_parts",
    "installed_registry",
    "library_module",
    "likely_device_problems",
    "list_names",
    "missing_file",
    "missing_sources",
    "name_without_variant",
    "needs_models",
    "node_modules",
    "nodes_of",
    "one_of",
    "parts_of",
    "refuse",
    "shorten_text",
    "source_files",
    "source_files_of",
    "source_folders",
    "switch_fix",
    "target_files",
    "text_fix",
    "to_plain",
    "type_name",
    "with_copies",
]
