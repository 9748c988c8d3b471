"""Parses YAML into plain data, with the line and column of every key and value.

The data is built from yaml's events in one pass without recursion, and consists of lists, maps and
the scalars of YAML 1.2's core schema (`yaml_scalars`). Tags and duplicate keys are errors, and the
size of aliases is limited.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

from sdgraph.errors import (
    MAX_PROBLEMS,
    UNLISTED,
    InvalidWorkflowError,
    Mark,
    Problem,
    did_you_mean,
    in_file_order,
    nearest,
)
from sdgraph.files import UnsuitableFileError, describe_path, is_file, names_in, read_bytes
from sdgraph.graph import shorten_text

from .yaml_errors import UNPRINTABLE, quoted, syntax_problem, unprintable_problem
from .yaml_scalars import parse_scalar
from .yaml_unquoted import parse_events, unquoted_problems

KeyPath = tuple[str | int, ...]
"""The keys and indices that lead to a value in the document: ("nodes", "edges", "low")."""

MAX_WORKFLOW_BYTES = 32 * 2**20
MAX_DEPTH = 40
MAX_VALUES = 200_000
"""How many values a document may contain, counting those of an alias each time."""

_BINARY_HEAD = 8192  # bytes at the start of a file, of which none is 0 in a text
_KEYS_LOOKED_AT = 1000
_NODES = re.compile(r"""^[ \t]*["']?nodes["']?\s*:|[{,]\s*["']?nodes["']?\s*:""", re.MULTILINE)
"""The key `nodes`, in block style or in braces."""


@dataclass(frozen=True)
class Document:
    """Plain data, and the places of its parts in the file."""

    data: Any
    file: str
    marks: Mapping[KeyPath, Mark] = field(repr=False)
    keys: Mapping[KeyPath, Mark] = field(repr=False)
    quoted: Set[KeyPath] = field(repr=False)
    """The places of texts in quotes."""

    def key_mark(self, *place: str | int) -> Mark:
        """The place in the file of the key of the value at `place`."""
        return self.keys.get(place) or self.mark(*place)

    def mark(self, *place: str | int) -> Mark:
        """The place in the file of the value at `place`; if there is none, of what it is in."""
        while place and place not in self.marks:
            place = place[:-1]
        return self.marks.get(place) or Mark(self.file, 1, 1)


def read_document(path: Path) -> Document:
    """The document in a file.

    Raises InvalidWorkflowError with every problem found, also if the file cannot be read.
    """
    name = str(path)
    try:
        raw = read_bytes(path, MAX_WORKFLOW_BYTES)
    except UnsuitableFileError as error:
        wanted = f"a workflow file of at most {MAX_WORKFLOW_BYTES:,} bytes"
        raise _file_error(name, str(error.strerror), wanted) from None
    except OSError as error:
        raise _read_error(path, error) from None
    except ValueError:  # a NUL in the path
        raise _read_error(path, OSError()) from None
    if b"\0" in raw[:_BINARY_HEAD]:
        raise _file_error(name, "a file of bytes that are no text", "a workflow file (.yaml)")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        found = f"the byte 0x{raw[error.start]:02x}, which is not UTF-8"
        problem = Problem(
            "encoding", found, "UTF-8 text", "save the file as UTF-8", Mark(name, line, column)
        )
        raise InvalidWorkflowError([problem]) from None
    if looks_like_workflow(text):
        return parse_document(text, name)
    # It may be any file of the user's that a stranger's workflow names, such as a private key:
    # nothing of it may stand in an error.
    try:
        document = parse_document(text, name)
    except InvalidWorkflowError:
        raise not_a_workflow(name) from None
    if document.data is None or is_near_a_workflow(document.data):
        return document
    raise not_a_workflow(name)


def looks_like_workflow(text: str) -> bool:
    """Whether a text has a key `nodes`, so that parts of it may be quoted in errors."""
    return _NODES.search(text) is not None


def is_near_a_workflow(data: Any) -> bool:
    """Whether plain data is a map with a key that is meant as `nodes`, or a workflow of ComfyUI."""
    if not isinstance(data, dict):
        return False
    entries = (*data.values(), *(of if isinstance(of := data.get("prompt"), dict) else {}).values())
    if any(isinstance(entry, dict) and "class_type" in entry for entry in entries):
        return True
    return nearest("nodes", list(data)[:_KEYS_LOOKED_AT]) is not None


def not_a_workflow(file: str) -> InvalidWorkflowError:
    """The error for a file without nodes, which quotes nothing of it."""
    fix = "if it is one, write its nodes below `nodes:`; `sdgraph show inpaint --yaml` prints one"
    return _file_error(file, "a file that is no workflow", "a map with `nodes:`", fix)


def parse_document(text: str, file: str = "<text>") -> Document:
    """The document in a text; raises InvalidWorkflowError with every problem found."""
    builder = _DocumentBuilder(file)
    if bad := UNPRINTABLE.search(text):
        raise InvalidWorkflowError([unprintable_problem(file, text, bad.start())])
    taken = 0
    try:
        for event in parse_events(text):
            builder.take(event)
            taken += 1
        builder.refuse_unused_anchors()
    except yaml.YAMLError as error:
        builder.problems.append(syntax_problem(file, text, error))
    except _StopReadingError:
        pass
    problems = builder.problems
    if builder.has_empty_values:
        problems += unquoted_problems(text, file, taken)
    if problems:
        raise InvalidWorkflowError(in_file_order(problems))
    return Document(builder.root, file, builder.marks, builder.keys, builder.quoted)


class _StopReadingError(Exception):
    """Stops the parser, because the rest cannot be understood or would be too large."""


@dataclass
class _Container:
    """A list or map that is not complete yet."""

    value: Any
    place: KeyPath
    size: int = 1
    key: str | None = None
    merges: bool = False
    merged: list[Any] = field(default_factory=list)


class _DocumentBuilder:
    """Builds data, marks and problems from yaml's events."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.has_empty_values = False
        self.root: Any = None
        self.marks: dict[KeyPath, Mark] = {}
        self.keys: dict[KeyPath, Mark] = {}
        self.quoted: set[KeyPath] = set()
        self.problems: list[Problem] = []
        self._open: list[_Container] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._anchor_of: dict[int, str] = {}
        self._unused: dict[str, yaml.ScalarEvent] = {}
        """The anchors of texts without quotes that no alias names, such as `&red dress`."""
        self._documents = 0
        self._count = 0

    def take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._refuse(event, "document", "a second document (---)", "one workflow in a file")
                raise _StopReadingError
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()

    def _mark(self, event: yaml.Event) -> Mark:
        mark: Any = event.start_mark
        return Mark(self.file, mark.line + 1, mark.column + 1)

    def _refuse(
        self, event: yaml.Event, subject: str, found: str, wanted: str, fix: str = ""
    ) -> None:
        if len(self.problems) >= MAX_PROBLEMS:
            self.problems.append(UNLISTED)
            return
        subject, found = shorten_text(subject), shorten_text(found)
        self.problems.append(Problem(subject, found, wanted, fix, self._mark(event)))

    def refuse_unused_anchors(self) -> None:
        """At the end of the document: such an anchor was meant as a part of the text."""
        for anchor, event in self._unused.items():
            found = f"&{anchor}, an anchor, which is no part of the text, and which no alias names"
            fix = f"quote the text: {quoted(f'&{anchor} {event.value}')}"
            self._refuse(event, "YAML", found, "a value", fix)

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        tag = str(event.tag).replace("tag:yaml.org,2002:", "!!")
        fix = "remove the tag, or quote the text"
        self._refuse(event, "tag", tag, "plain YAML without tags", fix)

    def _place(self) -> KeyPath:
        if not self._open:
            return ()
        top = self._open[-1]
        step = len(top.value) if isinstance(top.value, list) else (top.key or "")
        return (*top.place, step)

    def _start(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._open) >= MAX_DEPTH:
            self._refuse(event, "nesting", f"more than {MAX_DEPTH} levels", "a flat workflow")
            raise _StopReadingError
        if self._wants_key():
            kind = "a map" if isinstance(event, yaml.MappingStartEvent) else "a list"
            self._refuse(event, "key", f"{kind} as a key", "a name")
            raise _StopReadingError
        if event.tag not in (None, "!"):
            self._refuse_tag(event)
        place = self._place()
        self.marks[place] = self._mark(event)
        value: Any = [] if isinstance(event, yaml.SequenceStartEvent) else {}
        if event.anchor:
            self._anchor_of[id(value)] = event.anchor
        self._open.append(_Container(value, place))

    def _end(self) -> None:
        done = self._open.pop()
        for merged in done.merged:
            for key, value in merged.items():
                done.value.setdefault(key, value)
        anchor = self._anchor_of.pop(id(done.value), None)
        if anchor:
            self._anchors[anchor] = (done.value, done.size)
        self._put(done.value, done.size)

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        if self._wants_key():
            self._key(event)
            return
        place = self._place()
        self.marks[place] = self._mark(event)
        if not event.implicit[0]:
            self.quoted.add(place)
        self._count += 1
        if self._count > MAX_VALUES:
            found, fix = f"more than {MAX_VALUES:,} values", "split it into several workflows"
            self._refuse(event, "workflow", found, "fewer values", fix)
            raise _StopReadingError
        self.has_empty_values |= not event.value and not event.style
        value = self._construct(event)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)
            if event.value and not event.style:
                self._unused[event.anchor] = event
        self._put(value, 1)

    def _construct(self, event: yaml.ScalarEvent) -> Any:
        if event.tag not in (None, "!"):
            self._refuse_tag(event)
            return None
        if not event.implicit[0]:  # in quotes
            return event.value
        try:
            return parse_scalar(event.value)
        except ValueError:
            found = f"a number of {len(event.value):,} digits"
            self._refuse(event, "value", found, "a number of at most 4,300 digits", "quote it")
            return None

    def _wants_key(self) -> bool:
        return (
            bool(self._open)
            and isinstance(self._open[-1].value, dict)
            and (self._open[-1].key is None)
        )

    def _key(self, event: yaml.ScalarEvent) -> None:
        top = self._open[-1]
        place = (*top.place, event.value)
        if place in self.keys:
            first = self.keys[place].line
            self._refuse(
                event,
                event.value,
                "the same key again",
                "each key once",
                f"it is on line {first} already: rename or remove one",
            )
            # Its value gets another key; otherwise keys that are in both would be reported too.
            top.key = f"{event.value}\0{self._mark(event).line}"
            return
        self.keys[place] = self._mark(event)
        top.key = event.value
        top.merges = event.value == "<<" and event.implicit[0]
        if event.anchor:
            self._anchors[event.anchor] = (event.value, 1)

    def _alias(self, event: yaml.AliasEvent) -> None:
        if self._wants_key():
            self._refuse(event, "key", f"*{event.anchor} as a key", "a name")
            raise _StopReadingError
        if event.anchor not in self._anchors:
            fix = f"for a text quote it: {quoted(f'*{event.anchor}')}"
            wanted = "an anchor that was closed before it"
            self._refuse(event, "alias", f"*{event.anchor}", wanted, fix)
            raise _StopReadingError
        self._unused.pop(event.anchor, None)
        value, size = self._anchors[event.anchor]
        self.marks[self._place()] = self._mark(event)
        if size + sum(container.size for container in self._open) > MAX_VALUES:
            self._refuse(
                event,
                "alias",
                f"*{event.anchor}, which grows past {MAX_VALUES:,} values",
                "fewer values",
                "write the values out",
            )
            raise _StopReadingError
        self._put(value, size)

    def _put(self, value: Any, size: int) -> None:
        if not self._open:
            self.root = value
            return
        top = self._open[-1]
        top.size += size
        if isinstance(top.value, list):
            top.value.append(value)
            return
        key, top.key = top.key, None
        if top.merges and (merged := _maps_to_merge(value)) is not None:
            top.merged.extend(merged)
        else:
            top.value[key] = value


def _maps_to_merge(value: Any) -> list[dict[str, Any]] | None:
    maps = value if isinstance(value, list) else [value]
    return maps if all(isinstance(item, dict) for item in maps) else None


def _file_error(file: str, found: str, wanted: str, fix: str = "") -> InvalidWorkflowError:
    return InvalidWorkflowError([Problem("workflow", found, wanted, fix, Mark(file, 1, 1))])


def _read_error(path: Path, error: OSError) -> InvalidWorkflowError:
    workflows = [name for name in names_in(path.parent) if fnmatch(name, "*.y*ml")]
    fix = did_you_mean(path.name, workflows)
    reason = (error.strerror or str(error)).lower()
    if not is_file(path):
        reason = describe_path(path)
    return InvalidWorkflowError([Problem(str(path), reason, "a workflow file (.yaml)", fix)])
