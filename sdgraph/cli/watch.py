"""`run --watch`: runs a workflow again whenever a file that it reads changes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from sdgraph.errors import SdgraphError
from sdgraph.formatting import format_count, shorten_path
from sdgraph.language import find_workflow
from sdgraph.sweep import files_named_in

from .exit_codes import FAILED, WRONG, exit_on_error
from .file_watcher import FileWatcher, files_to_watch
from .options import WorkflowOptions
from .terminal import print_note

if TYPE_CHECKING:
    from .request import Request


def run_on_changes(
    run_once: Callable[[], object],
    read: Callable[[], Request],
    workflow: WorkflowOptions,
    *,
    debug: bool,
) -> None:
    """Runs a workflow, and again whenever a file that it reads changes, until Ctrl-C.

    After an error it prints the message and waits for the next change. While the workflow cannot be
    read, the files that it read before stay watched.

    Args:
        run_once: Reads the workflow and runs it.
        read: Only reads the workflow, for the names of its files.
        workflow: The workflow's file and the inputs of the command line.
        debug: Whether to print tracebacks.
    """
    always = {find_workflow(workflow.file).absolute(), *files_named_in(workflow.inputs or ())}
    always |= {path.absolute() for path in workflow.packs or ()}
    files = always
    while True:
        with suppress(SdgraphError):  # `run_once` prints what is wrong
            files = always | files_to_watch(read())
        # Made before the run, so that a change during the run is noticed after it.
        watcher = FileWatcher(files)
        try:
            with exit_on_error(debug=debug):
                run_once()
        except typer.Exit as end:
            if end.exit_code not in (FAILED, WRONG):
                raise
        print_note(f"watching {format_count(len(files), 'file')}; Ctrl-C ends it")
        print_note(f"changed: {', '.join(map(shorten_path, watcher.wait()))}")
