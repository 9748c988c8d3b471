"""Workflows: a named graph with inputs, read from YAML and written to it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from .attempt import Bound
from .binding import bind
from .document import parse
from .errors import InvalidWorkflow, Problem, did_you_mean, in_file_order
from .graph import Graph, default_targets, plain_name
from .inputs import SCALARS, Input
from .node import Node
from .patterns import braces_kept
from .registry import Registry, installed
from .template import Template, escaped, read_template, template
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
        problems += self.not_given(inputs)
        if problems or graph is None:
            raise InvalidWorkflow(problems)
        return graph

    def problems(self, /, **inputs: Any) -> list[Problem]:
        """Every problem in the file, whichever targets one would run; open inputs are none."""
        return self._graph(inputs, ())[1]

    def not_given(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """A problem for each required input that is not among those given."""
        return [
            Problem(
                f"inputs.{name}", "nothing", f"a value of type {declared.type}",
                f"give it: {name}=…", self.template.document.mark("inputs", name),
            )
            for name, declared in self.inputs.items()
            if declared.required and name not in inputs
        ]  # fmt: skip

    def bound(
        self, inputs: Mapping[str, Any], only: Sequence[str] = (), number: int = 1
    ) -> tuple[Bound, list[Node[Any]]]:
        """The nodes with these inputs, and the targets among them; nothing is checked yet.

        `number` is the variant's place in a sweep, for names of files.
        """
        bound = bind(self.template, inputs, self.registry, number)
        if only:
            return bound, _chosen(bound, only, bound.problems)
        made = (node for node in bound.nodes.values() if isinstance(node, Node))
        return bound, default_targets(made)

    def with_fields(self, changes: Mapping[str, Any]) -> Workflow:
        """The workflow with some fields replaced: {"edges.low": 50}; raises InvalidWorkflow."""
        specs, problems = dict(self.template.specs), []
        for place, value in changes.items():
            name, _, field = place.partition(".")
            if name not in specs or not field:
                wanted = f"NODE.FIELD with NODE one of {', '.join(specs)}"
                problems.append(Problem(place, place, wanted, did_you_mean(name, specs)))
            elif field == "cache":
                if not isinstance(value, bool):
                    problems.append(Problem(place, describe(value), "true or false"))
                specs[name] = replace(specs[name], cache=bool(value))
            else:
                fields = {**specs[name].fields, field: value}
                specs[name] = replace(specs[name], fields=fields)
        if problems:
            raise InvalidWorkflow(problems)
        return Workflow(replace(self.template, specs=specs), self.registry)

    def _graph(
        self, inputs: Mapping[str, Any], only: Sequence[str]
    ) -> tuple[Graph | None, list[Problem]]:
        bound, targets = self.bound(inputs, only)
        problems = bound.problems
        if not bound.names:
            return None, in_file_order(problems)
        whole = Graph.of(
            *bound.names, names=bound.names, marks=bound.marks, uncached=bound.uncached
        )
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
            name: {"type": spec.type, **({} if spec.cache else {"cache": False}), **spec.fields}
            for name, spec in self.template.specs.items()
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
    names = _flat_names(graph)
    problems: list[Problem] = []
    nodes: dict[str, Any] = {}
    for node in graph.nodes:
        entry: dict[str, Any] = {"type": type(node).__name__}
        if node in graph.uncached:
            entry["cache"] = False
        for field, value in node.explicit().items():
            try:
                entry[field] = _plain(value, names, Path(folder) if folder else None)
                if field in type(node).definition.targets:
                    entry[field] = braces_kept(entry[field])
            except TypeError:
                fix = "load it from a file with a node, or save it first"
                wanted = "something a file can hold"
                subject = f"{names[node]}.{field}"
                problems.append(Problem(subject, describe(value), wanted, fix))
        nodes[names[node]] = entry
    if problems:
        raise InvalidWorkflow(problems)
    return _dumped({"name": name, "nodes": nodes})


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
