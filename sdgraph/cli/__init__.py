"""The command line: `sdgraph VERB …`, a thin layer of typer over the engine.

Each verb reads its arguments, asks the engine, and prints; what goes wrong comes out of
`exits.ending` as words and an exit code. Only `run` imports torch, and only where a node does.
"""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import cache, inspect, run, runs
from .app import app, typed

__all__ = ["app", "cache", "inspect", "main", "run", "runs"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    gc.set_threshold(50_000)  # looking through new modules is a twentieth of a short command
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold stray bytes
    typed[:] = sys.argv[1:] if arguments is None else arguments
    app(args=arguments, prog_name="sdgraph")
    raise AssertionError("typer exits")
