"""The hub: finds its checkpoints in the cache on this disk, and fetches others."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import expand_home, is_folder, names_in

from .shipped import shipped_names

if TYPE_CHECKING:
    from sdgraph.values import Checkpoint

FILE_SUFFIXES = (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf")
"""The ends of names that are files of weights and of no checkpoint on the hub."""


def is_off() -> bool:
    """Whether the environment switches the hub off."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in names)


def is_path(source: str) -> bool:
    """Whether a source can only be a path and not the name of a checkpoint on the hub."""
    if is_weights(source):
        return True
    return source.startswith((".", "/", "~")) or source.count("/") > 1


def is_weights(source: str) -> bool:
    """Whether a source can only be a file of weights, by the end of its name."""
    return source.lower().endswith(FILE_SUFFIXES)


def local_folder(source: str, revision: str | None, names: tuple[str, ...]) -> Path | None:
    """The local folder that a source names, or None if it names none.

    If a folder has the name of a checkpoint on the hub, the revision decides: with one, the source
    is the checkpoint on the hub. Without one, CheckpointError is raised if the hub's cache contains
    the checkpoint with one of the files in `names`, because the name is ambiguous.
    """
    path = expand_home(source)
    if not is_folder(path) or (revision is not None and not is_path(source)):
        return None
    try:
        cached = None if is_path(source) else in_cache(source, None, names)
    except CheckpointError:
        return path
    if cached is not None:
        problem = Problem(
            source,
            f"the folder {path.absolute()}, and a checkpoint of that name from the hub",
            "one checkpoint of a name",
            f"write {path.absolute()} for the folder, or add `revision: main` for the hub's",
        )
        raise CheckpointError(problem)
    return path


def in_cache(source: str, revision: str | None, names: tuple[str, ...]) -> Path | None:
    """The folder in the hub's cache that has one of the files in `names`, or None.

    Raises CheckpointError for a source that cannot be a name on the hub.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        for name in names:
            file = try_to_load_from_cache(source, name, revision=revision)
            if isinstance(file, str):
                return Path(file).parent
    except HFValidationError:
        problem = Problem(
            repr(source),
            "neither a folder nor a valid hub id",
            "a checkpoint's folder or safetensors file, a hub id such as 'stabilityai/sdxl-turbo', "
            "or one that ships",
            f"those that ship: {', '.join(shipped_names())}",
        )
        raise CheckpointError(problem) from None
    return None


def cached_snapshots(*sources: str) -> Iterator[Path]:
    """The folders in the hub's cache of the main branches of repositories.

    Args:
        sources: The names of the repositories; none for all, by name.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    names = [_cache_name(source) for source in sources]
    for name in names or names_in(HF_HUB_CACHE):
        if (snapshot := _snapshot(Path(HF_HUB_CACHE, name), "main")) is not None:
            yield snapshot


def cached_snapshot(source: str, revision: str | None) -> Path | None:
    """The folder in the hub's cache of a revision of a repository; None if it is not there.

    Args:
        source: The name of the repository.
        revision: A branch, tag or commit; None for the main branch.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    return _snapshot(Path(HF_HUB_CACHE, _cache_name(source)), revision or "main")


def _cache_name(source: str) -> str:
    return f"models--{source.replace('/', '--')}"


def _snapshot(repository: Path, revision: str) -> Path | None:
    """The folder of a revision; it reads the cache itself.

    To import the hub's client takes a quarter of a second.
    """
    if ".." in Path(revision).parts:
        return None
    try:
        commit = (repository / "refs" / revision).read_text("utf-8").strip()
    except (OSError, ValueError):
        commit = revision
    snapshot = repository / "snapshots" / commit
    return snapshot if is_folder(snapshot) else None


def fetch(
    checkpoint: Checkpoint,
    suffix: str = ".safetensors",
    unused: tuple[str, ...] = (),
    *,
    is_pipeline: bool = False,
) -> Path:
    """The folder with a checkpoint's configs and weights, which are downloaded if necessary.

    Weights are files with the suffix. Files with ".bin", which can be anything, must have the names
    of weights in pickles. Nothing in the folders of `unused` components is fetched. A pipeline has
    weights only in folders: those next to them are the same weights in one file.
    """
    variant = checkpoint.variant
    stem = "*pytorch_model*" if suffix == ".bin" else "*"
    stem = f"*/{stem}" if is_pipeline else stem
    weight = f"{stem}.{variant}*{suffix}" if variant else f"{stem}{suffix}"
    skipped = [f"{name}/*" for name in unused]
    skipped += [f"{name}/*{suffix}" for name in checkpoint.parts]  # of which the configs are used
    others = [] if variant else ["*.fp16.*", "*.non_ema.*"]
    return _download(checkpoint, ["*.json", "*.txt", "*.model", "*.jinja", weight], skipped, others)


def fetch_plain(checkpoint: Checkpoint, components: Sequence[str]) -> Path:
    """The folder of a checkpoint, with the weights without a variant of some components."""
    return _download(
        checkpoint,
        [f"{name}/*.safetensors" for name in components],
        others=["*.fp16.*", "*.non_ema.*"],
    )


def fetch_files(checkpoint: Checkpoint, names: Sequence[str]) -> Path:
    """The folder of a checkpoint with some of its files, which are downloaded if necessary."""
    return _download(checkpoint, names)


def fetch_file(checkpoint: Checkpoint, name: str) -> Path:
    """The path of a file of a checkpoint, downloaded if necessary; the file may not exist."""
    return _download(checkpoint, [name]) / name


def _download(
    checkpoint: Checkpoint,
    names: Sequence[str],
    skipped: Sequence[str] = (),
    others: Sequence[str] = (),
) -> Path:
    """The folder of a checkpoint with the files that match `names`.

    Files that match `skipped` are left out, and those in the whole repository that match `others`.
    """
    from .hub_downloads import download_matching  # a check downloads nothing

    below = f"{checkpoint.subfolder}/" if checkpoint.subfolder else ""
    folder = download_matching(
        checkpoint.source,
        checkpoint.revision,
        allow_patterns=[f"{below}{name}" for name in names],
        ignore_patterns=[*(f"{below}{name}" for name in skipped), *others],
    )
    return folder / below
