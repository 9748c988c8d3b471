"""The prompts of a node as a text encoder's embeddings, remembered by content."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sdgraph.checkpoints import index
from sdgraph.models import Models
from sdgraph.stages import Stage
from sdgraph.values import Checkpoint

PROMPT = "prompt"

_NAMES = {
    2: ("prompt_embeds", "negative_prompt_embeds"),
    4: (
        "prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds",
        "negative_pooled_prompt_embeds",
    ),
}  # fmt: skip
"""As the pipelines of SD and of SDXL return and take them."""

_ZEROS = "force_zeros_for_empty_prompt"


def stage(
    prompt: str, negative: str, checkpoint: Checkpoint, parts: tuple[str, ...], *, guided: bool
) -> Stage:
    """The embedding of a prompt, and with guidance that of the negative one.

    `parts` are the names of the text encoders and their tokenizers.
    """
    told = {
        "version": 1, "prompt": prompt, "negative": negative if guided else "", "guided": guided,
        _ZEROS: (index(checkpoint) or {}).get(_ZEROS),
    }  # fmt: skip
    return Stage(PROMPT, told, parts)


def embeddings(
    pipe: Any, models: Models, prompt: str, negative: str, *, guided: bool
) -> dict[str, Any]:
    """What a pipeline is called with instead of the two prompts; it runs no text encoder then.

    Tensors batch 1 × tokens × width on the pipeline's device; the same bits, remembered or not.
    """
    from safetensors.torch import load, save

    device = models.device

    def made() -> bytes:
        data: bytes = save(dict(_embedded(pipe, device, prompt, negative, guided=guided)))
        return data

    tensors = load(models.recall(PROMPT, made))
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def _embedded(
    pipe: Any, device: Any, prompt: str, negative: str, *, guided: bool
) -> Iterator[tuple[str, Any]]:
    import torch

    with torch.no_grad():
        made = pipe.encode_prompt(
            prompt=prompt,
            negative_prompt=(negative or None) if guided else None,
            device=device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=guided,
        )
    for name, tensor in zip(_NAMES[len(made)], made, strict=True):
        if tensor is not None:
            yield name, tensor.cpu().contiguous()
