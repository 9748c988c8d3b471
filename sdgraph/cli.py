"""The command line: `sdgraph VERB …`, a thin layer of typer over the engine.

Each verb reads its arguments, asks the engine, and prints; what goes wrong comes out of
`exits.ending` as words and an exit code. Only `run` imports torch, and only where a node does.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from . import pickles
from .exits import WRONG, ending

if TYPE_CHECKING:
    from .run import Session

app = typer.Typer(
    add_completion=False, no_args_is_help=True, rich_markup_mode=None,
    pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip

File = Annotated[
    str,
    typer.Argument(
        help="a workflow file, a shipped workflow's name, or a saved picture", metavar="FILE"
    ),
]
Inputs = Annotated[
    list[str] | None, typer.Argument(help="values for the workflow's inputs", metavar="INPUT=VALUE")
]
Packs = Annotated[
    list[Path] | None,
    typer.Option("--nodes", help="a Python file with more node types", metavar="FILE.py"),
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="another value for a node's field", metavar="NODE.FIELD=VALUE"),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="make this node, not all targets", metavar="NODE")
]
Device = Annotated[str | None, typer.Option(help="where to run: cpu, cuda, cuda:1, mps, xpu")]
Dtype = Annotated[str | None, typer.Option(help="what to compute in: float32, float16, bfloat16")]
Vram = Annotated[str | None, typer.Option(help="bytes for models on the accelerator: 8GB, 6GiB")]
Ram = Annotated[str | None, typer.Option(help="bytes for models in host memory")]
Out = Annotated[
    Path | None, typer.Option(help="where relative files go, if not beside the workflow")
]
Pickles = Annotated[
    bool,
    typer.Option("--allow-pickle", help="take weights that are pickles; code in them is not run"),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line and exits with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may hold stray bytes
    app(args=arguments, prog_name="sdgraph")
    raise AssertionError("typer exits")


def _verb(command: Callable[..., None]) -> Callable[..., None]:
    """Makes a function a verb that ends in words and an exit code, whatever it raises.

    `--allow-pickle` is seen to here.
    """

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        allowing = pickles.allowed() if kwargs.get("allow_pickle") else nullcontext()
        with ending(debug=kwargs["debug"]), allowing:
            command(*args, **kwargs)

    return app.command()(guarded)


def _version(asked: bool) -> None:
    if asked:
        from . import __version__

        typer.echo(f"sdgraph {__version__}")
        raise typer.Exit


@app.callback()
def _sdgraph(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Typed node graphs that make pictures and videos with diffusion models."""


def _session(device: str | None, dtype: str | None, vram: str | None, ram: str | None) -> Session:
    """A session of its own for one verb; raises WrongArgument for what cannot be."""
    from .models import ModelCache
    from .request import budget, check_device
    from .residency import Budgets
    from .run import Session
    from .running import Record

    check_device(device, dtype)
    budgets = Budgets(budget("--vram", vram), budget("--ram", ram))
    models = ModelCache(budgets=budgets, watch=Record())
    return Session(device=device, dtype=dtype, store=None, models=models)


@_verb
def run(
    file: File,
    inputs: Inputs = None,
    device: Device = None,
    dtype: Dtype = None,
    vram: Vram = None,
    ram: Ram = None,
    changes: Changes = None,
    only: Only = None,
    packs: Packs = None,
    out: Out = None,
    as_json: Annotated[bool, typer.Option("--json", help="print events as JSON lines")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
    allow_pickle: Pickles = False,
    debug: Debug = False,
) -> None:
    """Run a workflow, or make a saved picture again."""
    from .request import folder_named, opened, registry_with, requested
    from .terminal import watching

    session = _session(device, dtype, vram, ram)
    workflow = opened(file, registry_with(packs or ()), out=folder_named(out))
    graph = requested(workflow, inputs or (), changes or ()).graph(only or ())
    with watching(graph, quiet=quiet, as_json=as_json) as watch:
        values = session.run(graph, watch.listener)
    watch.finish(values)


@_verb
def validate(
    files: Annotated[
        list[str],
        typer.Argument(help="workflow files, and INPUT=VALUE for their inputs", metavar="FILE"),
    ],
    packs: Packs = None,
    as_json: Annotated[bool, typer.Option("--json", help="print problems as JSON")] = False,
    allow_pickle: Pickles = False,
    debug: Debug = False,
) -> None:
    """Say all that is wrong with workflow files.

    Nothing is loaded.
    """
    from .excerpt import problem_data
    from .listing import count_words
    from .report import reports

    found = reports(files, packs or ())
    count = sum(len(each.problems) for each in found)
    if as_json:
        _print_json([problem_data(problem) for each in found for problem in each.problems])
    else:
        for each in found:
            typer.echo(each.as_text())
        typer.echo(f"{count_words(count, 'problem')} in {count_words(len(found), 'file')}")
    if count:
        raise typer.Exit(WRONG)


@_verb
def plan(
    file: File,
    inputs: Inputs = None,
    device: Device = None,
    dtype: Dtype = None,
    vram: Vram = None,
    ram: Ram = None,
    changes: Changes = None,
    only: Only = None,
    packs: Packs = None,
    allow_pickle: Pickles = False,
    debug: Debug = False,
) -> None:
    """Show the steps of a run, what they load, and the memory they take.

    In order, without running them.
    """
    from .report import plan_rows, plan_totals
    from .request import opened, registry_with, requested
    from .terminal import say, say_table

    session = _session(device, dtype, vram, ram)
    workflow = opened(file, registry_with(packs or ()))
    made = session.plan(requested(workflow, inputs or (), changes or ()).graph(only or ()))
    say(f"on {made.device}, {made.dtype}")
    say_table(["", "node", "type", "loads", "beside that", "releases"], [*plan_rows(made)])
    say(plan_totals(made))


@_verb
def show(
    file: File,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="as a Mermaid flowchart")] = False,
    yaml: Annotated[bool, typer.Option("--yaml", help="only the workflow as YAML")] = False,
    packs: Packs = None,
    debug: Debug = False,
) -> None:
    """Draw a workflow; say how a picture was made."""
    from . import drawing
    from .report import record_text
    from .request import is_picture, opened, record_in, registry_with

    registry = registry_with(packs or ())
    if is_picture(file) and not mermaid:
        record = record_in(file)
        typer.echo(record.workflow.rstrip() if yaml else record_text(file, record))
        return
    workflow = opened(file, registry)
    if yaml:
        typer.echo(workflow.to_yaml().rstrip())
    else:
        draw = drawing.mermaid if mermaid else drawing.as_text
        typer.echo(draw(workflow.template, registry))


@_verb
def nodes(
    name: Annotated[str | None, typer.Argument(help="one node type", metavar="TYPE")] = None,
    packs: Packs = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the node types, or document one of them."""
    from .listing import by_category, node_doc
    from .request import node_type, registry_with
    from .terminal import complain, say, say_table

    registry = registry_with(packs or ())
    for pack, why in registry.broken.items():
        complain(f"the node pack {pack} could not be loaded: {why}")
    if name is not None:
        doc = node_doc(node_type(registry, name))
        if as_json:
            _print_json(doc.as_data())
        else:
            say(doc.as_text())
        return
    groups = {
        category: [node_doc(cls) for cls in classes]
        for category, classes in by_category(registry).items()
    }
    if as_json:
        _print_json([doc.as_data() for docs in groups.values() for doc in docs])
        return
    width = max((len(doc.name) for docs in groups.values() for doc in docs), default=0)
    kinds = max((len(doc.output) for docs in groups.values() for doc in docs), default=0)
    for category, docs in groups.items():
        rows = [(doc.name.ljust(width), doc.output.ljust(kinds), doc.summary) for doc in docs]
        say(category, "bold")
        say_table((), rows, indent=2)


@_verb
def schema(packs: Packs = None, debug: Debug = False) -> None:
    """Print the JSON Schema of workflow files.

    By it editors complete and check them.
    """
    from .request import registry_with
    from .schema import workflow_schema

    _print_json(workflow_schema(registry_with(packs or ())))


@_verb
def models(as_json: Json = False, debug: Debug = False) -> None:
    """List the checkpoints on this machine, and what is loaded.

    Those that ship with sdgraph, and those fetched from the hub; then what running processes
    hold in memory, and why.
    """
    from .report import hub_cache, in_memory, shipped_family
    from .terminal import say, say_table

    sections = [shipped_family(), hub_cache(), in_memory()]
    if as_json:
        _print_json({each.key: each.data for each in sections})
        return
    for each in sections:
        if each.title:
            say(each.title, "bold")
        if each.rows:
            say_table(each.headers, each.rows, indent=2)


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
