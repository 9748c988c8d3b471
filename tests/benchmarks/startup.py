"""Processes that must be quick: commands that only check do not import torch."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from statistics import median
from unittest.mock import patch

from sdgraph.language import shipped_workflows

from .timing import Row, process

ROUNDS = 7


def rows() -> Iterator[Row]:
    """CPU seconds of the command line's checking commands, compared with a bare interpreter."""
    floor = median(process(["-c", "pass"]).cpu for _ in range(ROUNDS))
    chain = str(shipped_workflows()["chain"])
    for verb in (["--help"], ["validate", chain], ["plan", chain], ["show", chain], ["nodes"]):
        seconds = median(process(["-m", "sdgraph", *verb]).cpu for _ in range(ROUNDS))
        loaded = process(["-X", "importtime", "-c", _IMPORTS.format(verb)]).output
        torch = "torch imported" if "torch=True" in loaded else "no torch"
        limited = verb[0] in ("--help", "validate")
        yield Row(
            f"process: sdgraph {verb[0]}",
            f"{seconds:.2f} s CPU, {torch}",
            f"python -c pass {floor:.2f} s",
            f"{seconds / floor:.0f} ×",
            "< 0.5 s, no torch" if limited else "no torch",
        )
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.dict(os.environ, {"SDGRAPH_HOME": f"{folder}/home"}),
    ):
        run = ["run", chain, "--out", folder]
        process(["-m", "sdgraph", *run])  # its results are remembered
        for verb, limit in ((["--help"], 0.6), (["validate", chain], 1.5), (run, 2.0)):
            yield _beside_libraries(verb, limit)


def _beside_libraries(arguments: list[str], limit: float) -> Row:
    """The CPU time of a command beside that of importing the libraries that it is made with."""
    pairs = [
        (process(["-m", "sdgraph", *arguments]).cpu, process(["-c", _LIBRARIES]).cpu)
        for _ in range(ROUNDS)
    ]
    return Row(
        f"process: sdgraph {arguments[0]}, beside the libraries",
        f"{median(ours for ours, _ in pairs):.2f} s CPU",
        f"python -c '{_LIBRARIES}' {median(bare for _, bare in pairs):.2f} s",
        f"{median(ours / bare for ours, bare in pairs):.2f} ×",
        f"≤ {limit} ×",
    )


_LIBRARIES = "import pydantic, yaml, typer"

_IMPORTS = """
import sys
from sdgraph.cli import main
sys.argv = ["sdgraph", *{!r}]
try:
    main()
except SystemExit:
    pass
print("torch=" + str("torch" in sys.modules))
"""
