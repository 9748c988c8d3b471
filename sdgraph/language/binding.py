"""Makes nodes from a workflow file and its inputs: resolves references, inlines sub-workflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdgraph.errors import MAX_PROBLEMS, UNLISTED, InvalidWorkflowError, Mark, Problem
from sdgraph.files import expand_home
from sdgraph.graph import EXISTING, DeferredValue, Node, Origin, Registry, missing_file
from sdgraph.values import pack_name

from .field_problems import problem_as_written
from .field_values import FieldResolver
from .filename_patterns import holds_pattern
from .inputs import Input, input_problems, kind_of_input
from .node_builder import BoundNodes, NodePlaceholder, build_node, holds_placeholder
from .references import parse_reference
from .subworkflow import no_single_output_problem, output_nodes, read_subworkflow
from .template import (
    NodeSpec,
    WorkflowTemplate,
    with_absolute_source,
)
from .yaml_document import KeyPath


def bind_inputs(
    template: WorkflowTemplate,
    input_values: Mapping[str, Any],
    registry: Registry,
    number: int = 1,
    known: BoundNodes | None = None,
) -> BoundNodes:
    """The nodes of a workflow file with some values for its inputs, and every problem found.

    A node that cannot be built, or that needs an input without a value, is a NodePlaceholder.

    Args:
        template: The workflow file.
        input_values: Values of its inputs; relative paths are relative to the current folder.
        registry: The node types that may be used.
        number: The value of `{number}` in a file's name: the number of a variant in its sweep.
        known: Nodes that another variant has made and that are the same in this one.
    """
    known = known or BoundNodes()
    bound = known.beginning(number)
    scope = _Scope(
        template, input_values, Path.cwd(), registry, bound, template.origins, known=known
    )
    scope.build()
    return bound


@dataclass
class _Scope:
    """One workflow file being bound; a sub-workflow is a scope of its own."""

    template: WorkflowTemplate
    input_values: Mapping[str, Any]
    values_folder: Path
    """The folder that relative paths in `input_values` are relative to."""
    registry: Registry
    bound: BoundNodes
    origins: Mapping[str, Origin | None]
    """For each input of this file, the input of the outermost workflow that it is passed from."""
    prefix: str = ""
    """The prefix of this file's names in `bound`: "" or "faces/"."""
    trail: tuple[Path, ...] = ()
    """The files that this one is nested in, outermost first, and this one."""
    cache: bool | None = None
    known: BoundNodes = field(default_factory=BoundNodes)
    """Nodes and inputs of this file that need not be made again."""

    def build(self) -> None:
        """Adds every node of the file to `bound`, each after the nodes that it reads."""
        problems = input_problems(self.template.inputs, self.input_values)
        self.bound.problems += problems
        refused = {problem.subject.removeprefix("inputs.") for problem in problems}
        inputs = {
            name: NodePlaceholder(None) if name in refused else self._input(declared)
            for name, declared in self.template.inputs.items()
        }
        self.resolver = FieldResolver(
            self.template,
            self.input_values,
            self.values_folder,
            inputs,
            self.origins,
            node=self._find_node,
            report=self._report,
            is_full=self._is_full,
            variant_number=self.bound.variant_number,
        )
        order, cycles = self.template.build_order
        for cycle in cycles:
            self._report_cycle(cycle)
        for name in order:
            node = self.known.nodes.get(name)
            if node is None:
                spec = self.template.specs[name]
                node = self._sub_workflow(spec) if spec.type == "Workflow" else self._node(spec)
            self.bound.nodes[self.prefix + name] = node

    def _find_node(self, name: str) -> DeferredValue:
        """The node with a name in this file; a placeholder if it has not been built."""
        return self.bound.nodes.get(self.prefix + name, NodePlaceholder(None))

    def _input(self, declared: Input) -> Any:
        """An input's value: a node if it loads a file, a placeholder if there is no value."""
        if (loading := self.known.loading.get(declared.name)) is not None:
            return loading
        if declared.name in self.input_values:
            value, folder = self.input_values[declared.name], self.values_folder
        elif declared.required:
            return NodePlaceholder(kind_of_input(declared))
        else:
            value, folder = declared.default, self.template.folder
        if isinstance(value, str | Path) and declared.loader:
            return self._loading_node(declared, declared.loader, folder / expand_home(value))
        if isinstance(value, str | Path) and declared.type == "Path":
            return folder / expand_home(value)
        if declared.type == "Checkpoint" and not isinstance(value, DeferredValue):
            return with_absolute_source(value, folder)
        return value

    def _loading_node(self, declared: Input, type_name: str, path: Path) -> DeferredValue:
        """The node that loads the file that is named for an input, such as a picture."""
        at = self.template.document.mark("inputs", declared.name)
        if declared.kind is not None:
            # Another pack may have a node of that name; the one of the kind's own pack is used.
            full_name = f"{pack_name(declared.kind.__module__)}.{type_name}"
            type_name = full_name if full_name in self.registry else type_name
        if type_name not in self.registry:
            wanted = f"the node type {type_name}, which loads such files"
            subject = f"inputs.{declared.name}"
            self.bound.problems.append(Problem(subject, f"the path {path}", wanted, at=at))
            return NodePlaceholder(kind_of_input(declared))
        fields = {"path": path}
        node = self.registry[type_name](**fields)
        if origin := self.origins.get(declared.name):
            self.bound.keep_origins(node, {("path",): replace(origin, type="Path")})
        self.bound.marks.setdefault(node, {"": at})
        if not self.prefix:
            self.bound.loading[declared.name] = node
        return node

    def _report_cycle(self, names: list[str]) -> None:
        at = self.template.document.key_mark("nodes", names[0])
        found = " → ".join(f"${name}" for name in names)
        problem = Problem("", found, "no node that needs itself", "remove one of these wires")
        self._report_at(problem, names[0], at)

    def _report(self, problem: Problem, spec: NodeSpec, place: KeyPath = ()) -> None:
        self._report_at(problem, spec.name, self._mark(spec, *place))

    def _report_at(self, problem: Problem, name: str, at: Mark) -> None:
        if problem is not UNLISTED:
            problem = problem.under(self.prefix + name, at)
        self.bound.problems.append(problem)

    def _is_full(self) -> bool:
        """Whether so many problems were found that further ones are only counted."""
        return len(self.bound.problems) >= MAX_PROBLEMS

    def _mark(self, spec: NodeSpec, *place: str | int) -> Mark:
        return self.template.document.mark("nodes", spec.name, *place)

    def _node(self, spec: NodeSpec) -> DeferredValue:
        cls = self.registry.get(spec.type)
        if cls is None:
            return self._unknown_type(spec)
        problems_before = len(self.bound.problems)
        fields = self._fields(spec, cls)
        node, problems = build_node(cls, fields)
        self._report_fields(problems, spec, cls, fields)
        if (
            node is None
            or len(self.bound.problems) > problems_before
            or any(map(holds_placeholder, fields.values()))
        ):
            self._report_missing_files(spec, cls, fields)
            return NodePlaceholder(cls.output)
        self._remember(node, spec)
        return node

    def _unknown_type(self, spec: NodeSpec) -> NodePlaceholder:
        problem = UNLISTED if self._is_full() else self.registry.unknown(spec.type)
        self._report(problem, spec, ("type",))
        for name, written in spec.fields.items():  # for the problems in them
            self.resolver.value(written, spec, (name,))
        return NodePlaceholder(None)

    def _fields(self, spec: NodeSpec, cls: type[Node[Any]]) -> dict[str, Any]:
        """The values of a node's fields, with absolute paths."""
        definition = cls.definition
        roles = dict.fromkeys((*definition.sources, *definition.folders), "source")
        roles |= dict.fromkeys(definition.targets, "target")
        self.resolver.begin()
        fields = {
            name: self.resolver.value(written, spec, (name,), role=roles.get(name, ""))
            for name, written in spec.fields.items()
        }
        for name in definition.weights:
            if name in fields:
                folder = self.template.folder
                fields[name] = with_absolute_source(fields[name], folder, field=name)
        return fields

    def _remember(self, node: Node[Any], spec: NodeSpec) -> None:
        """Keeps the place of a node in the file, and its settings there."""
        cache = _inner_cache(self.cache, spec.cache)
        if cache is not None:
            (self.bound.pinned if cache else self.bound.uncached).add(node)
        targets = type(node).definition.targets
        if any(holds_pattern(str(spec.fields.get(name, ""))) for name in targets):
            self.bound.patterned.add(node)
        if node in self.bound.marks and type(node).definition.has_existing:
            self._report_other_rule(node, spec)
        self.bound.keep_origins(node, self.resolver.read)
        places, before = self.template.node_marks[spec.name], self.bound.marks.get(node)
        self.bound.marks[node] = {**places, **before} if before else places

    def _report_other_rule(self, node: Node[Any], spec: NodeSpec) -> None:
        """Reports two nodes that differ only in what happens to a file that is there already."""
        for name, other in self.bound.nodes.items():
            if other == node and getattr(other, EXISTING) != getattr(node, EXISTING):
                found = (
                    f"{getattr(node, EXISTING)}, and {name} writes the same file by another rule"
                )
                problem = Problem(EXISTING, found, "one rule for one file", "remove one of the two")
                self._report(problem, spec, (EXISTING,))
                return

    def _report_missing_files(
        self, spec: NodeSpec, cls: type[Node[Any]], fields: Mapping[str, Any]
    ) -> None:
        """Reports missing files of a node that cannot be built, which no graph will check."""
        for name in () if self._is_full() else cls.definition.sources:
            path = fields.get(name)
            if isinstance(path, Path) and (problem := missing_file(name, path)):
                self._report(problem, spec, (name,))

    def _report_fields(
        self,
        problems: list[Problem],
        spec: NodeSpec,
        cls: type[Node[Any]],
        fields: Mapping[str, Any],
    ) -> None:
        """Reports the problems that the node's class found, at their places in the file."""
        if problems and self._is_full():
            self.bound.problems += [UNLISTED] * len(problems)
            return
        nodes = {name: self._find_node(name) for name in self.template.specs} if problems else {}
        for problem in problems:
            written = problem_as_written(problem, spec, cls, fields, nodes)
            if written is None:
                continue
            problem, place = written
            at = self._mark(spec, *place)
            if place and place[0] in spec.fields and place[0] not in cls.model_fields:
                at = self.template.document.key_mark("nodes", spec.name, place[0])
                problem = replace(problem, fix=problem.fix or self._fix_of_key(spec, place[0]))
            self._report_at(problem, spec.name, at)

    def _fix_of_key(self, spec: NodeSpec, name: str | int) -> str:
        """What to do about an unknown field, which may be the rest of a text that has a comma."""
        names = [*spec.fields]
        before = names[names.index(str(name)) - 1] if name in names[1:] else ""
        document = self.template.document
        marks = [document.key_mark("nodes", spec.name, key) for key in (before, str(name))]
        is_quoted = ("nodes", spec.name, before) in document.quoted
        if not before or is_quoted or marks[0].line != marks[1].line:
            return ""
        is_text = isinstance(spec.fields[before], str) and not parse_reference(spec.fields[before])
        return f"if it belongs to the text of {before}, quote the whole text" if is_text else ""

    def _sub_workflow(self, spec: NodeSpec) -> DeferredValue:
        self.bound.subworkflow_count += 1
        trail = self.trail or (Path(self.template.document.file).resolve(),)
        try:
            template = read_subworkflow(spec, self.template, trail, self.bound)
        except InvalidWorkflowError as error:
            for problem in error.problems:
                self._report(problem, spec, ("path",))
            return NodePlaceholder(None)
        scope = self._inner_scope(spec, template, trail)
        problems_before = len(self.bound.problems)
        scope.build()
        self.bound.problems[problems_before:] = [
            problem if problem.at or problem is UNLISTED else self._place_of_input(problem, spec)
            for problem in self.bound.problems[problems_before:]
        ]
        self._report_inputs_not_passed(spec, template)
        outputs = output_nodes(template, self.registry)
        if len(outputs) == 1:
            return scope._find_node(outputs[0])
        if any(spec.name in other.references() for other in self.template.specs.values()):
            self._report(no_single_output_problem(template, outputs), spec)
        return NodePlaceholder(None)

    def _inner_scope(
        self, spec: NodeSpec, template: WorkflowTemplate, trail: tuple[Path, ...]
    ) -> _Scope:
        """The scope of a sub-workflow, with the values that `spec` passes to its inputs."""
        passed = {
            name: self.resolver.value(written, spec, (name,), role=template.role_of(name))
            for name, written in spec.fields.items()
            if name != "path"
        }
        origins = {
            name: self.origins.get(reference.name)
            for name, written in spec.fields.items()
            if (reference := parse_reference(written)) and reference.to_input
        }
        return _Scope(
            template,
            passed,
            self.template.folder,
            self.registry,
            self.bound,
            origins,
            prefix=f"{self.prefix}{spec.name}/",
            trail=(*trail, Path(template.document.file).resolve()),
            cache=_inner_cache(self.cache, spec.cache),
        )

    def _report_inputs_not_passed(self, spec: NodeSpec, template: WorkflowTemplate) -> None:
        file = Path(template.document.file).name
        for name, declared in template.inputs.items():
            if declared.required and (name not in spec.fields or name == "path"):
                wanted = f"the input {name} of {file}"
                self._report(Problem(name, "nothing", wanted, f"add `{name}: …`"), spec)

    def _place_of_input(self, problem: Problem, spec: NodeSpec) -> Problem:
        """A problem of an input of a sub-workflow, at the place where `spec` passes its value."""
        name = problem.subject.removeprefix("inputs.")
        at = self._mark(spec, name)
        if problem.found.startswith("an input"):
            at = self.template.document.key_mark("nodes", spec.name, name)
        return replace(problem, subject=f"{self.prefix}{spec.name}.{name}", at=at)


def _inner_cache(outer: bool | None, own: bool | None) -> bool | None:
    """The `cache` of a node in a sub-workflow: false if one of both is, else true if one is."""
    return False if False in (outer, own) else outer or own
