"""sdgraph: typed node graphs that make pictures and videos with diffusion models."""

from .errors import (
    CheckpointError,
    Invalid,
    InvalidNode,
    InvalidWorkflow,
    MediaError,
    NodeFailed,
    SdgraphError,
)
from .graph import Graph
from .many import run_many
from .node import In, Node
from .run import Session, plan, run
from .store import Store
from .weights import Checkpoint, Lora
from .workflow import Workflow, load_workflow
from .writing import to_yaml

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Graph",
    "In",
    "Invalid",
    "InvalidNode",
    "InvalidWorkflow",
    "Lora",
    "MediaError",
    "Node",
    "NodeFailed",
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
