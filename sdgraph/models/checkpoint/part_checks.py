"""What files tell about a component before torch is imported: its class, configs and weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import names_in
from sdgraph.models.formats.config_files import read_config
from sdgraph.models.formats.gguf_headers import is_gguf
from sdgraph.models.formats.safetensors_files import refuse_damaged
from sdgraph.models.formats.shards import refuse_incomplete
from sdgraph.models.sources import hub
from sdgraph.models.sources.random_checkpoints import is_random
from sdgraph.values import QUANTIZATIONS, Checkpoint

from .checkpoint_files import is_processor, is_tokenizer
from .component_classes import is_allowed, refuse_class
from .files_on_disk import CheckpointOnDisk, ComponentOnDisk
from .single_files import single_file_warnings
from .tokenizer_files import VOCABULARY_FILES, VOCABULARY_SOURCE
from .weight_marks import refuse_foreign

_TOKENIZER_CONFIG = "tokenizer_config.json"

_ADAPTER_CONFIG = "adapter_config.json"
"""The file by which transformers loads another model, and an adapter over it, from a folder."""


_MODEL_NAMES = ("model.", "model-", "pytorch_model")
"""How the names of the weight files begin that transformers finds; diffusers takes any name."""

_OF_BYTES = ("ByT5Tokenizer",)
"""The tokenizers whose tokens are bytes, so that they have no vocabulary."""

_VOCABULARIES = {"tokenizer.json", "vocab.json", "vocab.txt"}


def check_part(part: ComponentOnDisk) -> None:
    """Raises CheckpointError if a component is on this disk and cannot be used; loads nothing."""
    _check_quantization(part)
    folder = part.folder
    if folder is None:
        return
    if part.is_lora:
        refuse_damaged(part.owner.lora_file)
        return
    library, class_name = part.library_and_class
    if part.lacks_vocabulary:
        _refuse_absent_vocabulary(part)
    elif part.owner.must_fetch and part.owner.single_file is None:
        return
    if not folder.is_dir():
        found = f"no folder in {part.owner.root}, though the index names it"
        raise CheckpointError(Problem(part.name, found, "a folder for each part"))
    _check_config(part, folder, class_name)
    if part.tensor_prefix is None and not part.prepares:
        _check_weights(part, folder, library, class_name)


def _check_quantization(part: ComponentOnDisk) -> None:
    name = part.quantization
    if name and part.tensor_prefix is not None and is_gguf(part.files[0]):
        found = f"quantization {name} of a GGUF file, whose weights are quantized already"
        fix = "leave it out, or take the safetensors of the same model"
        wanted = "weights that are not quantized"
        raise CheckpointError(Problem(part.part.checkpoint.source, found, wanted, fix))
    if name and find_spec(package := QUANTIZATIONS[name]) is None:
        source, found = part.part.checkpoint.source, f"quantization {name}"
        fix = f"pip install {package}, or leave the quantization out"
        problem = Problem(
            source, f"{found}, and no package {package} here", f"the package {package}", fix
        )
        raise CheckpointError(problem)


def _refuse_absent_vocabulary(part: ComponentOnDisk) -> None:
    """Raises CheckpointError for a vocabulary that is not here, if the hub is switched off."""
    if hub.is_off():
        found = f"no vocabulary ({' and '.join(VOCABULARY_FILES)}) in a file of weights"
        wanted = f"that of {VOCABULARY_SOURCE} in the hub's cache; HF_HUB_OFFLINE is set"
        fix = (
            f"`hf download {VOCABULARY_SOURCE} {' '.join(VOCABULARY_FILES)}` once while online, "
            "or a folder with tokenizers as `config:`"
        )
        raise CheckpointError(Problem(part.name, found, wanted, fix))


def _check_config(part: ComponentOnDisk, folder: Path, class_name: str) -> None:
    """Reads the config of a component, which refuses one that names code or absurd numbers."""
    tokenizer = part.part.tokenizer or is_tokenizer(class_name)
    if tokenizer:
        config = read_config(os.path.join(folder, _TOKENIZER_CONFIG))  # noqa: PTH118  faster
        _refuse_other_tokenizer(part.name, config or {})
        if part.owner.single_file is None and class_name not in _OF_BYTES:
            _refuse_without_vocabulary(part.name, folder)
    elif part.part.processor or is_processor(class_name):
        part.owner.config(part.part.folder, "preprocessor_config.json")
    else:
        part.owner.config(part.part.folder)


def _refuse_without_vocabulary(name: str, folder: Path) -> None:
    names = set(names_in(folder))
    if not names & _VOCABULARIES and not any(one.endswith(".model") for one in names):
        found = f"no vocabulary in {folder}"
    elif "vocab.json" in names and not names & {"merges.txt", "tokenizer.json"}:
        found = f"a vocab.json without merges.txt in {folder}"
    else:
        return
    wanted = "tokenizer.json, vocab.json with merges.txt, vocab.txt or a .model file"
    raise CheckpointError(Problem(name, found, wanted, "fetch or copy the checkpoint again"))


def _refuse_other_tokenizer(name: str, config: Mapping[str, Any]) -> None:
    class_name = config.get("tokenizer_class")
    if class_name is not None and not is_allowed("tokenizer", "transformers", class_name):
        refuse_class(name, "tokenizer", "transformers", class_name)


def _check_weights(part: ComponentOnDisk, folder: Path, library: str, class_name: str) -> None:
    files = part.files
    if not files and (folder / "config.json").is_file():
        wanted, fix = f"safetensors in {folder}", "fetch, copy or install the checkpoint again"
        raise CheckpointError(Problem(part.name, "no weights", wanted, fix))
    if not files:
        return
    if library == "transformers" and os.path.exists(  # noqa: PTH110  faster
        os.path.join(folder, _ADAPTER_CONFIG)  # noqa: PTH118
    ):
        found = f"an {_ADAPTER_CONFIG}, by which another model would be loaded"
        raise CheckpointError(
            Problem(part.name, found, "a component alone", "remove it; name LoRAs in `loras`")
        )
    refuse_incomplete(part.name, folder, files)
    config = part.owner.config(part.part.folder) or {}
    own_class = config.get("_class_name", class_name)
    if library == "diffusers" and own_class != class_name:
        found, wanted = f"the config of {own_class}", f"{class_name}, as the index says"
        raise CheckpointError(Problem(part.name, found, wanted, "copy the checkpoint again"))
    quantized = bool(config.get("quantization_config"))
    for path in files:
        if path.suffix == ".safetensors":
            refuse_foreign(part.name, path, class_name, quantized=quantized)
    if library == "transformers" and not any(path.name.startswith(_MODEL_NAMES) for path in files):
        found, wanted = f"weights named {files[0].name}", "the name model.safetensors"
        raise CheckpointError(Problem(part.name, found, wanted, "rename the file"))


CHECKED_QUANTIZATION = "bitsandbytes"
"""The method of quantization whose names of tensors are known."""


def stored_quantization(part: ComponentOnDisk) -> str | None:
    """The method by which the weights on disk are quantized; None for plain weights."""
    if part.is_lora or part.prepares or not part.files:
        return None
    config = (part.owner.config(part.part.folder) or {}).get("quantization_config")
    if not config:
        return None
    return str(config.get("quant_method", "")) if isinstance(config, dict) else ""


def part_warnings(parts: Iterable[ComponentOnDisk]) -> Iterator[Problem]:
    """What to tell about components that are not here, or not as they were asked for.

    Args:
        parts: The components, which have no problems.
    """
    absent: dict[str, str] = {}
    plain: dict[tuple[str, str], dict[str, None]] = {}
    files: dict[Checkpoint, CheckpointOnDisk] = {}
    for part in parts:
        checkpoint = part.part.checkpoint
        if part.owner.single_file is not None:
            files[checkpoint] = part.owner
        elif part.owner.root is None:
            absent[part.owner.checkpoint_to_fetch.source] = "not here, not checked"
        elif part.owner.must_fetch:
            absent[checkpoint.source] = "its weights are not all here, and not checked"
        elif (method := stored_quantization(part)) not in (None, CHECKED_QUANTIZATION):
            found = (
                f"{part.name}: weights quantized by {method or 'an unknown method'}, not checked"
            )
            yield Problem(
                checkpoint.source, found, fix="a run takes them as the library loads them"
            )
        elif part.lacks_variant:
            names = plain.setdefault((checkpoint.source, str(checkpoint.variant)), {})
            names[part.part.component] = None
    for checkpoint, owner in files.items():
        yield from _file_warnings(checkpoint, owner)
    for source, found in absent.items():
        how = "makes it" if is_random(source) else "downloads it from the hub"
        yield Problem(source, found, fix=f"a run {how}, and checks it then")
    for (source, variant), folders in plain.items():
        found = f"no weights of the variant {variant} for {', '.join(folders)}"
        yield Problem(source, found, fix="the plain ones are used")


def _file_warnings(checkpoint: Checkpoint, owner: CheckpointOnDisk) -> Iterator[Problem]:
    """What to tell about a checkpoint of one file."""
    assert owner.single_file is not None
    yield from single_file_warnings(checkpoint, owner.single_file)
    if owner.lacks_vocabulary:
        found = f"one file, without the vocabulary of its tokenizer ({VOCABULARY_SOURCE})"
        fix = "a run downloads it from the hub once (1.5 MB)"
        yield Problem(checkpoint.source, found, fix=fix)
