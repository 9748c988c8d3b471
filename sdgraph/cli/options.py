"""The arguments and options that several commands have, single ones and groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sdgraph.execution import Session

    from .request import Request

File = Annotated[
    str,
    typer.Argument(
        help="a workflow file, a shipped workflow's name, a saved picture, or - for standard input",
        metavar="FILE",
    ),
]
Inputs = Annotated[
    list[str] | None, typer.Argument(help="values for the workflow's inputs", metavar="INPUT=VALUE")
]
Packs = Annotated[
    list[Path] | None,
    typer.Option("--nodes", help="a Python file or folder with more node types", metavar="PATH"),
]
FieldValues = Annotated[
    list[str] | None,
    typer.Option("--set", help="another value for a node's field", metavar="NODE.FIELD=VALUE"),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="make this node, not all targets", metavar="NODE")
]
Device = Annotated[str | None, typer.Option(help="where to run: cpu, cuda, cuda:1, mps, xpu")]
Dtype = Annotated[str | None, typer.Option(help="the dtype of models: float32, float16, bfloat16")]
Vram = Annotated[str | None, typer.Option(help="memory for models on the accelerator: 8GB, 6GiB")]
Ram = Annotated[str | None, typer.Option(help="memory for models on the host")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="neither reuse remembered results nor remember any")
]
Pickles = Annotated[
    bool,
    typer.Option("--allow-pickle", help="accept weights in pickle files; code in them is not run"),
]
Out = Annotated[
    Path | None,
    typer.Option(help="the folder for files that are written, instead of the workflow's folder"),
]
AllowOutside = Annotated[
    bool,
    typer.Option(
        "--allow-outside",
        help="let the workflow write files outside of its folder, the current folder or --out",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="print JSON")]
Batch = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="how many pictures are generated at once; 1 for one after another; if not given, as "
        "many as are fastest and fit, where that changes no bit",
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]


@dataclass(frozen=True)
class WorkflowOptions:
    """Which workflow, with which inputs, changed fields and additional node types."""

    file: File
    inputs: Inputs = None
    changes: FieldValues = None
    only: Only = None
    packs: Packs = None
    allow_outside: AllowOutside = False

    def reader(self, *, out: Path | None = None) -> Callable[[], Request]:
        """A function that reads the file and applies the inputs and changes, again on each call.

        Args:
            out: The folder for relative output files, instead of the default.
        """
        from .request import open_workflow, output_folder, parse_request, registry_with_files

        def read() -> Request:
            registry = registry_with_files(self.packs or ())  # loads again what has changed
            workflow = open_workflow(
                self.file, registry, out=output_folder(out), allow_outside=self.allow_outside
            )
            return parse_request(workflow, self.inputs or (), self.changes or ())

        return read


@dataclass(frozen=True)
class SessionOptions:
    """On which device, in which dtype, with how much memory, and whether results are reused."""

    device: Device = None
    dtype: Dtype = None
    vram: Vram = None
    ram: Ram = None
    no_cache: NoCache = False
    batch: Batch = None

    def open(
        self, *, several_runs: bool = False, metadata: bool = True, threads: int | None = None
    ) -> Session:
        """A session with these options.

        Args:
            several_runs: Whether the session runs more than once. Then models stay loaded between
                the runs, and results stay in memory if there is no folder for them.
            metadata: Whether saved files contain a record of how they were made.
            threads: How many threads run nodes without models; None for one on each core.

        Raises:
            ArgumentError: An option has an invalid value.
        """
        from sdgraph.execution import Session
        from sdgraph.memory import Budgets
        from sdgraph.models import ModelCache, ProcessRecord
        from sdgraph.store import Store

        from .default_store import default_store
        from .request import check_device, parse_bytes

        check_device(self.device, self.dtype)
        budgets = Budgets(parse_bytes("--vram", self.vram), parse_bytes("--ram", self.ram))
        models = ModelCache(
            budgets=budgets, keep_alive=None if several_runs else 0, watch=ProcessRecord()
        )
        store = None if self.no_cache else default_store()
        if several_runs and store is None and not self.no_cache:
            store = Store()
        return Session(
            device=self.device,
            dtype=self.dtype,
            store=store,
            models=models,
            metadata=metadata,
            threads=threads,
            batch=self.batch,
        )
