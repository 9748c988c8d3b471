"""The folders of checkpoints, and the weight files in them. Imports no torch.

These functions read the disk each time. `sdgraph.models.resolve` remembers their results.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem, did_you_mean
from sdgraph.files import describe_path, expand_home, is_file, is_folder, names_in
from sdgraph.models.formats import pickles
from sdgraph.models.formats.config_files import MODULAR_INDEX, read_config, read_index
from sdgraph.models.sources import hub
from sdgraph.models.sources.lora_files import find_lora
from sdgraph.models.sources.model_files import absence, name_with_suffix
from sdgraph.models.sources.modular_index import ComponentPlace, components_elsewhere
from sdgraph.models.sources.random_checkpoints import is_random, make_random, random_folder
from sdgraph.models.sources.shipped import shipped_folder, shipped_names
from sdgraph.values import Checkpoint, ComponentSource, Lora, Part

from .component_classes import LIBRARIES, MODULES
from .component_files import refuse_pipeline

MODEL_INDEX = "model_index.json"
"""The file that lists the components of a pipeline's checkpoint."""

SCHEDULER_CONFIG = "scheduler_config.json"
"""The config of a diffusers scheduler, its only file."""

CONFIG_NAMES = ("config.json", SCHEDULER_CONFIG, "preprocessor_config.json")

_MARKS = (MODEL_INDEX, "config.json", MODULAR_INDEX)
"""A folder in the hub's cache that has one of these files is a checkpoint."""

_COMPONENT_MARKS = (*CONFIG_NAMES[1:], "tokenizer_config.json")
"""A folder in the hub's cache that has one of these files may be a component of a pipeline."""


def find_root(checkpoint: Checkpoint) -> Path | None:
    """The local folder with the configs; None for a hub checkpoint that must be fetched first.

    Raises CheckpointError for a folder or a shipped name that does not exist and, if the hub is
    switched off, for a checkpoint that is not in its cache.
    """
    source = checkpoint.source
    if isinstance(checkpoint, Lora):
        file = find_lora(checkpoint)
        return None if file is None else file.parent
    if is_random(source):
        return random_folder(source)
    path = shipped_folder(source) if source.startswith("tiny/") else _local_folder(checkpoint)
    if path is not None:
        return _subfolder(path, checkpoint)
    if hub.is_path(source) or is_file(expand_home(source)):
        raise CheckpointError(_absent_problem(source))
    snapshot = hub.in_cache(source, checkpoint.revision, _marks(checkpoint))
    if snapshot is None and (name := name_with_suffix(source)):
        found, wanted = "a name without its suffix", "the whole name of a file in a model folder"
        raise CheckpointError(Problem(source, found, wanted, f"write {name}"))
    if snapshot is None and hub.is_off():
        found = "not in the hub's cache, and HF_HUB_OFFLINE is set"
        fix = "fetch it once while online, or name a local folder"
        raise CheckpointError(Problem(source, found, "a checkpoint that is here", fix))
    return snapshot


def _absent_problem(source: str) -> Problem:
    """The problem of a path at which there is neither a folder nor a file."""
    path = expand_home(source)
    is_weights = hub.is_weights(source)
    where, near = absence(source)
    near = near or (did_you_mean(path.name, names_in(path.parent)) if is_weights else "")
    return Problem(
        source,
        describe_path(path, "file" if is_weights else "folder") + where,
        "a checkpoint's folder or safetensors file, a hub id such as 'stabilityai/sdxl-turbo', or "
        "one that ships",
        near or f"those that ship: {', '.join(shipped_names())}",
    )


def is_local(checkpoint: Checkpoint) -> bool:
    """Whether a checkpoint is a local folder or ships with sdgraph, and not one of the hub."""
    if is_random(checkpoint.source):
        return False
    return checkpoint.source.startswith("tiny/") or _local_folder(checkpoint) is not None


def _local_folder(checkpoint: Checkpoint) -> Path | None:
    return hub.local_folder(checkpoint.source, checkpoint.revision, _marks(checkpoint))


def _marks(checkpoint: Checkpoint) -> tuple[str, ...]:
    prefix = f"{checkpoint.subfolder}/" if checkpoint.subfolder else ""
    # A component of a modular pipeline may be a tokenizer or a scheduler, too.
    more = _COMPONENT_MARKS if isinstance(checkpoint, ComponentSource) else ()
    return tuple(f"{prefix}{name}" for name in (*_MARKS, *more))


def _subfolder(folder: Path, checkpoint: Checkpoint) -> Path:
    """The folder of a checkpoint in that of its source; raises CheckpointError if it is missing."""
    if not checkpoint.subfolder:
        return folder
    path = folder / checkpoint.subfolder
    if not is_folder(path):
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        problem = Problem(
            f"{checkpoint.source}: subfolder",
            f"{checkpoint.subfolder}: {describe_path(path, 'folder')}",
            f"one of {', '.join(names)}" if names else "none: it has no folders",
            did_you_mean(checkpoint.subfolder, names),
        )
        raise CheckpointError(problem)
    return path


def places_elsewhere(source: str, folder: Path) -> dict[str, ComponentPlace]:
    """The components of a modular pipeline that are in other repositories; {} for others.

    Args:
        source: The checkpoint's source.
        folder: Its folder.
    """
    index = read_config(folder / MODULAR_INDEX)
    if index is None or (folder / MODEL_INDEX).is_file():
        return {}
    return components_elsewhere(index, source, names_in(folder))


def missing_components(checkpoint: Checkpoint, folder: Path) -> list[str]:
    """The components in the index that have no folder, or a config but no weights."""
    index = read_index(folder / MODEL_INDEX)
    if index is None:
        return [] if _has_weights(Part(checkpoint), folder) else [str(Part(checkpoint))]
    elsewhere = places_elsewhere(checkpoint.source, folder)
    return [
        name
        for name, (library, class_name) in components_in(index).items()
        if library in LIBRARIES
        and not is_processor(class_name)
        and name not in checkpoint.parts
        and name not in elsewhere
        and not _has_weights(Part(checkpoint, name), folder / name)
    ]


def _has_weights(part: Part, folder: Path) -> bool:
    """Whether a component's folder exists, with weights if it is of a kind that has any."""
    if not (folder / "config.json").is_file():
        return folder.is_dir()
    try:
        return bool(weight_files(part, folder))
    except CheckpointError:
        return False


def components_not_loaded(index: Mapping[str, Any]) -> tuple[str, ...]:
    """The components of a model index that are never loaded, and therefore not fetched.

    Their classes are not in `LIBRARIES` but in the code of a pipeline, such as the safety checker
    of Stable Diffusion.
    """
    return tuple(
        name for name, (library, _) in components_in(index).items() if library not in LIBRARIES
    )


def is_tokenizer(class_name: Any) -> bool:
    """Whether a class prepares text for a model."""
    return "Tokenizer" in str(class_name)


def is_processor(class_name: Any) -> bool:
    """Whether a class prepares pictures for a model; it has a config and no weights.

    Of one that prepares text too, such as Qwen2VLProcessor, only the image processor is loaded.
    """
    names = ("Processor", "ProcessorPil", "FeatureExtractor")
    return str(class_name).removesuffix("Fast").endswith(names)


_LOADED_AS = {
    # An index names it by the package of diffusers with its pipeline.
    ("flux", "ReduxImageEncoder"): ("diffusers", "ReduxImageEncoder"),
    **{("ltx2", name): ("diffusers", name) for name in MODULES},
    # It prepares pictures too, but its pipeline gives it text alone.
    ("transformers", "PixtralProcessor"): ("transformers", "AutoTokenizer"),
}
"""The library and the class that are loaded for those that an index names."""


def components_in(index: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The library and the class of each component that a model index names."""
    return {
        name: _LOADED_AS.get((str(entry[0]), str(entry[1])), (entry[0], entry[1]))
        for name, entry in index.items()
        if isinstance(entry, list) and len(entry) == 2 and entry[1] is not None
    }


def weight_files(part: Part, folder: Path) -> tuple[Path, ...]:
    """The weight files in a component's folder, in order; () if it has none (tokenizers).

    If only other components have files of the checkpoint's variant, they are the plain ones.

    Raises CheckpointError if there are only files of another variant, or only pickles and they are
    not allowed.
    """
    variant = part.checkpoint.variant
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    available = [name for name in names if name.endswith(".safetensors")]
    available = available or pickles.readable(str(part), names)
    plain = [name for name in available if name.count(".") == 1]
    chosen = [name for name in available if is_of_variant(name, variant)] if variant else plain
    if not chosen and variant and plain and part.folder and has_variant(folder.parent, variant):
        chosen = plain
    if not chosen and available:
        raise CheckpointError(_variant_problem(part, available))
    return tuple(folder / name for name in chosen)


def is_of_variant(name: str, variant: str) -> bool:
    """Whether a weight file is of a variant, by its name."""
    return f".{variant}." in name or f".{variant}-" in name


def has_variant(root: Path, variant: str) -> bool:
    """Whether any component of a pipeline's checkpoint has weights of a variant."""
    return any(
        is_of_variant(path.name, variant)
        for suffix in ("safetensors", "bin")
        for path in root.glob(f"*/*.{suffix}")
    )


def _variant_problem(part: Part, available: Sequence[str]) -> Problem:
    variant = part.checkpoint.variant
    others = sorted({name.split(".")[1].split("-")[0] for name in available if name.count(".") > 1})
    if variant:
        fix = f"write one of {', '.join(others)}, or remove the variant" if others else ""
        fix = fix or "remove the variant"
    else:
        fix = f"set the checkpoint's variant to {' or '.join(others)}"
    wanted = f"the variant {variant!r}" if variant else "weights without a variant"
    return Problem(str(part), f"only {', '.join(available)}", wanted, fix)


def fetch_missing(checkpoint: Checkpoint, root: Path | None) -> Path:
    """The folder of a checkpoint with all its weights, which are fetched from the hub if necessary.

    `root` is the folder with its configs, or None if there is none yet. Raises CheckpointError if
    weights of a component are nowhere to be found.
    """
    if is_random(checkpoint.source):
        return make_random(checkpoint.source)
    local = root is not None and is_local(checkpoint)
    folder = root if root is not None and local else _fetch(checkpoint)
    missing = missing_components(checkpoint, folder)
    variant = checkpoint.variant
    if missing and not local and variant and has_variant(folder, variant):
        # The hub has the variant of some components only; the others have plain weights.
        folder = hub.fetch_plain(checkpoint, missing)
        missing = missing_components(checkpoint, folder)
    if missing and not local and pickles.are_allowed():
        folder = _fetch(checkpoint, ".bin")
        missing = missing_components(checkpoint, folder)
    if missing:
        which = f" of the variant {variant!r}" if variant else ""
        found = f"no safetensors{which} for {', '.join(missing)} in {folder}"
        fix = (
            "complete the folder, choose a revision or variant that has them, or use "
            "--allow-pickle if the weights are pickles"
        )
        raise CheckpointError(Problem(checkpoint.source, found, "weights for each part", fix))
    return folder


def _fetch(checkpoint: Checkpoint, suffix: str = ".safetensors") -> Path:
    """The folder of a checkpoint from the hub.

    The index is fetched first, because it tells which components are not needed.
    """
    index = read_index(hub.fetch_file(checkpoint, MODEL_INDEX))
    if index is not None and isinstance(checkpoint, ComponentSource):
        refuse_pipeline(checkpoint, components_in(index))
    unused = components_not_loaded(index) if index is not None else ()
    return hub.fetch(checkpoint, suffix, unused, is_pipeline=index is not None)
