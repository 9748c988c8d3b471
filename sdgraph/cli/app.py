"""The typer application, what its verbs share, and the arguments that several of them take."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from .exit_codes import ending

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

typed: list[str] = []
"""What was typed after `sdgraph`."""

File = Annotated[
    str,
    typer.Argument(
        help="a workflow file, a shipped workflow's name, or a saved picture", metavar="FILE"
    ),
]
Inputs = Annotated[
    list[str] | None, typer.Argument(help="values for the workflow's inputs", metavar="INPUT=VALUE")
]
Packs = Annotated[
    list[Path] | None,
    typer.Option("--nodes", help="a Python file with more node types", metavar="FILE.py"),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="another value for a node's field", metavar="NODE.FIELD=VALUE"),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="make this node, not all targets", metavar="NODE")
]
Device = Annotated[str | None, typer.Option(help="where to run: cpu, cuda, cuda:1, mps, xpu")]
Dtype = Annotated[str | None, typer.Option(help="what to compute in: float32, float16, bfloat16")]
Vram = Annotated[str | None, typer.Option(help="bytes for models on the accelerator: 8GB, 6GiB")]
Ram = Annotated[str | None, typer.Option(help="bytes for models in host memory")]
Out = Annotated[
    Path | None, typer.Option(help="where relative files go, if not beside the workflow")
]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="neither reuse remembered results nor remember any")
]
Pickles = Annotated[
    bool,
    typer.Option("--allow-pickle", help="take weights that are pickles; code in them is not run"),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]


def verb(command: Callable[..., None]) -> Callable[..., None]:
    """Makes a function a verb that ends in words and an exit code, whatever it raises.

    `--allow-pickle` is seen to here.
    """
    return app.command()(guarded(command))


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """A function that ends in words and an exit code, whatever it raises; it takes `debug`."""

    @wraps(command)
    def ended(*args: Any, **kwargs: Any) -> None:
        with ending(debug=kwargs["debug"]), _pickles_allowed(kwargs.get("allow_pickle", False)):
            command(*args, **kwargs)

    return ended


def _pickles_allowed(allow: bool) -> AbstractContextManager[None]:
    """Allows weights in pickles until the block ends, where the command line says so."""
    if not allow:
        return nullcontext()
    from sdgraph.models import pickles  # not at the top: `--help` needs no engine

    return pickles.allowed()


def _version(asked: bool) -> None:
    if asked:
        from sdgraph import __version__

        typer.echo(f"sdgraph {__version__}")
        raise typer.Exit


@app.callback()
def _sdgraph(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Typed node graphs that make pictures and videos with diffusion models."""
