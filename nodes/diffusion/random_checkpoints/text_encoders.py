"""Small text encoders with random weights, and tokenizers that spell a prompt by letters."""

from __future__ import annotations

import string
from typing import Any

_QWEN_WORDS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_LETTERS = tuple(letter for letter in string.printable if not letter.isspace())
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _bytes() -> list[str]:
    """The characters that stand for the 256 bytes in tokenizers of GPT's kind."""
    from tokenizers.pre_tokenizers import ByteLevel

    return sorted(ByteLevel.alphabet())


def clip_tokenizer() -> Any:
    """A tokenizer of CLIP's kind with a token for each byte, in a word and at its end."""
    from transformers import CLIPTokenizer

    ends = [f"{character}</w>" for character in _bytes()]
    words = [*_bytes(), *ends, "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: number for number, word in enumerate(words)}, merges=[])
    tokenizer.model_max_length = 77
    return tokenizer


def t5_tokenizer() -> Any:
    """A tokenizer of T5's kind with a token for each printable character."""
    from transformers import T5Tokenizer

    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    letters = [(letter, -3.0) for letter in _LETTERS]
    tokenizer = T5Tokenizer(vocab=special + letters, extra_ids=0)
    tokenizer.model_max_length = 512
    return tokenizer


def qwen_tokenizer() -> Any:
    """A tokenizer of Qwen's kind with a token for each byte, and a template for chats."""
    from transformers import Qwen2Tokenizer

    vocabulary = {character: number for number, character in enumerate(_bytes())}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=[], unk_token=None, extra_special_tokens=list(_QWEN_WORDS)
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    tokenizer.model_max_length = 1024
    return tokenizer


def gemma_tokenizer() -> Any:
    """A tokenizer of Gemma's kind with a token for each printable character."""
    from transformers import GemmaTokenizer

    words = ["<pad>", "<eos>", "<bos>", "<unk>", "\u2581", *_LETTERS]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = GemmaTokenizer(vocab=vocabulary, merges=[], add_bos_token=True)
    tokenizer.model_max_length = 1024
    return tokenizer


def chat_tokenizer() -> Any:
    """A tokenizer with a template for chats whose messages are lists of texts."""
    tokenizer = qwen_tokenizer()
    tokenizer.chat_template = _CHAT_TEMPLATE.replace(
        "message['content']", "message['content'] | map(attribute='text') | join"
    )
    return tokenizer


def clip_text_encoder(*, projection: bool = False) -> Any:
    """A text encoder of CLIP: 32 wide, 3 layers."""
    import transformers

    config = transformers.CLIPTextConfig(
        bos_token_id=512,
        eos_token_id=513,
        pad_token_id=513,
        hidden_size=32,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=3,
        vocab_size=514,
        hidden_act="gelu",
        projection_dim=32,
    )
    name = "CLIPTextModelWithProjection" if projection else "CLIPTextModel"
    return getattr(transformers, name)(config).eval()


def clip_vision(*, projection: bool = False) -> tuple[Any, Any]:
    """An image encoder of CLIP for pictures of 28 pixels: 32 wide, 3 layers; its processor."""
    import transformers

    config = transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=37,
        projection_dim=32,
        num_attention_heads=4,
        num_hidden_layers=3,
        image_size=28,
        patch_size=14,
    )
    size = {"height": 28, "width": 28}
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 28}, crop_size=size)
    cls = transformers.CLIPVisionModelWithProjection if projection else transformers.CLIPVisionModel
    return cls(config).eval(), processor


def t5_encoder(width: int = 32, kind: str = "T5") -> Any:
    """A text encoder of T5: 2 layers.

    Args:
        width: The width of its features.
        kind: What its classes in transformers begin with: "T5" or "UMT5".
    """
    import transformers

    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(t5_tokenizer()) + 8,
        d_model=width,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        is_encoder_decoder=False,
        feed_forward_proj="gated-gelu",
    )
    return getattr(transformers, f"{kind}EncoderModel")(config).eval()


def byt5_tokenizer() -> Any:
    """The tokenizer that reads bytes, which has no vocabulary."""
    from transformers import ByT5Tokenizer

    return ByT5Tokenizer(model_max_length=512)


def byt5_encoder() -> Any:
    """A text encoder of T5 that reads bytes: 16 wide, 1 layer."""
    import transformers

    config = transformers.T5Config(
        vocab_size=len(byt5_tokenizer()),
        d_model=16,
        d_kv=8,
        d_ff=16,
        num_layers=1,
        num_heads=2,
        is_encoder_decoder=False,
        feed_forward_proj="gated-gelu",
    )
    return transformers.T5EncoderModel(config).eval()


def qwen3(class_name: str, layers: int) -> Any:
    """A language model of Qwen 3: 16 wide.

    Args:
        class_name: Its class in transformers.
        layers: The number of its layers.
    """
    import transformers

    config = transformers.Qwen3Config(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        vocab_size=len(qwen_tokenizer()) + 8,
        max_position_embeddings=1024,
    )
    return getattr(transformers, class_name)(config).eval()


def mistral3(layers: int) -> Any:
    """A language model of Mistral 3: 16 wide.

    Args:
        layers: The number of its layers.
    """
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    size = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_attention_heads": 2,
        "head_dim": 8,
    }
    config = Mistral3Config(
        text_config={
            "model_type": "mistral",
            "num_hidden_layers": layers,
            "num_key_value_heads": 2,
            "vocab_size": len(qwen_tokenizer()) + 8,
            "max_position_embeddings": 1024,
            **size,
        },
        vision_config={
            "model_type": "pixtral",
            "num_hidden_layers": 1,
            "patch_size": 14,
            "image_size": 28,
            **size,
        },
    )
    return Mistral3ForConditionalGeneration(config).eval()


def siglip_vision() -> Any:
    """An image encoder of SigLIP: 16 wide, 4 tokens of a picture."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    config = SiglipVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    return SiglipVisionModel(config).eval()


def siglip_image_processor() -> Any:
    """The image processor of SigLIP for pictures of 28 × 28."""
    from transformers import SiglipImageProcessorPil

    return SiglipImageProcessorPil(size={"height": 28, "width": 28})


def qwen_image_processor() -> Any:
    """The image processor of Qwen's language models, which makes few tokens of a picture."""
    from transformers import Qwen2VLImageProcessorPil

    return Qwen2VLImageProcessorPil(min_pixels=56 * 56, max_pixels=56 * 56)


def _qwen25_text(layers: int) -> dict[str, Any]:
    """The settings of the part of Qwen 2.5 that reads words: 16 wide."""
    rope = {"rope_theta": 1e6, "mrope_section": [1, 1, 2], "rope_type": "default"}
    return {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": len(qwen_tokenizer()) + 8,
        "rope_parameters": rope,
    }


def qwen25_vl_text() -> Any:
    """The part of a language model of Qwen 2.5 that reads words: 16 wide, 3 layers."""
    from transformers import Qwen2_5_VLTextConfig, Qwen2_5_VLTextModel

    config = Qwen2_5_VLTextConfig(bos_token_id=None, eos_token_id=None, **_qwen25_text(3))
    return Qwen2_5_VLTextModel(config).eval()


def qwen25_vl() -> Any:
    """A language model of Qwen 2.5 that also sees pictures: 16 wide, 2 layers."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = qwen_tokenizer()
    words = ("vision_start", "vision_end", "image_pad", "video_pad")
    number = {word: tokenizer.convert_tokens_to_ids(f"<|{word}|>") for word in words}
    vision = {
        "depth": 2,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_heads": 2,
        "out_hidden_size": 16,
    }
    config = Qwen2_5_VLConfig(
        text_config=_qwen25_text(2),
        vision_config=vision,
        image_token_id=number["image_pad"],
        video_token_id=number["video_pad"],
        vision_start_token_id=number["vision_start"],
        vision_end_token_id=number["vision_end"],
    )
    return Qwen2_5_VLForConditionalGeneration(config).eval()


def gemma2() -> Any:
    """A language model of Gemma 2: 32 wide, 2 layers."""
    import transformers

    config = transformers.Gemma2Config(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=len(gemma_tokenizer()) + 8,
        max_position_embeddings=1024,
    )
    return transformers.Gemma2Model(config).eval()


def gemma3(width: int) -> Any:
    """A language model of Gemma 3 that also sees pictures: 2 layers.

    Args:
        width: The width of its features.
    """
    import transformers

    config = transformers.Gemma3Config(
        text_config={
            "hidden_size": width,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": len(gemma_tokenizer()) + 8,
            "max_position_embeddings": 1024,
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        mm_tokens_per_image=4,
        boi_token_index=1,
        eoi_token_index=2,
        image_token_index=3,
    )
    return transformers.Gemma3ForConditionalGeneration(config).eval()
