"""Writes the help of each command to the files that `sdgraph --help` prints.

Run `python -m sdgraph.cli.help_files` after a change to a command or an option.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from unittest.mock import patch

import typer

from .app import app
from .command_modules import import_commands
from .help_texts import FOLDER, WIDTH, file_name
from .program import main


def command_names() -> list[tuple[str, ...]]:
    """The names of all commands and groups, () for `sdgraph` itself."""
    import_commands()
    return list(_names_below(typer.main.get_command(app), ()))


def _names_below(command: object, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield names
    for name, child in getattr(command, "commands", {}).items():
        yield from _names_below(child, (*names, name))


def typer_help(names: tuple[str, ...]) -> str:
    """What typer prints as the help of a command."""
    out = io.StringIO()
    columns = patch.dict(os.environ, {"COLUMNS": str(WIDTH)})
    with columns, redirect_stdout(out), suppress(SystemExit):
        main([*names, "--help"])
    return out.getvalue()


def write_files() -> None:
    """Writes the help of all commands and removes that of commands that are gone."""
    folder = Path(FOLDER)
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.txt"):
        old.unlink()
    for names in command_names():
        (folder / file_name(names)).write_text(typer_help(names), encoding="utf-8")


if __name__ == "__main__":
    write_files()
