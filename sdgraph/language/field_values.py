"""Makes the values of a node's fields from the file: resolves references, makes paths absolute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sdgraph.errors import UNLISTED, Problem, nearest
from sdgraph.files import expand_home
from sdgraph.graph import DeferredValue, Origin, list_names, shorten_text

from .filename_patterns import fill_pattern, pattern_values
from .node_builder import NodePlaceholder
from .references import (
    Reference,
    is_misspelled_reference,
    parse_reference,
    unescape_dollar,
)
from .template import NodeSpec, WorkflowTemplate
from .yaml_document import KeyPath


@dataclass
class FieldResolver:
    """Resolves the fields of the nodes in one workflow file.

    A field that cannot be resolved is reported and becomes a NodePlaceholder, so that the other
    fields are checked as well.
    """

    template: WorkflowTemplate
    input_values: Mapping[str, Any]
    """The values that were passed for inputs; relative paths start from `values_folder`."""
    values_folder: Path
    inputs: Mapping[str, Any]
    """For each declared input its value, a node that loads it, or a placeholder."""
    origins: Mapping[str, Origin | None]
    node: Callable[[str], DeferredValue]
    """Returns the node with a name in this file, or a placeholder."""
    report: Callable[[Problem, NodeSpec, KeyPath], None]
    is_full: Callable[[], bool] = lambda: False
    """Whether so many problems were found that further ones are only counted."""
    variant_number: int = 1
    read: dict[KeyPath, Origin] = field(default_factory=dict)
    """The places in the fields that were read from inputs since `begin`, with the inputs."""

    def begin(self) -> None:
        """Starts with the fields of another node: clears `read`."""
        self.read = {}

    def value(self, written: Any, spec: NodeSpec, place: KeyPath, *, role: str = "") -> Any:
        """The value that plain data at a place in the fields of `spec` stands for.

        Args:
            written: Plain data from the file.
            spec: The node that it belongs to.
            place: The field's name, and keys and indices inside it.
            role: "source" or "target" if the field contains the path of a file to read or write.
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
            if is_misspelled_reference(written):
                return self._report_misspelled(written, spec, place)
            return self._text(unescape_dollar(written), spec, place, role)
        if reference.to_input:
            return self._input(reference, spec, place, role)
        if reference.name not in self.template.specs:
            return self._report_unknown(reference, self.template.specs, spec, place)
        return self.node(reference.name)

    def _text(
        self, text: str, spec: NodeSpec, place: KeyPath, role: str
    ) -> str | Path | NodePlaceholder:
        if not role or not text:
            return text
        if role == "target":
            return self._fill_pattern(text, spec, place)
        return self._path(text, role)

    def _input(self, reference: Reference, spec: NodeSpec, place: KeyPath, role: str) -> Any:
        name = reference.name
        if name not in self.inputs:
            return self._report_unknown(reference, self.inputs, spec, place)
        value = self.inputs[name]
        if (origin := self.origins.get(name)) and not isinstance(value, DeferredValue):
            self.read[place] = origin
        if role and isinstance(value, str | Path):
            is_passed = name in self.input_values
            path = self.input_values[name] if is_passed else self.template.inputs[name].default
            return self._path(path, role, is_passed=is_passed)
        return value

    def _fill_pattern(self, pattern: str, spec: NodeSpec, place: KeyPath) -> Path | NodePlaceholder:
        """The path that a pattern stands for; a placeholder if an input in it has no value."""
        values = pattern_values(self.template.inputs, self.input_values, self.inputs)
        path = fill_pattern(pattern, values, self.variant_number)
        if isinstance(path, Problem):
            self.report(path.under(".".join(map(str, place))), spec, place)
            return NodePlaceholder(None)
        return path if isinstance(path, NodePlaceholder) else self._path(path, "target")

    def _path(self, path: str | Path, role: str, *, is_passed: bool = False) -> Path:
        folder = self.values_folder if is_passed else self.template.folder
        if role == "target" and self.template.out is not None:
            folder = self.template.out
        return folder / expand_home(path)

    def _report_misspelled(self, text: str, spec: NodeSpec, place: KeyPath) -> NodePlaceholder:
        first, _, rest = text.removeprefix("$").partition(".")
        if rest in self.inputs:
            fix = f"did you mean $inputs.{rest}?"
        elif first in self.template.specs:
            fix = f"did you mean ${first}?"
        else:
            fix = f"write ${text} for the text {text!r}"
        wanted = "$name for a node, or $inputs.name for an input"
        self.report(Problem(".".join(map(str, place)), text, wanted, fix), spec, place)
        return NodePlaceholder(None)

    def _report_unknown(
        self, reference: Reference, names: Mapping[str, Any], spec: NodeSpec, place: KeyPath
    ) -> NodePlaceholder:
        if self.is_full():
            self.report(UNLISTED, spec, place)
            return NodePlaceholder(None)
        kind = "an input" if reference.to_input else "a node"
        near = nearest(reference.name, names)
        fix = f"did you mean {replace(reference, name=near)}?" if near else ""
        if not fix and not reference.to_input and reference.name in self.inputs:
            fix = f"did you mean $inputs.{reference.name}?"
        fix = fix or f"write ${reference} for the text {str(reference)!r}"
        wanted = f"{kind} of this workflow: {list_names(names) or 'it has none'}"
        problem = Problem(".".join(map(str, place)), shorten_text(str(reference)), wanted, fix)
        self.report(problem, spec, place)
        return NodePlaceholder(None)
