"""How a saved file was made: its record, the check against what is on disk, the report."""

from .report import record_data, record_text
from .verify import changes

__all__ = ["changes", "record_data", "record_text"]
