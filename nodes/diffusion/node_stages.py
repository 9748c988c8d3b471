"""The stage of a diffusion node that embeds its prompts, with nothing but its text encoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from sdgraph.graph import Stage
from sdgraph.models import Models, quiet_libraries, resolve
from sdgraph.nodes.diffusion.adapters import lora
from sdgraph.nodes.diffusion.pipelines.pipeline_settings import make_text_pipeline
from sdgraph.nodes.diffusion.prompts.prompt_embeddings import (
    PromptInputs,
    embedding_bytes,
    embedding_stage,
    with_encoding_for,
)
from sdgraph.nodes.diffusion.tuning import performance
from sdgraph.nodes.diffusion.tuning.offloading import Offload, offload_modules
from sdgraph.nodes.diffusion.tuning.working_memory import offloaded_bytes
from sdgraph.values import DTYPE_BYTES, Checkpoint, Lora

from .families import Config, ModelFamily, Task

_FEED_FORWARD, _SCORES = 3, 2
"""The tensors that a layer has at once: of its feed-forward's inner width, and of the scores of
attention, to which T5 adds a bias."""

_PICTURE_TOKEN = 28**2
"""The pixels of a picture for which text encoders that see pictures make a token."""

_PICTURE_AREA = 672**2
"""The pixels to which they resize a picture, with 576 tokens, unless the family has others."""


class PromptedNode(Protocol):
    """What the stage reads of a diffusion node, which documents it."""

    @property
    def prompt(self) -> object: ...
    @property
    def negative_prompt(self) -> object: ...
    @property
    def known_checkpoint(self) -> Checkpoint: ...
    @property
    def family(self) -> ModelFamily: ...
    @property
    def is_guided(self) -> bool: ...
    @property
    def loras(self) -> Sequence[Lora]: ...
    @property
    def embeddings(self) -> Sequence[Lora]: ...
    @property
    def tuning(self) -> performance.Knobs: ...
    @property
    def offload(self) -> Offload: ...

    def task(self) -> Task: ...
    def pipeline_class(self) -> str: ...
    def prompt_pictures(self) -> Sequence[object]: ...
    def seen_pictures(self, arguments: Mapping[str, Any]) -> Any: ...


def prompt_stages(node: PromptedNode) -> Iterator[Stage]:
    """The embedding of a node's prompts, unless adapters change the text encoders."""
    family = node.family
    if not family.text_encoders:
        return
    if node.embeddings or lora.changes_text_encoders(node.loras, family):
        return
    yield embedding_stage(
        node.prompt,
        node.negative_prompt,
        node.known_checkpoint,
        family,
        guided=node.is_guided,
        pictures=node.prompt_pictures(),
        kernels=performance.chosen_kernels(node.tuning),
    )


def embed_alone(
    node: PromptedNode,
    models: Models,
    arguments: Mapping[str, Any],
    checkpoint: Checkpoint | None = None,
    task: Task | None = None,
) -> bytes:
    """The embeddings of a node's prompts, made without any other component.

    Args:
        node: The node.
        models: The text encoders and what belongs to them.
        arguments: The values of its ports.
        checkpoint: The checkpoint of the text encoders; None for the node's own.
        task: What the checkpoint's pipeline does; None for the node's own.
    """
    class_name = node.pipeline_class() if task is None else ""
    checkpoint, task = checkpoint or node.known_checkpoint, task or node.task()
    family = with_encoding_for(node.family, checkpoint)
    pipe = make_text_pipeline(family, task, checkpoint, models, class_name=class_name)
    with (
        quiet_libraries(),
        performance.apply_kernels(node.tuning, models.device),
        offload_modules(pipe, node.offload, models.device, family),
    ):
        inputs = PromptInputs(
            prompt=arguments["prompt"],
            negative=arguments["negative_prompt"],
            guided=node.is_guided,
            clip_skip=checkpoint.clip_skip,
            pictures=node.seen_pictures(arguments),
        )
        return embedding_bytes(pipe, family, models.device, inputs)


def embedding_memory(
    node: PromptedNode,
    sizes: Mapping[str, int],
    dtype: str,
    checkpoint: Checkpoint | None = None,
) -> int:
    """The bytes that the text encoder which takes the most needs besides its weights.

    Args:
        node: The node.
        sizes: The bytes of the text encoders, by name.
        dtype: The dtype of the computation, if the checkpoint does not say.
        checkpoint: The checkpoint of the text encoders; None for the node's own.
    """
    family, checkpoint = node.family, checkpoint or node.known_checkpoint
    batch = 2 if node.is_guided and not family.prompt_encoding.per_prompt else 1
    area = getattr(family.prompt_encoding.pictures, "area", _PICTURE_AREA)
    tokens_of_pictures = len(node.prompt_pictures()) * area // _PICTURE_TOKEN
    present = family.text_components_of(checkpoint)
    needed = [
        encoder_memory(
            resolve(checkpoint).config(encoder.name) or {},
            encoder.max_tokens + tokens_of_pictures,
            checkpoint.dtype or dtype,
        )
        for encoder in family.text_encoders
        if encoder.name in present
    ]
    return offloaded_bytes(node.offload, sizes) + batch * max(needed, default=0)


def encoder_memory(config: Config, tokens: int, dtype: str) -> int:
    """The bytes that a text encoder needs besides its weights, to embed one text.

    One of T5 has a layer's tensors at once. Language models also return the states of all layers,
    keep keys and values as if they were to go on, and compute the scores of all next tokens where
    they have a head for it.

    Args:
        config: Its config.
        tokens: The tokens of the text.
        dtype: The dtype of the computation.
    """
    classes = config.get("architectures") or ()
    config = config.get("text_config") or config

    def number(*names: str) -> int:
        return next((int(config[name]) for name in names if config.get(name)), 0)

    width, inner = number("hidden_size", "d_model"), number("intermediate_size", "d_ff")
    layers = number("num_hidden_layers", "num_layers")
    heads = number("num_attention_heads", "num_heads")
    computed = _FEED_FORWARD * inner * tokens
    kept = 0
    if number("relative_attention_num_buckets"):
        computed += _SCORES * heads * tokens**2
    else:
        of_head = number("head_dim") or width // max(heads, 1)
        kept = layers * (width + 2 * number("num_key_value_heads") * of_head) * tokens
    if any(name.endswith(("ForCausalLM", "ForConditionalGeneration")) for name in classes):
        computed = max(computed, number("vocab_size") * tokens)
    return int((kept + computed) * DTYPE_BYTES.get(dtype, 4))
