"""Describes model files by their headers alone: kind, base model, licence, trigger words.

No tensors are read. A header is read once: what it says is remembered on disk by the file's stamp
(see `description_cache`).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError
from sdgraph.files import FileStamp, describe_path, open_regular_file
from sdgraph.models.formats.config_files import read_index
from sdgraph.models.formats.pickles import SUFFIXES as PICKLE_SUFFIXES
from sdgraph.models.formats.safetensors_files import (
    SafetensorsError,
    SafetensorsHeader,
    TensorShapes,
    file_header,
    tensor_shapes,
)
from sdgraph.models.formats.single_file_kinds import kind_of
from sdgraph.models.formats.training_metadata import (
    base_in_metadata,
    licence_in_card,
    licence_in_metadata,
    shorten,
    trigger_words,
)

from . import description_cache
from .model_files import ModelFile

_COPY_AGAIN = "download or copy it again"

_BASE_FIRST = ("a checkpoint of ", "a model of ", "a text encoder of ", "an image encoder of ")
"""What the labels begin with that end with a base."""

_TEXT_LAYER = re.compile(r".*attn2[._]to_k(?!.*([._](up|B)|_lora\.up)\b)")
"""The names of tensors whose last dimension is the width of the text features of the base."""

_BASE_OF_WIDTH = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL"}


@dataclass(frozen=True)
class FileDescription:
    """What a model file says about itself.

    Args:
        kind: What it is: "checkpoint", "LoRA", "VAE" …; what its folder is for if it has no header
            that is read; "" if nothing says it.
        base: What it belongs to, such as "SDXL"; "" if nothing says it.
        format: "safetensors", "pickle", "GGUF" or "folder".
        licence: Its licence, as it is written there; "" if it is not.
        trigger_words: Words that a prompt should have, the most usual ones first.
        problem: What is wrong with it; "" for a whole file.
        fix: What to do about the problem.
    """

    kind: str = ""
    base: str = ""
    format: str = "safetensors"
    licence: str = ""
    trigger_words: tuple[str, ...] = ()
    problem: str = ""
    fix: str = ""


def describe_files(files: Sequence[ModelFile]) -> list[FileDescription]:
    """What each of some files says about itself.

    Args:
        files: The files; of those that have not changed since the last time nothing is read.
    """
    stamps = [FileStamp.of_regular(str(file.path)) for file in files]
    known = description_cache.read_stored(stamp for stamp in stamps if stamp is not None)
    described: list[FileDescription] = []
    new: dict[FileStamp, FileDescription] = {}
    try:
        for file, stamp in zip(files, stamps, strict=True):
            data = None if stamp is None else known.get(stamp)
            description = _from_data(data) if data is not None else None
            if description is None:
                description = describe_file(file)
                if stamp is not None and stamp.is_settled():
                    new[stamp] = description
            described.append(description)
    finally:  # of thousands of files, those until Ctrl-C are not read again
        if new:
            description_cache.store({stamp: vars(one) for stamp, one in new.items()})
    return described


def describe_file(file: ModelFile) -> FileDescription:
    """What one file says about itself.

    Args:
        file: The file, whose header is read, or a folder in diffusers' layout.
    """
    if file.is_pipeline:
        return _describe_pipeline(file.path)
    name = file.path.name.lower()
    try:
        if name.endswith(".gguf"):
            return _describe_by_tensors(file, "GGUF", _gguf_problem(file.path))
        if name.endswith(PICKLE_SUFFIXES):
            return _describe_by_tensors(file, "pickle", _pickle_problem(file.path))
        return describe_header(file_header(file.path), file.path)
    except SafetensorsError as error:
        wanted = f", wanted {error.wanted}" if "bytes" in error.wanted else ""
        return FileDescription(file.use, problem=f"{error.found}{wanted}", fix=error.fix)
    except CheckpointError as error:
        return FileDescription(file.use, problem=error.problems[0].found, fix=_COPY_AGAIN)
    except FileNotFoundError:
        fix = "remove the link, or put the file back"
        return FileDescription(file.use, problem=describe_path(file.path), fix=fix)
    except OSError as error:
        problem = f"it cannot be read: {error.strerror or error}"
        return FileDescription(
            file.use, problem=problem, fix="change its permissions, or remove it"
        )


def _describe_by_tensors(file: ModelFile, file_format: str, found: str) -> FileDescription:
    """A file of another format: by its tensors, or by its folder if they cannot be listed.

    Args:
        file: The file.
        file_format: Its format.
        found: What its first bytes show to be wrong.
    """
    try:
        header = None if found else file_header(file.path)
    except SafetensorsError as error:
        header, found = None, error.found if "cut short" in error.found else ""
    if header is None:
        return _describe_start(file, file_format, found)
    return replace(describe_header(header, file.path), format=file_format)


def _describe_start(file: ModelFile, file_format: str, found: str) -> FileDescription:
    """A file of which only the first bytes are read; `found` is what is wrong, if anything is."""
    return FileDescription(
        file.use, format=file_format, problem=found, fix=_COPY_AGAIN if found else ""
    )


def _describe_pipeline(folder: Path) -> FileDescription:
    """A folder in diffusers' layout, whose base is the class of its pipeline."""
    try:
        index = read_index(folder / "model_index.json") or {}
    except CheckpointError as error:
        found = error.problems[0].found
        return FileDescription("checkpoint", "", "folder", problem=found, fix=_COPY_AGAIN)
    base = shorten(index.get("_class_name", ""))
    return FileDescription("checkpoint", base, "folder", licence=licence_in_card(folder))


def describe_header(header: SafetensorsHeader, path: Path) -> FileDescription:
    """What the header of a safetensors file says.

    Args:
        header: The header.
        path: The file, for messages.

    Raises:
        CheckpointError: A tensor has no shape.
    """
    metadata = header.metadata if isinstance(header.metadata, dict) else {}
    shapes = tensor_shapes(path, header)
    if not shapes:
        return FileDescription(problem="it has no tensors", fix=_COPY_AGAIN)
    kind, base = split_label(kind_of(shapes, metadata).label)
    if kind != "checkpoint" and not base:
        by_shapes = _base_of_embedding if kind == "embedding" else _base_by_width
        base = base_in_metadata(metadata) or by_shapes(shapes)
    licence = licence_in_metadata(metadata)
    return FileDescription(kind, base, licence=licence, trigger_words=trigger_words(metadata))


def split_label(label: str) -> tuple[str, str]:
    """The kind and the base in the label of a `FileKind`.

    Args:
        label: The label.

    Example:
        >>> split_label("a checkpoint of SDXL"), split_label("a VAE")
        (('checkpoint', 'SDXL'), ('VAE', ''))
        >>> split_label("a LoRA of the kind LoHa"), split_label("a video model (Zeroscope)")
        (('LoHa', ''), ('video model', ''))
    """
    for begin in _BASE_FIRST:
        if label.startswith(begin):
            base = label.removeprefix(begin).removeprefix("the ")
            return begin.split(" ", 1)[1].removesuffix(" of "), base.replace("an unknown base", "")
    if label.startswith("weights of an unknown kind"):
        return "unknown", ""
    return re.sub(r"^an? (LoRA of the kind )?| \(.*", "", label), ""


def _base_by_width(shapes: TensorShapes) -> str:
    """The base whose text features have the width that a file's layers take."""
    layers = (shape for name, shape in shapes.items() if _TEXT_LAYER.match(name))
    widths = (shape[-1] for shape in layers if len(shape) > 1 and shape[-1] in _BASE_OF_WIDTH)
    return _BASE_OF_WIDTH.get(next(widths, 0), "")


def _base_of_embedding(shapes: TensorShapes) -> str:
    """The base whose text encoders have the width of a textual inversion's vectors."""
    if {"clip_l", "clip_g"} <= set(shapes):
        return "SDXL"
    widths = {shape[-1] for shape in shapes.values() if shape}
    return (
        _BASE_OF_WIDTH.get(widths.pop(), "") if len(widths) == 1 and "t5xxl" not in shapes else ""
    )


def _pickle_problem(path: Path) -> str:
    """What is wrong with a pickle; only that one of torch's archives is cut short can be seen."""
    with open_regular_file(path) as file:
        start = file.read(512)
        if start.startswith(b"PK\x03\x04"):
            return "" if zipfile.is_zipfile(file) else "an archive without an end: it is cut short"
    if start.startswith(b"\x80"):  # of torch before 1.6
        return ""
    return _page_problem(start) or "it does not begin as a pickle does"


def _gguf_problem(path: Path) -> str:
    with open_regular_file(path) as file:
        start = file.read(512)
    is_gguf = start.startswith(b"GGUF")
    return "" if is_gguf else _page_problem(start) or "it does not begin as a GGUF file does"


def _page_problem(start: bytes) -> str:
    is_page = start.lstrip().lower().startswith((b"<!doctype", b"<html"))
    return "a web page in place of the file" if is_page else ""


def _from_data(data: Mapping[str, Any]) -> FileDescription | None:
    """A description that was remembered; None for data of another shape."""
    texts = {name: value for name, value in data.items() if isinstance(value, str)}
    words = data.get("trigger_words")
    try:
        if len(texts) == len(data) - 1 and isinstance(words, list):
            return FileDescription(**texts, trigger_words=tuple(map(str, words)))
    except TypeError:
        pass
    return None


def size_of(file: ModelFile) -> int:
    """The bytes of a file, or of all files in a folder in diffusers' layout; 0 if it is gone."""
    paths = file.path.rglob("*") if file.is_pipeline else [file.path]
    stamps = (FileStamp.of_regular(str(path)) for path in paths)
    return sum(stamp.size for stamp in stamps if stamp is not None)
