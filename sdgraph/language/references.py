"""References in the plain data of a workflow file, and the values at places in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .yaml_document import KeyPath

_REFERENCE = re.compile(r"\$(?:(inputs)\.)?([^\W\d]\w*)\Z")
"""`$name` or `$inputs.name`, and nothing else in the string."""

_MISSPELLED = re.compile(r"\$[^\W\d]\w*(?:\.\w+)+\Z")
"""A name with dots after the dollar sign, such as `$input.prompt`: meant as a reference."""


@dataclass(frozen=True)
class Reference:
    """A text that is only a reference, to a node or to an input."""

    name: str
    to_input: bool

    def __str__(self) -> str:
        return f"$inputs.{self.name}" if self.to_input else f"${self.name}"


def parse_reference(value: Any) -> Reference | None:
    """The reference that a value is, or None: "costs $5" and "$$x" are only text.

    Example:
        >>> parse_reference("$inputs.seed")
        Reference(name='seed', to_input=True)
        >>> parse_reference("costs $5") is None
        True
    """
    if not isinstance(value, str) or not value.startswith("$"):
        return None
    match = _REFERENCE.match(value)
    return Reference(match[2], bool(match[1])) if match and match[2].isidentifier() else None


def is_misspelled_reference(value: Any) -> bool:
    """Whether a value is a dollar sign and a name with dots, but no reference: `$input.seed`."""
    return isinstance(value, str) and bool(_MISSPELLED.match(value)) and not parse_reference(value)


def unescape_dollar(text: str) -> str:
    """The text that a text in a file stands for: `$x` for `$$x`, every other text for itself."""
    return text[1:] if text.startswith("$$") else text


def escape_dollar(text: str) -> str:
    """The text that stands for `text` in a file; the reverse of `unescape_dollar`."""
    is_taken = text.startswith("$$") or parse_reference(text) or is_misspelled_reference(text)
    return f"${text}" if is_taken else text


def walk_scalars(data: Any, place: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yields every scalar in plain data with its place."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from walk_scalars(value, (*place, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from walk_scalars(value, (*place, index))
    else:
        yield place, data


def value_at(fields: Any, place: list[str | int]) -> Any:
    """The value at a place in a node's fields, or None."""
    value = fields
    for step in place:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value
