"""`run --watch`: runs again what changed, whenever a file that a workflow reads does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from sdgraph.errors import SdgraphError
from sdgraph.formatting import format_count, shorten_path
from sdgraph.language import find_workflow
from sdgraph.sweep import files_named_in

from .exit_codes import FAILED, WRONG, ending
from .file_watcher import Changes, files_read
from .terminal import remark

if TYPE_CHECKING:
    from .request import Request


def keep_running(
    once: Callable[[], object],
    asked: Callable[[], Request],
    file: str,
    given: Sequence[str],
    *,
    debug: bool,
) -> None:
    """Calls `once`, and again whenever something that `asked()` reads changes, until Ctrl-C.

    `file` is the workflow's, or the picture's, and `given` are the inputs as they were typed. What
    goes wrong is told, and the next change awaited. While a workflow cannot be read, the files that
    were known stay watched.
    """
    first = {find_workflow(file).absolute(), *files_named_in(given)}
    known = first
    while True:
        with suppress(SdgraphError):  # `once` tells what is wrong
            known = first | files_read(asked())
        # Before the run, so that what changes while it goes on is seen after it.
        changes = Changes(known)
        try:
            with ending(debug=debug):
                once()
        except typer.Exit as ended:
            if ended.exit_code not in (FAILED, WRONG):
                raise
        remark(f"watching {format_count(len(known), 'file')}; Ctrl-C ends it")
        remark(f"changed: {', '.join(map(shorten_path, changes.wait()))}")
