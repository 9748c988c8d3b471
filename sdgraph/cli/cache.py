"""The results on disk: `cache` shows, prunes and clears them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Annotated

import typer

from .app import Debug, app, guarded

if TYPE_CHECKING:
    from sdgraph.store import Shelf, Store


BUDGET = "SDGRAPH_STORE_BYTES"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

caches = typer.Typer(invoke_without_command=True, no_args_is_help=False, rich_markup_mode=None)
app.add_typer(caches, name="cache")


def kept() -> Store | None:
    """The results that all runs of a person share, or None where there is no home for them.

    Raises ArgumentError for a budget that is no number of bytes.
    """
    from sdgraph.files import sdgraph_home
    from sdgraph.store import DEFAULT_BYTES, Store

    from .request import budget

    limit = budget(f"${BUDGET}", os.environ.get(BUDGET) or None)
    try:
        folder = sdgraph_home() / "results"
    except RuntimeError:
        return None
    return Store(folder=folder, disk=DEFAULT_BYTES if limit is None else limit)


@caches.callback()
@guarded
def cache(context: typer.Context, debug: Debug = False) -> None:
    """Show the remembered results: how many, how large, of which nodes."""
    if context.invoked_subcommand is not None:
        return
    from sdgraph.formatting import format_bytes, format_count, shorten_path

    from .terminal import say, say_table

    shelf = _shelf()
    counts: dict[str, list[float]] = {}
    for entry in shelf.entries():
        header = shelf.header(entry)
        row = counts.setdefault(header.node if header else "cannot be read", [0, 0, 0])
        row[0] += 1
        row[1] += entry.bytes
        row[2] += header.seconds if header else 0
    count, held = (int(sum(row[place] for row in counts.values())) for place in (0, 1))
    size = f"{format_bytes(held)} of {format_bytes(shelf.limit)}"
    say(f"{format_count(count, 'result')}, {size}, in {shorten_path(shelf.folder)}")
    rows = [
        (name, str(int(number)), format_bytes(int(size)), f"{seconds:.0f} s")
        for name, (number, size, seconds) in sorted(counts.items(), key=lambda each: -each[1][1])
    ]
    if rows:
        say_table(["node", "results", "size", "took"], rows, indent=2)


@caches.command()
@guarded
def prune(
    to: Annotated[
        str | None, typer.Option("--to", help="the least recently used go until this is left: 1GB")
    ] = None,
    older: Annotated[
        str | None,
        typer.Option("--older", help="those go that were not used for so long: 30d, 12h"),
    ] = None,
    debug: Debug = False,
) -> None:
    """Remove remembered results: the least recently used, down to the budget or less."""
    from .request import budget

    shelf = _shelf()
    limit = budget("--to", to)
    if limit is None and older is None:
        limit = shelf.limit
    _say_gone(shelf.prune(limit, _age(older)))


@caches.command()
@guarded
def clear(debug: Debug = False) -> None:
    """Remove every remembered result."""
    _say_gone(_shelf().clear())


def _shelf() -> Shelf:
    from sdgraph.errors import Problem

    from .request import ArgumentError

    store = kept()
    if store is None or store.shelf is None:
        fix = "set SDGRAPH_HOME to a folder for the results"
        raise ArgumentError(Problem("the cache", "no home folder", "a folder for results", fix))
    return store.shelf


def _age(text: str | None) -> float | None:
    """The seconds that "30d", "12h", "90m" or "2w" say; raises ArgumentError."""
    from sdgraph.errors import Problem

    from .request import ArgumentError

    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*", text)
    if found is None:
        wanted = "a time, such as 30d, 12h, 90m or 2w"
        raise ArgumentError(Problem("--older", text, wanted))
    return float(found[1]) * _UNITS[found[2]]


def _say_gone(gone: tuple[int, int]) -> None:
    from sdgraph.formatting import format_bytes, format_count

    from .terminal import say

    count, freed = gone
    say(f"{format_count(count, 'result')} removed, {format_bytes(freed)} freed")
