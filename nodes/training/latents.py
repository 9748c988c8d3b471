"""Pictures as latents and captions as tokens: encoded once, before the steps begin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sdgraph.errors import InvalidValueError, Problem

from .placement import to_device

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SMALL = 4_000
"""Tokenizers of at most so many tokens know some words and spell the rest; CLIP's has 49,408."""


def to_tensor(pictures: npt.NDArray[np.uint8]) -> Any:
    """uint8 count × side × side × 3 as float32 count × 3 × side × side in -1..1."""
    import torch

    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def encode(vae: Any, pictures: npt.NDArray[np.uint8], batch: int = 64) -> Any:
    """The latents' means, scaled to a deviation of about 1: float32, count × 4 × height × width."""
    import torch

    made = []
    with torch.no_grad():
        for start in range(0, len(pictures), batch):
            chosen = to_device(to_tensor(pictures[start : start + batch]), vae.device)
            found = vae.encode(chosen).latent_dist.mode() * vae.config.scaling_factor
            made.append(found.cpu())
    return torch.cat(made)


def tokens_of(tokenizer: Any, captions: Sequence[str]) -> Any:
    """Token numbers, count × maximum length; the last row is that of the empty caption.

    Raises InvalidValueError where captions have words that a small tokenizer does not know.
    """
    refuse_unknown(tokenizer, captions)
    found = tokenizer(
        [*captions, ""],
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    )
    return found.input_ids


def refuse_unknown(tokenizer: Any, captions: Sequence[str]) -> None:
    """Raises InvalidValueError where a small tokenizer spells words of the captions.

    A tokenizer of CLIP's size is made for any word, and is never asked.
    """
    if len(tokenizer) > SMALL:
        return
    unknown = [word for word in _words(captions) if len(tokenizer.tokenize(word)) > 1]
    if unknown:
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        problem = Problem(
            "captions",
            f"words that the checkpoint's tokenizer does not know: {', '.join(unknown[:8])}{more}",
            'words that are one token to it, as in "a red star on a navy background"',
            "write the captions in its words, or take a checkpoint with CLIP's own tokenizer",
        )
        raise InvalidValueError(problem)


def _words(captions: Sequence[str]) -> list[str]:
    """The words of all captions, once each, in lower case; punctuation and digits are no words."""
    found = {word for text in captions for word in re.findall(r"[^\W\d_]+", text.lower())}
    return sorted(found)
