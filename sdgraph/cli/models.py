"""The command `models`: lists the checkpoints and model files on this machine, and checks them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .app import app, handle_errors
from .exit_codes import WRONG
from .inspect import print_json
from .options import Debug, Json
from .safe_output import write_line
from .usage_advice import CommandWithAdvice

models_app = typer.Typer(invoke_without_command=True, no_args_is_help=False, rich_markup_mode=None)
app.add_typer(models_app, name="models")


@models_app.callback()
@handle_errors
def models(
    context: typer.Context,
    hashes: Annotated[
        bool, typer.Option("--hash", help="print the sha256 of files that were never hashed, too")
    ] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the checkpoints and model files on this machine, and what is loaded.

    These are the checkpoints that ship with sdgraph, those downloaded from the hub, the files in
    your model folders, and the components that running processes hold in memory, with the reason.
    Model folders are named in $SDGRAPH_MODELS, or in config.toml in your folder for settings.
    """
    if context.invoked_subcommand is not None:
        return
    from .model_list import list_folders, missing_folders, model_files
    from .report import downloaded_checkpoints, loaded_components, shipped_checkpoints
    from .terminal import print_note, print_table, print_text

    files = model_files(hashes=hashes)
    sections = [shipped_checkpoints(), downloaded_checkpoints()]
    loaded, missing = loaded_components(), missing_folders()
    if as_json:
        data: dict[str, Any] = {section.key: section.data for section in [*sections, loaded]}
        data["files"] = [file.as_data() for file in files]
        print_json({**data, "missing_folders": [problem.subject for problem in missing]})
    else:
        for section in [*sections, *list_folders(files), loaded]:
            if section.title:
                print_text(section.title, "bold")
            if section.rows:
                print_table(section.headers, section.rows, indent=2)
    for problem in missing:
        print_note(f"warning: {problem.as_line()}")


@models_app.command(cls=CommandWithAdvice)
@handle_errors
def check(as_json: Json = False, debug: Debug = False) -> None:
    """Print the files in your model folders that are damaged or cut short.

    Only their headers are read, and compared with their sizes.
    """
    from sdgraph.formatting import format_count

    from .model_list import missing_folders, model_files

    files = model_files(hashes=False)
    damaged = [problem for file in files if (problem := file.problem) is not None]
    problems = [*missing_folders(), *damaged]
    if as_json:
        print_json([problem.as_data() for problem in problems])
    else:
        for problem in problems:
            write_line(f"{problem}\n")
        count = format_count(len(problems), "problem")
        write_line(f"{count}, {format_count(len(files), 'model file')}")
    if problems:
        raise typer.Exit(WRONG)
