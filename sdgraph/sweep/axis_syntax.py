"""The syntax of `INPUT=VALUE` on the command line: one value, or several for a sweep.

- `1..50` and `0.1..0.9..0.2` are ranges of numbers.
- `[a, b]` is a list; a list with one item is that value: `['@home']` is the text `@home`.
- `@prompts.txt` is a file with a value on each line, `@photos/` a folder with
  files of the input's kind: pictures, videos, or what a node pack loads.
- `photos/*.png` are the files that match.

No input is of a type that is itself a list, so brackets always mean several values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from sdgraph.errors import InvalidWorkflowError, Problem
from sdgraph.files import (
    UnsuitableFileError,
    describe_path,
    expand_home,
    file_format,
    is_file,
    is_folder,
    is_there,
    read_text,
)
from sdgraph.formatting import format_count, shorten_list
from sdgraph.graph import describe_value
from sdgraph.language import Input, with_absolute_source
from sdgraph.media import is_sidecar
from sdgraph.values import Image, Value

from .file_search import TooManyFilesError, find_files

MAX_VALUES = 100_000
"""How many values one input may have, and how many variants a sweep."""

MAX_LIST_BYTES = 32 * 2**20
"""The most bytes of a file of values."""

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3})?"
_RANGE = re.compile(rf"\s*({_NUMBER})\.\.({_NUMBER})(?:\.\.({_NUMBER}))?\s*\Z")


@dataclass(frozen=True)
class AxisValues:
    """The values of an input that a sweep varies, in order; at least one."""

    values: tuple[Any, ...]
    left_out: tuple[str, ...] = field(default=(), repr=False)
    """The names of the files in a folder that are not of the input's kind."""


def parse_input(declared: Input, text: str) -> Any:
    """The value or the values that a text on the command line stands for.

    Args:
        declared: The input.
        text: The text after `INPUT=`.

    Returns:
        A value, or AxisValues. Paths from a file of values are absolute; other paths stay as they
        are, relative to the current folder.

    Raises:
        InvalidWorkflowError: If the text is not a value of the input's type, or names no values.

    Example:
        >>> parse_input(Input("seed", "int"), "1..3")
        AxisValues(values=(1, 2, 3))
        >>> parse_input(Input("seed", "int"), "7")
        7
    """
    if text.startswith("[") and text.rstrip().endswith("]"):
        items = _items(declared, text)
        if len(items) == 1:
            return _one(declared, items[0])
        return _axis_values(declared, text, (_one(declared, item) for item in items))
    if text.startswith("@"):
        return _from_path(declared, text)
    if declared.type in ("int", "float") and ".." in text:
        return _axis_values(declared, text, _range(declared, text))
    if declared.is_path(text) and re.search(r"[*?]", text) and not is_there(expand_home(text)):
        return _axis_values(declared, text, iter(_matching_files(declared, text)))
    return _one(declared, text)


def files_named_in(assignments: Sequence[str]) -> set[Path]:
    """The absolute paths of the files and folders that values on the command line are read from.

    Args:
        assignments: Texts of the form `INPUT=VALUE`.
    """
    texts = [assignment.partition("=")[2] for assignment in assignments]
    paths = [text[1:] for text in texts if text.startswith("@") and text != "@"]
    paths += [str(Path(text).parent) for text in texts if re.search(r"[*?]", text)]
    return {expand_home(path).absolute() for path in paths if not re.search(r"[*?]", path)}


def _axis_values(declared: Input, text: str, values: Iterator[Any]) -> AxisValues:
    listed = []
    for value in values:
        listed.append(value)
        if len(listed) > MAX_VALUES:
            raise _input_error(declared, f"{text}: more than {MAX_VALUES:,} values", "fewer values")
    if not listed:
        raise _input_error(
            declared, f"{text}: no {_what_is_listed(declared, text)}", "at least one"
        )
    return AxisValues(tuple(listed))


def _what_is_listed(declared: Input, text: str) -> str:
    """What is not there, of an input for which there is no value at all."""
    if not declared.is_path(text):
        return "value in it"
    return "file in it that can be read" if text.startswith("@") else "file of this name"


def _one(declared: Input, text: str, folder: Path | None = None) -> Any:
    """The value of a text; if there is a folder, a path becomes absolute, starting from it."""
    try:
        value = declared.parse(text)
    except ValueError as error:
        raise _input_error(declared, describe_value(text), str(error)) from None
    if folder is not None and declared.is_path(value):
        return folder / expand_home(value)
    if folder is not None and declared.type == "Checkpoint":
        return with_absolute_source(value, folder)
    return value


def _items(declared: Input, text: str) -> list[str]:
    """The texts of the values in a YAML list, as they are written; only checkpoints may be maps."""
    fix = f"for the text itself write {declared.name}=['…']" if declared.type == "str" else ""
    try:
        events = list(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        found = f"{text}, which is no valid YAML"
        raise _input_error(declared, found, "a list such as [a, b]", fix) from error
    items = events[3:-3]
    if declared.type == "Checkpoint" and any(isinstance(e, yaml.MappingStartEvent) for e in items):
        return _texts_of(items, text)
    plain = all(
        isinstance(item, yaml.ScalarEvent) and item.tag is None and item.anchor is None
        for item in items
    )
    if not plain or not isinstance(events[2], yaml.SequenceStartEvent):
        raise _input_error(declared, text, "a list of plain values, such as [a, b]", fix)
    return [item.value for item in items if isinstance(item, yaml.ScalarEvent)]


def _texts_of(events: Sequence[yaml.Event], text: str) -> list[str]:
    """The texts of the values and maps that the events inside a list stand for."""
    texts, depth, begin = [], 0, 0
    for event in events:
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif depth == 0:
            begin = _place(event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        if depth == 0:
            plain = event.value if isinstance(event, yaml.ScalarEvent) else None
            texts.append(text[begin : _place(event.end_mark)] if plain is None else plain)
    return texts


def _place(mark: Any) -> int:
    """The number of characters before a mark of a YAML event, which always has one."""
    return int(mark.index)


def _range(declared: Input, text: str) -> Iterator[int | float]:
    """The numbers from the first to the last, which is included if a step reaches it."""
    match = _RANGE.match(text)
    wanted = "a range FIRST..LAST or FIRST..LAST..STEP, such as 1..50 or 0.1..0.9..0.2"
    if match is None:
        raise _input_error(declared, describe_value(text), wanted)
    first, last = Decimal(match[1]), Decimal(match[2])
    whole = first == first.to_integral() and last == last.to_integral()
    if match[3] is None and not whole:
        raise _input_error(declared, text, f"{wanted}; with fractions it needs a step")
    step = Decimal(match[3]) if match[3] else Decimal(1)
    if step <= 0:
        fix = "a range whose last number is the lower one counts down"
        raise _input_error(declared, f"{text}, a step of {step}", "a step above 0", fix)
    if declared.type == "int" and not (whole and step == step.to_integral()):
        raise _input_error(declared, text, "whole numbers, for an input of type int")
    count = int(abs(last - first) / step) + 1
    signed_step = step if last >= first else -step
    kind = int if declared.type == "int" else float
    return (kind(first + signed_step * n) for n in range(count))


def _from_path(declared: Input, text: str) -> AxisValues:
    """The values in the file, or the files in the folder, whose name follows the @."""
    fix = f"for the text itself write {declared.name}=['{text}']"
    if text == "@":
        raise _input_error(declared, "no name after the @", "a file or a folder", fix)
    path = expand_home(text[1:]).absolute()
    if is_folder(path):
        if not declared.is_path(text):
            wanted = f"a file with one value on each line, for an input of type {declared.type}"
            raise _input_error(declared, f"the folder {text[1:]}", wanted)
        return _values_in_folder(declared, text, path)
    try:
        lines = read_text(path, MAX_LIST_BYTES).splitlines()
    except UnsuitableFileError as error:
        wanted = f"a file of at most {MAX_LIST_BYTES:,} bytes with one value on each line"
        raise _input_error(declared, f"{text[1:]}: {error.strerror}", wanted) from None
    except UnicodeDecodeError:
        kind = file_format(path)
        found = f"{text[1:]}: {kind.name if kind else 'not UTF-8'}"
        fix = "" if kind else "save it as UTF-8"
        raise _input_error(declared, found, "UTF-8 text", fix) from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        reason = reason if is_file(path) else describe_path(path)
        raise _input_error(declared, f"{text[1:]}: {reason}", "a file", fix) from None
    stripped = (line.strip() for line in lines)
    values = (_one(declared, line, path.parent) for line in stripped if line and line[0] != "#")
    return _axis_values(declared, text, values)


def _matching_files(declared: Input, pattern: str) -> list[Path]:
    """The absolute paths of the plain files that match a pattern, sorted."""
    try:
        return sorted(find_files(expand_home(pattern).absolute(), MAX_VALUES))
    except TooManyFilesError as error:
        fix = "name a folder that is nearer to the files"
        raise _input_error(declared, f"{pattern}: {error}", "fewer", fix) from None


def _values_in_folder(declared: Input, text: str, folder: Path) -> AxisValues:
    """The files of the input's kind in a folder, sorted by name, without hidden files.

    For an input of type Path, these are the pictures. Other files are left out by name.
    """
    kind = declared.kind or Image
    visible = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    read = [path for path in visible if kind.reads(path) and is_file(path)]
    kept = set(read)
    others = [path for path in visible if path not in kept and not is_sidecar(path)]
    left_out = tuple(path.name + ("/" if is_folder(path) else "") for path in others)
    if not read and left_out:
        found = f"{text}, in which no file is {kind.label}: {shorten_list(left_out)}"
        raise _input_error(declared, found, _suffixes_wanted(kind))
    return replace(_axis_values(declared, text, iter(read)), left_out=left_out)


def left_out_notice(declared: Input, text: str, names: Sequence[str]) -> Problem:
    """The warning about files of a folder that are left out of a sweep.

    Args:
        declared: The input.
        text: The text after `INPUT=`.
        names: The names of the files, at least one.
    """
    kind = declared.kind or Image
    folder, count = text.removeprefix("@"), len(names)
    left_out = f"{format_count(count, 'entry', 'entries')} of {folder} left out"
    found = f"{left_out}, by {'its name' if count == 1 else 'their names'} not {kind.label}: "
    fix = "convert or rename what is meant"
    return Problem(
        f"inputs.{declared.name}", found + shorten_list(names), _suffixes_wanted(kind), fix
    )


def _suffixes_wanted(kind: type[Value]) -> str:
    return f"files that end in {', '.join((*kind.suffixes, *kind.read_only_suffixes))}"


def _input_error(declared: Input, found: str, wanted: str, fix: str = "") -> InvalidWorkflowError:
    return InvalidWorkflowError([Problem(f"inputs.{declared.name}", found, wanted, fix)])
