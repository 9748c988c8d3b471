"""The command `cache`: shows, prunes and clears the results on disk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, handle_errors
from .default_store import default_store
from .help_examples import GroupExampleInHelp
from .options import Debug
from .usage_advice import CommandWithAdvice

if TYPE_CHECKING:
    from sdgraph.store import DiskStore


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

cache_app = typer.Typer(
    cls=GroupExampleInHelp,
    invoke_without_command=True,
    no_args_is_help=False,
    rich_markup_mode=None,
)
app.add_typer(cache_app, name="cache")


@cache_app.callback()
@handle_errors
def cache(context: typer.Context, debug: Debug = False) -> None:
    """Show the number and size of the results on disk, in total and for each node type."""
    if context.invoked_subcommand is not None:
        return
    from sdgraph.formatting import format_bytes, format_count, shorten_path

    from .terminal import print_table, print_text

    disk_store = _disk_store()
    counts: dict[str, list[float]] = {}
    for entry in disk_store.entries():
        header = disk_store.header(entry)
        row = counts.setdefault(header.node if header else "cannot be read", [0, 0, 0])
        row[0] += 1
        row[1] += entry.bytes
        row[2] += header.seconds if header else 0
    count, held = (int(sum(row[place] for row in counts.values())) for place in (0, 1))
    size = f"{format_bytes(held)} of {format_bytes(disk_store.limit)}"
    print_text(f"{format_count(count, 'result')}, {size}, in {shorten_path(disk_store.folder)}")
    rows = [
        (name, str(int(number)), format_bytes(int(size)), f"{seconds:.0f} s")
        for name, (number, size, seconds) in sorted(counts.items(), key=lambda item: -item[1][1])
    ]
    if rows:
        print_table(["node", "results", "size", "took"], rows, indent=2)


@cache_app.command(cls=CommandWithAdvice)
@handle_errors
def prune(
    to: Annotated[
        str | None,
        typer.Option("--to", help="remove the least recently used until this size is left: 1GB"),
    ] = None,
    older: Annotated[
        str | None,
        typer.Option("--older", help="remove those that were not used for this time: 30d, 12h"),
    ] = None,
    debug: Debug = False,
) -> None:
    """Remove the least recently used results, down to the budget or less."""
    from .request import parse_bytes

    disk_store = _disk_store()
    limit = parse_bytes("--to", to)
    if limit is None and older is None:
        limit = disk_store.limit
    _print_removed(disk_store.prune(limit, _age(older)))


@cache_app.command(cls=CommandWithAdvice)
@handle_errors
def clear(debug: Debug = False) -> None:
    """Remove every remembered result."""
    _print_removed(_disk_store().clear())


def _disk_store() -> DiskStore:
    from sdgraph.errors import Problem

    from .request import ArgumentError

    store = default_store()
    if store is None or store.on_disk is None:
        fix = "set SDGRAPH_HOME to a folder for the results"
        raise ArgumentError(Problem("the cache", "no home folder", "a folder for results", fix))
    return store.on_disk


def _age(text: str | None) -> float | None:
    """The seconds in a text such as "30d", "12h", "90m" or "2w"; raises ArgumentError."""
    from sdgraph.errors import Problem

    from .request import ArgumentError

    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", text)
    if match is None:
        wanted = "a time, such as 30d, 12h, 90m or 2w"
        raise ArgumentError(Problem("--older", text, wanted))
    return float(match[1]) * _UNITS[match[2]]


def _print_removed(removed: tuple[int, int]) -> None:
    from sdgraph.formatting import format_bytes, format_count

    from .terminal import print_text

    count, freed = removed
    print_text(f"{format_count(count, 'result')} removed, {format_bytes(freed)} freed")
