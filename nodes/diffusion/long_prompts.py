"""Prompts that are long, weighted, or have words of textual inversions, as embeddings.

A prompt is read in windows of as many tokens as the text encoder takes, and their embeddings are
joined, as ComfyUI and its forerunners do. A weight w moves a token's embedding z away from that of
the empty prompt, z₀ + w (z - z₀). The vectors of a textual inversion (Gal et al. 2022) stand where
tokens' own would, for this call alone: neither tokenizer nor encoder is changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from .prompt_weights import Segments

Vectors = Sequence[Any]
"""The vectors of one token for each text encoder: float, count × width."""

_ANY = 0
"""The token in whose place a vector is put; the end of a text is found by larger ones."""


@dataclass
class _Tokens:
    """A prompt for one encoder: tokens, each with its weight and, perhaps, a vector of its own."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    vectors: dict[int, Any] = field(default_factory=dict)


def spoken(
    pipe: Any,
    device: str,
    said: Sequence[Segments],
    vectors: Mapping[str, Vectors],
    *,
    guided: bool,
) -> tuple[Any, ...]:
    """What `encode_prompt` returns, for a prompt and a negative one as weighted texts.

    Both are as many windows long as the longer one wants.
    """
    import torch

    names = [name for name in ("text_encoder", "text_encoder_2") if getattr(pipe, name, None)]
    speakers = [
        (getattr(pipe, name), getattr(pipe, name.replace("text_encoder", "tokenizer")))
        for name in names
    ]
    texts = said if guided else said[:1]
    read = [
        [_tokens(tokenizer, text, vectors, number) for text in texts]
        for number, (_, tokenizer) in enumerate(speakers)
    ]
    windows = max(
        _windows(len(tokens.ids), tokenizer)
        for (_, tokenizer), each in zip(speakers, read, strict=True)
        for tokens in each
    )
    xl = len(speakers) > 1
    made = []
    for place in range(len(texts)):
        parts = [
            _encoded(encoder, tokenizer, each[place], windows, device, xl=xl)
            for (encoder, tokenizer), each in zip(speakers, read, strict=True)
        ]
        hidden = torch.cat([part[0] for part in parts], dim=-1)
        made.append((hidden.to(device), parts[-1][1]))
    if guided and xl and pipe.config.force_zeros_for_empty_prompt and said[1] == (("", 1.0),):
        made[1] = tuple(torch.zeros_like(each) for each in made[0])
    prompt, negative = made[0], made[1] if guided else (None, None)
    return (prompt[0], negative[0], prompt[1], negative[1]) if xl else (prompt[0], negative[0])


def occurrences(text: str, tokens: Sequence[str]) -> list[str]:
    """A text cut at the tokens of textual inversions, these included; case makes no difference."""
    if not tokens:
        return [text]
    longest = sorted(tokens, key=len, reverse=True)
    pattern = "|".join(rf"(?<!\w){re.escape(token)}(?!\w)" for token in longest)
    return [piece for piece in re.split(f"({pattern})", text, flags=re.IGNORECASE) if piece]


def _windows(count: int, tokenizer: Any) -> int:
    room: int = tokenizer.model_max_length - 2
    return max(1, ceil(count / room))


def _tokens(tokenizer: Any, text: Segments, vectors: Mapping[str, Vectors], number: int) -> _Tokens:
    found = _Tokens()
    known = {token.lower(): each[number] for token, each in vectors.items()}
    for words, weight in text:
        for piece in occurrences(words, tuple(known)):
            own = known.get(piece.lower())
            if own is None:
                ids = tokenizer(piece, add_special_tokens=False).input_ids
            else:
                ids = [_ANY] * len(own)
                found.vectors |= {len(found.ids) + n: vector for n, vector in enumerate(own)}
            found.ids += ids
            found.weights += [weight] * len(ids)
    return found


def _encoded(
    encoder: Any, tokenizer: Any, tokens: _Tokens, windows: int, device: str, *, xl: bool
) -> tuple[Any, Any]:
    """The embedding of a prompt, 1 × tokens × width, and for SDXL that of its first window."""
    import torch

    most = tokenizer.model_max_length
    own = {
        (place // (most - 2), place % (most - 2) + 1): vector
        for place, vector in tokens.vectors.items()
    }
    rows = [_window(tokenizer, tokens.ids, n) for n in range(windows)]
    with _in_place(encoder, own):
        hidden, pooled = _hidden(encoder, rows, device, xl=xl)
    if any(weight != 1 for weight in tokens.weights):
        empty, _ = _hidden(encoder, [_window(tokenizer, [], 0)], device, xl=xl)
        weights = torch.ones(windows, most)
        for place, weight in enumerate(tokens.weights):
            weights[place // (most - 2), place % (most - 2) + 1] = weight
        hidden = empty + (hidden - empty) * weights[..., None].to(hidden)
    return hidden.reshape(1, windows * most, -1), pooled


def _window(tokenizer: Any, ids: Sequence[int], number: int) -> list[int]:
    """The tokens of one window: a beginning, the text's, an end, and padding."""
    most = tokenizer.model_max_length
    own = list(ids[number * (most - 2) : (number + 1) * (most - 2)])
    padding = [tokenizer.pad_token_id] * (most - 2 - len(own))
    return [tokenizer.bos_token_id, *own, tokenizer.eos_token_id, *padding]


def _hidden(encoder: Any, rows: list[list[int]], device: str, *, xl: bool) -> tuple[Any, Any]:
    """What pipelines of SDXL and of the others take from a text encoder, window by window."""
    import torch

    made = encoder(torch.tensor(rows, device=device), output_hidden_states=xl)
    if not xl:
        return made[0], None
    return made.hidden_states[-2], made[0][:1]


@contextmanager
def _in_place(encoder: Any, vectors: Mapping[tuple[int, int], Any]) -> Iterator[None]:
    """The encoder with vectors in the place of tokens' own, by window and position."""

    def put(_module: Any, _given: Any, made: Any) -> Any:
        for place, vector in vectors.items():
            made[place] = vector.to(made)
        return made

    hook = encoder.get_input_embeddings().register_forward_hook(put)
    try:
        yield
    finally:
        hook.remove()
