"""Provenance: the record of how a file was made, and what has changed since."""

from .record import ProvenanceRecord, hash_source_files, make_record, read_record
from .record_files import find_source, record_folder
from .report import format_record, record_as_data
from .verify import changes_since

__all__ = [
    "ProvenanceRecord",
    "changes_since",
    "find_source",
    "format_record",
    "hash_source_files",
    "make_record",
    "read_record",
    "record_as_data",
    "record_folder",
]
