"""The start of the command line: it imports a command, runs it and exits with its code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import NoReturn

import typer

from .app import app, command_line
from .command_modules import import_commands
from .exit_codes import exit_on_error
from .safe_output import safe_stream


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    _prepare_output()
    command_line[:] = sys.argv[1:] if arguments is None else arguments
    import_commands(command_line)
    out, errors = safe_stream(sys.stdout), safe_stream(sys.stderr, allow_bars=True)
    # Typer prints its help and its own errors outside of the commands.
    try:
        with redirect_stdout(out), redirect_stderr(errors), exit_on_error(debug=False):
            app(args=arguments, prog_name="sdgraph")
    except typer.Exit as end:
        sys.exit(end.exit_code)
    raise AssertionError("typer exits")


def _prepare_output() -> None:
    """Makes both outputs take any text, also where the shell has closed them (`>&-`)."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  open until the process ends
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name may contain bytes that are not text.
            stream.reconfigure(errors="backslashreplace")
