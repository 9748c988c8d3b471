"""The command line: `sdgraph COMMAND …`, a thin layer of typer over the engine.

Each command reads its arguments, calls the engine and prints. `exit_codes.exit_on_error` turns
exceptions into a message and an exit code. Only `run` imports torch, and only if a node needs it.
"""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import cache, history, inspect, run
from .app import app, command_line

__all__ = ["app", "cache", "history", "inspect", "main", "run"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    gc.set_threshold(50_000)  # collecting garbage is a twentieth of a short command
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # a file name may contain bytes that are not text
    command_line[:] = sys.argv[1:] if arguments is None else arguments
    app(args=arguments, prog_name="sdgraph")
    raise AssertionError("typer exits")
