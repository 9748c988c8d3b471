"""Where torch.compile keeps what it compiles, so that later processes do not do it again."""

from __future__ import annotations

import os

from sdgraph.files import sdgraph_home


def keep_compiled_code() -> None:
    """Has torch keep what it compiles where sdgraph keeps results, not in a temporary folder.

    A folder that the user has named in the variable is not changed. If the folder cannot be made,
    torch keeps its own.
    """
    if os.environ.get("TORCHINDUCTOR_CACHE_DIR"):
        return
    folder = sdgraph_home() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
