"""Pictures as latents and captions as tokens: encoded once, before the steps begin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sdgraph.errors import ValueRefused

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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
            chosen = to_tensor(pictures[start : start + batch]).to(vae.device)
            made.append(vae.encode(chosen).latent_dist.mode() * vae.config.scaling_factor)
    return torch.cat(made)


def tokens_of(tokenizer: Any, captions: Sequence[str]) -> Any:
    """Token numbers, count × maximum length; the last row is that of the empty caption."""
    found = tokenizer(
        [*captions, ""],
        padding="max_length",
        truncation=True,
        max_length=tokenizer.model_max_length,
        return_tensors="pt",
    )
    return found.input_ids


def refuse_unknown(tokenizer: Any, captions: Sequence[str], words: Sequence[str]) -> None:
    """Raises ValueRefused where captions have words that are not among `words`."""
    known = set(words)
    unknown = sorted({word for text in captions for word in text.split()} - known)
    if unknown:
        raise ValueRefused(
            f"captions: found the unknown words {', '.join(unknown[:8])}; wanted words of the "
            f"checkpoint's vocabulary ({', '.join(sorted(known))})"
        )
