"""The store that the command line uses."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdgraph.store import Store

BUDGET = "SDGRAPH_STORE_BYTES"
"""The environment variable with the number of bytes that results may take on disk."""


def default_store() -> Store | None:
    """The store that all runs of a user share, or None if the user has no home folder.

    Raises:
        ArgumentError: $SDGRAPH_STORE_BYTES is not a number of bytes.
    """
    from sdgraph.files import sdgraph_home
    from sdgraph.store import DEFAULT_BYTES, Store

    from .request import parse_bytes

    limit = parse_bytes(f"${BUDGET}", os.environ.get(BUDGET) or None)
    try:
        folder = sdgraph_home() / "results"
    except RuntimeError:
        return None
    return Store(folder=folder, disk=DEFAULT_BYTES if limit is None else limit)
