"""Rebuilds every shipped checkpoint from nothing, by the workflow `training/family`.

`OMP_NUM_THREADS=1 python -m sdgraph.workflows.training [--quick] [--out FOLDER] [INPUT=VALUE …]`
writes FOLDER/out/training/NAME/checkpoint, and goes on where it was stopped. `--quick` takes so few
steps and scenes that all is done in minutes: every procedure runs, and no picture is right.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from sdgraph import load_workflow
from sdgraph.cli import main as sdgraph

FAMILY = "training/family"

_QUICK = {"scenes": 96, "clips": 8, "steps": 10}
"""What an input counts, by the end of its name, in a quick run."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command, as `sdgraph run training/family` with these inputs."""
    parser = argparse.ArgumentParser(
        prog="python -m sdgraph.workflows.training", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="minutes of training, for a try")
    parser.add_argument("--out", default=".", metavar="FOLDER", help="here, if unset")
    parser.add_argument("inputs", nargs="*", metavar="INPUT=VALUE", help="of the workflow")
    chosen = parser.parse_args(arguments)
    inputs = [*(quick_inputs() if chosen.quick else []), *chosen.inputs]
    sdgraph(["run", FAMILY, *inputs, "--out", chosen.out])


def quick_inputs() -> list[str]:
    """Every input of the workflow, made small, as it is given to the command line."""
    names = load_workflow(FAMILY).inputs
    return [f"{name}={_QUICK[name.rpartition('_')[2]]}" for name in names]


if __name__ == "__main__":
    main(sys.argv[1:])
