"""The command line: `sdgraph COMMAND …`, a thin layer of typer over the engine.

Each command reads its arguments, calls the engine and prints. `exit_codes.exit_on_error` turns
exceptions into a message and an exit code. Only `run` imports torch, and only if a node needs it.
`help_texts` answers `--help` without typer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    from .program import main as run_command_line  # `--help` needs none of its imports

    run_command_line(arguments)
