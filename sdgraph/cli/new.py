"""The command `new`: makes a workflow, a node or a package to begin with."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import command
from .options import Debug

DEFAULT_SOURCE = "text"
"""The workflow that is copied if none is named."""


@command
def new(
    name: Annotated[
        str, typer.Argument(help="the new file, such as mine.yaml; with --node, the node type")
    ],
    source: Annotated[
        str | None,
        typer.Argument(help="the workflow to copy; `text` if left out", metavar="FROM"),
    ] = None,
    node: Annotated[
        bool, typer.Option("--node", help="make a node type in a Python file, with a test")
    ] = False,
    pack: Annotated[
        bool, typer.Option("--pack", help="make a package with a node type, for pip")
    ] = False,
    debug: Debug = False,
) -> None:
    """Copy a shipped workflow with its samples into this folder, to be changed.

    Its first line names a schema for editors. No file that exists is replaced.
    """
    from sdgraph.errors import Problem

    from .argument_error import ArgumentError
    from .new_files import write_files
    from .terminal import print_text

    if node and pack:
        raise ArgumentError(Problem("--pack", "--node too", "one of the two", "leave one out"))
    if (node or pack) and source is not None:
        option = "--node" if node else "--pack"
        wanted = "no workflow to copy with that option"
        raise ArgumentError(Problem(option, f"FROM {source!r}", wanted, f"leave {source} out"))
    if node or pack:
        from .new_node import new_node, new_pack

        files = new_node(name) if node else new_pack(name)
    else:
        from .new_workflow import new_workflow

        files = new_workflow(name, source or DEFAULT_SOURCE)
    for path in write_files(files):
        print_text(f"written: {path}")
    print_text(_next(str(files[-1].path), node=node, pack=pack))


def _next(path: str, *, node: bool, pack: bool) -> str:
    """What to do with the file or package that was made."""
    import shlex

    if pack:
        folder = path.partition("/")[0]
        return f"to install and test it: cd {folder} && pip install -e '.[dev]' && pytest"
    if node:
        return f"to test it: pytest test_{path}; to use it: sdgraph run FILE --nodes {path}"
    return f"to run it: sdgraph run {shlex.quote(path)}"
