"""Sweeps: many variants of one workflow planned and run as one graph."""

from .axis_syntax import AxisValues, files_named_in, left_out_notice, parse_input
from .confirm import SweepConfirmation
from .contact_sheet import with_contact_sheet
from .output_files import build_sweep
from .report_table import VariantRecorder
from .runner import run_many
from .sweep import Sweep, count_variants, make_variants
from .table_file import TableFile, describe_sweep, open_table

__all__ = [
    "AxisValues",
    "Sweep",
    "SweepConfirmation",
    "TableFile",
    "VariantRecorder",
    "build_sweep",
    "count_variants",
    "describe_sweep",
    "files_named_in",
    "left_out_notice",
    "make_variants",
    "open_table",
    "parse_input",
    "run_many",
    "with_contact_sheet",
]
