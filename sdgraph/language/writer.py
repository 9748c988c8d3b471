"""Writes graphs as workflow files (YAML)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from sdgraph.errors import InvalidWorkflowError, Problem
from sdgraph.graph import (
    Graph,
    Node,
    describe_value,
    name_without_variant,
    to_plain,
    type_name,
)
from sdgraph.values import Checkpoint

from .filename_patterns import escape_braces
from .inputs import SCALARS, Input
from .references import escape_dollar
from .restore_inputs import restore_inputs
from .written_paths import PathFormat, RelativePaths
from .yaml_scalars import FLOAT, INTEGER


def to_yaml(*targets: Node[Any], name: str = "workflow", folder: str | Path | None = None) -> str:
    """The graph of some nodes as the text of a workflow file.

    Args:
        *targets: The nodes to compute; all nodes that they read are written as well.
        name: The name of the workflow.
        folder: The folder of the file, to which its paths are made relative; None writes them as
            they are.

    Returns:
        YAML that `load_workflow` and `sdgraph run` read, with one node in each line.

    Raises:
        InvalidWorkflowError: If a field has a value, such as a picture, that YAML cannot express.

    Example:
        >>> from sdgraph.nodes import Canny, LoadImage
        >>> edges = Canny(image=LoadImage(path="man.png"), low=10)
        >>> print(to_yaml(edges), end="")
        name: workflow
        nodes:
          load_image: {type: LoadImage, path: man.png}
          canny: {type: Canny, image: $load_image, low: 10}
    """
    return graph_to_yaml(Graph.of(*targets), name=name, folder=folder)


def graph_to_yaml(graph: Graph, *, name: str = "workflow", folder: str | Path | None = None) -> str:
    """A graph as a workflow file, with an entry for each node under its name in the graph."""
    paths = RelativePaths(Path(folder) if folder else None)
    return write_workflow(graph, name=name, paths=paths)[0]


def write_workflow(
    graph: Graph,
    *,
    name: str = "workflow",
    paths: PathFormat | None = None,
    with_inputs: bool = False,
) -> tuple[str, Mapping[str, Input]]:
    """A graph as a workflow file, and the inputs that it declares.

    Args:
        graph: The graph to write.
        name: The name of the workflow.
        paths: How paths and checkpoints are written; None writes them as they are.
        with_inputs: Whether to declare the inputs that fields were read from, with their values as
            defaults; otherwise the values are written into the fields, and there are no inputs.
    """
    names, paths = _flat_names(graph), paths or RelativePaths(None)
    problems: list[Problem] = []
    entries: dict[Node[Any], dict[str, Any]] = {}
    for node in graph.nodes:
        entry = entries[node] = {"type": type_name(type(node))}
        if node in graph.uncached or node in graph.pinned:
            entry["cache"] = node not in graph.uncached
        fields = node.non_default_fields()
        for place in graph.origins.get(node, {}) if with_inputs else ():
            fields[str(place[0])] = getattr(node, str(place[0]))
        for field, value in fields.items():
            try:
                definition = type(node).definition
                is_target = field in definition.targets
                # A text for a port is what it says; elsewhere it may be a path.
                to_text = str if field in definition.ports else paths.text
                to_path = partial(paths.path, is_target=is_target)
                entry[field] = _to_plain(value, names, to_text, to_path, paths.checkpoint)
                if is_target:
                    entry[field] = _escape_paths(entry[field])
            except TypeError:
                fix = "load it from a file with a node, or save it first"
                wanted = "something a file can hold"
                subject = f"{names[node]}.{field}"
                problems.append(Problem(subject, describe_value(value), wanted, fix))
    if problems:
        raise InvalidWorkflowError(problems)
    inputs = restore_inputs(graph, entries) if with_inputs else {}
    data: dict[str, Any] = {"name": name}
    if inputs:
        data["inputs"] = {name: input_declaration(declared) for name, declared in inputs.items()}
    data["nodes"] = {names[node]: entry for node, entry in entries.items()}
    return dump_workflow(data), inputs


def _flat_names(graph: Graph) -> dict[Node[Any], str]:
    """The graph's names in a form that files allow, still unique.

    The slash of sub-workflows becomes "__"; the values of a sweep's variants are left out.
    """
    names: dict[Node[Any], str] = {}
    taken = {label for label in graph.names.values() if label.isidentifier()}
    counts: dict[str, int] = {}
    for node, label in graph.names.items():
        name = stem = label if label in taken else name_without_variant(label).replace("/", "__")
        while name != label and name in taken:
            counts[stem] = counts.get(stem, 1) + 1
            name = f"{stem}_{counts[stem]}"
        taken.add(name)
        names[node] = name
    return names


def _escape_paths(value: Any) -> Any:
    """A path to write, or a list of them, in which braces stand for themselves."""
    if isinstance(value, list):
        return [_escape_paths(item) for item in value]
    return escape_braces(value) if isinstance(value, str) else value


def _to_plain(
    value: Any,
    names: Mapping[Node[Any], str],
    to_text: Callable[[str], str],
    to_path: Callable[[Path], str],
    to_checkpoint: Callable[[Checkpoint], Any],
) -> Any:
    """The plain data of a field's value; raises TypeError for what YAML cannot express."""

    def convert(item: Any) -> Any:
        if item is None or type(item) in (bool, int, float):
            return item
        if isinstance(item, Node):
            return f"${names[item]}"
        if isinstance(item, Checkpoint):
            return to_checkpoint(item)
        item = to_plain(item)
        if isinstance(item, Path):
            return escape_dollar(to_path(item))
        if isinstance(item, str):
            return escape_dollar(to_text(item))
        if isinstance(item, list | tuple):
            return [*map(convert, item)]
        if isinstance(item, dict):
            return {key: convert(inner) for key, inner in item.items()}
        if item is None or isinstance(item, bool | int | float):
            return item
        raise TypeError(f"{type(item).__name__} cannot be written as YAML")

    return convert(value)


def input_declaration(declared: Input) -> Any:
    """The declaration of an input in a file: only its default, if that implies its type."""
    data: dict[str, Any] = {"type": declared.type}
    if not declared.required:
        data["default"] = declared.default
    if declared.description:
        data["description"] = declared.description
    plain = type(declared.default) is SCALARS.get(declared.type)
    return data["default"] if plain and set(data) == {"type", "default"} else data


class _OneLineStyle:
    """Writes values without aliases, and texts with several lines in quotes on one line."""

    def ignore_aliases(self, _: Any) -> bool:
        return True

    def represent_str(self: Any, data: str) -> yaml.ScalarNode:
        # Inside braces a text of several lines needs quotes.
        style = None if data.isprintable() else '"'
        node: yaml.ScalarNode = self.represent_scalar("tag:yaml.org,2002:str", data, style=style)
        return node


class _Dumper(_OneLineStyle, yaml.SafeDumper):
    pass


class _FastDumper(_OneLineStyle, getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    pass


for _dumper in (_Dumper, _FastDumper):
    _dumper.add_representer(str, _dumper.represent_str)
    # PyYAML quotes texts that are numbers in YAML 1.1; with these also those that are in 1.2.
    for _kind, _pattern in (("int", INTEGER), ("float", FLOAT)):
        _dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, list("+-.0123456789"))


def dump_workflow(data: dict[str, Any]) -> str:
    """The data as YAML, with each entry of `nodes` and `inputs` on one line."""
    lines = []
    for key, value in data.items():
        if key in ("nodes", "inputs"):
            lines.append(f"{key}:\n")
            lines += [f"  {name}: {_flow(entry)}\n" for name, entry in value.items()]
        else:
            lines.append(f"{key}: {_flow(value)}\n")
    return "".join(lines)


def _flow(value: Any) -> str:
    """The value on one line; cached, since the variants of a sweep share most of their nodes."""
    key = repr(value)
    if key not in _flow_cache:
        if len(_flow_cache) >= _MAX_CACHED:
            _flow_cache.clear()
        _flow_cache[key] = _dump_flow(value, key)
    return _flow_cache[key]


def _dump_flow(value: Any, text_of_value: str) -> str:
    # libyaml is six times as fast; it writes these values as PyYAML does, and escapes others.
    fast = text_of_value.isascii() and "\\" not in text_of_value and "'':" not in text_of_value
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
_MAX_CACHED = 1024
_flow_cache: dict[str, str] = {}
"""The YAML of values by their `repr`, which is different for any two values."""
