"""Small language models of Llama's kind with random weights, and their tokenizers."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

_PICTURE = "<image>"
_HEADERS = (
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    _PICTURE,
    "system",
    "user",
    "assistant",
    "\n\n",
)
"""What is one token each in the prompts of a language model that sees pictures."""


def llama_tokenizer(parts: Sequence[str] = (), *, begins: bool = False) -> Any:
    """A tokenizer of Llama's kind with a token for each printable character.

    Args:
        parts: Further texts that are one token each.
        begins: Whether each text begins with a token that says so.
    """
    from transformers import AddedToken, LlamaTokenizer

    letters = ["<unk>", "<s>", "</s>", "<pad>", "\u2581", *string.printable.strip()]
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    tokenizer = LlamaTokenizer(vocab=vocabulary, merges=[], pad_token="<pad>", add_bos_token=begins)
    tokenizer.add_tokens([AddedToken(part, normalized=False, special=True) for part in parts])
    tokenizer.model_max_length = 512
    return tokenizer


def pieces_of(text: str, count: int) -> list[str]:
    """A text in so many pieces of about the same length, without repeated ones."""
    cuts = [len(text) * number // count for number in range(count + 1)]
    return list(dict.fromkeys(text[start:end] for start, end in pairwise(cuts)))


def llava_tokenizer(template: str, count: int) -> Any:
    """The tokenizer of a language model that sees pictures.

    Args:
        template: What each prompt begins with.
        count: How many tokens it has.
    """
    headers = "|".join(map(re.escape, _HEADERS))
    instruction = max(re.split(headers, template), key=len)
    rest = template.replace(instruction, "")
    others = 1 + len(re.findall(headers, rest))  # one begins each text
    return llama_tokenizer([*_HEADERS, *pieces_of(instruction, count - others)], begins=True)


def llama(tokenizer: Any, *, class_name: str = "LlamaModel", layers: int = 3) -> Any:
    """A language model of Llama: 32 wide.

    Args:
        tokenizer: Its tokenizer.
        class_name: Its class in transformers.
        layers: The number of its layers.
    """
    import transformers

    config = transformers.LlamaConfig(
        num_hidden_layers=layers, bos_token_id=None, eos_token_id=None, **_llama_size(tokenizer)
    )
    return getattr(transformers, class_name)(config).eval()


def _llama_size(tokenizer: Any) -> dict[str, int]:
    return {
        "vocab_size": len(tokenizer) + 8,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_attention_heads": 4,
        "max_position_embeddings": 1024,
    }


def llava(tokenizer: Any) -> tuple[Any, Any]:
    """A language model that sees pictures of 336 pixels, 32 wide, and its image processor."""
    import transformers

    side, patch = 336, 14
    config = transformers.LlavaConfig(
        text_config={"model_type": "llama", "num_hidden_layers": 3, **_llama_size(tokenizer)},
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "image_size": side,
            "patch_size": patch,
        },
        image_token_index=tokenizer.convert_tokens_to_ids(_PICTURE),
        image_seq_length=(side // patch) ** 2,
        pad_token_id=tokenizer.pad_token_id,
    )
    size = {"height": side, "width": side}
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": side}, crop_size=size)
    return transformers.LlavaForConditionalGeneration(config).eval(), processor
