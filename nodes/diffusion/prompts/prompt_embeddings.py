"""Embeds the prompts of a node, as a stage whose result is remembered by its content."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import Stage
from sdgraph.models import Models, quiet_libraries, resolve
from sdgraph.nodes.diffusion.families import ZERO_EMPTY_PROMPT, ModelFamily
from sdgraph.values import Checkpoint

from .long_prompts import Vectors, encode_prompts
from .prompt_weights import parse_weights

STAGE = "prompt"
"""The name of the stage whose result is remembered."""

_STAGE_VERSION = 2
"""To be raised when a change of the code gives other embeddings for the same prompts."""


def with_encoding_for(family: ModelFamily, checkpoint: Checkpoint) -> ModelFamily:
    """A family with the way to embed prompts that a checkpoint's denoiser needs."""
    if family.prompt_encoding.options_by_config is None:
        return family
    encoding = family.prompt_encoding.for_denoiser(family.denoiser_config(checkpoint))
    return replace(family, prompt_encoding=encoding)


def embedding_stage(
    prompt: object,
    negative: object,
    checkpoint: Checkpoint,
    family: ModelFamily,
    *,
    guided: bool,
    pictures: Sequence[object] = (),
    stage: str = STAGE,
    prefix: str = "",
    kernels: str | None = None,
) -> Stage:
    """The stage that embeds a prompt, and with guidance the negative prompt.

    Args:
        prompt: The prompt, or the node that makes it.
        negative: The negative prompt, or the node that makes it.
        checkpoint: The checkpoint of the text encoders.
        family: Its family. Others may embed prompts in another way by the same text encoders.
        guided: Whether classifier-free guidance uses the negative prompt.
        pictures: The values and nodes of the pictures that the text encoders read, if any.
        stage: The name of the stage.
        prefix: What the names of the checkpoint's components begin with among those of the node.
        kernels: The name of torch's kernels for attention; None for those that torch chooses.
    """
    texts = {"prompt": prompt, "negative": negative if guided else ""}
    inputs = {
        "version": _STAGE_VERSION,
        **{name: text if isinstance(text, str) else None for name, text in texts.items()},
        "guided": guided,
        "encoding": with_encoding_for(family, checkpoint).prompt_encoding.identity,
        ZERO_EMPTY_PROMPT: (resolve(checkpoint).index or {}).get(ZERO_EMPTY_PROMPT),
    }
    if checkpoint.clip_skip is not None:
        inputs["clip_skip"] = checkpoint.clip_skip
    if kernels is not None:
        inputs["kernels"] = kernels
    parts = tuple(f"{prefix}{name}" for name in family.text_components_of(checkpoint))
    wired = [text for text in texts.values() if not isinstance(text, str)]
    return Stage(stage, inputs, parts, (*wired, *pictures), runs_alone=True)


@dataclass(frozen=True, kw_only=True)
class PromptInputs:
    """What the embeddings for one picture or video are made of.

    Args:
        prompt: What the picture shows.
        negative: What it must not show.
        guided: Whether classifier-free guidance uses the negative prompt.
        vectors: The vectors of textual inversions, by word.
        clip_skip: How many of the last layers of CLIP are left out for the prompt.
        pictures: The picture that the prompt speaks of, or a list of them, for text encoders that
            see them.
    """

    prompt: str
    negative: str
    guided: bool
    vectors: Mapping[str, Vectors] = field(default_factory=dict)
    clip_skip: int | None = None
    pictures: Any = None


def embed_prompts(
    pipe: Any, family: ModelFamily, models: Models, inputs: PromptInputs, *, stage: str = STAGE
) -> dict[str, Any]:
    """The arguments with which a pipeline is called instead of the two prompts.

    Remembered embeddings are equal to new ones bit for bit.

    Args:
        pipe: The pipeline, with text encoders unless the embeddings are remembered.
        family: The pipeline's family.
        models: The leased components, which also recall remembered embeddings.
        inputs: What is embedded.
        stage: The name of the stage whose result is remembered.

    Returns:
        Embeddings of 1 × tokens × width and, if the family has them, pooled embeddings of
        1 × width, on the pipeline's device.
    """
    if not family.text_encoders:
        return {}
    from safetensors.torch import load

    encode = partial(embedding_bytes, pipe, family, models.device, inputs)
    remembered = load(models.recall(stage, encode))
    return family.prompt_encoding.as_arguments(
        {name: tensor.to(models.device) for name, tensor in remembered.items()}
    )


def embedding_bytes(pipe: Any, family: ModelFamily, device: str, inputs: PromptInputs) -> bytes:
    """The embeddings of two prompts by name, as the bytes of a safetensors file.

    Args:
        pipe: The pipeline, with text encoders.
        family: The pipeline's family.
        device: The device to compute on.
        inputs: What is embedded.
    """
    import torch
    from safetensors.torch import save

    with torch.no_grad(), quiet_libraries():
        tensors = _embeddings(pipe, family, device, inputs)
    kept = family.prompt_encoding.without_padding(tensors)
    data: bytes = save({name: each.cpu().contiguous() for name, each in kept.items()})
    return data


def _embeddings(
    pipe: Any, family: ModelFamily, device: str, inputs: PromptInputs
) -> dict[str, Any]:
    """The embeddings by name.

    The pipeline itself embeds prompts, except those that are read in windows and do not fit into
    one, have weights, have words of textual inversions, or are read without the last layers.
    """
    prompt, negative, guided = inputs.prompt, inputs.negative, inputs.guided
    vectors, clip_skip = inputs.vectors, inputs.clip_skip
    encoding = family.prompt_encoding
    if encoding.in_windows:
        prompts = [parse_weights(prompt), parse_weights(negative if guided else "")]
        unweighted = all(len(texts) == 1 and texts[0][1] == 1 for texts in prompts)
        prompt, negative = (texts[0][0] for texts in prompts)
        fits = unweighted and all(_fits(pipe, family, text) for text in (prompt, negative))
        if vectors or not fits or clip_skip is not None:
            encoded = encode_prompts(
                pipe, family, device, prompts, vectors, guided=guided, clip_skip=clip_skip
            )
            return dict(encoding.name_results(encoded))
    else:
        for text in (encoding.instruction(pipe) + prompt, negative if guided else ""):
            _refuse_longer(pipe, family, text)
    return dict(
        encoding.encode(pipe, prompt, negative, device, guided=guided, pictures=inputs.pictures)
    )


def _refuse_longer(pipe: Any, family: ModelFamily, text: str) -> None:
    """Raises InvalidValueError for a text that the pipeline would cut without a word.

    Of several text encoders the last one reads the most; those before it see the beginning, except
    those that read some of the words alone.
    """
    encoders = [e for e in family.text_encoders if getattr(pipe, e.tokenizer, None) is not None]
    for encoder in encoders:
        if encoder.words_read is None and encoder is not encoders[-1]:
            continue
        words = text if encoder.words_read is None else encoder.words_read(text)
        count = len(getattr(pipe, encoder.tokenizer)(words).input_ids)
        if count > encoder.max_tokens:
            which = "" if encoder.words_read is None else f" of the words that {encoder.name} reads"
            found = f"a text of {count} tokens{which} for {family.label}, which would be cut"
            raise InvalidValueError(
                Problem("prompt", found, f"at most {encoder.max_tokens}", "make it shorter")
            )


def _fits(pipe: Any, family: ModelFamily, text: str) -> bool:
    """Whether every tokenizer reads all of a text at once."""
    tokenizers = (getattr(pipe, name, None) for name in family.tokenizers)
    return all(
        most_tokens(text) <= tokenizer.model_max_length
        or len(tokenizer(text).input_ids) <= tokenizer.model_max_length
        for tokenizer in tokenizers
        if tokenizer is not None
    )


def most_tokens(text: str) -> float:
    """The most tokens that any tokenizer makes of a text: one for each letter, and two around it.

    It is infinite for letters that are not ASCII, which may be several tokens each.
    """
    return len(text) + 2 if text.isascii() else math.inf
