"""Sweeps: many variants of one workflow planned and run as one graph."""

from .axis_syntax import AxisValues, files_named_in, left_out_notice, parse_input
from .confirm import SweepConfirmation
from .contact_sheet import with_contact_sheet
from .output_files import build_sweep, refuse_existing_files
from .report_table import VariantRecorder, open_table
from .runner import run_many
from .sweep import Sweep, count_variants, make_variants

__all__ = [
    "AxisValues",
    "Sweep",
    "SweepConfirmation",
    "VariantRecorder",
    "build_sweep",
    "count_variants",
    "files_named_in",
    "left_out_notice",
    "make_variants",
    "open_table",
    "parse_input",
    "refuse_existing_files",
    "run_many",
    "with_contact_sheet",
]
