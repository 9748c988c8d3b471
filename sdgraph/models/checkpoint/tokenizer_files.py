"""The vocabulary of CLIP's tokenizer, which checkpoints of one file lack: from the hub's cache.

The vocabulary has 1.5 MB and is the same in all checkpoints of Stable Diffusion and SDXL; what
differs between them, such as the token that pads, is in the configs that ship.
"""

from __future__ import annotations

import os
from itertools import chain
from pathlib import Path

from sdgraph.files import is_file, names_in
from sdgraph.models.formats.config_files import read_config
from sdgraph.models.sources import hub
from sdgraph.values import Checkpoint

VOCABULARY_FILES = ("vocab.json", "merges.txt")
"""The files of a vocabulary of byte pairs."""

VOCABULARY_SOURCE = "openai/clip-vit-large-patch14"
"""The repository on the hub that the vocabulary is fetched from."""

_TOKENS = 49_408
_KINDS = ("StableDiffusion", "LatentConsistency", "Flux")
"""What the names of pipelines begin with whose first tokenizer is CLIP's."""


def is_complete(folder: Path) -> bool:
    """Whether a tokenizer's folder has a vocabulary of its own."""
    own = [
        name for name in names_in(folder) if name.endswith(("vocab.json", ".model", "vocab.txt"))
    ]
    return bool(own) or is_file(folder / "tokenizer.json")


def find_vocabulary() -> Path | None:
    """The folder in the hub's cache with CLIP's vocabulary; None if no checkpoint there has it."""
    own = hub.cached_snapshots(VOCABULARY_SOURCE)
    others = (snapshot for snapshot in hub.cached_snapshots() if _is_clip(snapshot))
    folders = chain(own, (snapshot / "tokenizer" for snapshot in others))
    return next(filter(_has_vocabulary, folders), None)


def fetch_vocabulary() -> Path:
    """The folder with CLIP's vocabulary, fetched from the hub; raises CheckpointError."""
    return hub.fetch_files(Checkpoint(VOCABULARY_SOURCE), VOCABULARY_FILES)


def _has_vocabulary(folder: Path) -> bool:
    return all(is_file(folder / name) for name in VOCABULARY_FILES)


def _is_clip(snapshot: Path) -> bool:
    """Whether a checkpoint in the hub's cache has the tokenizer of CLIP, by its configs."""
    index = os.path.join(snapshot, "model_index.json")  # noqa: PTH118  faster
    pipeline = str((read_config(index) or {}).get("_class_name", ""))
    if not pipeline.startswith(_KINDS):
        return False
    encoder = read_config(snapshot / "text_encoder" / "config.json") or {}
    return encoder.get("vocab_size") == _TOKENS
