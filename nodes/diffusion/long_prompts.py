"""Prompts that are long, weighted, or have words of textual inversions, as embeddings.

1. A prompt is cut into texts of one weight each, and these into tokens; a word of a textual
   inversion (Gal et al. 2022) becomes as many placeholder tokens as it has vectors.
2. The tokens are read in windows of as many as the text encoder takes. For this call alone the
   vectors stand where the placeholders' own would: neither tokenizer nor encoder is changed.
3. A weight w moves a token's embedding z away from that of the empty prompt: z₀ + w (z - z₀).
4. The windows' embeddings are joined, as ComfyUI and its forerunners do; prompt and negative
   prompt become as many windows long as the longer one needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from .families import ZERO_EMPTY_PROMPT, ModelFamily
from .prompt_weights import WeightedTexts

Vectors = Sequence[Any]
"""The vectors of one word for each text encoder: float, count × width."""

_PLACEHOLDER = 0
"""The token in whose place a vector is put; the end of a text is found by larger ones."""


@dataclass
class _Tokens:
    """A prompt for one encoder: tokens, each with its weight and, perhaps, a vector of its own."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    vectors: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reader:
    """A text encoder with its tokenizer, and what of it pipelines take."""

    encoder: Any
    tokenizer: Any
    hidden_state: int | None
    pooled: bool
    device: str

    @property
    def length(self) -> int:
        """The tokens of a window, with its beginning and its end."""
        return int(self.tokenizer.model_max_length)

    def windows(self, tokens: _Tokens) -> int:
        """How many windows a prompt takes."""
        return max(1, ceil(len(tokens.ids) / (self.length - 2)))

    def tokens(self, texts: WeightedTexts, vectors: Mapping[str, Any]) -> _Tokens:
        """A prompt's tokens; `vectors` are those of textual inversions by word in lower case."""
        tokens = _Tokens()
        for text, weight in texts:
            for piece in split_at_words(text, tuple(vectors)):
                own = vectors.get(piece.lower())
                if own is None:
                    ids = self.tokenizer(piece, add_special_tokens=False).input_ids
                else:
                    ids = [_PLACEHOLDER] * len(own)
                    first = len(tokens.ids)
                    tokens.vectors |= {first + n: vector for n, vector in enumerate(own)}
                tokens.ids += ids
                tokens.weights += [weight] * len(ids)
        return tokens

    def embed(self, tokens: _Tokens, windows: int) -> tuple[Any, Any]:
        """A prompt's embedding, 1 × tokens × width, and the summary of its first window."""
        import torch

        rows = [self._window(tokens.ids, number) for number in range(windows)]
        vectors = {self._place(number): vector for number, vector in tokens.vectors.items()}
        with _replaced_embeddings(self.encoder, vectors):
            hidden, pooled = self._encode(rows)
        if any(weight != 1 for weight in tokens.weights):
            empty, _ = self._encode([self._window([], 0)])
            weights = torch.ones(windows, self.length)
            for number, weight in enumerate(tokens.weights):
                weights[self._place(number)] = weight
            hidden = empty + (hidden - empty) * weights[..., None].to(hidden)
        return hidden.reshape(1, windows * self.length, -1), pooled

    def _place(self, number: int) -> tuple[int, int]:
        """The window, and the position in it, of a prompt's token."""
        return number // (self.length - 2), number % (self.length - 2) + 1

    def _window(self, ids: Sequence[int], number: int) -> list[int]:
        """The tokens of one window: a beginning, the text's, an end, and padding."""
        tokenizer, most = self.tokenizer, self.length - 2
        own = list(ids[number * most : (number + 1) * most])
        padding = [tokenizer.pad_token_id] * (most - len(own))
        return [tokenizer.bos_token_id, *own, tokenizer.eos_token_id, *padding]

    def _encode(self, rows: list[list[int]]) -> tuple[Any, Any]:
        """The hidden states and the summary that the family's pipelines take, for each window."""
        import torch

        tokens = torch.tensor(rows, device=self.device)
        output = self.encoder(tokens, output_hidden_states=self.hidden_state is not None)
        hidden = output[0] if self.hidden_state is None else output.hidden_states[self.hidden_state]
        return hidden, output[0][:1] if self.pooled else None


def encode_prompts(
    pipe: Any,
    family: ModelFamily,
    device: str,
    prompts: Sequence[WeightedTexts],
    vectors: Mapping[str, Vectors],
    *,
    guided: bool,
) -> tuple[Any, ...]:
    """What the pipeline's `encode_prompt` returns, for a weighted prompt and a negative one.

    Args:
        pipe: The pipeline with its text encoders.
        family: Its family.
        device: Where to compute.
        prompts: The prompt and the negative prompt.
        vectors: Those of textual inversions, by word.
        guided: Whether the negative prompt is of use.
    """
    import torch

    readers = _readers(pipe, family, device)
    embeddings = _embeddings(readers, prompts if guided else prompts[:1], vectors, device)
    zeroed = guided and getattr(pipe.config, ZERO_EMPTY_PROMPT, False)
    if zeroed and prompts[1] == (("", 1.0),):
        embeddings[1] = tuple(torch.zeros_like(tensor) for tensor in embeddings[0])
    prompt, negative = embeddings[0], embeddings[1] if guided else (None, None)
    if family.pooled:
        return prompt[0], negative[0], prompt[1], negative[1]
    return prompt[0], negative[0]


def _readers(pipe: Any, family: ModelFamily, device: str) -> list[_Reader]:
    """The text encoders that a pipeline has."""
    return [
        _Reader(
            getattr(pipe, encoder.name),
            getattr(pipe, encoder.tokenizer),
            family.hidden_state,
            family.pooled,
            device,
        )
        for encoder in family.text_encoders
        if getattr(pipe, encoder.name, None)
    ]


def _embeddings(
    readers: Sequence[_Reader],
    prompts: Sequence[WeightedTexts],
    vectors: Mapping[str, Vectors],
    device: str,
) -> list[tuple[Any, ...]]:
    """For each prompt: the embeddings of all encoders side by side, and the last one's summary.

    Every prompt takes as many windows as the longest one needs with any encoder.
    """
    import torch

    tokens = [
        [reader.tokens(texts, _vectors_for(vectors, number)) for texts in prompts]
        for number, reader in enumerate(readers)
    ]
    windows = max(
        reader.windows(prompt)
        for reader, own_tokens in zip(readers, tokens, strict=True)
        for prompt in own_tokens
    )
    embeddings: list[tuple[Any, ...]] = []
    for place in range(len(prompts)):
        parts = [
            reader.embed(own_tokens[place], windows)
            for reader, own_tokens in zip(readers, tokens, strict=True)
        ]
        hidden = torch.cat([part[0] for part in parts], dim=-1)
        embeddings.append((hidden.to(device), parts[-1][1]))
    return embeddings


def _vectors_for(vectors: Mapping[str, Vectors], number: int) -> dict[str, Any]:
    """The vectors for a text encoder by its number, by word in lower case."""
    return {word.lower(): each[number] for word, each in vectors.items()}


def split_at_words(text: str, words: Sequence[str]) -> list[str]:
    """A text cut at the words of textual inversions, these included; case makes no difference."""
    if not words:
        return [text]
    longest = sorted(words, key=len, reverse=True)
    pattern = "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in longest)
    return [piece for piece in re.split(f"({pattern})", text, flags=re.IGNORECASE) if piece]


@contextmanager
def _replaced_embeddings(encoder: Any, vectors: Mapping[tuple[int, int], Any]) -> Iterator[None]:
    """The encoder with vectors in the place of tokens' own, by window and position."""

    def replace(_module: Any, _inputs: Any, output: Any) -> Any:
        for place, vector in vectors.items():
            output[place] = vector.to(output)
        return output

    hook = encoder.get_input_embeddings().register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()
