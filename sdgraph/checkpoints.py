"""Where weights come from: folders and hub caches read without torch, and what is in them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from . import shipped
from .errors import CheckpointError
from .values import Checkpoint

INDEX = "model_index.json"
"""The file that lists the components of a pipeline's checkpoint."""

CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json")

PICKLES = ("*.bin", "*.ckpt", "*.pt", "*.pth")

LIBRARIES = ("diffusers", "transformers")
"""The only libraries whose classes a checkpoint may name."""


@dataclass(frozen=True)
class Part:
    """One component of a checkpoint: a folder of its own, or the whole ("") of a single model."""

    checkpoint: Checkpoint
    folder: str = ""
    on_host: bool = False
    """Whether it is kept in host memory, for nodes that move it to the device themselves."""
    processor: bool = False
    """Whether it is what prepares pictures for a single model, and not the model."""

    def __str__(self) -> str:
        name = self.folder or ("processor" if self.processor else "")
        return f"{self.checkpoint.source}/{name}" if name else self.checkpoint.source


def configs(checkpoint: Checkpoint) -> Path | None:
    """The local folder with the configs, or None for a hub checkpoint that is not here yet.

    Raises CheckpointError for a folder or a shipped name that does not exist, and, where the hub
    is switched off, for a checkpoint that is not in its cache.
    """
    source = checkpoint.source
    if source.startswith("tiny/"):
        return shipped.configs(source)
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if source.startswith((".", "/", "~")) or source.count("/") > 1:
        raise CheckpointError(
            f"{source}: no such folder; wanted a checkpoint's folder, a hub id such as "
            f"'stabilityai/sdxl-turbo', or one that ships: {', '.join(shipped.names())}"
        )
    found = _in_hub_cache(source, checkpoint.revision)
    if found is None and hub_is_off():
        raise CheckpointError(
            f"{source} is not in the hub's cache and HF_HUB_OFFLINE is set; fetch it once while "
            "online, or name a local folder"
        )
    return found


def weights(checkpoint: Checkpoint) -> Path:
    """The local folder with configs and weights, fetched or made first where need be."""
    if checkpoint.source.startswith("tiny/"):
        return shipped.folder(checkpoint.source)
    found = configs(checkpoint)
    if found is not None and _complete(found):
        return found
    return _fetch(checkpoint)


def hub_is_off() -> bool:
    """Whether the environment forbids the hub."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    return any(os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in names)


def must_fetch(checkpoint: Checkpoint) -> bool:
    """Whether the hub must be asked for it before it can be loaded."""
    found = configs(checkpoint)
    return found is None or not (checkpoint.source.startswith("tiny/") or _complete(found))


def _in_hub_cache(source: str, revision: str | None) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for name in (INDEX, "config.json"):
        found = try_to_load_from_cache(source, name, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _complete(folder: Path) -> bool:
    """Whether every component that the index names has its folder here."""
    index = _json(folder / INDEX) if (folder / INDEX).is_file() else {}
    named = [name for name, value in index.items() if _is_component(value)]
    return all((folder / name).is_dir() for name in named if name not in _UNUSED)


_UNUSED = ("safety_checker", "feature_extractor", "image_encoder")
"""Components that sdgraph's nodes do not need, and so does not fetch or wait for."""


def _is_component(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[1] is not None


def _fetch(checkpoint: Checkpoint) -> Path:
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


def index(checkpoint: Checkpoint) -> Mapping[str, Any] | None:
    """The checkpoint's model index, {} for a single model, None while it is not here."""
    folder = configs(checkpoint)
    if folder is None:
        return None
    return _json(folder / INDEX) if (folder / INDEX).is_file() else {}


def config(
    checkpoint: Checkpoint, folder: str = "", name: str | None = None
) -> Mapping[str, Any] | None:
    """The config of a component (or of a single model), None while it is not here."""
    root = configs(checkpoint)
    if root is None:
        return None
    for each in (name,) if name else CONFIGS:
        if (root / folder / each).is_file():
            return _json(root / folder / each)
    what = f"its part {folder!r}" if folder else "it"
    raise CheckpointError(
        f"{checkpoint.source}: {what} has no {name or ' or '.join(CONFIGS[:2])}; wanted a checkpoint in "
        "diffusers' folder layout"
    )


def components(checkpoint: Checkpoint) -> tuple[str, ...] | None:
    """The names of a pipeline checkpoint's components, None while it is not here."""
    found = index(checkpoint)
    if found is None:
        return None
    return tuple(name for name, value in found.items() if _is_component(value))


def class_of(part: Part) -> tuple[str, str]:
    """The library and class of a component, as its checkpoint names them."""
    if part.folder:
        entry = (index(part.checkpoint) or {}).get(part.folder)
        if not _is_component(entry):
            raise CheckpointError(f"{part.checkpoint.source} has no part {part.folder!r}")
        library, name = entry  # type: ignore[misc]
    elif part.processor:
        library, name = "transformers", "AutoImageProcessor"
    else:
        own = config(part.checkpoint) or {}
        named = own.get("_class_name")
        library = "diffusers" if named else "transformers"
        name = named or (own.get("architectures") or [None])[0]
    if library not in LIBRARIES or not isinstance(name, str) or not name.isidentifier():
        raise CheckpointError(
            f"{part}: its class is {library}.{name}; wanted one of {' or '.join(LIBRARIES)}: "
            "custom code from checkpoints is never run"
        )
    return library, name


def files(part: Part) -> tuple[Path, ...]:
    """The weight files of a component that is here, in order; () when it has none (tokenizers).

    A shipped checkpoint without weights in the package has none: its configs say all of it.
    Only safetensors: a folder with pickles alone raises CheckpointError.
    """
    root = configs(part.checkpoint)
    if root is None or part.processor:
        return ()
    return _weight_files(part, root / part.folder)


def _weight_files(part: Part, folder: Path) -> tuple[Path, ...]:
    variant = part.checkpoint.variant
    every = sorted(folder.glob("*.safetensors"))
    plain = [path for path in every if path.name.count(".") == 1]
    chosen = [path for path in every if f".{variant}" in path.name] if variant else plain
    if not chosen and every:
        listed = ", ".join(path.name for path in every)
        fix = "set the checkpoint's variant" if not variant else "remove the variant"
        raise CheckpointError(
            f"{part}: found only {listed}, wanted {variant or 'no variant'}; {fix}"
        )
    if not chosen and any(next(folder.glob(pattern), None) for pattern in PICKLES):
        raise CheckpointError(
            f"{part}: its weights are pickles, which can run code; wanted safetensors: convert "
            "them, or choose a revision that has them"
        )
    return tuple(chosen)


def size(part: Part) -> int:
    """The bytes of a component's weight files, 0 where they are not here (or not made) yet."""
    found = files(part)
    if not found and not part.processor and part.checkpoint.source.startswith("tiny/"):
        made = shipped.made(part.checkpoint.source)
        found = _weight_files(part, made / part.folder) if made else ()
    return sum(path.stat().st_size for path in found)


def identity(part: Part) -> str:
    """A hash of what the component computes with: class, config and the content of its weights.

    Parts of different checkpoints that hold the same are one. A hub checkpoint that is not here
    yet is known by its name and revision until it is.
    """
    root = configs(part.checkpoint)
    digest = hashlib.blake2b(digest_size=16)
    if root is None:
        digest.update(repr((part.checkpoint, part.folder)).encode())
        return digest.hexdigest()
    digest.update(":".join(class_of(part)).encode())
    for path in _identifying(part, root / part.folder):
        digest.update(f"|{content(path)}".encode())
    digest.update(f"|{part.checkpoint.dtype}".encode())
    return digest.hexdigest()


def _identifying(part: Part, folder: Path) -> Iterator[Path]:
    """The files that decide what a component computes, in order."""
    if part.processor:
        yield folder / "preprocessor_config.json"
    elif (folder / "config.json").is_file():
        yield folder / "config.json"
        yield from files(part)
    else:
        # Tokenizers, schedulers and processors are all small files.
        texts = (path for path in folder.iterdir() if path.suffix in (".json", ".txt", ".model"))
        yield from sorted(texts)


def content(path: Path) -> str:
    """The hash of a file's content; a hub cache names its blobs by theirs, so nothing is read."""
    target = path.resolve()
    if target.parent.name == "blobs" and len(target.name) == 64:
        return target.name
    status = target.stat()
    return _hashed(str(target), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hashed(path: str, size: int, mtime_ns: int) -> str:
    # sha256 because the hub names blobs by it: the same weights in a folder and in a hub cache
    # are then one component.
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(path: Path) -> Mapping[str, Any]:
    status = path.stat()
    return _read_json(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _read_json(path: str, size: int, mtime_ns: int) -> Mapping[str, Any]:
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: not readable as JSON ({error}); the file is damaged"
        ) from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: found {type(data).__name__}, wanted a JSON object")
    return data
