"""Where weights come from: folders and hub caches read without torch, and what is in them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem, did_you_mean
from sdgraph.memoize import seen_once
from sdgraph.values import QUANTIZATIONS, Checkpoint, Lora
from sdgraph.values import Part as Part

from . import hub, lora_files, pickles, shipped
from .file_hashes import read_json, refuse_damaged

INDEX = "model_index.json"
"""The file that lists the components of a pipeline's checkpoint."""

_MARKS = (INDEX, "config.json")
"""What the hub's cache has one of, where it has a checkpoint."""

SCHEDULER = "scheduler_config.json"
"""The config of diffusers' schedulers, which is all that they have."""

CONFIGS = ("config.json", SCHEDULER, "preprocessor_config.json")

LIBRARIES = ("diffusers", "transformers")
"""The only libraries whose classes a checkpoint may name."""


@seen_once
def configs(checkpoint: Checkpoint) -> Path | None:
    """The local folder with the configs, or None for a hub checkpoint that is not here yet.

    Raises CheckpointError for a folder or a shipped name that does not exist, and, where the hub
    is switched off, for a checkpoint that is not in its cache.
    """
    source = checkpoint.source
    if isinstance(checkpoint, Lora):
        adapter = lora_files.file(checkpoint)
        return None if adapter is None else adapter.parent
    path = shipped.folder(source) if source.startswith("tiny/") else _local(checkpoint)
    if path is not None:
        return _below(path, checkpoint)
    if hub.is_path(source):
        problem = Problem(
            source,
            "no such folder",
            "a checkpoint's folder, a hub id such as 'stabilityai/sdxl-turbo', or one that ships",
            f"those that ship: {', '.join(shipped.names())}",
        )
        raise CheckpointError(problem)
    found = hub.in_cache(source, checkpoint.revision, _marks(checkpoint))
    if found is None and hub.is_off():
        raise CheckpointError(
            f"{source} is not in the hub's cache and HF_HUB_OFFLINE is set; fetch it once while "
            "online, or name a local folder"
        )
    return found


def weights(checkpoint: Checkpoint) -> Path:
    """The local folder with configs and weights, fetched first where need be."""
    if isinstance(checkpoint, Lora):
        return lora_files.fetched(checkpoint).parent
    found = configs(checkpoint)
    if found is not None and not _missing(checkpoint, found):
        return found
    is_local = found is not None and _is_local(checkpoint)
    fetched = found if found is not None and is_local else _fetch(checkpoint)
    missing = _missing(checkpoint, fetched)
    if missing and not is_local and pickles.are_allowed():
        fetched = _fetch(checkpoint, ".bin")
        missing = _missing(checkpoint, fetched)
    if missing:
        variant = f" of the variant {checkpoint.variant!r}" if checkpoint.variant else ""
        raise CheckpointError(
            f"{checkpoint.source}: found no safetensors{variant} for {', '.join(missing)} in "
            f"{fetched}; complete the folder, choose a revision or variant that has them, or "
            "allow pickles, if it has those, with --allow-pickle"
        )
    return fetched


def _fetch(checkpoint: Checkpoint, suffix: str = ".safetensors") -> Path:
    """The folder of a checkpoint from the hub; the index, fetched first, tells what is left out."""
    index = hub.fetch_file(checkpoint, INDEX)
    unused = never_loaded(read_json(index)) if index.is_file() else ()
    return hub.fetch(checkpoint, suffix, unused)


@seen_once
def must_fetch(checkpoint: Checkpoint) -> bool:
    """Whether the hub must be asked for it before it can be loaded."""
    if isinstance(checkpoint, Lora):
        return lora_files.file(checkpoint) is None
    if _is_local(checkpoint):
        return False
    found = configs(checkpoint)
    return found is None or bool(_missing(checkpoint, found))


def _is_local(checkpoint: Checkpoint) -> bool:
    return checkpoint.source.startswith("tiny/") or _local(checkpoint) is not None


def _local(checkpoint: Checkpoint) -> Path | None:
    return hub.local_folder(checkpoint.source, checkpoint.revision, _marks(checkpoint))


def _marks(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The files that show that a checkpoint is here."""
    below = f"{checkpoint.subfolder}/" if checkpoint.subfolder else ""
    return tuple(f"{below}{name}" for name in _MARKS)


def _below(folder: Path, checkpoint: Checkpoint) -> Path:
    """The folder of a checkpoint in that of its source; raises CheckpointError for none."""
    if not checkpoint.subfolder:
        return folder
    found = folder / checkpoint.subfolder
    if not found.is_dir():
        folders = sorted(each.name for each in folder.iterdir() if each.is_dir())
        problem = Problem(
            f"{checkpoint.source}: subfolder",
            f"no folder {checkpoint.subfolder}",
            f"one of {', '.join(folders)}" if folders else "none: it has no folders",
            did_you_mean(checkpoint.subfolder, folders),
        )
        raise CheckpointError(problem)
    return found


def _missing(checkpoint: Checkpoint, folder: Path) -> list[str]:
    """The components that are named but have no folder here, or a config and no weights."""
    if not (folder / INDEX).is_file():
        return [] if _has_weights(Part(checkpoint), folder) else [str(Part(checkpoint))]
    index = read_json(folder / INDEX)
    unused = never_loaded(index)
    return [
        name
        for name, entry in index.items()
        if _is_component(entry)
        and name not in unused
        and not is_processor(entry[1])
        and not _has_weights(Part(checkpoint, name), folder / name)
    ]


def _has_weights(part: Part, folder: Path) -> bool:
    """Whether a component's folder is here with weights, if it is of a kind that has them."""
    if not (folder / "config.json").is_file():
        return folder.is_dir()
    try:
        return bool(_weight_files(part, folder))
    except CheckpointError:
        return False


def never_loaded(index: Mapping[str, Any]) -> tuple[str, ...]:
    """The components of a model index that are not loaded, so neither fetched nor waited for.

    Their classes come from neither of `LIBRARIES`: code of a pipeline's own, such as what judges
    the pictures of Stable Diffusion.
    """
    return tuple(
        name for name, entry in index.items() if _is_component(entry) and entry[0] not in LIBRARIES
    )


def is_processor(class_name: Any) -> bool:
    """Whether a class prepares pictures for a model, so that it has a config and no weights."""
    names = ("ImageProcessor", "ImageProcessorPil", "FeatureExtractor")
    return str(class_name).removesuffix("Fast").endswith(names)


def _is_component(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and value[1] is not None


@seen_once
def index(checkpoint: Checkpoint) -> Mapping[str, Any] | None:
    """The checkpoint's model index, {} for a single model, None while it is not here."""
    folder = configs(checkpoint)
    if folder is None:
        return None
    return read_json(folder / INDEX) if (folder / INDEX).is_file() else {}


@seen_once
def config(
    checkpoint: Checkpoint, folder: str = "", name: str | None = None
) -> Mapping[str, Any] | None:
    """The config of a component (or of a single model), None while it is not here."""
    root = configs(checkpoint)
    if root is None:
        return None
    for each in (name,) if name else CONFIGS:
        if (root / folder / each).is_file():
            return read_json(root / folder / each)
    what = f"its part {folder!r}" if folder else "it"
    raise CheckpointError(
        f"{checkpoint.source}: {what} has no {name or ' or '.join(CONFIGS[:2])}; wanted a "
        "checkpoint in diffusers' folder layout"
    )


def components(checkpoint: Checkpoint) -> tuple[str, ...] | None:
    """The names of a pipeline checkpoint's components, None while it is not here."""
    found = index(checkpoint)
    if found is None:
        return None
    return tuple(name for name, value in found.items() if _is_component(value))


@seen_once
def class_of(part: Part) -> tuple[str, str]:
    """The library and class of a component, as its checkpoint names them."""
    if part.folder:
        entry = (index(part.checkpoint) or {}).get(part.folder)
        if not _is_component(entry):
            raise CheckpointError(f"{part.checkpoint.source} has no part {part.folder!r}")
        library, name = entry  # type: ignore[misc]
    elif part.processor:
        library, name = "transformers", "AutoImageProcessor"
    elif part.tokenizer:
        library, name = "transformers", "AutoTokenizer"
    else:
        own = config(part.checkpoint) or {}
        named = own.get("_class_name")
        library = "diffusers" if named else "transformers"
        names = own.get("architectures")
        name = named or (names[0] if isinstance(names, list) and names else None)
    if library not in LIBRARIES or not isinstance(name, str) or not name.isidentifier():
        raise CheckpointError(
            f"{part}: its class is {library}.{name}; wanted one of {' or '.join(LIBRARIES)}: "
            "custom code from checkpoints is never run"
        )
    return library, name


@seen_once
def files(part: Part) -> tuple[Path, ...]:
    """The weight files of a component that is here, in order; () when it has none (tokenizers).

    A folder with pickles alone raises CheckpointError, unless they are allowed.
    """
    root = configs(part.checkpoint)
    if root is None or part.prepares:
        return ()
    if isinstance(part.checkpoint, Lora):
        return (lora_files.fetched(part.checkpoint),)
    return _weight_files(part, root / part.folder)


def _weight_files(part: Part, folder: Path) -> tuple[Path, ...]:
    variant = part.checkpoint.variant
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    every = [name for name in names if name.endswith(".safetensors")]
    every = every or pickles.readable(str(part), names)
    plain = [name for name in every if name.count(".") == 1]
    infixes = (f".{variant}.", f".{variant}-")
    chosen = [name for name in every if any(x in name for x in infixes)] if variant else plain
    if not chosen and every:
        listed = ", ".join(every)
        fix = "set the checkpoint's variant" if not variant else "remove the variant"
        raise CheckpointError(
            f"{part}: found only {listed}, wanted {variant or 'no variant'}; {fix}"
        )
    return tuple(folder / name for name in chosen)


@seen_once
def check(part: Part) -> None:
    """Raises CheckpointError for a component that is here and cannot be used; loads nothing."""
    if part.quantization and find_spec(package := QUANTIZATIONS[part.quantization]) is None:
        found = f"quantization {part.quantization}, and no package {package} here"
        fix = f"pip install {package}, or leave the quantization out"
        raise CheckpointError(Problem(part.checkpoint.source, found, f"the package {package}", fix))
    if (root := configs(part.checkpoint)) is None or part.prepares:
        return
    if isinstance(part.checkpoint, Lora):
        lora_files.shapes(lora_files.fetched(part.checkpoint))
        return
    class_of(part)
    if must_fetch(part.checkpoint):
        return
    if not (folder := root / part.folder).is_dir():
        raise CheckpointError(f"{part}: the index names it, but it has no folder in {root}")
    for path in (there := files(part)):
        if path.suffix == ".safetensors":
            refuse_damaged(path)
    if not there and (folder / "config.json").is_file():
        fix = "fetch, copy or install the checkpoint again"
        raise CheckpointError(Problem(str(part), "no weights", f"safetensors in {folder}", fix))


@seen_once
def size(part: Part) -> int:
    """The bytes of a component's weight files, 0 where they are not here yet.

    An adapter's are 0 too: it is read when it is put on, and what stays in memory is its path.
    """
    if isinstance(part.checkpoint, Lora):
        return 0
    return sum(path.stat().st_size for path in files(part))
