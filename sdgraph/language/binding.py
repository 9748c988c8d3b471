"""Template + inputs → nodes: references resolved, sub-workflows inlined, all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Mark, Problem, nearest
from sdgraph.files import expand_home
from sdgraph.graph import Lazy, Node, Origin, Registry, a, missing_file

from .filename_patterns import filled, holds_pattern, nameable
from .inputs import LOADERS, Input, given_problems, kind_of
from .node_builder import Bound, Unbuilt, attempt, holds_unbuilt
from .subworkflow import no_single_output, outputs, sub_template
from .template import (
    Reference,
    Spec,
    Template,
    place_in,
    reading_order,
    rebased,
    reference,
    unescaped,
    value_at,
)


def bind(
    template: Template, given: Mapping[str, Any], registry: Registry, number: int = 1
) -> Bound:
    """The nodes of a template with the given inputs; required inputs left open stay Unbuilt.

    `number` is what `{number}` in a file's name stands for: the variant's place in a sweep.
    """
    bound = Bound(number=number)
    origins = {k: Origin(k, each.type, each.description) for k, each in template.inputs.items()}
    _Scope(template, given, Path.cwd(), registry, bound, origins).build()
    return bound


@dataclass
class _Scope:
    """One workflow file being bound; a sub-workflow is a scope of its own."""

    template: Template
    given: Mapping[str, Any]
    given_folder: Path
    registry: Registry
    bound: Bound
    origins: Mapping[str, Origin | None]
    """The input of the outermost workflow that each input of this one is."""
    prefix: str = ""
    trail: tuple[Path, ...] = ()
    cache: bool = True
    read: dict[tuple[str | int, ...], Origin] = field(default_factory=dict)

    def build(self) -> None:
        wrong = given_problems(self.template.inputs, self.given)
        self.bound.problems += wrong
        refused = {problem.subject.removeprefix("inputs.") for problem in wrong}
        self.inputs = {
            name: Unbuilt(None) if name in refused else self._input(name)
            for name in self.template.inputs
        }
        order, cycles = reading_order(self.template.specs)
        for cycle in cycles:
            self._cycle(cycle)
        for name in order:
            spec = self.template.specs[name]
            node = self._sub_workflow(spec) if spec.type == "Workflow" else self._node(spec)
            self.bound.nodes[self.prefix + name] = node

    def _input(self, name: str) -> Any:
        declared = self.template.inputs[name]
        if name in self.given:
            value, folder = self.given[name], self.given_folder
        elif declared.required:
            return Unbuilt(kind_of(declared))
        else:
            value, folder = declared.default, self.template.folder
        if isinstance(value, str | Path) and declared.type in LOADERS:
            return self._loaded(declared, folder / expand_home(value))
        if isinstance(value, str | Path) and declared.type == "Path":
            return folder / expand_home(value)
        if declared.type == "Checkpoint" and not isinstance(value, Lazy):
            return rebased(value, folder)
        return value

    def _loaded(self, declared: Input, path: Path) -> Lazy:
        """The node that loads the file given for an input of a picture's kind."""
        at = self.template.document.mark("inputs", declared.name)
        type_name, fields = LOADERS[declared.type], {"path": path}
        if type_name not in self.registry:
            wanted = f"the node type {type_name}, which loads such files"
            subject = f"inputs.{declared.name}"
            self.bound.problems.append(Problem(subject, f"the path {path}", wanted, at=at))
            return Unbuilt(kind_of(declared))
        node = self.registry[type_name](**fields)
        if origin := self.origins.get(declared.name):
            self.bound.keep_origins(node, {("path",): replace(origin, type="Path")})
        self.bound.marks.setdefault(node, {}).setdefault("", at)
        return node

    def _cycle(self, loop: list[str]) -> None:
        at = self.template.document.key_mark("nodes", loop[0])
        found = " → ".join(f"${name}" for name in loop)
        problem = Problem("", found, "no node that needs itself", "remove one of these wires")
        self._report(problem, loop[0], at)

    def _report(self, problem: Problem, name: str, at: Mark | None) -> None:
        self.bound.problems.append(problem.under(self.prefix + name, at))

    def _mark(self, name: str, *place: str | int) -> Mark:
        return self.template.document.mark("nodes", name, *place)

    def _node(self, spec: Spec) -> Lazy:
        cls = self.registry.get(spec.type)
        if cls is None:
            found = f"the type {spec.type!r}"
            problem = Problem("type", found, "a known node type", self.registry.suggest(spec.type))
            self._report(problem, spec.name, self._mark(spec.name, "type"))
            for field_name, raw in spec.fields.items():
                self._value(raw, spec, (field_name,))
            return Unbuilt(None)
        known = cls.definition
        roles = dict.fromkeys(known.sources, "source") | dict.fromkeys(known.targets, "target")
        before = len(self.bound.problems)
        self.read = {}
        fields = {
            name: self._value(raw, spec, (name,), role=roles.get(name, ""))
            for name, raw in spec.fields.items()
        }
        for name in known.weights:
            if name in fields:
                fields[name] = rebased(fields[name], self.template.folder)
        node, problems = attempt(cls, fields)
        self._node_problems(problems, spec, cls, fields)
        if (
            node is None
            or len(self.bound.problems) > before
            or any(map(holds_unbuilt, fields.values()))
        ):
            self._missing_files(spec, {name: fields.get(name) for name in known.sources})
            return Unbuilt(cls.output)
        if not (self.cache and spec.cache):
            self.bound.uncached.add(node)
        if any(holds_pattern(str(spec.fields.get(name, ""))) for name in known.targets):
            self.bound.patterned.add(node)
        self.bound.keep_origins(node, self.read)
        here = self.bound.marks.setdefault(node, {})
        here.setdefault("", self._mark(spec.name))
        for name in spec.fields:
            here.setdefault(name, self._mark(spec.name, name))
        return node

    def _missing_files(self, spec: Spec, paths: Mapping[str, Any]) -> None:
        """What the graph's own check would say, for a node that never reaches it."""
        for name, path in paths.items():
            if isinstance(path, Path) and (problem := missing_file(name, path)):
                self._report(problem, spec.name, self._mark(spec.name, name))

    def _node_problems(
        self, problems: list[Problem], spec: Spec, cls: type[Node[Any]], fields: Mapping[str, Any]
    ) -> None:
        for problem in problems:
            place = place_in(problem.subject.removeprefix(cls.__name__)[1:], spec.fields)
            name = str(place[0]) if place else ""
            value, raw = value_at(fields, place), value_at(spec.fields, place)
            if name not in cls.definition.ports and holds_unbuilt(value):
                continue
            found, fix = problem.found, problem.fix
            if (to := reference(raw)) is not None:
                made = f"which makes {a(value.output)}" if isinstance(value, Lazy) else found
                found = f"{to}, {made}"
                if isinstance(value, Lazy):
                    fix = self._could_be(cls, name, str(to)) or fix
            at = self._mark(spec.name, *place)
            if name in spec.fields and name not in cls.model_fields:
                at = self.template.document.key_mark("nodes", spec.name, name)
            subject = ".".join(map(str, place))
            self._report(Problem(subject, found, problem.wanted, fix), spec.name, at)

    def _could_be(self, cls: type[Node[Any]], field_name: str, written: str) -> str:
        port = cls.definition.ports.get(field_name)
        if port is None:
            return "a parameter takes a plain value, not a node"
        fitting = [
            f"${name}"
            for name in self.template.specs
            if (node := self.bound.nodes.get(self.prefix + name)) is not None
            and node.output is not None
            and port.takes(node.output)
            and f"${name}" != written
        ]
        return f"{', '.join(fitting[:4])} would fit" if fitting else ""

    def _value(self, raw: Any, spec: Spec, place: tuple[str | int, ...], *, role: str = "") -> Any:
        """A written value, its references resolved and, in a field with a role, paths whole."""
        if isinstance(raw, list):
            return [self._value(v, spec, (*place, i), role=role) for i, v in enumerate(raw)]
        if isinstance(raw, dict):
            return {k: self._value(v, spec, (*place, k), role=role) for k, v in raw.items()}
        if not isinstance(raw, str):
            return raw
        to = reference(raw)
        if to is None:
            text = unescaped(raw)
            if role == "target" and text:
                return self._filled(text, spec, place)
            return self._path(text, role) if role and text else text
        if not to.to_input:
            return self._named(to, spec, place)
        if to.name not in self.inputs:
            return self._unknown(to, self.inputs, spec, place)
        value = self.inputs[to.name]
        if (origin := self.origins.get(to.name)) and not isinstance(value, Lazy):
            self.read[place] = origin
        if role and isinstance(value, str | Path):
            given = to.name in self.given
            written = self.given[to.name] if given else self.template.inputs[to.name].default
            return self._path(written, role, given=given)
        return value

    def _filled(self, pattern: str, spec: Spec, place: tuple[str | int, ...]) -> Path | Unbuilt:
        """The path that a pattern means; a stand-in where an input it names is left open."""
        named = nameable(self.template.inputs, self.given, self.inputs)
        made = filled(pattern, named, self.bound.number)
        if isinstance(made, Problem):
            problem = made.under(".".join(map(str, place)))
            self._report(problem, spec.name, self._mark(spec.name, *place))
            return Unbuilt(None)
        return made if isinstance(made, Unbuilt) else self._path(made, "target")

    def _path(self, written: str | Path, role: str, *, given: bool = False) -> Path:
        folder = self.given_folder if given else self.template.folder
        if role == "target" and self.template.out is not None:
            folder = self.template.out
        return folder / expand_home(written)

    def _named(self, to: Reference, spec: Spec, place: tuple[str | int, ...]) -> Any:
        if to.name not in self.template.specs:
            return self._unknown(to, self.template.specs, spec, place)
        return self.bound.nodes.get(self.prefix + to.name, Unbuilt(None))

    def _unknown(
        self,
        to: Reference,
        known: Mapping[str, Any],
        spec: Spec,
        place: tuple[str | int, ...],
    ) -> Unbuilt:
        kind = "an input" if to.to_input else "a node"
        near = nearest(to.name, known)
        fix = f"did you mean {replace(to, name=near)}?" if near else ""
        if not fix and not to.to_input and to.name in self.inputs:
            fix = f"did you mean $inputs.{to.name}?"
        fix = fix or f"write ${to} for the text {str(to)!r}"
        wanted = f"{kind} of this workflow: {', '.join(known) or 'it has none'}"
        subject = ".".join(str(step) for step in place)
        problem = Problem(subject, str(to), wanted, fix)
        self._report(problem, spec.name, self._mark(spec.name, *place))
        return Unbuilt(None)

    def _sub_workflow(self, spec: Spec) -> Lazy:
        at = self._mark(spec.name)
        self.bound.workflows += 1
        trail = self.trail or (Path(self.template.document.file).resolve(),)
        try:
            template = sub_template(spec, self.template, trail, self.bound.workflows)
        except InvalidWorkflowError as error:
            for problem in error.problems:
                self._report(problem, spec.name, self._mark(spec.name, "path"))
            return Unbuilt(None)
        given = {
            name: self._value(raw, spec, (name,), role=template.role_of(name))
            for name, raw in spec.fields.items()
            if name != "path"
        }
        prefix = f"{self.prefix}{spec.name}/"
        before = len(self.bound.problems)
        passed = {k: to for k, raw in spec.fields.items() if (to := reference(raw)) and to.to_input}
        origins = {name: self.origins.get(to.name) for name, to in passed.items()}
        scope = _Scope(
            template,
            given,
            self.template.folder,
            self.registry,
            self.bound,
            origins,
            prefix,
            (*trail, Path(template.document.file).resolve()),
            self.cache and spec.cache,
        )
        scope.build()
        self.bound.problems[before:] = [
            problem if problem.at else self._of_input(problem, spec)
            for problem in self.bound.problems[before:]
        ]
        for name, declared in template.inputs.items():
            if declared.required and name not in given:
                wanted = f"the input {name} of {Path(template.document.file).name}"
                self._report(Problem(name, "nothing", wanted, f"add `{name}: …`"), spec.name, at)
        ends = outputs(template, self.registry)
        if len(ends) == 1:
            return self.bound.nodes[prefix + ends[0]]
        if any(spec.name in each.references() for each in self.template.specs.values()):
            self._report(no_single_output(template, ends), spec.name, at)
        return Unbuilt(None)

    def _of_input(self, problem: Problem, spec: Spec) -> Problem:
        """A problem of an input that this entry gives to its sub-workflow."""
        name = problem.subject.removeprefix("inputs.")
        at = self._mark(spec.name, name)
        if problem.found.startswith("an input"):
            at = self.template.document.key_mark("nodes", spec.name, name)
        return replace(problem, subject=f"{self.prefix}{spec.name}.{name}", at=at)
