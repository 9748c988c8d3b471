"""The command `doctor`: whether this machine has all that a run needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from .app import command
from .exit_codes import WRONG
from .options import Debug, Json

if TYPE_CHECKING:
    from .machine_checks import Diagnosis


@command
def doctor(as_json: Json = False, debug: Debug = False) -> None:
    """Check this machine: device, memory, libraries, folders, disk and hub.

    It prints what is missing and how to get it. Nothing is written, and the hub is not asked. The
    exit code is 2 if something is wrong.
    """
    from .machine_checks import diagnose
    from .safe_output import write_line

    found = diagnose()
    if as_json:
        import json

        write_line(json.dumps(found.as_data(), indent=2, ensure_ascii=False))
    else:
        write_line("\n".join(_lines(found)))
    if found.problems:
        raise typer.Exit(WRONG)


def _lines(found: Diagnosis) -> Iterator[str]:
    """All of it as lines of text, what is wrong last."""
    from sdgraph import __version__
    from sdgraph.formatting import align_columns, format_count

    yield f"sdgraph {__version__}"
    yield from align_columns([(f"  {name}", text) for name, text in found.machine.rows()])
    headers = ("  library", "here", "needed", "tested", "")
    rows = [
        (
            f"  {library.name}",
            library.here or "–",
            f"≥ {library.needed}" if library.needed else "",
            library.tested,
            "optional: " + library.fix if library.is_optional and library.fix else library.state,
        )
        for library in found.libraries
    ]
    yield from ["", *align_columns([headers, *rows])]
    folders = [folder.row() for folder in found.folders]
    yield from ["", *align_columns([("  folder for", "", "", "another by"), *_indented(folders)])]
    yield from ["", *align_columns([(f"  {name}", text) for name, text in found.hub.rows()])]
    for problem in found.problems:
        yield f"\n{problem}"
    yield f"\n{format_count(len(found.problems), 'problem')}"
    if not found.problems:
        yield "to begin: sdgraph run inpaint; what else ships: sdgraph workflows"


def _indented(rows: list[tuple[str, str, str, str]]) -> Iterator[tuple[str, ...]]:
    for first, *rest in rows:
        yield (f"  {first}", *rest)
