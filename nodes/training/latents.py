"""Pictures as latents and captions as tokens: computed once, before the steps begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.formatting import shorten_list
from sdgraph.nodes.diffusion.prompts.vocabulary import SHOWN_WORDS, SMALL_VOCABULARY, split_words

from .placement import to_device

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def to_tensor(pictures: npt.NDArray[np.uint8]) -> Any:
    """uint8 count × side × side × 3 as float32 count × 3 × side × side in -1..1."""
    import torch

    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def encode_pictures(vae: Any, pictures: npt.NDArray[np.uint8], batch: int = 64) -> Any:
    """The latents' means, scaled to a deviation of about 1.

    Args:
        vae: The autoencoder.
        pictures: uint8, count × side × side × 3.
        batch: How many are encoded at once.

    Returns:
        float32 on the CPU, count × 4 × height × width.
    """
    import torch

    batches = []
    with torch.no_grad():
        for start in range(0, len(pictures), batch):
            pixels = to_device(to_tensor(pictures[start : start + batch]), vae.device)
            latents = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
            batches.append(latents.cpu())
    return torch.cat(batches)


def tokenize(tokenizer: Any, captions: Sequence[str]) -> Any:
    """Token numbers, count × maximum length, with one row more: that of the empty caption.

    Raises:
        InvalidValueError: Captions have words that a small tokenizer does not know.
    """
    refuse_unknown_words(tokenizer, captions)
    tokens = tokenizer(
        [*captions, ""],
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    )
    return tokens.input_ids


def refuse_unknown_words(tokenizer: Any, captions: Sequence[str]) -> None:
    """Refuses captions with words that a small tokenizer has to spell.

    A tokenizer of CLIP's size is made for any word; it is not asked.

    Raises:
        InvalidValueError: There are such words; it names the first of them.
    """
    if len(tokenizer) > SMALL_VOCABULARY:
        return
    unknown = [word for word in split_words(captions) if len(tokenizer.tokenize(word)) > 1]
    if unknown:
        listed = shorten_list(unknown, SHOWN_WORDS)
        problem = Problem(
            "captions",
            f"words that the checkpoint's tokenizer does not know: {listed}",
            'words that are one token to it, as in "a red star on a navy background"',
            "write the captions in its words, or take a checkpoint with CLIP's own tokenizer",
        )
        raise InvalidValueError(problem)
