"""Workflows: a named graph with inputs, read from YAML and written to it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from .binding import Bound, bind
from .document import parse
from .errors import InvalidWorkflow, Problem, did_you_mean, in_file_order
from .graph import Graph, default_targets
from .inputs import SCALARS, Input
from .node import Node
from .registry import Registry, installed
from .reopening import reopened
from .template import Spec, Template, escaped, read_template, template
from .weights import Checkpoint
from .wording import describe


@dataclass(frozen=True)
class Workflow:
    """A workflow file, checked; give it inputs and it is a graph."""

    template: Template
    registry: Registry

    @property
    def name(self) -> str:
        return self.template.name

    @property
    def description(self) -> str:
        return self.template.description

    @property
    def inputs(self) -> Mapping[str, Input]:
        return self.template.inputs

    def graph(self, /, *, only: Sequence[str] = (), **inputs: Any) -> Graph:
        """The graph with these inputs, for the nodes named by `only` or else the default targets.

        Raises InvalidWorkflow with every problem found; no file but configs is opened.
        """
        graph, problems = self._graph(inputs, only)
        problems += [
            Problem(
                f"inputs.{name}", "nothing", f"a value of type {declared.type}",
                f"give it: {name}=…", self.template.document.mark("inputs", name),
            )
            for name, declared in self.inputs.items()
            if declared.required and name not in inputs
        ]  # fmt: skip
        if problems or graph is None:
            raise InvalidWorkflow(problems)
        return graph

    def problems(self, /, **inputs: Any) -> list[Problem]:
        """Every problem in the file, whichever targets one would run; open inputs are none."""
        return self._graph(inputs, ())[1]

    def with_fields(self, changes: Mapping[str, Any]) -> Workflow:
        """The workflow with some fields replaced: {"edges.low": 50}; raises InvalidWorkflow."""
        specs, problems = dict(self.template.specs), []
        for place, value in changes.items():
            name, _, field = place.partition(".")
            if name not in specs or not field:
                wanted = f"NODE.FIELD with NODE one of {', '.join(specs)}"
                problems.append(Problem(place, place, wanted, did_you_mean(name, specs)))
            else:
                fields = {**specs[name].fields, field: value}
                specs[name] = Spec(name, specs[name].type, fields)
        if problems:
            raise InvalidWorkflow(problems)
        return Workflow(replace(self.template, specs=specs), self.registry)

    def _graph(
        self, inputs: Mapping[str, Any], only: Sequence[str]
    ) -> tuple[Graph | None, list[Problem]]:
        bound = bind(self.template, inputs, self.registry)
        made = [node for node in bound.nodes.values() if isinstance(node, Node)]
        problems = bound.problems
        targets = default_targets(made)
        if only:
            targets = _chosen(bound, only, problems)
        if not made:
            return None, in_file_order(problems)
        whole = Graph.of(*made, names=bound.names, marks=bound.marks, origins=bound.origins)
        graph = whole.only(*targets)
        problems += (graph if only else whole).check()
        return graph, in_file_order(problems)

    def to_yaml(self) -> str:
        """The workflow as YAML with the same meaning: names, inputs and references kept."""
        data: dict[str, Any] = {"name": self.name}
        if self.description:
            data["description"] = self.description
        if self.inputs:
            data["inputs"] = {name: _declaration(each) for name, each in self.inputs.items()}
        data["nodes"] = {
            name: {"type": spec.type, **spec.fields} for name, spec in self.template.specs.items()
        }
        if self.template.output:
            data["output"] = f"${self.template.output}"
        return _dumped(data)


def load_workflow(
    source: str | Path,
    *,
    registry: Registry | None = None,
    folder: str | Path | None = None,
    out: str | Path | None = None,
) -> Workflow:
    """The workflow in a file, or of a shipped one's name; raises InvalidWorkflow.

    Problems of the file's own shape come out here; those of its graph, which depend on the
    inputs, come out of `graph()` and `problems()`. `folder` is what relative paths in the file
    are relative to, if not the file's own folder; `out` the same for files to write alone.
    """
    path = find(source)
    read = read_template(path)
    if folder is not None:
        read = replace(read, folder=Path(folder).resolve())
    if out is not None:
        read = replace(read, out=Path(out).resolve())
    return Workflow(read, installed() if registry is None else registry)


def workflow_from_yaml(
    text: str, *, registry: Registry | None = None, folder: str | Path = ".", file: str = "<text>"
) -> Workflow:
    """The workflow in a text; raises InvalidWorkflow."""
    read = template(parse(text, file), Path(folder).resolve())
    return Workflow(read, installed() if registry is None else registry)


def _chosen(bound: Bound, only: Sequence[str], problems: list[Problem]) -> list[Node[Any]]:
    """The nodes that `only` names; unknown names are added to `problems`."""
    chosen = []
    for name in only:
        node = bound.nodes.get(name)
        if isinstance(node, Node):
            chosen.append(node)
        elif node is None:
            listed = ", ".join(bound.nodes)
            fix = did_you_mean(name, bound.nodes)
            problems.append(Problem("only", name, f"a node of this workflow: {listed}", fix))
    return chosen


def shipped() -> dict[str, Path]:
    """The workflows that ship with sdgraph, by name; `FOLDER/NAME` for those in a folder."""
    folder = Path(str(resources.files("sdgraph.workflows")))
    paths = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def find(source: str | Path) -> Path:
    """The file a person means: a path, or the name of a shipped workflow."""
    path = Path(source)
    if path.exists() or path.suffix:
        return path
    known = shipped()
    if str(source) in known:
        return known[str(source)]
    fix = did_you_mean(str(source), known) or f"shipped: {', '.join(known)}"
    wanted = "a workflow file, or the name of a shipped workflow"
    raise InvalidWorkflow([Problem(str(source), "no such file", wanted, fix)])


def to_yaml(*targets: Node[Any], name: str = "workflow", folder: str | Path | None = None) -> str:
    """The graph of some nodes as a workflow file; relative to `folder` where paths allow it.

    Raises InvalidWorkflow where a literal picture stands in a port: a file cannot hold it.
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
        fields = node.explicit()
        for place in graph.origins.get(node, {}) if open_ else ():
            fields[str(place[0])] = getattr(node, str(place[0]))
        for field, value in fields.items():
            try:
                entry[field] = _plain(value, names, Path(folder) if folder else None)
            except TypeError:
                fix = "load it from a file with a node, or save it first"
                wanted = "something a file can hold"
                subject = f"{names[node]}.{field}"
                problems.append(Problem(subject, describe(value), wanted, fix))
    if problems:
        raise InvalidWorkflow(problems)
    inputs = reopened(graph, entries) if open_ else {}
    data: dict[str, Any] = {"name": name}
    if inputs:
        data["inputs"] = {name: _declaration(each) for name, each in inputs.items()}
    data["nodes"] = {names[node]: entry for node, entry in entries.items()}
    return _dumped(data), inputs


def _flat_names(graph: Graph) -> dict[Node[Any], str]:
    """The graph's names without the slash of sub-workflows, still each of its own."""
    names: dict[Node[Any], str] = {}
    taken = {label for label in graph.names.values() if "/" not in label}
    for node, label in graph.names.items():
        name = label.replace("/", "__")
        while "/" in label and name in taken:
            name += "_"
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


def _declaration(declared: Input) -> Any:
    data: dict[str, Any] = {"type": declared.type}
    if not declared.required:
        data["default"] = declared.default
    if declared.description:
        data["description"] = declared.description
    plain = type(declared.default) is SCALARS.get(declared.type)
    return data["default"] if plain and set(data) == {"type", "default"} else data


class _Dumper(yaml.SafeDumper):
    """Writes nodes one a line, as people do, and never an alias."""

    def ignore_aliases(self, _: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Texts of several lines in quotes, on one line: they may stand inside braces."""
        style = None if data.isprintable() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)


def _dumped(data: dict[str, Any]) -> str:
    """The data with `nodes` and `inputs` one entry a line."""
    lines = []
    for key, value in data.items():
        if key in ("nodes", "inputs"):
            lines.append(f"{key}:\n")
            lines += [f"  {name}: {_flow(entry)}\n" for name, entry in value.items()]
        else:
            lines.append(f"{key}: {_flow(value)}\n")
    return "".join(lines)


def _flow(value: Any) -> str:
    text = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=float("inf"),
        allow_unicode=True,
    )  # fmt: skip
    return text.removesuffix("\n").removesuffix("\n...")
