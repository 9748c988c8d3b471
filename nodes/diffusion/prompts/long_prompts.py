"""Embeds prompts that are long, weighted, or have words of textual inversions.

1. A prompt is cut into texts of one weight each, and these into tokens; a word of a textual
   inversion (Gal et al. 2022) becomes as many placeholder tokens as it has vectors.
2. The tokens are encoded in windows of as many as the text encoder takes. For this call alone the
   vectors replace the placeholders' embeddings: neither tokenizer nor encoder is changed.
3. A weight w moves a token's embedding z away from that of the empty prompt: z₀ + w (z - z₀).
4. The windows' embeddings are joined, as in ComfyUI; prompt and negative prompt both get as many
   windows as the longer one needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

from sdgraph.nodes.diffusion.families import ZERO_EMPTY_PROMPT, ModelFamily

from .prompt_weights import WeightedTexts

Vectors = Sequence[Any]
"""The vectors of one word for each text encoder: float, count × width."""

_PLACEHOLDER = 0
"""The token that a vector replaces; small, because encoders find a text's end by its largest."""


@dataclass
class _Tokens:
    """A prompt for one encoder: tokens, a weight for each, and vectors by the token's number."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    vectors: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Reader:
    """A text encoder with its tokenizer, and which of its outputs the pipelines take."""

    encoder: Any
    tokenizer: Any
    hidden_state: int | None
    pooled: bool
    device: str
    skipped: int | None = None
    """How many of the last layers are left out."""

    @property
    def length(self) -> int:
        """The number of tokens in a window, including its begin and end tokens."""
        return int(self.tokenizer.model_max_length)

    def windows(self, tokens: _Tokens) -> int:
        """The number of windows that a prompt needs."""
        return max(1, ceil(len(tokens.ids) / (self.length - 2)))

    def tokens(self, texts: WeightedTexts, vectors: Mapping[str, Any]) -> _Tokens:
        """The tokens of a prompt.

        Args:
            texts: The texts of the prompt with their weights.
            vectors: The vectors of textual inversions, by word in lower case.
        """
        tokens = _Tokens()
        for text, weight in texts:
            for piece in split_at_words(text, tuple(vectors)):
                replacements = vectors.get(piece.lower())
                if replacements is None:
                    ids = self.tokenizer(piece, add_special_tokens=False).input_ids
                else:
                    ids = [_PLACEHOLDER] * len(replacements)
                    first = len(tokens.ids)
                    tokens.vectors |= {first + n: vector for n, vector in enumerate(replacements)}
                tokens.ids += ids
                tokens.weights += [weight] * len(ids)
        return tokens

    def embed(self, tokens: _Tokens, windows: int) -> tuple[Any, Any]:
        """A prompt's embedding, 1 × tokens × width, and its first window's pooled embedding."""
        import torch

        rows = [self._window(tokens.ids, number) for number in range(windows)]
        vectors = {self._position(number): vector for number, vector in tokens.vectors.items()}
        with _replace_embeddings(self.encoder, vectors):
            hidden, pooled = self._encode(rows)
        if any(weight != 1 for weight in tokens.weights):
            empty, _ = self._encode([self._window([], 0)])
            weights = torch.ones(windows, self.length)
            for number, weight in enumerate(tokens.weights):
                weights[self._position(number)] = weight
            hidden = empty + (hidden - empty) * weights[..., None].to(hidden)
        return hidden.reshape(1, windows * self.length, -1), pooled

    def _position(self, number: int) -> tuple[int, int]:
        """The window of a token by its number in the prompt, and its position in the window."""
        return number // (self.length - 2), number % (self.length - 2) + 1

    def _window(self, ids: Sequence[int], number: int) -> list[int]:
        """The tokens of one window: the begin token, the text's, the end token, and padding."""
        tokenizer, capacity = self.tokenizer, self.length - 2
        text_ids = list(ids[number * capacity : (number + 1) * capacity])
        padding = [tokenizer.pad_token_id] * (capacity - len(text_ids))
        return [tokenizer.bos_token_id, *text_ids, tokenizer.eos_token_id, *padding]

    def _encode(self, rows: list[list[int]]) -> tuple[Any, Any]:
        """The hidden states of all windows and the pooled embedding of the first, or None."""
        import torch

        tokens = torch.tensor(rows, device=self.device)
        is_inner = self.hidden_state is not None or self.skipped is not None
        output = self.encoder(tokens, output_hidden_states=is_inner)
        if self.hidden_state is not None:
            hidden = output.hidden_states[self.hidden_state - (self.skipped or 0)]
        elif self.skipped is not None:
            hidden = output.hidden_states[-1 - self.skipped]
            hidden = getattr(self.encoder, "text_model", self.encoder).final_layer_norm(hidden)
        else:
            hidden = output[0]
        return hidden, output[0][:1] if self.pooled else None


def encode_prompts(
    pipe: Any,
    family: ModelFamily,
    device: str,
    prompts: Sequence[WeightedTexts],
    vectors: Mapping[str, Vectors],
    *,
    guided: bool,
    clip_skip: int | None = None,
) -> tuple[Any, ...]:
    """Embeds a prompt and a negative prompt, in the form of the pipeline's `encode_prompt`.

    Args:
        pipe: The pipeline with its text encoders.
        family: The pipeline's family.
        device: The device to compute on.
        prompts: The prompt and the negative prompt, as texts with their weights.
        vectors: The vectors of textual inversions, by word.
        guided: Whether classifier-free guidance uses the negative prompt.
        clip_skip: How many of the last layers are left out for the prompt.

    Returns:
        The embeddings, each 1 × tokens × width, and if the family has them the pooled embeddings,
        each 1 × width, in the order of the family's `prompt_encoding`; None for the negative
        prompt without guidance.
    """
    import torch

    readers = _readers(pipe, family, device)
    texts = prompts if guided else prompts[:1]
    embeddings = _embeddings(readers, texts, vectors, device, clip_skip)
    zeroed = guided and getattr(pipe.config, ZERO_EMPTY_PROMPT, False)
    if zeroed and prompts[1] == (("", 1.0),):
        embeddings[1] = tuple(torch.zeros_like(tensor) for tensor in embeddings[0])
    prompt, negative = embeddings[0], embeddings[1] if guided else (None, None)
    if family.pooled:
        return prompt[0], negative[0], prompt[1], negative[1]
    return prompt[0], negative[0]


def _readers(pipe: Any, family: ModelFamily, device: str) -> list[_Reader]:
    """The text encoders of a pipeline, without those that are not loaded."""
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
    clip_skip: int | None,
) -> list[tuple[Any, ...]]:
    """For each prompt: the joined embeddings of all encoders, and the last one's pooled embedding.

    Every prompt gets as many windows as the longest one needs with any encoder.
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
    for index in range(len(prompts)):
        parts = [
            # As in diffusers, layers are left out for the prompt alone.
            replace(reader, skipped=None if index else clip_skip).embed(own_tokens[index], windows)
            for reader, own_tokens in zip(readers, tokens, strict=True)
        ]
        hidden = torch.cat([part[0] for part in parts], dim=-1)
        embeddings.append((hidden.to(device), parts[-1][1]))
    return embeddings


def _vectors_for(vectors: Mapping[str, Vectors], number: int) -> dict[str, Any]:
    """The vectors for the text encoder with a number, by word in lower case."""
    return {word.lower(): by_encoder[number] for word, by_encoder in vectors.items()}


def split_at_words(text: str, words: Sequence[str]) -> list[str]:
    """The pieces of a text cut before and after given words, in any case.

    Example:
        >>> split_at_words("a photo of MyCat, sitting", ["mycat"])
        ['a photo of ', 'MyCat', ', sitting']
    """
    if not words:
        return [text]
    longest = sorted(words, key=len, reverse=True)
    pattern = "|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in longest)
    return [piece for piece in re.split(f"({pattern})", text, flags=re.IGNORECASE) if piece]


@contextmanager
def _replace_embeddings(encoder: Any, vectors: Mapping[tuple[int, int], Any]) -> Iterator[None]:
    """Replaces the embeddings of tokens by vectors, which are by window and position."""

    def replace(_module: Any, _inputs: Any, output: Any) -> Any:
        for position, vector in vectors.items():
            output[position] = vector.to(output)
        return output

    hook = encoder.get_input_embeddings().register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()
