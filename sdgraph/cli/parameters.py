"""Parameters of commands whose values need no conversion, and so no pydantic adapter."""

from __future__ import annotations

from functools import partial
from typing import Any


def convert_at_need(parameter: Any) -> None:
    """Makes a parameter keep a value that is not given, or is text and wanted as text.

    Typer makes a pydantic adapter for each parameter of a command, also for those that are not
    given. `run` has thirty, and making their adapters takes longer than reading a workflow.

    Args:
        parameter: A parameter of a command, as typer made it.
    """
    if parameter.callback is None:
        parameter.process_value = partial(_process_value, parameter, parameter.process_value)


def _process_value(parameter: Any, convert: Any, context: Any, value: Any) -> Any:
    """The value of a parameter, by typer's `convert` where it is not the value itself."""
    several = parameter.multiple or parameter.nargs == -1
    if value is None and not parameter.required:
        return () if several else None
    wanted = _plain_type(parameter)
    if wanted is str and not several and _is_text(value):
        return value
    if wanted == list[str] and several and value and all(map(_is_text, value)):
        return list(value)
    return convert(context, value)


def _plain_type(parameter: Any) -> Any:
    """The type of a parameter's values where nothing else says what it takes; else None.

    None also in versions of typer that do not tell it.
    """
    descriptor = getattr(parameter, "type_descriptor", None)
    if descriptor is None or descriptor.parameter_info.parser is not None:
        return None
    return descriptor.annotation


def _is_text(value: object) -> bool:
    """Whether a value is text; arguments that are not Unicode are left to typer."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
