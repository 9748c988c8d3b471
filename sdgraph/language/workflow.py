"""Workflows: named graphs with inputs, read from YAML and written to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdgraph.errors import (
    InvalidWorkflowError,
    Problem,
    did_you_mean,
    first_problems,
    in_file_order,
)
from sdgraph.files import OutputFolders, describe_path, is_there, shipped_workflows
from sdgraph.graph import (
    Graph,
    Node,
    Registry,
    default_targets,
    describe_value,
    expand_checked,
    has_counts,
    installed_registry,
    list_names,
)

from .binding import bind_inputs
from .inputs import Input
from .node_builder import BoundNodes
from .template import WorkflowTemplate, parse_template, read_template
from .writer import dump_workflow, input_declaration
from .yaml_document import parse_document


@dataclass(frozen=True)
class Workflow:
    """A workflow file without errors in its structure; with inputs it becomes a graph.

    `load_workflow` makes one.

    Args:
        template: The content of the file.
        registry: The node types that it may use.
        allow_outside: Whether it may write files into any folder.

    Example:
        >>> workflow = load_workflow("inpaint")
        >>> workflow.inputs["seed"].default
        0
        >>> graph = workflow.graph(seed=7)
        >>> [graph.names[node] for node in graph.targets]
        ['result']
    """

    template: WorkflowTemplate
    registry: Registry
    allow_outside: bool = False

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

    @property
    def output_folders(self) -> OutputFolders | None:
        """The folders that its nodes, also those of sub-workflows, may write into; None is any.

        They are its own folder and the current one, or only `out` if that is set. Paths that are
        given as inputs are held to them too, because the workflow decides what it does with an
        input: it could write to the path of a photo that was given for reading.
        """
        if self.allow_outside:
            return None
        folder, out, current = self.template.folder, self.template.out, Path.cwd()
        if out is not None:
            name = "the current folder" if out == current else "the folder for output"
            return OutputFolders.of((name, out))
        return OutputFolders.of(("the workflow's folder", folder), ("the current folder", current))

    def graph(self, /, *, only: Sequence[str] = (), **inputs: Any) -> Graph:
        """The graph with these inputs; the only files that are opened are configs of checkpoints.

        Args:
            only: Names of the nodes to compute; by default those that save or show something, or
                if there are none, those that no other node reads.
            **inputs: Values of the workflow's inputs; relative paths are relative to the current
                folder. Inputs with a default may be left out.

        Raises:
            InvalidWorkflowError: With every problem of the file, its inputs and its graph.
        """
        graph, problems = self._graph(inputs, only)
        problems += self.missing_inputs(inputs)
        if problems or graph is None:
            raise InvalidWorkflowError(problems)
        return graph

    def problems(self, /, **inputs: Any) -> list[Problem]:
        """Every problem of the file and its graph, for all its nodes.

        Args:
            **inputs: Values of the workflow's inputs. An input that is left out is not reported
                here, even if it has no default.
        """
        return self.check(**inputs)[1]

    def check(self, /, **inputs: Any) -> tuple[Graph | None, list[Problem]]:
        """The graph of the default targets, None if no node can be built; and `problems`."""
        graph, problems = self._graph(inputs, ())
        return graph, first_problems(problems)

    def missing_inputs(self, inputs: Mapping[str, Any]) -> list[Problem]:
        """A problem for each required input that is not among `inputs`."""
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

    def bind(
        self,
        inputs: Mapping[str, Any],
        only: Sequence[str] = (),
        number: int = 1,
        known: BoundNodes | None = None,
    ) -> tuple[BoundNodes, list[Node[Any]]]:
        """The nodes with these inputs, and the targets among them; the graph is not checked yet.

        `number` is the variant's number in a sweep, for names of files; `known` are nodes of
        another variant that do not depend on what differs.
        """
        bound = bind_inputs(self.template, inputs, self.registry, number, known)
        if only:
            return bound, _nodes_named(bound, only, bound.problems)
        nodes = (node for node in bound.nodes.values() if isinstance(node, Node))
        return bound, default_targets(nodes)

    def with_fields(self, changes: Mapping[str, Any]) -> Workflow:
        """The same workflow with some fields of its nodes replaced.

        Args:
            changes: New values as they would be written in the file, by "NODE.FIELD";
                "NODE.cache" says whether the node's result is always kept or never remembered.

        Raises:
            InvalidWorkflowError: If there is no such node, or `cache` is not true or false.

        Example:
            >>> workflow = load_workflow("inpaint").with_fields({"result.path": "out/a.png"})
            >>> workflow.template.specs["result"].fields["path"]
            'out/a.png'
        """
        specs, problems = dict(self.template.specs), []
        for place, value in changes.items():
            name, _, field = place.partition(".")
            if name not in specs or not field:
                wanted = f"NODE.FIELD with NODE one of {list_names(specs)}"
                problems.append(Problem(place, place, wanted, did_you_mean(name, specs)))
            elif field == "cache":
                if not isinstance(value, bool):
                    problems.append(Problem(place, describe_value(value), "true or false"))
                specs[name] = replace(specs[name], cache=bool(value))
            else:
                fields = {**specs[name].fields, field: value}
                specs[name] = replace(specs[name], fields=fields)
        if problems:
            raise InvalidWorkflowError(problems)
        return replace(self, template=replace(self.template, specs=specs))

    def _graph(
        self, inputs: Mapping[str, Any], only: Sequence[str]
    ) -> tuple[Graph | None, list[Problem]]:
        bound, targets = self.bind(inputs, only)
        problems, names = bound.problems, bound.names
        if not names:
            return None, in_file_order(problems)
        every_node = Graph.of(
            *names,
            names=names,
            marks=bound.marks,
            origins=bound.origins,
            uncached=bound.uncached,
            pinned=bound.pinned,
            output_folders=self.output_folders,
            folder=self.template.folder,
        )
        graph = every_node.subgraph(*targets)
        if not has_counts(graph.nodes if only else every_node.nodes):
            problems += (graph if only else every_node).check()
            return graph, in_file_order(problems)
        graph, found = expand_checked(graph)
        problems += found if only else expand_checked(every_node)[1]
        return graph, in_file_order(problems)

    def to_yaml(self) -> str:
        """The workflow as YAML with the same meaning: names, inputs and references kept."""
        data: dict[str, Any] = {"name": self.name}
        if self.description:
            data["description"] = self.description
        if self.inputs:
            data["inputs"] = {
                name: input_declaration(declared) for name, declared in self.inputs.items()
            }
        data["nodes"] = {
            name: {
                "type": spec.type,
                **({} if spec.cache is None else {"cache": spec.cache}),
                **spec.fields,
            }
            for name, spec in self.template.specs.items()
        }
        if self.template.output:
            data["output"] = f"${self.template.output}"
        return dump_workflow(data)


def load_workflow(
    source: str | Path,
    *,
    registry: Registry | None = None,
    folder: str | Path | None = None,
    out: str | Path | None = None,
    allow_outside: bool = False,
) -> Workflow:
    """The workflow in a file, or a shipped one.

    Errors in the structure of the file are raised here. Problems of its graph, which depend on the
    inputs, are found by `Workflow.graph` and `Workflow.problems`.

    Args:
        source: The path of a YAML file, or the name of a workflow that ships, such as "inpaint".
        registry: The node types that it may use; None for those of all installed packs.
        folder: The folder that relative paths in the file start from, if not the file's own.
        out: The folder that relative paths of files to write start from, if not `folder`. A shipped
            workflow writes into the current folder, because its own may be in an installed package.
        allow_outside: Whether it may write files into any folder. Otherwise a path to write that is
            neither in `folder` nor in the current folder is an error; with `out`, one that is not
            in `out`.

    Raises:
        InvalidWorkflowError: With every problem found, each with its line and column.

    Example:
        >>> workflow = load_workflow("inpaint")
        >>> workflow.name
        'inpaint'
        >>> list(workflow.inputs)
        ['photo', 'mask', 'prompt', 'seed', 'checkpoint']
    """
    registry = installed_registry() if registry is None else registry
    template = read_template(find_workflow(source), registry.pack_kinds)
    is_shipped = str(source) in shipped_workflows() and not is_there(source)
    if folder is not None:
        template = replace(template, folder=Path(folder).resolve())
    elif out is None and is_shipped:
        out = Path.cwd()
    if out is not None:
        template = replace(template, out=Path(out).resolve())
    return Workflow(template, registry, allow_outside)


def workflow_from_yaml(
    text: str,
    *,
    registry: Registry | None = None,
    folder: str | Path = ".",
    file: str = "<text>",
    allow_outside: bool = False,
) -> Workflow:
    """The workflow in a text.

    Args:
        text: YAML.
        registry: The node types that it may use; None for those of all installed packs.
        folder: The folder that relative paths in the text start from.
        file: The name of the text in the marks of problems.
        allow_outside: Whether it may write files into any folder, not only into `folder` and the
            current one.

    Raises:
        InvalidWorkflowError: With every problem found.

    Example:
        >>> text = "{name: one, nodes: {photo: {type: LoadImage, path: man.png}}}"
        >>> workflow_from_yaml(text).name
        'one'
    """
    registry = installed_registry() if registry is None else registry
    document = parse_document(text, file)
    template = parse_template(document, Path(folder).resolve(), registry.pack_kinds)
    return Workflow(template, registry, allow_outside)


def _nodes_named(
    bound: BoundNodes, only: Sequence[str], problems: list[Problem]
) -> list[Node[Any]]:
    """The nodes that `only` names; unknown names are added to `problems`."""
    nodes = []
    for name in only:
        node = bound.nodes.get(name)
        if isinstance(node, Node):
            nodes.append(node)
        elif node is None:
            listed = list_names(bound.nodes)
            fix = did_you_mean(name, bound.nodes)
            problems.append(Problem("only", name, f"a node of this workflow: {listed}", fix))
    return nodes


def find_workflow(source: str | Path) -> Path:
    """The file of a workflow: `source` is its path, or the name of one that ships.

    Raises InvalidWorkflowError for an unknown name.
    """
    path = Path(source)
    if is_there(path) or path.suffix:
        return path
    shipped = shipped_workflows()
    if str(source) in shipped:
        return shipped[str(source)]
    fix = did_you_mean(str(source), shipped) or f"shipped: {', '.join(shipped)}"
    wanted = "a workflow file, or the name of a shipped workflow"
    found = describe_path(path) if str(source) else "no name"
    raise InvalidWorkflowError([Problem(str(source), found, wanted, fix)])
