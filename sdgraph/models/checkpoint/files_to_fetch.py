"""Chooses which files of a repository on the hub a checkpoint needs, by their names alone.

A repository often has the same weights several times: for each component in several variants, in
one file and in several, as safetensors and as pickles, and next to the folders all in one file for
other programs. Only what is loaded is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sdgraph.errors import CheckpointError, Problem, did_you_mean
from sdgraph.models.formats import pickles
from sdgraph.models.sources.hub import FILE_SUFFIXES
from sdgraph.models.sources.lora_files import adapter_file, adapter_files, shown_names

from .checkpoint_files import CONFIG_NAMES, MODEL_INDEX, components_in, is_of_variant, is_processor
from .component_classes import LIBRARIES

_TEXT_SUFFIXES = (".json", ".txt", ".model", ".jinja")
_STEMS = {"diffusers": ("diffusion_pytorch_model",), "transformers": ("model", "pytorch_model")}
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
_WANTED = "a checkpoint in diffusers' layout, one model, an adapter, or one file"


def needed_files(
    source: str,
    names: Collection[str],
    index: Mapping[str, Any] | None,
    variant: str | None,
    index_name: str = MODEL_INDEX,
) -> tuple[str, ...]:
    """The files of a repository that its checkpoint needs, sorted.

    Args:
        source: The name of the repository, for messages.
        names: The paths of all its files.
        index: Its model index; None for one model or an adapter.
        variant: The variant of the weights; None for the plain ones.
        index_name: The name of the file with the index.

    Raises:
        CheckpointError: A component has no weights that can be loaded, or nothing says which file
            is meant.

    Example:
        >>> names = ["config.json", "model.safetensors", "model.fp16.safetensors", "README.md"]
        >>> needed_files("some/model", names, None, "fp16")
        ('config.json', 'model.fp16.safetensors')
    """
    if index is not None:
        return _of_pipeline(source, names, index, variant, index_name)
    own = _in_folder(names, "")
    if CONFIG_NAMES[0] in own:
        weights = _weights(source, own, _STEMS["transformers"] + _STEMS["diffusers"], variant)
        if weights is None:
            raise CheckpointError(_variant_problem(source, own, variant))
        return tuple(sorted([*_texts(own), *weights]))
    if (adapter := adapter_file(names)) is not None:
        return adapter_files(names, adapter)
    found = [name for name in names if name.lower().endswith(FILE_SUFFIXES)]
    what = f"neither {MODEL_INDEX} nor config.json"
    fix = f"name one of its files with --file: {shown_names(found)}"
    fix = fix if found else "choose another repository"
    raise CheckpointError(Problem(source, f"a repository with {what}", _WANTED, fix))


def named_file(source: str, names: Collection[str], name: str) -> tuple[str, ...]:
    """One file that was asked for by its name; raises CheckpointError if it is not there.

    Args:
        source: The name of the repository, for messages.
        names: The paths of all its files.
        name: The path of the file.
    """
    if name in names:
        return (name,)
    fix = did_you_mean(name, names)
    raise CheckpointError(Problem(source, f"a repository without {name}", "one of its files", fix))


def files_of_component(
    source: str, names: Collection[str], folder: str, class_name: str, variant: str | None
) -> tuple[str, ...]:
    """The files of one component in a repository, sorted.

    Args:
        source: The name of the repository, for messages.
        names: The paths of all its files.
        folder: The component's folder; "" for the top.
        class_name: Its class.
        variant: The variant of the weights; without any of it the plain ones are taken.

    Raises:
        CheckpointError: It has no files, or no weights that can be loaded.
    """
    own = _in_folder(names, folder)
    subject = f"{source}/{folder}" if folder else source
    texts, weights = _texts(own), []
    if not is_processor(class_name):
        every = tuple(stem for stems in _STEMS.values() for stem in stems)
        found = _weights(subject, own, every, variant)
        found = _weights(subject, own, every, None) if found is None else found
        if found is None:
            raise CheckpointError(_variant_problem(subject, own, variant))
        weights = found
    if not texts and not weights:
        raise CheckpointError(Problem(subject, "no files", f"those of a {class_name}"))
    begin = f"{folder}/" if folder else ""
    return tuple(sorted(f"{begin}{name}" for name in [*texts, *weights]))


def _of_pipeline(
    source: str,
    names: Collection[str],
    index: Mapping[str, Any],
    variant: str | None,
    index_name: str,
) -> tuple[str, ...]:
    chosen = {index_name}
    lacking: list[str] = []
    parts = {
        component: (str(library), _in_folder(names, component))
        for component, (library, class_name) in components_in(index).items()
        if library in LIBRARIES and not is_processor(class_name)
    }
    for component, (library, own) in parts.items():
        chosen.update(f"{component}/{name}" for name in _texts(own))
        weights = _weights(f"{source}/{component}", own, _STEMS[library], variant)
        if weights is None:
            lacking.append(component)
            weights = _weights(source, own, _STEMS[library], None)
        if weights is None:
            raise CheckpointError(_variant_problem(f"{source}/{component}", own, variant))
        chosen.update(f"{component}/{name}" for name in weights)
    for component, (_, class_name) in components_in(index).items():
        if is_processor(class_name):
            chosen.update(f"{component}/{name}" for name in _texts(_in_folder(names, component)))
    with_weights = [name for name, (_, own) in parts.items() if "config.json" in own]
    if variant and len(lacking) >= len(with_weights):
        every = [name for _, own in parts.values() for name in own]
        raise CheckpointError(_variant_problem(source, every, variant))
    return tuple(sorted(chosen))


def _in_folder(names: Iterable[str], folder: str) -> list[str]:
    """The names of the files directly in a folder; "" is the top."""
    begin = f"{folder}/" if folder else ""
    rests = (name.removeprefix(begin) for name in names if name.startswith(begin))
    return [rest for rest in rests if "/" not in rest]


def _texts(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.endswith(_TEXT_SUFFIXES) and not _is_index(name)]


def _is_index(name: str) -> bool:
    """Whether a file lists the tensors of weights in several files."""
    return ".index." in name and name.endswith(".json")


def _weights(
    source: str, names: Sequence[str], stems: Sequence[str], variant: str | None
) -> list[str] | None:
    """The weight files in a folder, each weight once; None if none is of the variant.

    A component without a config has none. Raises CheckpointError if there are only pickles and
    they are not allowed.
    """
    if CONFIG_NAMES[0] not in names:
        return []
    available = [name for name in names if name.endswith(".safetensors")]
    if not available and any(name.endswith(pickles.SUFFIXES) for name in names):
        available = pickles.readable(source, names)
    of_variant = [
        name
        for name in available
        if (is_of_variant(name, variant) if variant else name.count(".") == 1)
    ]
    usual = [name for name in of_variant if re.split(r"[.-]", name)[0] in stems]
    chosen = usual or of_variant
    if not chosen:
        return None
    suffix = ".safetensors" if chosen[0].endswith(".safetensors") else ".bin"
    shards = [name for name in chosen if _SHARD.search(name)]
    whole = [name for name in chosen if name not in shards]
    if whole:
        return whole
    indexes = [name for name in names if _is_index(name) and suffix in name]
    if variant:
        return [*shards, *(name for name in indexes if f".{variant}." in name)]
    return [*shards, *(name for name in indexes if name.endswith(f"{suffix}.index.json"))]


def _variant_problem(source: str, names: Iterable[str], variant: str | None) -> Problem:
    weights = [name for name in names if name.endswith(".safetensors")]
    marked = (name.split(".")[1].split("-")[0] for name in weights if name.count(".") > 1)
    others = sorted(set(marked) - {str(variant)})
    if variant is None and not others:
        found = "no weights in safetensors"
        return Problem(source, found, "weights for each part", "choose another checkpoint")
    found = f"no weights of the variant {variant}" if variant else f"only {', '.join(weights)}"
    fix = f"set the variant to one of {', '.join(others)}" if others else "leave the variant out"
    return Problem(source, found, "weights for each part", fix)
