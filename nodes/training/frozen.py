"""What training must not change: hashes of modules, compared before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sdgraph.errors import Problem

from .loop import TrainingStoppedError
from .state import write_text


def hash_module(module: Any) -> str:
    """A hash of all of a module's parameters and buffers, to the bit."""
    return hash_tensors(module.state_dict())


def hash_tensors(tensors: Mapping[str, Any]) -> str:
    """A hash of tensors by name, to the bit."""
    digest = blake2b(digest_size=16)
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def refuse_changed(before: Mapping[str, str], after: Mapping[str, str], folder: Path) -> None:
    """Writes both sets of hashes into `folder`/frozen.json, and refuses any difference.

    Raises:
        TrainingStoppedError: The hash of a part that was to stay as it is has changed.
    """
    text = json.dumps({"before": before, "after": after}, indent=2)
    write_text(folder / "frozen.json", text + "\n")
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        found = f"other weights in the base's {', '.join(changed)} after training than before"
        wanted = "the same to the bit; no checkpoint is written"
        raise TrainingStoppedError(Problem(str(folder), found, wanted))
