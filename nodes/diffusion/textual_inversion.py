"""Textual inversions (Gal et al. 2022) in use: words of their own, checked from their headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import Models, TensorShapes, find_lora, resolve, tensor_shapes
from sdgraph.values import Checkpoint, Lora, Part

from .long_prompts import Vectors, occurrences

PREFIX = "embedding_"
"""What the names of textual inversions among a node's components begin with."""

_LARGE, _LONG = "clip_g", "clip_l"
_UNNAMED = ("emb_params", _LARGE, _LONG)
"""The names of tensors that say nothing of the token, which is the file's name then."""

_TRAINED_OVER = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 1280: "SDXL"}


def parts(embeddings: Sequence[Lora]) -> dict[str, Part]:
    """The textual inversions as components."""
    return {f"{PREFIX}{number}": Part(each, on_host=True) for number, each in enumerate(embeddings)}


def problems(
    embeddings: Sequence[Lora], checkpoint: object, prompts: Sequence[object]
) -> Iterator[Problem]:
    """Why textual inversions cannot be used, or not with a checkpoint, as far as headers show.

    `prompts` are what may have their words; one that a node makes is not known yet.
    """
    known: dict[str, str] = {}
    for each in embeddings:
        try:
            path = find_lora(each)
            shapes = None if path is None else tensor_shapes(path)
        except CheckpointError as error:
            yield from error.as_problems_of("embeddings", "a textual inversion that can be used")
            continue
        if path is None or shapes is None:
            continue
        found = _unreadable(shapes)
        if not found and isinstance(checkpoint, Checkpoint):
            found = _unfit(shapes, checkpoint)
        if found:
            over = getattr(checkpoint, "source", "the checkpoint")
            yield Problem("embeddings", f"{each.source}, {found}", f"an embedding for {over}")
            continue
        token = _token(path, shapes)
        if token.lower() in known:
            both = f"{known[token.lower()]} and {each.source}, both called {token}"
            yield Problem("embeddings", both, "words that differ", "rename one of the files")
        known[token.lower()] = each.source
        if not _said(token, prompts):
            wanted = f"{token} in the prompt, or in the negative one"
            yield Problem(
                "embeddings",
                f"{each.source}, whose word is in no prompt",
                wanted,
                "write it there, or leave the embedding out",
            )


def loaded(models: Models) -> dict[str, Vectors]:
    """The vectors of the textual inversions among a node's models, by token."""
    from safetensors.torch import load_file

    found: dict[str, Vectors] = {}
    for name, path in models.items():
        if name.startswith(PREFIX):
            tensors = load_file(path)
            token = _token(path, {key: tuple(each.shape) for key, each in tensors.items()})
            chosen = [tensors[key] for key in _order(tensors)]
            found[token] = [each if each.dim() == 2 else each[None] for each in chosen]
    return found


def _order(tensors: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a file's tensors in the order of the text encoders that they are for."""
    return (_LONG, _LARGE) if _LARGE in tensors else tuple(tensors)


def _token(path: Path, shapes: TensorShapes) -> str:
    (name, *_) = shapes
    return path.stem if name in _UNNAMED else name


def _said(token: str, prompts: Sequence[object]) -> bool:
    """Whether a word is in a prompt, or may be in one that is not known yet."""
    return any(
        not isinstance(text, str)
        or any(piece.lower() == token.lower() for piece in occurrences(text, [token]))
        for text in prompts
    )


def _unreadable(shapes: TensorShapes) -> str:
    """What a file is that is no textual inversion, or nothing."""
    names = set(shapes)
    if names != {_LARGE, _LONG} and (len(names) != 1 or names & {_LARGE, _LONG}):
        return f"which holds no embedding ({len(names)} tensors: a LoRA, or something else)"
    if any(len(shape) not in (1, 2) or not min(shape) for shape in shapes.values()):
        return "which holds no embedding (vectors, one or a few)"
    return ""


def _unfit(shapes: TensorShapes, checkpoint: Checkpoint) -> str:
    """Why a textual inversion does not fit a checkpoint's text encoders, or nothing."""
    widths = [shapes[name][-1] for name in _order(shapes)]
    here = resolve(checkpoint).components
    if here is None:
        return ""
    encoders = [name for name in ("text_encoder", "text_encoder_2") if name in here]
    if len(widths) != len(encoders):
        if len(widths) == 2:
            return "made for SDXL's two text encoders, here there is one"
        return "made for one text encoder, here there are two (SDXL)"
    own = [(resolve(checkpoint).config(name) or {}).get("hidden_size") for name in encoders]
    for width, wanted in zip(widths, own, strict=True):
        if wanted is not None and width != wanted:
            over = f" for {_TRAINED_OVER[width]}" if width in _TRAINED_OVER else ""
            return f"made{over} with vectors of {width}, here they are {wanted}"
    return ""
