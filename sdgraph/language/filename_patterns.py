"""Patterns for the names of files, with inputs in braces: `{seed:04d}_{prompt_slug}.png`.

A name in braces is an input, an input followed by `_slug`, or `number`, the number of a variant in
its sweep. A format may follow as in an f-string; attributes, indices and conversions may not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from string import Formatter
from typing import Any

from sdgraph.errors import Problem, did_you_mean
from sdgraph.graph import describe_value
from sdgraph.values import Checkpoint

from .inputs import Input
from .node_builder import NodePlaceholder

FORMAT_SPEC = re.compile(r"(?:[^{}]?[<>=^])?[-+ ]?#?0?\d{0,2}[,_]?(?:\.\d{1,2})?[a-zA-Z%]?")
"""The formats that may follow a colon; widths of three digits would make too long names."""

SLUG_LENGTH = 40

_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f\x7f]+')
"""Characters that separate folders, or that some systems do not allow in a file's name."""


def holds_pattern(text: str) -> bool:
    """Whether a path has braces other than the escaped {{ and }}, even unclosed ones."""
    return re.search(r"[{}]", text.replace("{{", "").replace("}}", "")) is not None


def escape_braces(text: str) -> str:
    """The pattern that stands for the text itself: { and } are doubled.

    Example:
        >>> escape_braces("{draft}.png")
        '{{draft}}.png'
    """
    return text.replace("{", "{{").replace("}", "}}")


def slugify(value: Any) -> str:
    """A value as part of a file's name: lower case, letters and digits joined by dashes.

    Example:
        >>> slugify("A cyan star, on gray!")
        'a-cyan-star-on-gray'
    """
    plain = _name_of(value)
    text = unicodedata.normalize("NFKC", str(plain) if isinstance(plain, str | int | float) else "")
    words = re.findall(r"[^\W_]+(?:\.\d+)?", text.lower())
    slug = "-".join(words)
    if len(slug) > SLUG_LENGTH:
        slug = slug[: SLUG_LENGTH + 1].rpartition("-")[0] or slug[:SLUG_LENGTH]
    return slug or "none"


def fill_pattern(
    pattern: str, inputs: Mapping[str, Any], number: int
) -> str | Problem | NodePlaceholder:
    """The path that a pattern stands for with these inputs, or the problem with the pattern.

    Characters that a file's name must not contain are replaced, so that a text cannot name another
    folder.

    Args:
        pattern: A path with names in braces.
        inputs: The values that the pattern may name.
        number: The value of `{number}`.

    Returns:
        The path; a Problem; or a placeholder if the pattern names an input that is one.

    Example:
        >>> fill_pattern("out/{seed:04d}_{prompt_slug}.png", {"seed": 7, "prompt": "A star"}, 1)
        'out/0007_a-star.png'
    """
    try:
        pieces = list(Formatter().parse(pattern))
    except ValueError as error:
        return _pattern_problem(f"{pattern!r}: {error}", "braces that are closed")
    parts = []
    for before, name, spec, conversion in pieces:
        parts.append(before)
        if name is None:
            continue
        if (
            conversion is not None
            or not name.isidentifier()
            or not FORMAT_SPEC.fullmatch(spec or "")
        ):
            rest = f"!{conversion}" if conversion is not None else f":{spec}" if spec else ""
            wanted = "an input's name, and a format such as :04d"
            return _pattern_problem(f"{{{name}{rest}}}", wanted)
        value = _value(name, inputs, number)
        if not isinstance(value, Problem | NodePlaceholder):
            value = _format_value(name, value, spec or "")
        if isinstance(value, Problem | NodePlaceholder):
            return value
        parts.append(value)
    return "".join(parts)


def pattern_values(
    inputs: Mapping[str, Input], values: Mapping[str, Any], bound: Mapping[str, Any]
) -> dict[str, Any]:
    """The values that a pattern may name: those of the inputs, paths for files, or placeholders."""
    named: dict[str, Any] = {}
    for name, declared in inputs.items():
        value = values.get(name, declared.default)
        if isinstance(bound[name], NodePlaceholder):
            value = bound[name]
        named[name] = Path(value) if declared.is_path(value) else value
    return named


def _value(name: str, inputs: Mapping[str, Any], number: int) -> Any:
    """The value of a name in braces; an input's name takes precedence over `number` and slugs."""
    if name in inputs:
        return _name_of(inputs[name])
    if name == "number":
        return number
    stem = name.removesuffix("_slug")
    if stem != name and stem in inputs:
        value = _name_of(inputs[stem])
        return slugify(value) if isinstance(value, str | int | float) else value
    names = [*inputs, *(f"{input_name}_slug" for input_name in inputs), "number"]
    return Problem("", f"{{{name}}}", f"one of {', '.join(names)}", did_you_mean(name, names))


def _name_of(value: Any) -> Any:
    """The part of a value for a file's name: the stem of a path, the source of a checkpoint."""
    if isinstance(value, Path):
        return value.stem
    if isinstance(value, Checkpoint):
        return value.source
    if isinstance(value, dict):
        return value.get("source", "")
    return str(value).lower() if isinstance(value, bool) else value


def _format_value(name: str, value: Any, spec: str) -> str | Problem:
    if not isinstance(value, str | int | float):
        wanted = "an input that is text, a number or a file"
        return Problem("", f"{{{name}}}, {describe_value(value)}", wanted)
    try:
        text = format(value, spec)
    except (ValueError, OverflowError) as error:
        found = f"{{{name}:{spec}}} for {describe_value(value)}: {error}"
        return Problem("", found, "a format that fits", f"write {{{name}}}")
    return _FORBIDDEN.sub("-", text).strip(" .") or "none"


def _pattern_problem(found: str, wanted: str) -> Problem:
    return Problem("", found, wanted, "write {{ and }} for braces in a file's name")
