"""The prompts of a node as a text encoder's embeddings, remembered by content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sdgraph.graph import Stage
from sdgraph.models import Models, quiet_libraries, resolve
from sdgraph.values import Checkpoint

from .long_prompts import Vectors, spoken
from .prompt_weights import weighted

PROMPT = "prompt"

_NAMES = {
    2: ("prompt_embeds", "negative_prompt_embeds"),
    4: (
        "prompt_embeds",
        "negative_prompt_embeds",
        "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    ),
}
"""As the pipelines of SD and of SDXL return and take them."""

_ZEROS = "force_zeros_for_empty_prompt"


def stage(
    prompt: str, negative: str, checkpoint: Checkpoint, parts: tuple[str, ...], *, guided: bool
) -> Stage:
    """The embedding of a prompt, and with guidance that of the negative one.

    `parts` are the names of the text encoders and their tokenizers.
    """
    told = {
        "version": 2,
        "prompt": prompt,
        "negative": negative if guided else "",
        "guided": guided,
        _ZEROS: (resolve(checkpoint).index or {}).get(_ZEROS),
    }
    return Stage(PROMPT, told, parts)


def embeddings(
    pipe: Any,
    models: Models,
    prompt: str,
    negative: str,
    *,
    guided: bool,
    vectors: Mapping[str, Vectors] | None = None,
) -> dict[str, Any]:
    """What a pipeline is called with instead of the two prompts; it runs no text encoder then.

    `vectors` are those of textual inversions, by token. Tensors batch 1 × tokens × width on the
    pipeline's device; the same bits, remembered or not.
    """
    from safetensors.torch import load, save

    device = models.device

    def made() -> bytes:
        found = dict(_embedded(pipe, device, prompt, negative, vectors or {}, guided=guided))
        data: bytes = save({name: each.cpu().contiguous() for name, each in found.items()})
        return data

    tensors = load(models.recall(PROMPT, made))
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _embedded(
    pipe: Any,
    device: Any,
    prompt: str,
    negative: str,
    vectors: Mapping[str, Vectors],
    *,
    guided: bool,
) -> Iterator[tuple[str, Any]]:
    """The embeddings by name: the pipeline's own of prompts that it reads whole as they stand."""
    import torch

    said = [weighted(prompt), weighted(negative if guided else "")]
    plain = all(len(each) == 1 and each[0][1] == 1 for each in said)
    texts = [each[0][0] for each in said]
    with torch.no_grad(), quiet_libraries():
        if vectors or not plain or not all(_fits(pipe, text) for text in texts):
            made = spoken(pipe, device, said, vectors, guided=guided)
        else:
            made = pipe.encode_prompt(
                prompt=texts[0],
                negative_prompt=(texts[1] or None) if guided else None,
                device=device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=guided,
            )
    for name, tensor in zip(_NAMES[len(made)], made, strict=True):
        if tensor is not None:
            yield name, tensor


def _fits(pipe: Any, text: str) -> bool:
    """Whether the tokenizers read all of a text at once."""
    tokenizers = [pipe.tokenizer, getattr(pipe, "tokenizer_2", None) or pipe.tokenizer]
    return all(len(each(text).input_ids) <= each.model_max_length for each in tokenizers)
