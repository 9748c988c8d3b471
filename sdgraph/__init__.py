"""sdgraph: typed node graphs that make pictures and videos with diffusion models.

A name is imported from its package when it is first used, so that `sdgraph --help` and programs
that need a part of sdgraph do not import all of it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from .lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .errors import (
        CheckpointError,
        InvalidError,
        InvalidNodeError,
        InvalidValueError,
        InvalidWorkflowError,
        Mark,
        MediaError,
        NodeDefinitionError,
        NodeFailedError,
        NodesFailedError,
        OutOfMemoryError,
        PackError,
        Problem,
        SdgraphError,
    )
    from .execution import Session, plan, run
    from .graph import Graph, In, Node
    from .language import Workflow, load_workflow, to_yaml
    from .store import Store
    from .sweep import run_many
    from .values import Checkpoint, Lora

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Graph",
    "In",
    "InvalidError",
    "InvalidNodeError",
    "InvalidValueError",
    "InvalidWorkflowError",
    "Lora",
    "Mark",
    "MediaError",
    "Node",
    "NodeDefinitionError",
    "NodeFailedError",
    "NodesFailedError",
    "OutOfMemoryError",
    "PackError",
    "Problem",
    "SdgraphError",
    "Session",
    "Store",
    "Workflow",
    "load_workflow",
    "plan",
    "run",
    "run_many",
    "to_yaml",
]

_EXPORTS = {
    "errors": (
        "CheckpointError",
        "InvalidError",
        "InvalidNodeError",
        "InvalidValueError",
        "InvalidWorkflowError",
        "Mark",
        "MediaError",
        "NodeDefinitionError",
        "NodeFailedError",
        "NodesFailedError",
        "OutOfMemoryError",
        "PackError",
        "Problem",
        "SdgraphError",
    ),
    "execution": ("Session", "plan", "run"),
    "graph": ("Graph", "In", "Node"),
    "language": ("Workflow", "load_workflow", "to_yaml"),
    "store": ("Store",),
    "sweep": ("run_many",),
    "values": ("Checkpoint", "Lora"),
}
"""Which package defines each public name."""

if not TYPE_CHECKING:  # a type checker would take any name for one that is there
    __getattr__, _ = lazy_exports(__name__, _EXPORTS)

    def __dir__() -> list[str]:
        return sorted([*__all__, "__version__"])


if "IPython" in sys.modules:  # a notebook, in which sdgraph.media makes videos play
    import_module("sdgraph.media")
