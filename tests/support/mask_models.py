"""Models of SAM's, CLIPSeg's and Grounding DINO's architectures, tiny and random, as on the hub."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any


def sam(folder: Path, seed: int = 0) -> Path:
    """A SAM that sees pictures at 64×64 pixels."""
    import torch
    import transformers

    sizes = {"image_size": 64, "patch_size": 8}
    embedding = {"hidden_size": 32, "image_embedding_size": 8}
    torch.manual_seed(seed)
    config = transformers.SamConfig(
        vision_config=transformers.SamVisionConfig(
            hidden_size=16,
            output_channels=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            mlp_dim=32,
            num_pos_feats=16,
            global_attn_indexes=[1],
            window_size=4,
            **sizes,
        ),
        prompt_encoder_config=transformers.SamPromptEncoderConfig(
            mask_input_channels=4, **embedding, **sizes
        ),
        mask_decoder_config=transformers.SamMaskDecoderConfig(
            hidden_size=32, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=16
        ),
    )
    with_large_weights(transformers.SamModel(config)).save_pretrained(folder)
    size = {"longest_edge": 64}
    padded = {"height": 64, "width": 64}
    transformers.SamImageProcessorPil(size=size, pad_size=padded).save_pretrained(folder)
    return folder


def clipseg(folder: Path, seed: int = 0) -> Path:
    """A CLIPSeg that sees pictures at 32×32 pixels and reads 20 tokens."""
    import torch
    import transformers

    narrow = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    torch.manual_seed(seed)
    config = transformers.CLIPSegConfig(
        text_config={
            **narrow,
            "num_hidden_layers": 2,
            "vocab_size": 512,
            "max_position_embeddings": 20,
            "bos_token_id": 510,
            "eos_token_id": 511,
            "pad_token_id": 511,
        },
        vision_config={**narrow, "num_hidden_layers": 3, "image_size": 32, "patch_size": 8},
        projection_dim=16,
        extract_layers=[0, 1, 2],
        reduce_dim=16,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
    )
    with_large_weights(transformers.CLIPSegForImageSegmentation(config)).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessorPil(size=size).save_pretrained(folder)
    letters = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    vocabulary |= {"<|startoftext|>": 510, "<|endoftext|>": 511}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=20
    )
    tokenizer.save_pretrained(folder)
    return folder


def grounding_dino(folder: Path, seed: int = 0) -> Path:
    """A Grounding DINO that sees pictures at up to 80×128 pixels and reads 24 tokens."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.GroundingDinoConfig(
        backbone_config=transformers.SwinConfig(
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=4,
            image_size=64,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config={
            "model_type": "bert",
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "vocab_size": 64,
            "max_position_embeddings": 64,
        },
        d_model=32,
        encoder_layers=1,
        encoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_attention_heads=2,
        num_queries=12,
        num_feature_levels=4,
        max_text_len=24,
        encoder_n_points=2,
        decoder_n_points=2,
    )
    with_large_weights(transformers.GroundingDinoForObjectDetection(config)).save_pretrained(folder)
    size = {"shortest_edge": 80, "longest_edge": 128}
    transformers.GroundingDinoImageProcessorPil(size=size).save_pretrained(folder)
    letters = [
        *string.ascii_lowercase,
        *(f"##{letter}" for letter in string.ascii_lowercase),
        ".",
        "?",
    ]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def with_large_weights(model: Any) -> Any:
    """The model with weights large enough that its input makes a difference."""
    import torch

    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(std=0.3)
    return model
