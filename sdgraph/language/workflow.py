"""Workflows: a named graph with inputs, read from YAML and written to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem, did_you_mean, in_file_order
from sdgraph.graph import Graph, Node, Registry, default_targets, describe, installed

from .binding import bind
from .inputs import Input
from .node_builder import Bound
from .template import Template, read_template, template
from .writer import declaration, dumped
from .yaml_document import parse


@dataclass(frozen=True)
class Workflow:
    """A workflow file, checked; give it inputs and it is a graph."""

    template: Template
    registry: Registry

    @property
    def name(self) -> str:
        """The name that the file declares, or the name of the file."""
        return self.template.name

    @property
    def description(self) -> str:
        """The description that the file declares; empty if there is none."""
        return self.template.description

    @property
    def inputs(self) -> Mapping[str, Input]:
        """The declared inputs by name."""
        return self.template.inputs

    def graph(self, /, *, only: Sequence[str] = (), **inputs: Any) -> Graph:
        """The graph with these inputs, for the nodes named by `only` or else the default targets.

        Raises InvalidWorkflowError with every problem found; no file but configs is opened.
        """
        graph, problems = self._graph(inputs, only)
        problems += self.not_given(inputs)
        if problems or graph is None:
            raise InvalidWorkflowError(problems)
        return graph

    def problems(self, /, **inputs: Any) -> list[Problem]:
        """Every problem in the file, whichever targets one would run; open inputs are none."""
        return self._graph(inputs, ())[1]

    def not_given(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """A problem for each required input that is not among those given."""
        return [
            Problem(
                f"inputs.{name}",
                "nothing",
                f"a value of type {declared.type}",
                f"give it: {name}=…",
                self.template.document.mark("inputs", name),
            )
            for name, declared in self.inputs.items()
            if declared.required and name not in inputs
        ]

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
        """The workflow with some fields replaced: {"edges.low": 50}.

        Raises InvalidWorkflowError.
        """
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
            raise InvalidWorkflowError(problems)
        return Workflow(replace(self.template, specs=specs), self.registry)

    def _graph(
        self, inputs: Mapping[str, Any], only: Sequence[str]
    ) -> tuple[Graph | None, list[Problem]]:
        bound, targets = self.bound(inputs, only)
        problems = bound.problems
        if not bound.names:
            return None, in_file_order(problems)
        whole = Graph.of(
            *bound.names,
            names=bound.names,
            marks=bound.marks,
            origins=bound.origins,
            uncached=bound.uncached,
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
            data["inputs"] = {name: declaration(each) for name, each in self.inputs.items()}
        data["nodes"] = {
            name: {"type": spec.type, **({} if spec.cache else {"cache": False}), **spec.fields}
            for name, spec in self.template.specs.items()
        }
        if self.template.output:
            data["output"] = f"${self.template.output}"
        return dumped(data)


def load_workflow(
    source: str | Path,
    *,
    registry: Registry | None = None,
    folder: str | Path | None = None,
    out: str | Path | None = None,
) -> Workflow:
    """The workflow in a file, or of a shipped one's name; raises InvalidWorkflowError.

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
    """The workflow in a text; raises InvalidWorkflowError."""
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
    raise InvalidWorkflowError([Problem(str(source), "no such file", wanted, fix)])
