"""Finds texts that should be in quotes: YAML reads them as something that is valid and not meant.

- `{prompt: a red fox, sitting}`: the comma ends the text, and `sitting` is a key without a value.
- `{type: Text2Image, prompt:a fox}`: without a space after the colon, `prompt:a fox` is a key.
- `color: #ff0000`: the rest of the line is a comment.
- `prompt: &x`: the name of an anchor, and no value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from sdgraph.errors import Mark, Problem

from .yaml_errors import quoted

_KEY_AND_VALUE = re.compile(r"([A-Za-z_]\w*):(\S.*)\Z", re.DOTALL)


@dataclass
class _FlowMap:
    """A map in braces that is being read.

    Args:
        key: The event of the latest key.
        before: The events of the key and the value before the first key without a value.
        bare: The keys without a colon, which have no value.
    """

    key: yaml.ScalarEvent | None = None
    last: tuple[yaml.ScalarEvent, yaml.Event] | None = None
    before: tuple[yaml.ScalarEvent, yaml.Event] | None = None
    bare: list[yaml.ScalarEvent] = field(default_factory=list)


class UnquotedTexts:
    """Watches the events of a document for texts that should be in quotes.

    Args:
        text: The document.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._open: list[_FlowMap | None] = []

    def start(self, event: yaml.CollectionStartEvent) -> None:
        """A list or map begins."""
        self._remember(event)
        in_braces = isinstance(event, yaml.MappingStartEvent) and event.flow_style
        self._open.append(_FlowMap() if in_braces else None)

    def key(self, event: yaml.ScalarEvent) -> None:
        """A key of the innermost map."""
        if self._open and (flow := self._open[-1]) is not None:
            flow.key = event

    def value(self, event: yaml.ScalarEvent, file: str) -> Problem | None:
        """A scalar that is no key; the problem with it if it is empty and not meant to be."""
        if event.value or event.style:
            self._remember(event)
            return None
        if event.anchor:
            found = f"&{event.anchor}, the name of an anchor, and no value"
            return self._problem(event, file, found, quoted(f"&{event.anchor}"))
        line, column = _start(event)
        rest = self._line(line)[column:].strip()
        if rest.startswith("#") and not rest[1:2].isspace():
            found = f"{rest[:60]}, which begins a comment, and no value"
            return self._problem(event, file, found, quoted(rest))
        flow = self._open[-1] if self._open else None
        if flow is not None and flow.key is not None and not self._has_colon(flow.key):
            flow.before = flow.before or flow.last
            flow.bare.append(flow.key)
        else:
            self._remember(event)
        return None

    def end(self, file: str) -> Problem | None:
        """The innermost list or map ends; the problem with its keys that have no value."""
        flow = self._open.pop()
        if flow is None or not flow.bare:
            return None
        first = flow.bare[0]
        match = _KEY_AND_VALUE.match(first.value)
        if match:
            found = f"{first.value[:60]}, without a space after the colon"
            fix = f"write {match[1]}: {match[2][:60]}"
            return Problem("YAML", found, "`key: value`", fix, self._mark(first, file))
        found = f"{first.value[:60]!r}, a key without a value"
        fix = "quote the text"
        if flow.before is not None:
            key, value = flow.before
            fix += f": {key.value}: {quoted(self._between(value, flow.bare[-1]))}"
        return Problem("YAML", found, "`key: value`", fix, self._mark(first, file))

    def _remember(self, event: yaml.Event) -> None:
        flow = self._open[-1] if self._open else None
        if flow is not None and flow.key is not None and not flow.bare:
            flow.last = (flow.key, event)

    def _has_colon(self, key: yaml.ScalarEvent) -> bool:
        line, column = _end(key)
        rest = self._line(line)[column:].lstrip()
        return rest.startswith(":") or not rest

    def _between(self, first: yaml.Event, last: yaml.Event) -> str:
        """The text from the start of an event to the end of another, in one line."""
        (first_line, start), (last_line, end) = _start(first), _end(last)
        if first_line == last_line:
            return self._line(first_line)[start:end]
        lines = [self._line(number).strip() for number in range(first_line + 1, last_line)]
        head, tail = self._line(first_line)[start:], self._line(last_line)[:end]
        return " ".join([head.strip(), *lines, tail.strip()])

    def _line(self, number: int) -> str:
        return self._lines[number] if number < len(self._lines) else ""

    def _mark(self, event: yaml.Event, file: str) -> Mark:
        return Mark(file, _start(event)[0] + 1, _start(event)[1] + 1)

    def _problem(self, event: yaml.Event, file: str, found: str, text: str) -> Problem:
        return Problem("YAML", found, "a value", f"quote the text: {text}", self._mark(event, file))


def _start(event: yaml.Event) -> tuple[int, int]:
    """The line and column at which an event begins, counted from 0."""
    mark: Any = event.start_mark
    return mark.line, mark.column


def _end(event: yaml.Event) -> tuple[int, int]:
    """The line and column after an event, counted from 0."""
    mark: Any = event.end_mark
    return mark.line, mark.column
