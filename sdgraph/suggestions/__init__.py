"""What was probably meant by a name that is not known, and the names that other tools use."""

from __future__ import annotations

from .foreign_names import our_name
from .nearest import did_you_mean, nearest

__all__ = ["did_you_mean", "nearest", "our_name"]
