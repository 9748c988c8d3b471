"""Finds texts that should be in quotes: YAML reads them as something that is valid and not meant.

- `{prompt: a red fox, sitting}`: the comma ends the text, and `sitting` is a key without a value.
- `{type: Text2Image, prompt:a fox}`: without a space after the colon, `prompt:a fox` is a key.
- `color: #ff0000`: the rest of the line is a comment.
- `prompt: &x`: the name of an anchor, and no value (of `prompt: &red dress` the document tells).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import yaml

from sdgraph.errors import MAX_PROBLEMS, UNLISTED, Mark, Problem

from .yaml_errors import quoted

_KEY_AND_VALUE = re.compile(r"([A-Za-z_]\w*):(\S.*)\Z", re.DOTALL)


@dataclass
class _OpenCollection:
    """A list or map that is being read.

    Args:
        is_map: Whether it is a map, in which every second node is a key.
        in_braces: Whether it is a map in braces.
        key: The event of the latest key; None while it has none, or its value was read.
        last: The events of the latest key and its value.
        before: The events of the key and the value before the first key without a value.
        bare: The keys without a colon, which have no value.
    """

    is_map: bool
    in_braces: bool
    key: yaml.Event | None = None
    last: tuple[yaml.Event, yaml.Event] | None = None
    before: tuple[yaml.Event, yaml.Event] | None = None
    bare: list[yaml.Event] = field(default_factory=list)


def unquoted_problems(text: str, file: str, count: int) -> list[Problem]:
    """The problems with texts of a document that should be in quotes.

    Only empty values show such texts, so that a document without any need not be read.

    Args:
        text: The document.
        file: The name of its file, for the problems.
        count: How many events of it are looked at.
    """
    finder = _UnquotedTexts(text, file)
    for event in islice(parse_events(text), count):
        finder.take(event)
    return finder.problems


def parse_events(text: str) -> Iterator[yaml.Event]:
    """The events of a document, by the fastest parser that is installed; raises YAMLError."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    events: Iterator[yaml.Event] = yaml.parse(text, Loader=loader)
    return events


class _UnquotedTexts:
    """Looks at the events of a document, one after the other."""

    def __init__(self, text: str, file: str) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._lines = text.splitlines()
        self._open: list[_OpenCollection] = []

    def take(self, event: yaml.Event) -> None:
        """The next event."""
        if isinstance(event, yaml.CollectionEndEvent):
            self._report_bare_keys(self._open.pop())
            return
        if not isinstance(event, yaml.NodeEvent):
            return  # the start or the end of the document
        around = self._open[-1] if self._open else None
        if around is not None and around.is_map and around.key is None:
            around.key = event
            return
        if isinstance(event, yaml.ScalarEvent) and not event.value and not event.style:
            self._take_empty(event, around)
        elif around is not None and around.key is not None and not around.bare:
            around.last = (around.key, event)
        if around is not None:
            around.key = None
        if isinstance(event, yaml.CollectionStartEvent):
            is_map = isinstance(event, yaml.MappingStartEvent)
            self._open.append(_OpenCollection(is_map, is_map and bool(event.flow_style)))

    def _take_empty(self, event: yaml.ScalarEvent, around: _OpenCollection | None) -> None:
        """Looks at an empty value, which may be meant as a text."""
        line, column = _start(event)
        rest = self._line(line)[column:].strip()
        if event.anchor:
            found = f"&{event.anchor}, the name of an anchor, and no value"
            self._report(event, found, "a value", f"quote the text: {quoted(f'&{event.anchor}')}")
        elif rest.startswith("#") and not rest[1:2].isspace():
            found = f"{rest[:60]}, which begins a comment, and no value"
            self._report(event, found, "a value", f"quote the text: {quoted(rest)}")
        elif around is not None and around.in_braces and around.key is not None:
            if not self._has_colon(around.key):
                around.before = around.before or around.last
                around.bare.append(around.key)
            elif not around.bare:
                around.last = (around.key, event)

    def _report_bare_keys(self, container: _OpenCollection) -> None:
        """Reports the keys without a value in a map that ends."""
        if not container.bare:
            return
        first = container.bare[0]
        name = _text_of(first)
        match = _KEY_AND_VALUE.match(name)
        if match:
            found = f"{name[:60]}, without a space after the colon"
            self._report(first, found, "`key: value`", f"write {match[1]}: {match[2][:60]}")
            return
        fix = "quote the text"
        if container.before is not None:
            key, value = container.before
            fix += f": {_text_of(key)}: {quoted(self._between(value, container.bare[-1]))}"
        self._report(first, f"{name[:60]!r}, a key without a value", "`key: value`", fix)

    def _report(self, event: yaml.Event, found: str, wanted: str, fix: str) -> None:
        line, column = _start(event)
        mark = Mark(self._file, line + 1, column + 1)
        is_full = len(self.problems) >= MAX_PROBLEMS
        self.problems.append(UNLISTED if is_full else Problem("YAML", found, wanted, fix, mark))

    def _has_colon(self, key: yaml.Event) -> bool:
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


def _start(event: yaml.Event) -> tuple[int, int]:
    """The line and column at which an event begins, counted from 0."""
    mark: Any = event.start_mark
    return mark.line, mark.column


def _end(event: yaml.Event) -> tuple[int, int]:
    """The line and column after an event, counted from 0."""
    mark: Any = event.end_mark
    return mark.line, mark.column


def _text_of(key: yaml.Event) -> str:
    return str(getattr(key, "value", ""))
