"""The hub: what of it is in the cache on this disk, and fetching what is not."""

from __future__ import annotations

import os
from pathlib import Path

from . import shipped
from .errors import CheckpointError, Problem
from .weights import Checkpoint


def is_off() -> bool:
    """Whether the environment forbids the hub."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in names)


def in_cache(source: str, revision: str | None, names: tuple[str, ...]) -> Path | None:
    """The cached snapshot's folder that holds the first of `names` there is, or None.

    Raises CheckpointError for a source that no hub could know.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        for name in names:
            found = try_to_load_from_cache(source, name, revision=revision)
            if isinstance(found, str):
                return Path(found).parent
    except HFValidationError:
        problem = Problem(
            repr(source),
            "no folder here, and no hub's name",
            "a checkpoint's folder, a hub id such as 'stabilityai/sdxl-turbo', or one that ships",
            f"those that ship: {', '.join(shipped.names())}",
        )
        raise CheckpointError(problem) from None
    return None


def fetch(checkpoint: Checkpoint) -> Path:
    """The folder with a checkpoint's configs and safetensors, from the hub where need be."""
    from huggingface_hub import snapshot_download

    variant = checkpoint.variant
    weight = f"*.{variant}*.safetensors" if variant else "*.safetensors"
    patterns = ["*.json", "*.txt", "*.model", weight]
    skipped = ["safety_checker/*"] + ([] if variant else ["*.fp16.*", "*.non_ema.*"])
    try:
        found = snapshot_download(
            checkpoint.source,
            revision=checkpoint.revision,
            allow_patterns=patterns,
            ignore_patterns=skipped,
        )
    except Exception as error:
        # The hub's client raises dozens of kinds (network, HTTP, gated, missing, disk).
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CheckpointError(
            f"{checkpoint.source}: cannot be fetched from the hub ({reason}); check the name and "
            "the network, log in if it is gated, or name a local folder"
        ) from error
    return Path(found)
