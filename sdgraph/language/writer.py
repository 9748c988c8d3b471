"""Graphs written as workflow files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from sdgraph.errors import InvalidWorkflowError, Problem
from sdgraph.graph import Graph, Node, describe, plain_name
from sdgraph.values import Checkpoint

from .filename_patterns import braces_kept
from .inputs import SCALARS, Input
from .restore_inputs import reopened
from .template import escaped


def to_yaml(*targets: Node[Any], name: str = "workflow", folder: str | Path | None = None) -> str:
    """The graph of some nodes as a workflow file; relative to `folder` where paths allow it.

    Raises InvalidWorkflowError where a literal picture stands in a port: a file cannot hold it.
    """
    return graph_to_yaml(Graph.of(*targets), name=name, folder=folder)


def graph_to_yaml(graph: Graph, *, name: str = "workflow", folder: str | Path | None = None) -> str:
    """A graph as a workflow file, one entry a node, under the graph's own names."""
    return resolved(graph, name=name, folder=folder)[0]


def resolved(
    graph: Graph, *, name: str = "workflow", folder: str | Path | None = None, open_: bool = False
) -> tuple[str, Mapping[str, Input]]:
    """A graph as a workflow file, and the inputs that it declares.

    It declares some only if `open_`: those that its fields were read from, by default as they were.
    """
    names = _flat_names(graph)
    problems: list[Problem] = []
    entries: dict[Node[Any], dict[str, Any]] = {}
    for node in graph.nodes:
        entry = entries[node] = {"type": type(node).__name__}
        if node in graph.uncached:
            entry["cache"] = False
        fields = node.non_default_fields()
        for place in graph.origins.get(node, {}) if open_ else ():
            fields[str(place[0])] = getattr(node, str(place[0]))
        for field, value in fields.items():
            try:
                entry[field] = _plain(value, names, Path(folder) if folder else None)
                if field in type(node).definition.targets:
                    entry[field] = braces_kept(entry[field])
            except TypeError:
                fix = "load it from a file with a node, or save it first"
                wanted = "something a file can hold"
                subject = f"{names[node]}.{field}"
                problems.append(Problem(subject, describe(value), wanted, fix))
    if problems:
        raise InvalidWorkflowError(problems)
    inputs = reopened(graph, entries) if open_ else {}
    data: dict[str, Any] = {"name": name}
    if inputs:
        data["inputs"] = {name: declaration(each) for name, each in inputs.items()}
    data["nodes"] = {names[node]: entry for node, entry in entries.items()}
    return dumped(data), inputs


def _flat_names(graph: Graph) -> dict[Node[Any], str]:
    """The graph's names as a file may hold them, still each of its own.

    They lose the slash of sub-workflows, and what tells the variants of a sweep apart.
    """
    names: dict[Node[Any], str] = {}
    taken = {label for label in graph.names.values() if label.isidentifier()}
    counts: dict[str, int] = {}
    for node, label in graph.names.items():
        name = stem = label if label in taken else plain_name(label).replace("/", "__")
        while name != label and name in taken:
            counts[stem] = counts.get(stem, 1) + 1
            name = f"{stem}_{counts[stem]}"
        taken.add(name)
        names[node] = name
    return names


def _plain(value: Any, names: Mapping[Node[Any], str], folder: Path | None) -> Any:
    if isinstance(value, Node):
        return f"${names[value]}"
    if isinstance(value, Checkpoint):
        return value.as_data()
    if isinstance(value, Path):
        if folder is not None:
            value = os.path.relpath(value, folder)
        return escaped(str(value))
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, list | tuple):
        return [_plain(each, names, folder) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each, names, folder) for key, each in value.items()}
    if value is None or isinstance(value, bool | int | float):
        return value
    raise TypeError(f"{type(value).__name__} has no place in YAML")


def declaration(declared: Input) -> Any:
    """What an input is declared by in a file: its default alone, where that says its type."""
    data: dict[str, Any] = {"type": declared.type}
    if not declared.required:
        data["default"] = declared.default
    if declared.description:
        data["description"] = declared.description
    plain = type(declared.default) is SCALARS.get(declared.type)
    return data["default"] if plain and set(data) == {"type", "default"} else data


class _Ways:
    """How values are written: never an alias, and texts of several lines in quotes, on one."""

    def ignore_aliases(self, _: Any) -> bool:
        return True

    def represent_str(self: Any, data: str) -> yaml.ScalarNode:
        # They may stand inside braces.
        style = None if data.isprintable() else '"'
        found: yaml.ScalarNode = self.represent_scalar("tag:yaml.org,2002:str", data, style=style)
        return found


class _Dumper(_Ways, yaml.SafeDumper):
    pass


class _FastDumper(_Ways, getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    pass


for _each in (_Dumper, _FastDumper):
    _each.add_representer(str, _each.represent_str)


def dumped(data: dict[str, Any]) -> str:
    """The data as YAML, with `nodes` and `inputs` one entry a line."""
    lines = []
    for key, value in data.items():
        if key in ("nodes", "inputs"):
            lines.append(f"{key}:\n")
            lines += [f"  {name}: {_flow(entry)}\n" for name, entry in value.items()]
        else:
            lines.append(f"{key}: {_flow(value)}\n")
    return "".join(lines)


def _flow(value: Any) -> str:
    """The value on one line; most entries of a sweep's records are those of the one before."""
    told = repr(value)
    if told not in _written:
        if len(_written) >= _MOST_WRITTEN:
            _written.clear()
        _written[told] = _dumped_flow(value, told)
    return _written[told]


def _dumped_flow(value: Any, told: str) -> str:
    # libyaml is six times as fast, and writes these as PyYAML does; others it escapes.
    fast = told.isascii() and "\\" not in told and "'':" not in told
    text = yaml.dump(
        value,
        Dumper=_FastDumper if fast else _Dumper,
        default_flow_style=True,
        sort_keys=False,
        width=_NO_WIDTH,
        allow_unicode=True,
    )
    return text.removesuffix("\n").removesuffix("\n...")


_NO_WIDTH = 2**31 - 1
_MOST_WRITTEN = 1024
_written: dict[str, str] = {}
"""What values are written as, by what Python shows of them, which tells any two apart."""
