"""What is written in a node's fields becomes values: references resolved, paths made absolute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdgraph.errors import Problem, nearest
from sdgraph.files import expand_home
from sdgraph.graph import DeferredValue, Origin

from .filename_patterns import fill_pattern, pattern_values
from .node_builder import NodePlaceholder
from .template import NodeSpec, Reference, WorkflowTemplate, parse_reference, unescape_dollar
from .yaml_document import KeyPath


@dataclass
class FieldResolver:
    """Resolves the fields of the nodes in one workflow file.

    What cannot be resolved is given to `report` and becomes a NodePlaceholder, so that the other
    fields are checked as well.
    """

    template: WorkflowTemplate
    given: Mapping[str, Any]
    """The inputs as they were given; relative paths in them are relative to `given_folder`."""
    given_folder: Path
    inputs: Mapping[str, Any]
    """Each declared input: its value, a node that loads it, or a placeholder."""
    origins: Mapping[str, Origin | None]
    node: Callable[[str], DeferredValue]
    """The node of a name in this file, or a placeholder."""
    report: Callable[[Problem, NodeSpec, KeyPath], None]
    variant_number: int = 1
    read: dict[KeyPath, Origin] = field(default_factory=dict)
    """Which places in the fields were read from which inputs, since `begin`."""

    def begin(self) -> None:
        """Forgets which inputs the fields of the node before were read from."""
        self.read = {}

    def value(self, written: Any, spec: NodeSpec, place: KeyPath, *, role: str = "") -> Any:
        """The value of what is written at a place in the fields of `spec`.

        Args:
            written: plain data from the file.
            spec: the node that it belongs to.
            place: the field's name, and keys and indices inside it.
            role: "source" or "target" where the field holds the path of a file.
        """
        if isinstance(written, list):
            return [
                self.value(item, spec, (*place, index), role=role)
                for index, item in enumerate(written)
            ]
        if isinstance(written, dict):
            return {
                key: self.value(item, spec, (*place, key), role=role)
                for key, item in written.items()
            }
        if not isinstance(written, str):
            return written
        reference = parse_reference(written)
        if reference is None:
            return self._text(unescape_dollar(written), spec, place, role)
        if reference.to_input:
            return self._input(reference, spec, place, role)
        if reference.name not in self.template.specs:
            return self._unknown(reference, self.template.specs, spec, place)
        return self.node(reference.name)

    def _text(
        self, text: str, spec: NodeSpec, place: KeyPath, role: str
    ) -> str | Path | NodePlaceholder:
        if not role or not text:
            return text
        return self._filled(text, spec, place) if role == "target" else self._path(text, role)

    def _input(self, reference: Reference, spec: NodeSpec, place: KeyPath, role: str) -> Any:
        name = reference.name
        if name not in self.inputs:
            return self._unknown(reference, self.inputs, spec, place)
        value = self.inputs[name]
        if (origin := self.origins.get(name)) and not isinstance(value, DeferredValue):
            self.read[place] = origin
        if role and isinstance(value, str | Path):
            is_given = name in self.given
            path = self.given[name] if is_given else self.template.inputs[name].default
            return self._path(path, role, is_given=is_given)
        return value

    def _filled(self, pattern: str, spec: NodeSpec, place: KeyPath) -> Path | NodePlaceholder:
        """The path that a pattern means; a placeholder where it names an input not yet given."""
        values = pattern_values(self.template.inputs, self.given, self.inputs)
        path = fill_pattern(pattern, values, self.variant_number)
        if isinstance(path, Problem):
            self.report(path.under(".".join(map(str, place))), spec, place)
            return NodePlaceholder(None)
        return path if isinstance(path, NodePlaceholder) else self._path(path, "target")

    def _path(self, path: str | Path, role: str, *, is_given: bool = False) -> Path:
        folder = self.given_folder if is_given else self.template.folder
        if role == "target" and self.template.out is not None:
            folder = self.template.out
        return folder / expand_home(path)

    def _unknown(
        self, reference: Reference, names: Mapping[str, Any], spec: NodeSpec, place: KeyPath
    ) -> NodePlaceholder:
        kind = "an input" if reference.to_input else "a node"
        near = nearest(reference.name, names)
        fix = f"did you mean {replace(reference, name=near)}?" if near else ""
        if not fix and not reference.to_input and reference.name in self.inputs:
            fix = f"did you mean $inputs.{reference.name}?"
        fix = fix or f"write ${reference} for the text {str(reference)!r}"
        wanted = f"{kind} of this workflow: {', '.join(names) or 'it has none'}"
        problem = Problem(".".join(map(str, place)), str(reference), wanted, fix)
        self.report(problem, spec, place)
        return NodePlaceholder(None)
