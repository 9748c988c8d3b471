"""The prompts of a node as a text encoder's embeddings, remembered by content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sdgraph.graph import Stage
from sdgraph.models import Models, quiet_libraries, resolve
from sdgraph.values import Checkpoint

from .families import ZERO_EMPTY_PROMPT, ModelFamily
from .long_prompts import Vectors, encode_prompts
from .prompt_weights import parse_weights

STAGE = "prompt"
"""The name of the stage whose result is remembered."""

_STAGE_VERSION = 2
"""Raised when the same prompts give other embeddings."""


def embedding_stage(
    prompt: str, negative: str, checkpoint: Checkpoint, parts: tuple[str, ...], *, guided: bool
) -> Stage:
    """The embedding of a prompt, and with guidance that of the negative one.

    `parts` are the names of the text encoders and their tokenizers.
    """
    inputs = {
        "version": _STAGE_VERSION,
        "prompt": prompt,
        "negative": negative if guided else "",
        "guided": guided,
        ZERO_EMPTY_PROMPT: (resolve(checkpoint).index or {}).get(ZERO_EMPTY_PROMPT),
    }
    return Stage(STAGE, inputs, parts)


def embed_prompts(
    pipe: Any,
    family: ModelFamily,
    models: Models,
    prompt: str,
    negative: str,
    *,
    guided: bool,
    vectors: Mapping[str, Vectors] | None = None,
) -> dict[str, Any]:
    """The arguments that a pipeline is called with instead of the two prompts.

    It runs no text encoder then. Remembered or not, the tensors are the same to the bit.

    Args:
        pipe: The pipeline, with text encoders unless the embeddings are remembered.
        family: Its family.
        models: The leased components, which know what is remembered.
        prompt: What the picture shows.
        negative: What it must not show.
        guided: Whether the negative prompt is of use.
        vectors: Those of textual inversions, by word.

    Returns:
        Tensors 1 × tokens × width, and where the family has them summaries 1 × width, on the
        pipeline's device.
    """
    from safetensors.torch import load, save

    device = models.device

    def encode() -> bytes:
        tensors = _embeddings(pipe, family, device, prompt, negative, vectors or {}, guided=guided)
        data: bytes = save({name: each.cpu().contiguous() for name, each in tensors})
        return data

    remembered = load(models.recall(STAGE, encode))
    return {name: tensor.to(device) for name, tensor in remembered.items()}


def _embeddings(
    pipe: Any,
    family: ModelFamily,
    device: Any,
    prompt: str,
    negative: str,
    vectors: Mapping[str, Vectors],
    *,
    guided: bool,
) -> Iterator[tuple[str, Any]]:
    """The embeddings by name: the pipeline's own where it reads the prompts whole, as they are."""
    import torch

    prompts = [parse_weights(prompt), parse_weights(negative if guided else "")]
    unweighted = all(len(texts) == 1 and texts[0][1] == 1 for texts in prompts)
    plain = [texts[0][0] for texts in prompts]
    with torch.no_grad(), quiet_libraries():
        if vectors or not unweighted or not all(_fits(pipe, family, text) for text in plain):
            encoded = encode_prompts(pipe, family, device, prompts, vectors, guided=guided)
        else:
            encoded = pipe.encode_prompt(
                prompt=plain[0],
                negative_prompt=(plain[1] or None) if guided else None,
                device=device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=guided,
            )
    for name, tensor in zip(family.embedding_arguments, encoded, strict=True):
        if tensor is not None:
            yield name, tensor


def _fits(pipe: Any, family: ModelFamily, text: str) -> bool:
    """Whether the tokenizers read all of a text at once."""
    tokenizers = (getattr(pipe, each.tokenizer, None) for each in family.text_encoders)
    return all(
        len(tokenizer(text).input_ids) <= tokenizer.model_max_length
        for tokenizer in tokenizers
        if tokenizer is not None
    )
