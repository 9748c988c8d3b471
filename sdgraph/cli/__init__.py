"""The command line: `sdgraph VERB …`, a thin layer of typer over the engine.

Each verb reads its arguments, asks the engine, and prints; what goes wrong comes out of
`exits.ending` as words and an exit code. Only `run` imports torch, and only where a node does.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import NoReturn

from . import running, runs, telling
from .app import app

__all__ = ["app", "main", "running", "runs", "telling"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold stray bytes
    app(args=arguments, prog_name="sdgraph")
    raise AssertionError("typer exits")
