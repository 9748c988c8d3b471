"""Textual inversions (Gal et al. 2022): new words for prompts, and checks of their files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import Models, TensorShapes, find_lora, read_tensors, resolve, tensor_shapes
from sdgraph.nodes.diffusion.families import ModelFamily, all_families, labels_by_inversion_width
from sdgraph.values import Checkpoint, Lora, Part

from .long_prompts import Vectors, split_at_words

PREFIX = "embedding_"
"""What the names of textual inversions among a node's components begin with."""

_UNNAMED = ("emb_params", "*")
"""Names of a tensor that do not say the word; the word is then the file's name.

A1111 writes `emb_params` to safetensors, and `*` to its own pickles.
"""


def inversion_parts(embeddings: Sequence[Lora]) -> dict[str, Part]:
    """The components for textual inversions."""
    return {
        f"{PREFIX}{number}": Part(embedding, on_host=True)
        for number, embedding in enumerate(embeddings)
    }


def inversion_problems(
    embeddings: Sequence[Lora],
    checkpoint: object,
    family: ModelFamily | None,
    prompts: Sequence[object],
) -> Iterator[Problem]:
    """The problems of textual inversions, alone or with a checkpoint, as far as headers show.

    Args:
        embeddings: The files.
        checkpoint: The value of the checkpoint's port.
        family: The checkpoint's family; None if it is not on this disk.
        prompts: The values of the prompts' ports; one that a node makes may have any word.
    """
    over = getattr(checkpoint, "source", "the checkpoint")
    if embeddings and family is not None and "textual-inversion" not in family.adapters:
        found = f"{len(embeddings)} over {over}"
        yield Problem("embeddings", found, f"none: those for {family.label} are not supported")
        return
    sources: dict[str, str] = {}
    for embedding in embeddings:
        try:
            path = find_lora(embedding)
            shapes = None if path is None else tensor_shapes(path)
        except CheckpointError as error:
            yield from error.as_problems_of("embeddings", "a textual inversion that can be used")
            continue
        if path is None or shapes is None:
            continue
        reason = _format_problem(shapes)
        if not reason and isinstance(checkpoint, Checkpoint) and family is not None:
            reason = _fit_problem(shapes, checkpoint, family)
        if reason:
            found = f"{embedding.source}, {reason}"
            yield Problem("embeddings", found, f"an embedding for {over}")
            continue
        yield from _word_problems(embedding, _word(path, shapes), sources, prompts)


def words_of_files(embeddings: Sequence[Lora]) -> list[str]:
    """The words of textual inversions whose files are on this disk."""
    words = []
    for embedding in embeddings:
        try:
            path = find_lora(embedding)
            if path is not None:
                words.append(_word(path, tensor_shapes(path)))
        except CheckpointError:  # a problem of the node
            continue
    return words


def _word_problems(
    embedding: Lora, word: str, sources: dict[str, str], prompts: Sequence[object]
) -> Iterator[Problem]:
    """The problems of a file's word: another file has it too, or no prompt contains it.

    `sources` are the files of the words so far, by word in lower case; this word is added.
    """
    if word.lower() in sources:
        both = f"{sources[word.lower()]} and {embedding.source}, both called {word}"
        yield Problem("embeddings", both, "words that differ", "rename one of the files")
    sources[word.lower()] = embedding.source
    if not _may_be_in(word, prompts):
        yield Problem(
            "embeddings",
            f"{embedding.source}, whose word is in no prompt",
            f"{word} in the prompt, or in the negative one",
            "write it there, or leave the embedding out",
        )


def load_vectors(models: Models) -> dict[str, Vectors]:
    """The vectors of the textual inversions among a node's models, by word.

    A word has one tensor for each text encoder, vectors × width.
    """
    vectors: dict[str, Vectors] = {}
    for name, path in models.items():
        if name.startswith(PREFIX):
            tensors = read_tensors(path)
            word = _word(path, {key: tuple(tensor.shape) for key, tensor in tensors.items()})
            ordered = [tensors[key] for key in _encoder_order(tensors)]
            vectors[word] = [tensor if tensor.dim() == 2 else tensor[None] for tensor in ordered]
    return vectors


def _tensor_names(family: ModelFamily) -> tuple[str, ...]:
    """The names of the tensors for a family's text encoders; () for a single one of any name."""
    return tuple(encoder.inversion for encoder in family.text_encoders if encoder.inversion)


def _family_of_file(names: Mapping[str, Any]) -> ModelFamily | None:
    """The family whose files have tensors with these names, one for each text encoder."""
    if not names:
        return None
    matching = (family for family in all_families() if set(_tensor_names(family)) == set(names))
    return next(matching, None)


def _encoder_order(tensors: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a file's tensors in the order of the text encoders that they are for."""
    family = _family_of_file(tensors)
    return _tensor_names(family) if family is not None else tuple(tensors)


def _encoder_names() -> set[str]:
    return {name for family in all_families() for name in _tensor_names(family)}


def _word(path: Path, shapes: TensorShapes) -> str:
    (name, *_) = shapes
    return path.stem if name in _UNNAMED or name in _encoder_names() else name


def _may_be_in(word: str, prompts: Sequence[object]) -> bool:
    """Whether a word is in a prompt, or may be in one that a node makes."""
    return any(
        not isinstance(text, str)
        or any(piece.lower() == word.lower() for piece in split_at_words(text, [word]))
        for text in prompts
    )


def _format_problem(shapes: TensorShapes) -> str:
    """What is wrong with a file that is no textual inversion; "" if it is one."""
    names = set(shapes)
    single = len(names) == 1 and not names & _encoder_names()
    if not single and _family_of_file(shapes) is None:
        return f"which holds no embedding ({len(names)} tensors: a LoRA, or something else)"
    if any(len(shape) not in (1, 2) or not min(shape) for shape in shapes.values()):
        return "which holds no embedding (vectors, one or a few)"
    return ""


def _fit_problem(shapes: TensorShapes, checkpoint: Checkpoint, family: ModelFamily) -> str:
    """Why a textual inversion does not fit a checkpoint's text encoders; "" if it fits."""
    widths = [shapes[name][-1] for name in _encoder_order(shapes)]
    available = resolve(checkpoint).components or ()
    encoders = [encoder.name for encoder in family.text_encoders if encoder.name in available]
    if len(widths) != len(encoders):
        trained_for = _family_of_file(shapes)
        if trained_for is not None:
            count = _COUNTS[len(widths)]
            has = f"there {'is' if len(encoders) == 1 else 'are'} {_COUNTS[len(encoders)]}"
            return f"made for {trained_for.label}'s {count} text encoders, here {has}"
        return (
            f"made for one text encoder, here there are {_COUNTS[len(encoders)]} ({family.label})"
        )
    for width, name in zip(widths, encoders, strict=True):
        wanted = (resolve(checkpoint).config(name) or {}).get("hidden_size")
        if wanted is not None and width != wanted:
            label = labels_by_inversion_width(width)
            over = f" for {label}" if label else ""
            return f"made{over} with vectors of {width}, here they are {wanted}"
    return ""


_COUNTS = ("none", "one", "two", "three", "four")
