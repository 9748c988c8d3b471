"""What training must leave as it is: hashes of modules, compared before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sdgraph.errors import Problem

from .loop import TrainingStoppedError


def hash_of(module: Any) -> str:
    """A hash of all that a module holds, to the bit."""
    return hash_of_state(module.state_dict())


def hash_of_state(state: Mapping[str, Any]) -> str:
    """A hash of tensors by name, to the bit."""
    digest = blake2b(digest_size=16)
    for name, value in sorted(state.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def refuse_changed(before: Mapping[str, str], after: Mapping[str, str], folder: Path) -> None:
    """Writes frozen.json; raises TrainingStoppedError where a frozen part's hash is another now."""
    told = json.dumps({"before": before, "after": after}, indent=2)
    (folder / "frozen.json").write_text(told + "\n", encoding="utf-8")
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        found = f"other weights in the base's {', '.join(changed)} after training than before"
        wanted = "the same to the bit; no checkpoint is written"
        raise TrainingStoppedError(Problem(str(folder), found, wanted))
