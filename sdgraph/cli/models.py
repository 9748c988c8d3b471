"""The command `models`: lists, checks, fetches and removes checkpoints and model files."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .app import app, handle_errors
from .exit_codes import WRONG
from .help_examples import GroupExampleInHelp
from .inspect import print_json
from .options import Debug, Json, Pickles
from .safe_output import write_line
from .usage_advice import CommandWithAdvice

models_app = typer.Typer(
    cls=GroupExampleInHelp,
    invoke_without_command=True,
    no_args_is_help=False,
    rich_markup_mode=None,
)
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

    Only their headers are read, and compared with their sizes. Downloads from the hub that were
    interrupted are printed, too.
    """
    from sdgraph.formatting import format_count
    from sdgraph.models.sources.hub_listing import interrupted_problems

    from .model_list import missing_folders, model_files

    files = model_files(hashes=False)
    damaged = [problem for file in files if (problem := file.problem) is not None]
    problems = [*missing_folders(), *damaged, *interrupted_problems()]
    if as_json:
        print_json([problem.as_data() for problem in problems])
    else:
        for problem in problems:
            write_line(f"{problem}\n")
        count = format_count(len(problems), "problem")
        write_line(f"{count}, {format_count(len(files), 'model file')}")
    if problems:
        raise typer.Exit(WRONG)


@models_app.command(cls=CommandWithAdvice)
@handle_errors
def fetch(
    source: Annotated[str, typer.Argument(help="a repository on the hub", metavar="ID")],
    variant: Annotated[
        str | None, typer.Option(help="the variant of the weights, such as fp16")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="a branch, tag or commit")] = None,
    file: Annotated[
        str | None, typer.Option(help="fetch this file of the repository alone", metavar="NAME")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="print what would be downloaded, and stop")
    ] = False,
    allow_pickle: Pickles = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Download a checkpoint from the hub, only the files that it needs.

    It is kept in the hub's cache, where workflows find it by its id. What an interruption leaves is
    continued the next time. For a gated repository log in with `hf auth login`, or set HF_TOKEN.
    """
    from .model_fetch import FetchRequest, fetch_planned, plan_fetch
    from .terminal import print_note, print_text

    plan = plan_fetch(FetchRequest(source, variant, revision, file, allow_pickle))
    data = plan.as_data()
    print_note(str(plan)) if as_json else print_text(str(plan))
    path = "" if dry_run else fetch_planned(plan)
    if as_json:
        print_json({**data, "fetched": not dry_run})
    elif path:
        print_text(f"{source} is in {path}")


@models_app.command(cls=CommandWithAdvice)
@handle_errors
def remove(
    name: Annotated[
        str,
        typer.Argument(help="a repository on the hub, or a file in a model folder", metavar="NAME"),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="remove it without asking")] = False,
    debug: Debug = False,
) -> None:
    """Remove a checkpoint from the hub's cache, or a file from one of your model folders."""
    from sdgraph.formatting import format_bytes

    from .model_removal import confirm_removal, find_removal
    from .terminal import print_text

    removal = find_removal(name)
    if not yes and not confirm_removal(removal):
        print_text("nothing is removed")
        return
    removal.remove()
    print_text(f"removed {removal.path}, {format_bytes(removal.bytes)} freed")
