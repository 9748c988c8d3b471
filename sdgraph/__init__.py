"""sdgraph: typed node graphs that make pictures and videos with diffusion models."""

from .errors import (
    CheckpointError,
    InvalidError,
    InvalidNodeError,
    InvalidWorkflowError,
    MediaError,
    NodeFailedError,
    SdgraphError,
)
from .execution import Session, plan, run
from .graph import Graph, In, Node
from .language import Workflow, load_workflow, to_yaml
from .store import Store
from .sweep import run_many
from .values import Lora
from .values.checkpoint import Checkpoint

__version__ = "0.1.0"

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Graph",
    "In",
    "InvalidError",
    "InvalidNodeError",
    "InvalidWorkflowError",
    "Lora",
    "MediaError",
    "Node",
    "NodeFailedError",
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
