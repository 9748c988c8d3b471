"""Provenance: the record of how a file was made, and what has changed since."""

from .compare_files import FileComparison, compare_files
from .numbered_files import OutputFile, open_output
from .record import ProvenanceRecord, hash_source_files, list_checkpoints, make_record, read_record
from .report import format_record, record_as_data
from .source_paths import find_source, record_folder
from .verify import changes_since

__all__ = [
    "FileComparison",
    "OutputFile",
    "ProvenanceRecord",
    "changes_since",
    "compare_files",
    "find_source",
    "format_record",
    "hash_source_files",
    "list_checkpoints",
    "make_record",
    "open_output",
    "read_record",
    "record_as_data",
    "record_folder",
]
