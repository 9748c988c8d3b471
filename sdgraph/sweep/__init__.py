"""Sweeps: many variants of one workflow planned and run as one graph."""

from .axis_syntax import named_by
from .confirm import Asking
from .contact_sheet import with_sheet
from .output_files import apart, refuse_existing
from .report_table import Account, table
from .runner import run_many
from .sweep import Sweep, variants

__all__ = [
    "Account",
    "Asking",
    "Sweep",
    "apart",
    "named_by",
    "refuse_existing",
    "run_many",
    "table",
    "variants",
    "with_sheet",
]
