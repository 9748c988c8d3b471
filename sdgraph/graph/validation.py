"""Converts pydantic's validation errors to problems with found, wanted and fix."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from math import isfinite, nan
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from sdgraph.errors import Problem, SdgraphError, did_you_mean

from .parameters import describe_type
from .ports import DeferredValue, describe_kind, marks_in

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_MOST_ERRORS = 500
"""How many errors of one node are put into words; the others are counted."""

_MOST_NAMES = 40
"""How many names a message lists."""

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "none_required": "nothing",
    "list_type": "a list",
    "tuple_type": "a list",
    "sequence_str": "a list",
    "is_instance_of": "a list",
}

_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
    "multiple_of": ("multiple_of", "a multiple of"),
}


def problems_of(cls: Any, error: ValidationError, fields: Mapping[str, Any]) -> list[Problem]:
    """One problem per wrong field of node class `cls`.

    The subject is the field's name, and the place in a list after it: "low", "terms.2".
    """
    by_field: dict[str, list[ErrorDetails]] = {}
    details = error.errors(include_url=False)
    for detail in details[:_MOST_ERRORS]:
        context = detail.get("ctx") or {}
        place = ".".join(_place(detail["loc"], fields))
        field = place or str(context.get("field", ""))
        by_field.setdefault(field, []).append(detail)
    for field in list(by_field):
        # Where one item of a list is wrong, only the error of that item is reported.
        if any(other.startswith(f"{field}.") for other in by_field):
            del by_field[field]
    problems = [_problem(cls, field, errors, fields) for field, errors in by_field.items()]
    if (more := len(details) - _MOST_ERRORS) > 0:
        problems.append(Problem("", f"{more:,} more problems", count=more))
    return problems


def _place(loc: tuple[str | int, ...], value: Any) -> Iterator[str]:
    """The steps of an error's place in a node's fields, without the steps that pydantic adds."""
    for number, step in enumerate(loc):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            if number and type(step) is str:
                continue
        yield str(step)


def _problem(
    cls: Any, field: str, errors: list[ErrorDetails], fields: Mapping[str, Any]
) -> Problem:
    first = errors[0]
    kind = first["type"]
    if kind == "extra_forbidden":
        names = tuple(cls.model_fields)
        listed = one_of(names) if names else "no fields at all"
        return Problem(field, f"a field {field!r}", listed, did_you_mean(field, names))
    if kind == "missing":
        return Problem(field, "nothing", _wanted_field(cls, field), f"add `{field}: …`")
    if kind == "refused":
        context = first["ctx"]
        return Problem(field, context["found"], context["wanted"], context["fix"])
    if kind == "value_error" and isinstance(error := first["ctx"]["error"], SdgraphError):
        return error.as_problems_of(field, wanted="a valid value")[0]
    value = first["input"] if len(errors) == 1 else fields.get(field, first["input"])
    kind_of_field = cls.definition.converted.get(field.partition(".")[0])
    wanted = describe_type(kind_of_field) if kind_of_field is not None else ""
    wanted = wanted or " or ".join(dict.fromkeys(text for e in errors for text in _wanted(e)))
    return Problem(field, describe_value(value), wanted, _fix(cls, field, errors, value))


def _wanted(error: ErrorDetails) -> Iterator[str]:
    kind, context = error["type"], error.get("ctx") or {}
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        yield f"{words} {context[key]}"
    elif kind in ("wire", "literal"):
        yield context["wanted"]
    elif kind == "literal_error":
        yield f"one of {context['expected']}"
    elif kind in ("too_short", "too_long"):
        bound = context.get("min_length", context.get("max_length"))
        yield f"{'at least' if kind == 'too_short' else 'at most'} {bound} items"
    elif kind in _WANTED:
        yield _WANTED[kind]
    elif kind == "value_error":
        yield str(context["error"])
    else:
        yield error["msg"]


def _wanted_field(cls: Any, field: str) -> str:
    info = cls.model_fields[field.partition(".")[0]]  # of an item too: "terms.2"
    marks = list(marks_in(info.annotation, info.metadata))
    kinds = " or ".join(mark.kind for mark in marks if hasattr(mark, "kind"))
    if kinds:
        return f"{kinds} ({info.description})" if info.description else kinds
    return info.description or "a value: this field has no default"


def _fix(cls: Any, field: str, errors: list[ErrorDetails], value: Any) -> str:
    if isinstance(value, DeferredValue):
        kind, advice = cls.wire_advice.get(field.partition(".")[0], (None, ""))
        return advice if value.output is kind else ""
    if any(error["type"] == "literal_error" for error in errors):
        expected = next(e["ctx"]["expected"] for e in errors if e["type"] == "literal_error")
        choices = [word.strip(" '") for word in expected.replace(" or ", ",").split(",")]
        return did_you_mean(str(value), choices)
    if field == "seed" and (value == "random" or str(value).startswith("-")):
        return _SEED_FIX
    wanted = {text for error in errors for text in _wanted(error)}
    if "text" in wanted or any(error["type"] == "string_type" for error in errors):
        fix = text_fix(value)
        if fix:
            return fix
    if isinstance(value, str) and any(getattr(k, "loader", None) for k in _port_kinds(cls, field)):
        return "load the file with a node of its own, then refer to that node as $name"
    if isinstance(value, float) and "a whole number" in wanted and value.is_integer():
        return f"write {int(value)}"
    if "true or false" in wanted:
        return switch_fix(value)
    number = _number_in(value) if wanted & {"a number", "a whole number"} else None
    if number is None or ("a number" not in wanted and not number.is_integer()):
        return ""
    return f"write it as a number: {int(number) if number.is_integer() else number}"


_SEED_FIX = (
    "no number stands for a random seed, so that a run can be repeated: write any number from 0; "
    "for several pictures give an input several values, such as seed=1..4"
)


def text_fix(value: Any) -> str:
    """The fix for a value that is no text where a text is wanted; "" if nothing is known."""
    if isinstance(value, bool | int | float):
        return f'quote it: "{_plain(value)}"'
    if isinstance(value, list | tuple | dict):
        return "for a text with brackets, quote it"
    return 'for an empty text write ""' if value is None else ""


_SWITCH_WORDS = {
    **dict.fromkeys(("yes", "y", "on", "true"), "true"),
    **dict.fromkeys(("no", "n", "off", "false"), "false"),
}
"""What people write for a switch, in lower case, and what a file must say."""


def switch_fix(value: Any) -> str:
    """The fix for a value that is neither true nor false: "write true" for `yes`, or ""."""
    word = _SWITCH_WORDS.get(value.lower()) if isinstance(value, str) else None
    return f"write {word}" if word else ""


def _port_kinds(cls: Any, field: str) -> tuple[type, ...]:
    """The kinds of value that a field takes, if it is a port or a list of them."""
    port = cls.definition.ports.get(field.partition(".")[0])
    return port.kinds if port is not None else ()


def _plain(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _number_in(value: Any) -> float | None:
    """The finite number that a text holds, if it holds one."""
    try:
        number = float(value) if isinstance(value, str) else nan
    except ValueError:
        return None
    return number if isfinite(number) else None


def one_of(names: Iterable[str]) -> str:
    """The names in a row: "one of low, high", or the only one."""
    listed = tuple(names)
    return f"one of {list_names(listed)}" if len(listed) > 1 else "".join(listed)


def list_names(names: Collection[str]) -> str:
    """Names in a row, of many only the first: "a, b" or "a, b, … and 4,980 more"."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(map(shorten_text, names))
    first = ", ".join(map(shorten_text, islice(names, _MOST_NAMES)))
    return f"{first} and {len(names) - _MOST_NAMES:,} more"


def shorten_text(text: str, length: int = 100) -> str:
    """A text of at most `length` characters; a longer one ends in "…"."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def describe_value(value: Any) -> str:
    """A value in words: "the text 'abc'", "3.5", "true", "a list of 2"."""
    if isinstance(value, DeferredValue):
        return f"{type(value).__name__}, which makes {describe_kind(value.output)}"
    if isinstance(value, str):
        return f"the text {value if len(value) <= 60 else value[:57] + '…'!r}"
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return _plain(value)
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a whole number of {value.bit_length()} bits"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, PurePath):
        return f"the path {str(value)!r}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"a map with {', '.join(map(str, list(value)[:5]))}" if value else "an empty map"
    return (
        describe_kind(type(value)) if not isinstance(value, type) else f"the class {value.__name__}"
    )


def refuse(field: str, *, found: str, wanted: str, fix: str = "") -> PydanticCustomError:
    """The error that a validator of a node class raises when fields do not fit together.

    Args:
        field: The name of the field to report.
        found: What is there, in words.
        wanted: What should be there.
        fix: What the user can do about it.

    Returns:
        An error of pydantic, which becomes a problem of an `InvalidNodeError`.

    Example:
        A validator in a node class with the fields `low` and `high`::

            @model_validator(mode="after")
            def _check_order(self) -> Self:
                if self.low > self.high:
                    raise refuse("low", found=f"{self.low}", wanted=f"at most {self.high}")
                return self
    """
    return PydanticCustomError(
        "refused",
        "found {found}, wanted {wanted}",
        {"field": field, "found": found, "wanted": wanted, "fix": fix},
    )
