"""Records of past runs: written during a run, listed, summarized and drawn over time."""

from sdgraph.files import runs_folder

from .reader import PastRun, RunNotFoundError, find_run, list_runs
from .recorder import record_run
from .timeline import summary_row

__all__ = [
    "PastRun",
    "RunNotFoundError",
    "find_run",
    "list_runs",
    "record_run",
    "runs_folder",
    "summary_row",
]
