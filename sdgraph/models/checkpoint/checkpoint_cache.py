"""Resolved checkpoints that a session keeps from one run to the next.

What a plan reads of a checkpoint (configs, hashes, headers of weights) is in its resolved object.
The next plan uses the same object if nothing in the checkpoint's folder has changed since:

1. Before anything of a checkpoint is read, the stamps of all files in its folder are taken.
2. The next time they are taken again. If one differs, or a file came or went, the checkpoint is
   resolved anew.
3. Not kept is a checkpoint in whose folder something was written within the last two seconds, for
   the next write might leave the same stamp; one with very many files; and one that is more than
   its folder: a single file, a LoRA, a component, or a checkpoint with parts from elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sdgraph.errors import CheckpointError
from sdgraph.files import FileStamp, tree_stamps
from sdgraph.models.formats import pickles
from sdgraph.values import Checkpoint

from .files_on_disk import CheckpointOnDisk

Resolved = TypeVar("Resolved", bound=CheckpointOnDisk)

MAX_KEPT = 32
_MAX_FILES = 500


@dataclass(frozen=True)
class _State:
    """What a resolved checkpoint depends on."""

    root: Path
    stamps: tuple[FileStamp, ...]
    are_pickles_allowed: bool


class CheckpointCache:
    """The resolved checkpoints of one session, each with the state of its folder."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[_State, Any]] = {}

    def latest(self, resolved: Resolved) -> Resolved:
        """The kept object of the same checkpoint, if it is as it was; else the argument.

        Args:
            resolved: A new object, of which nothing was read yet.
        """
        state = _state_of(resolved)
        if state is None:
            return resolved
        content = resolved.checkpoint.content
        before, kept = self._kept.pop(content, (None, resolved))
        if before == state:
            self._kept[content] = (state, kept)
            latest: Resolved = kept
            return latest
        if all(stamp.is_settled() for stamp in state.stamps):
            self._kept[content] = (state, resolved)
            while len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        return resolved


def _state_of(resolved: CheckpointOnDisk) -> _State | None:
    """The state of a checkpoint's folder; None if the object is not to be kept."""
    checkpoint = resolved.checkpoint
    if type(checkpoint) is not Checkpoint or checkpoint.parts:
        return None
    try:
        root = None if resolved.single_file is not None else resolved.root
    except CheckpointError:  # raised again where the checkpoint is used
        return None
    stamps = None if root is None else tree_stamps(root, _MAX_FILES)
    if root is None or stamps is None:
        return None
    return _State(root, stamps, pickles.are_allowed())
