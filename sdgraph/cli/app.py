"""The typer application, and the decorators that register its commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from .exit_codes import exit_on_error
from .usage_advice import CommandWithAdvice, GroupWithAdvice

app = typer.Typer(
    cls=GroupWithAdvice,
    add_completion=False,
    no_args_is_help=False,
    invoke_without_command=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

command_line: list[str] = []
"""The arguments after `sdgraph`, as they were typed."""


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Registers a function as the command of its name.

    A parameter whose type is a dataclass is a group of options: its fields become options of the
    command, and the function gets them as one object.
    """
    return app.command(cls=CommandWithAdvice)(handle_errors(expand_option_groups(function)))


def handle_errors(function: Callable[..., None]) -> Callable[..., None]:
    """Makes a function end with an error message and an exit code if it raises an exception.

    The function takes `debug` (show tracebacks) and may take `allow_pickle` (accept weights in
    pickle files while it runs).
    """

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        allow_pickle = kwargs.get("allow_pickle", False)
        with exit_on_error(debug=kwargs["debug"]), _allow_pickles(allow_pickle):
            function(*args, **kwargs)

    return wrapper


def expand_option_groups(function: Callable[..., None]) -> Callable[..., None]:
    """A function that takes the fields of dataclasses in place of parameters of those types."""
    signature = inspect.signature(function, eval_str=True)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.annotation)
    }

    def expanded(**options: Any) -> None:
        objects = {
            name: group(**{field.name: options.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        function(**objects, **options)

    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += _field_parameters(groups[name]) if name in groups else [parameter]
    # Keyword-only, so that an option without a default may follow one with a default.
    keywords = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in parameters]
    typer_function: Any = expanded
    typer_function.__name__, typer_function.__doc__ = function.__name__, function.__doc__
    typer_function.__annotations__ = {option.name: option.annotation for option in keywords}
    typer_function.__signature__ = inspect.Signature(keywords)
    return expanded


def _field_parameters(group: Any) -> Iterator[inspect.Parameter]:
    types = get_type_hints(group, include_extras=True)
    for field in fields(group):
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=types[field.name],
        )


def _allow_pickles(allow: bool) -> AbstractContextManager[None]:
    """Accepts weights in pickle files until the block ends, if the command line allows them."""
    if not allow:
        return nullcontext()
    from sdgraph.models.formats import pickles  # imported here because `--help` needs no engine

    return pickles.allow()


def _print_version(wanted: bool) -> None:
    if wanted:
        from sdgraph import __version__

        typer.echo(f"sdgraph {__version__}")
        raise typer.Exit


@app.callback()
def _sdgraph(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="print the version", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Typed node graphs that make pictures and videos with diffusion models."""
    if context.invoked_subcommand is None:
        typer.echo(_NEXT)


_NEXT = """\
sdgraph runs node graphs that make pictures and videos with diffusion models.

to make a first picture:     sdgraph run inpaint
to see what else ships:      sdgraph workflows
to change one of them:       sdgraph new mine.yaml inpaint
to see the node types:       sdgraph nodes
to check this machine:       sdgraph doctor
for all commands:            sdgraph --help"""
"""What to do first."""
