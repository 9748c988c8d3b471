"""Names of files with inputs in braces: `{seed:04d}_{prompt_slug}.png`.

A name in braces is an input, an input with `_slug` after it, or `number`, that of the variant. A
format may follow as in Python; nothing else may: no attributes, no indices, no conversions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from sdgraph.errors import Problem, did_you_mean
from sdgraph.graph import describe
from sdgraph.values import Checkpoint

from .inputs import Input
from .node_builder import NodePlaceholder

FORMAT_SPEC = re.compile(r"(?:[^{}]?[<>=^])?[-+ ]?#?0?\d{0,2}[,_]?(?:\.\d{1,2})?[a-zA-Z%]?")
"""What may follow a colon; widths of three digits and more would make names no disk takes."""

SLUG_LENGTH = 40

_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]+')
"""What some system or other has in no file's name; a slash would be another folder."""


def holds_pattern(text: str) -> bool:
    """Whether a path has braces that stand for something, or that are not closed."""
    return re.search(r"[{}]", text.replace("{{", "").replace("}}", "")) is not None


def escape_braces(text: str) -> str:
    """The text as it must be written so that its braces stand for themselves."""
    return text.replace("{", "{{").replace("}", "}}")


def slugify(value: Any) -> str:
    """A value as part of a file's name: lower case, letters and digits joined by dashes."""
    told = _told(value)
    text = unicodedata.normalize("NFKC", str(told) if isinstance(told, str | int | float) else "")
    words = re.findall(r"[^\W_]+(?:\.\d+)?", text.lower())
    made = "-".join(words)
    if len(made) > SLUG_LENGTH:
        made = made[: SLUG_LENGTH + 1].rpartition("-")[0] or made[:SLUG_LENGTH]
    return made or "none"


def fill_pattern(
    pattern: str, inputs: Mapping[str, Any], number: int
) -> str | Problem | NodePlaceholder:
    """The path that a pattern means for these inputs, or what is wrong with it.

    A stand-in where it names an input that is one.

    Texts lose what no file's name may hold, so that none leads to another folder.
    """
    try:
        pieces = list(Formatter().parse(pattern))
    except ValueError as error:
        return _problem(f"{pattern!r}: {error}", "braces that are closed")
    made = []
    for before, name, spec, conversion in pieces:
        made.append(before)
        if name is None:
            continue
        if (
            conversion is not None
            or not name.isidentifier()
            or not FORMAT_SPEC.fullmatch(spec or "")
        ):
            rest = f"!{conversion}" if conversion is not None else f":{spec}" if spec else ""
            return _problem(f"{{{name}{rest}}}", "an input's name, and a format such as :04d")
        value = _value(name, inputs, number)
        if not isinstance(value, Problem | NodePlaceholder):
            value = _formatted(name, value, spec or "")
        if isinstance(value, Problem | NodePlaceholder):
            return value
        made.append(value)
    return "".join(made)


def pattern_values(
    inputs: Mapping[str, Input], given: Mapping[str, Any], bound: Mapping[str, Any]
) -> dict[str, Any]:
    """The values that a pattern may name: inputs as given, files as paths, or placeholders."""
    named: dict[str, Any] = {}
    for name, declared in inputs.items():
        value = given.get(name, declared.default)
        if isinstance(bound[name], NodePlaceholder):
            value = bound[name]
        named[name] = Path(value) if declared.is_path(value) else value
    return named


def _value(name: str, inputs: Mapping[str, Any], number: int) -> Any:
    """What a name in braces stands for; an input comes before `number` and before a slug."""
    if name in inputs:
        return _told(inputs[name])
    if name == "number":
        return number
    stem = name.removesuffix("_slug")
    if stem != name and stem in inputs:
        value = _told(inputs[stem])
        return slugify(value) if isinstance(value, str | int | float) else value
    known = [*inputs, *(f"{each}_slug" for each in inputs), "number"]
    return Problem("", f"{{{name}}}", f"one of {', '.join(known)}", did_you_mean(name, known))


def _told(value: Any) -> Any:
    """A value as a name tells it: of a file its stem, of a checkpoint its source."""
    if isinstance(value, Path):
        return value.stem
    if isinstance(value, Checkpoint):
        return value.source
    if isinstance(value, dict):
        return value.get("source", "")
    return str(value).lower() if isinstance(value, bool) else value


def _formatted(name: str, value: Any, spec: str) -> str | Problem:
    if not isinstance(value, str | int | float):
        wanted = "an input that is text, a number or a file"
        return Problem("", f"{{{name}}}, {describe(value)}", wanted)
    try:
        made = format(value, spec)
    except (ValueError, OverflowError) as error:
        found = f"{{{name}:{spec}}} for {describe(value)}: {error}"
        return Problem("", found, "a format that fits", f"write {{{name}}}")
    return _FORBIDDEN.sub("-", made).strip(" .") or "none"


def _problem(found: str, wanted: str) -> Problem:
    return Problem("", found, wanted, "write {{ and }} for braces in a file's name")
