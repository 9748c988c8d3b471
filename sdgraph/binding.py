"""Template + inputs → nodes: references resolved, sub-workflows inlined, all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import InvalidNode, InvalidWorkflow, Mark, Problem, did_you_mean
from .graph import missing_file
from .inputs import KINDS, LOADERS, given_problems
from .node import Node
from .ports import Lazy, a
from .registry import Registry
from .template import Reference, Spec, Template, read_template, reference, unescaped
from .values import Checkpoint

MAX_NESTING = 16
"""How deep sub-workflows may stand in one another."""


class Unbuilt(Lazy):
    """Stands for a node that could not be made, so that its readers are checked all the same."""

    content = "unbuilt"

    def __init__(self, output: type | None) -> None:
        self.output = output  # type: ignore[misc]  # of each one, not of the class


@dataclass
class Bound:
    """What binding made: a node under each name, or an Unbuilt."""

    nodes: dict[str, Lazy] = field(default_factory=dict)
    marks: dict[Node[Any], dict[str, Mark]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def names(self) -> dict[Node[Any], str]:
        """The first name of each node that was made."""
        names: dict[Node[Any], str] = {}
        for name, node in self.nodes.items():
            if isinstance(node, Node):
                names.setdefault(node, name)
        return names


def bind(template: Template, given: Mapping[str, Any], registry: Registry) -> Bound:
    """The nodes of a template with the given inputs; required inputs left open stay Unbuilt."""
    bound = Bound()
    _Scope(template, given, Path.cwd(), registry, bound).build()
    return bound


@dataclass
class _Scope:
    """One workflow file being bound; a sub-workflow is a scope of its own."""

    template: Template
    given: Mapping[str, Any]
    given_folder: Path
    registry: Registry
    bound: Bound
    prefix: str = ""
    trail: tuple[Path, ...] = ()

    def build(self) -> None:
        problems = given_problems(self.template.inputs, self.given)
        self.bound.problems += problems
        self.inputs = {name: self._input(name) for name in self.template.inputs}
        for name in self._order():
            spec = self.template.specs[name]
            node = self._sub_workflow(spec) if spec.type == "Workflow" else self._node(spec)
            self.bound.nodes[self.prefix + name] = node

    def _input(self, name: str) -> Any:
        declared = self.template.inputs[name]
        if name in self.given:
            value, folder = self.given[name], self.given_folder
        elif declared.required:
            return Unbuilt(KINDS.get(declared.type))
        else:
            value, folder = declared.default, self.template.folder
        if isinstance(value, str | Path) and declared.type in LOADERS:
            loader = self.registry.get(LOADERS[declared.type])
            return loader.model_validate({"path": folder / value}) if loader else Unbuilt(None)
        if isinstance(value, str | Path) and declared.type == "Path":
            return folder / Path(value).expanduser()
        if declared.type == "Checkpoint" and not isinstance(value, Lazy):
            return _rebased(value, folder)
        return value

    def _order(self) -> list[str]:
        """The names in an order in which each follows those it refers to; cycles reported."""
        specs = self.template.specs
        order: dict[str, None] = {}
        for start in specs:
            path: dict[str, None] = {}
            stack = [(start, iter(sorted(set(specs[start].references()) & specs.keys())))]
            path[start] = None
            while stack:
                name, rest = stack[-1]
                following = next((each for each in rest if each not in order), None)
                if following is None:
                    stack.pop()
                    path.pop(name, None)
                    order[name] = None
                elif following in path:
                    self._cycle([*path, following])
                    stack.clear()
                    order.update(dict.fromkeys(path))
                else:
                    path[following] = None
                    references = sorted(set(specs[following].references()) & specs.keys())
                    stack.append((following, iter(references)))
        return list(order)

    def _cycle(self, path: list[str]) -> None:
        loop = path[path.index(path[-1]) :]
        at = self.template.document.key_mark("nodes", loop[0])
        found = " → ".join(f"${name}" for name in loop)
        self._report(
            Problem("", found, "no node that needs itself", "remove one of these"), loop[0], at
        )

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
        paths = (*known.sources, *known.targets)
        before = len(self.bound.problems)
        fields = {
            name: self._value(raw, spec, (name,), path=name in paths)
            for name, raw in spec.fields.items()
        }
        for name, port in known.ports.items():
            if Checkpoint in port.kinds and name in fields:
                fields[name] = _rebased(fields[name], self.template.folder)
        try:
            node = cls(**fields)
        except InvalidNode as error:
            self._node_problems(error, spec, cls, fields)
            node = None
        if (
            node is None
            or len(self.bound.problems) > before
            or any(map(_holds_unbuilt, fields.values()))
        ):
            self._missing_files(spec, {name: fields.get(name) for name in known.sources})
            return Unbuilt(cls.output)
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
        self, error: InvalidNode, spec: Spec, cls: type[Node[Any]], fields: Mapping[str, Any]
    ) -> None:
        for problem in error.problems:
            name, *rest = problem.subject.removeprefix(cls.__name__).lstrip(".").split(".")
            place: list[str | int] = [name, *map(int, rest)] if name else []
            value, raw = _at(fields, place), _at(spec.fields, place)
            if name not in cls.definition.ports and _holds_unbuilt(value):
                continue
            found, fix = problem.found, problem.fix
            if (to := reference(raw)) is not None:
                made = f"which makes {a(value.output)}" if isinstance(value, Lazy) else found
                found = f"{to}, {made}"
                if isinstance(value, Lazy):
                    fix = self._could_be(cls, name, str(to))
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
            f"${name.removeprefix(self.prefix)}"
            for name, node in self.bound.nodes.items()
            if node.output is not None
            and port.takes(node.output)
            and name.startswith(self.prefix)
            and "/" not in name.removeprefix(self.prefix)
            and f"${name}" != written
        ]
        return f"{', '.join(fitting[:4])} would fit" if fitting else ""

    def _value(
        self, raw: Any, spec: Spec, place: tuple[str | int, ...], *, path: bool = False
    ) -> Any:
        """A written value with its references resolved, and paths made whole."""
        if isinstance(raw, list):
            return [self._value(v, spec, (*place, i), path=path) for i, v in enumerate(raw)]
        if isinstance(raw, dict):
            return {k: self._value(v, spec, (*place, k), path=path) for k, v in raw.items()}
        if not isinstance(raw, str):
            return raw
        to = reference(raw)
        if to is None:
            text = unescaped(raw)
            return self._path(text, self.template.folder) if path and text else text
        if not to.to_input:
            return self._named(to, spec, place)
        if to.name not in self.inputs:
            return self._unknown(to, self.inputs, spec, place)
        value = self.inputs[to.name]
        if path and isinstance(value, str):
            given = to.name in self.given
            return self._path(value, self.given_folder if given else self.template.folder)
        return value

    @staticmethod
    def _path(text: str, folder: Path) -> Path:
        return folder / Path(text).expanduser()

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
        fix = did_you_mean(to.name, known)
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
        written = spec.fields.get("path")
        if not isinstance(written, str):
            problem = Problem("path", "no path", "the path of a workflow file")
            self._report(problem, spec.name, at)
            return Unbuilt(None)
        path = (self.template.folder / written).resolve()
        if path in self.trail or len(self.trail) >= MAX_NESTING:
            found = " → ".join(each.name for each in (*self.trail, path))
            problem = Problem("path", found, "no workflow inside itself")
            self._report(problem, spec.name, self._mark(spec.name, "path"))
            return Unbuilt(None)
        try:
            template = read_template(path)
        except InvalidWorkflow as error:
            for problem in error.problems:
                self._report(problem, spec.name, self._mark(spec.name, "path"))
            return Unbuilt(None)
        given = {
            name: self._value(raw, spec, (name,))
            for name, raw in spec.fields.items()
            if name != "path"
        }
        prefix = f"{self.prefix}{spec.name}/"
        trail = (*self.trail, path)
        before = len(self.bound.problems)
        scope = _Scope(
            template, given, self.template.folder, self.registry, self.bound, prefix, trail
        )
        scope.build()
        self.bound.problems[before:] = [
            problem if problem.at else problem.under(self.prefix + spec.name, at)
            for problem in self.bound.problems[before:]
        ]
        for name, declared in template.inputs.items():
            if declared.required and name not in given:
                problem = Problem(name, "nothing", f"the input {name} of {path.name}")
                self._report(problem, spec.name, at)
        return self._output_of(template, prefix, spec)

    def _output_of(self, template: Template, prefix: str, spec: Spec) -> Lazy:
        if template.output:
            return self.bound.nodes[prefix + template.output]
        read = {name for each in template.specs.values() for name in each.references()}
        effects = {
            name
            for name, each in template.specs.items()
            if (cls := self.registry.get(each.type)) is not None and cls.effect
        }
        saved = {name for each in effects for name in template.specs[each].references()}
        ends = [name for name in template.specs if name not in (read - saved) | effects]
        if len(ends) == 1:
            return self.bound.nodes[prefix + ends[0]]
        found = f"{len(ends)} possible outputs ({', '.join(ends)})" if ends else "no output"
        fix = f"add `output: $name` to {template.document.file}"
        self._report(Problem("path", found, "one output", fix), spec.name, self._mark(spec.name))
        return Unbuilt(None)


def _at(fields: Any, place: list[str | int]) -> Any:
    """What stands at a place in a node's fields, or None."""
    found = fields
    for step in place:
        if isinstance(found, Mapping):
            found = found.get(step)
        elif isinstance(found, list | tuple) and isinstance(step, int) and step < len(found):
            found = found[step]
        else:
            return None
    return found


def _holds_unbuilt(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_holds_unbuilt, value))
    if isinstance(value, dict):
        return any(map(_holds_unbuilt, value.values()))
    return isinstance(value, Unbuilt)


def _rebased(value: Any, folder: Path) -> Any:
    """A checkpoint whose source is a path (./x, ../x, ~/x) with that path made whole."""
    if isinstance(value, str) and value.startswith(("./", "../", "~")):
        return str((folder / Path(value).expanduser()).resolve())
    if isinstance(value, dict) and isinstance(value.get("source"), str):
        return {**value, "source": _rebased(value["source"], folder)}
    if isinstance(value, list):
        return [_rebased(each, folder) for each in value]
    return value
