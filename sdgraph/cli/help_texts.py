"""The stored help of each command, so that `--help` imports no library.

Typer makes the help from the commands, for which all of them and their options are imported.
`python -m sdgraph.cli.help_files` writes the stored texts; a test compares them with typer's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

FOLDER = os.path.join(os.path.dirname(__file__), "help")  # noqa: PTH118, PTH120  no pathlib
"""Where the texts are: `sdgraph.txt`, `sdgraph validate.txt` and so on."""

WIDTH = 80
"""The columns for which the texts are wrapped, the most that typer uses."""


def print_help(arguments: Sequence[str]) -> bool:
    """Prints the stored help that a command line asks for; False where typer must answer.

    Typer answers what is not the help of a command, and wraps the help for narrow terminals.

    Args:
        arguments: The arguments after `sdgraph`.

    Raises:
        OSError: The output cannot be written.
    """
    text = None if _is_narrow() else stored_help(arguments)
    if text is None or sys.stdout is None:
        return False
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except ValueError:  # characters that the terminal lacks
        return False
    return True


def stored_help(arguments: Sequence[str]) -> str | None:
    """The stored help that `[COMMAND …] --help` asks for, None for any other command line."""
    *names, last = arguments or ("",)
    if last not in ("-h", "--help") or not all(name.isalpha() for name in names):
        return None
    try:
        path = os.path.join(FOLDER, file_name(names))  # noqa: PTH118
        with open(path, encoding="utf-8") as file:  # noqa: PTH123
            return file.read()
    except OSError:
        return None


def file_name(names: Sequence[str]) -> str:
    """The file with the help of a command, by its names: `("runs", "show")` and so on."""
    return f"{' '.join(('sdgraph', *names))}.txt"


def _is_narrow() -> bool:
    """Whether typer would wrap the help for fewer columns, or might."""
    if os.environ.get("COLUMNS"):
        return True
    try:
        return sys.stdout is None or os.get_terminal_size(sys.stdout.fileno()).columns < WIDTH
    except (OSError, ValueError):
        return False  # not a terminal
