"""`run --watch`: runs again what changed, whenever a file that a workflow reads does."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import typer

from sdgraph.errors import SdgraphError
from sdgraph.exits import FAILED, WRONG, ending
from sdgraph.file_changes import Changes
from sdgraph.listing import count_words, shorter
from sdgraph.terminal import remark


def keep_running(
    once: Callable[[], object], files: Callable[[], Iterable[Path]], first: Path, *, debug: bool
) -> None:
    """Calls `once`, and again after each change of `files()`, until Ctrl-C.

    What goes wrong is told, and the next change awaited. Where `files` fails, for a workflow cannot
    be read, those that were known stay watched, and at the beginning the file `first` is.
    """
    known = {first}
    while True:
        with suppress(SdgraphError):  # `once` tells what is wrong
            known = {*files()}
        # Before the run, so that what changes while it goes on is seen after it.
        changes = Changes(known)
        try:
            with ending(debug=debug):
                once()
        except typer.Exit as ended:
            if ended.exit_code not in (FAILED, WRONG):
                raise
        remark(f"watching {count_words(len(known), 'file')}; Ctrl-C ends it")
        remark(f"changed: {', '.join(map(shorter, changes.wait()))}")
