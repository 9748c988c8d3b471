"""What the blocks of modular pipelines take, read from diffusers' files. Nothing of them is run.

A pipeline's own description needs its blocks, and these need torch. But blocks write the names of
their inputs as plain text, in the package of their family. What no block there has, the pipeline
does not take; which of the others it takes is checked when it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from sdgraph.errors import Problem, did_you_mean

_INPUT = re.compile(
    r"\bInputParam(?:\.template)?\(\s*(?:name\s*=\s*)?\"(\w+)\"(?:,\s*name\s*=\s*\"(\w+)\")?"
)
_NAMED_LATER = re.compile(r"\badditional_batch_inputs\s*=\s*\[\"(\w+)\"")
"""Inputs that a block is given the names of when it is made."""


def input_problems(class_name: str, names: Iterable[str]) -> Iterator[Problem]:
    """A problem for each input that no block of a pipeline's family has.

    Args:
        class_name: The pipeline's class in diffusers, such as "FluxModularPipeline".
        names: The names of the inputs that are given.
    """
    if not (declared := declared_inputs(class_name)):  # of a standard pipeline, in the usual layout
        class_name = f"{class_name.removesuffix('Pipeline')}ModularPipeline"
        declared = declared_inputs(class_name)
    for name in names if declared else ():
        if name not in declared:
            found = f"{name}, an input that no block of {class_name} has"
            wanted = f"inputs of its blocks: {', '.join(sorted(declared))}"
            yield Problem("inputs", found, wanted, did_you_mean(name, declared))


@cache
def declared_inputs(class_name: str) -> frozenset[str]:
    """The names of the inputs of all blocks next to a modular pipeline; none if it is not known.

    Args:
        class_name: The pipeline's class in diffusers.
    """
    spec = find_spec("diffusers")
    root = Path(spec.origin).parent / "modular_pipelines" if spec and spec.origin else Path()
    for path in sorted(root.glob("*/modular_pipeline.py")):
        if re.search(rf"^class {re.escape(class_name)}\b", path.read_text("utf-8"), re.MULTILINE):
            text = "\n".join(each.read_text("utf-8") for each in path.parent.glob("*.py"))
            named = {name for names in _INPUT.findall(text) for name in names if name}
            return frozenset({*named, *_NAMED_LATER.findall(text)})
    return frozenset()
