"""Which module defines each command, so that a command line imports only that of its own."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

COMMAND_MODULES = {
    "workflows": "workflow_catalog",
    "doctor": "doctor",
    "validate": "inspect",
    "show": "inspect",
    "diff": "inspect",
    "nodes": "inspect",
    "schema": "inspect",
    "new": "new",
    "run": "run",
    "plan": "run",
    "cache": "cache",
    "runs": "history",
    "models": "models",
}
"""The modules of the commands, in the order in which `sdgraph --help` lists them."""


def import_commands(arguments: Sequence[str] = ()) -> None:
    """Imports and so registers the command of a command line, or all where it names none.

    Args:
        arguments: The arguments after `sdgraph`.
    """
    command = arguments[0] if arguments else ""
    modules = [COMMAND_MODULES[command]] if command in COMMAND_MODULES else COMMAND_MODULES.values()
    for module in modules:
        import_module(f"{__package__}.{module}")
