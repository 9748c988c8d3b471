"""The diffusion transformers that families share, and a formula for their working memory.

A transformer works on tokens: patches of the latents, and the tokens of the prompt. The peak of a
step is proportional to the number of images, their tokens, the transformer's width and the bytes
per number, because attention is computed without its matrix. The factors count the tensors of that
size that exist at once; `tests/nodes/diffusion/test_transformer_memory.py` measures them as peaks
of torch's allocations, without computing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from sdgraph.values import DTYPE_BYTES

from .control_memory import control_tensors
from .networks import Config, Decoder, Denoiser, autoencoder_memory
from .tasks import Knob

_PATCH = 2
"""The side of a patch in latents."""


def transformer_width(config: Config) -> int:
    """The width of a transformer's tokens, by its config."""
    width = config.get("dim") or config.get("hidden_size")
    if width:
        return int(width)
    heads = int(config.get("num_attention_heads") or 24)
    return heads * int(config.get("attention_head_dim") or 128)


def transformer_memory(
    tensors: float, text_tokens: int, patch: int = _PATCH, per_feed_forward: float = 0.0
) -> Callable[..., int]:
    """The working memory of a transformer, as a function of the form of `unet_memory`.

    Args:
        tensors: The number of tensors of tokens × width that exist at once.
        text_tokens: How many tokens the longest prompt adds.
        patch: The side of a patch in latents.
        per_feed_forward: How many more there are for each time that the feed-forward layer is
            wider than the tokens, by `ffn_dim` in the config.

    Returns:
        The bytes that a step needs, without the weights, by config, number of images, width ×
        height of the latents, and dtype.
    """

    def memory(
        config: Config, images: int, area: int, dtype: str, *, controls: Sequence[Config] = ()
    ) -> int:
        picture_tokens = area // patch**2
        tokens = picture_tokens + text_tokens
        width = transformer_width(config)
        held = tensors + per_feed_forward * int(config.get("ffn_dim") or 0) / width
        count = control_tensors(held, controls, tokens, picture_tokens)
        numbers = count * images * tokens * width
        return int(numbers * DTYPE_BYTES.get(dtype, 4))

    return memory


def patch_side(config: Config) -> int:
    """The side of a patch in latents, by the `patch_size` of a config: one number, or of each axis.

    Example:
        >>> patch_side({"patch_size": [1, 2, 2]})
        2
    """
    size = config.get("patch_size") or _PATCH
    return int(size if isinstance(size, int) else size[-1])


_UNCAST: Mapping[str, tuple[str, ...]] = {
    "HunyuanVideo15Transformer3DModel": ("x_embedder", "context_embedder"),
    "HunyuanVideoTransformer3DModel": ("x_embedder", "context_embedder"),
    "Lumina2Transformer2DModel": ("x_embedder", r"caption_embedder\.0\."),
    "PixArtTransformer2DModel": ("adaln_single",),
    "WanAnimateTransformer3DModel": ("patch_embedding", "condition_embedder", "rope"),
    "WanTransformer3DModel": ("patch_embedding", "condition_embedder", "rope"),
    "WanVACETransformer3DModel": ("patch_embedding", "condition_embedder", "rope"),
    "ZImageTransformer2DModel": ("t_embedder", "cap_embedder"),
}
"""The layers that diffusers' layerwise casting leaves alone in a class, besides the usual ones."""

_QUERY = re.compile(r"(?:^|[._])(?:to_q|qkv|add_q_proj|self_attn[._]q)$")
"""Layers that take tokens of the transformer's width, by their names in a LoRA."""


def _attention_features(layer: str, config: Config) -> set[int]:
    known = "dim" in config or {"num_attention_heads", "attention_head_dim"} <= set(config)
    return {transformer_width(config)} if known and _QUERY.search(layer) else set()


def transformer(
    *class_names: str,
    tensors: float,
    text_tokens: int = 0,
    latents_per_token: int = 1,
    patch: int = _PATCH,
    per_feed_forward: float = 0.0,
    times_per_token: float = 0.0,
) -> Denoiser:
    """The denoiser of a family whose network is a transformer.

    Args:
        class_names: The classes that it may have, in diffusers.
        tensors: As in `transformer_memory`.
        text_tokens: As in `transformer_memory`.
        latents_per_token: As in `Denoiser`.
        patch: As in `transformer_memory`.
        per_feed_forward: As in `transformer_memory`.
        times_per_token: How many more tensors there are when each token has its own timestep.
    """
    timed = tensors + times_per_token
    return Denoiser(
        name="transformer",
        label="transformer",
        memory=transformer_memory(tensors, text_tokens, patch, per_feed_forward),
        timed_memory=transformer_memory(timed, text_tokens, patch, per_feed_forward),
        lora_features=_attention_features,
        uncast_layers=tuple(chain.from_iterable(_UNCAST.get(name, ()) for name in class_names)),
        sample_size=128,
        latents_per_token=latents_per_token,
        tensors=tensors,
        classes=class_names,
    )


def _scale_of_video_autoencoder(config: Config) -> int:
    return int(2 ** len(config.get("temperal_downsample", (False, True, True))))


QWEN_AUTOENCODER = Decoder(
    name="vae",
    label="VAE",
    memory=autoencoder_memory,
    scale=_scale_of_video_autoencoder,
    sliceable=("AutoencoderKLQwenImage",),
    classes=("AutoencoderKLQwenImage",),
)

FLUX2_AUTOENCODER = Decoder(
    name="vae",
    label="VAE",
    memory=autoencoder_memory,
    scale=lambda config: int(2 ** (len(config.get("block_out_channels", (0,) * 4)) - 1)),
    sliceable=("AutoencoderKLFlux2",),
    classes=("AutoencoderKLFlux2",),
)

TRANSFORMER_KNOBS: tuple[Knob, ...] = ("vae", "attention", "compile", "layerwise_casting")
"""The settings of speed and memory that fit a transformer."""

_LORA_PREFIXES = (
    "transformer.",
    "lora_transformer_",
    "diffusion_model.",
    "model.diffusion_model.",
    "lora_unet_",
    "lycoris_",
    "base_model.model.transformer.",
    "base_model.model.diffusion_model.",
    "base_model.model.",
    "",
)
TRANSFORMER_LORA_PREFIXES = dict.fromkeys(_LORA_PREFIXES, "transformer")
"""The component that a tensor in a LoRA for a transformer is for, by what its name begins with.

diffusers writes `transformer.`, ComfyUI `diffusion_model.`, kohya's scripts `lora_unet_`, peft
`base_model.model.`, LyCORIS `lycoris_`, and some trainers nothing.
"""

CLIP_L_LORA_PREFIXES = (
    "text_encoder.",
    "lora_te_",
    "lora_te1_",
    "text_encoders.clip_l.transformer.",
)
CLIP_G_LORA_PREFIXES = ("text_encoder_2.", "lora_te2_", "text_encoders.clip_g.transformer.")
T5_LORA_PREFIXES = ("lora_te3_", "text_encoders.t5xxl.transformer.")
"""What the names of tensors in LoRAs for text encoders begin with."""

T5_TOKENIZERS = ("T5Tokenizer", "T5TokenizerFast")
QWEN_TOKENIZERS = ("Qwen2Tokenizer", "Qwen2TokenizerFast")
GEMMA_TOKENIZERS = ("GemmaTokenizer", "GemmaTokenizerFast")
"""The classes of the tokenizers of text encoders of T5's, Qwen's and Gemma's kind."""
