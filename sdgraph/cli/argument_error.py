"""The error of a wrong command line."""

from __future__ import annotations

from sdgraph.errors import SdgraphError


class ArgumentError(SdgraphError):
    """Something on the command line is wrong."""
