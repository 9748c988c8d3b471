"""Models of RT-DETR's, ViTPose's, SegFormer's and UperNet's architectures, tiny and random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .mask_models import with_large_weights


def rt_detr(folder: Path, seed: int = 0, **more: Any) -> Path:
    """An RT-DETR that sees pictures at 64×64 pixels and knows people and bicycles."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.RTDetrConfig(
        backbone_config=transformers.RTDetrResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 16, 16, 32],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        encoder_in_channels=[16, 16, 32],
        encoder_hidden_dim=16,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        decoder_in_channels=[16, 16, 16],
        decoder_layers=1,
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        num_queries=12,
        num_denoising=0,
        **{"id2label": {0: "person", 1: "bicycle"}, **more},
    )
    with_large_weights(transformers.RTDetrForObjectDetection(config)).save_pretrained(folder)
    size = {"height": 64, "width": 64}
    transformers.RTDetrImageProcessorPil(size=size).save_pretrained(folder)
    return folder


def vitpose(folder: Path, seed: int = 0, joints: int = 17, experts: int = 1) -> Path:
    """A ViTPose that sees a person at 48 pixels by 64."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.VitPoseConfig(
        backbone_config=transformers.VitPoseBackboneConfig(
            image_size=[64, 48],
            patch_size=[16, 16],
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            mlp_ratio=2,
            num_experts=experts,
            part_features=8,
            out_indices=[2],
        ),
        id2label={number: f"joint {number}" for number in range(joints)},
    )
    with_large_weights(transformers.VitPoseForPoseEstimation(config)).save_pretrained(folder)
    size = {"height": 64, "width": 48}
    transformers.VitPoseImageProcessorPil(size=size).save_pretrained(folder)
    return folder


def segformer(folder: Path, seed: int = 0, classes: int = 150) -> Path:
    """A SegFormer that sees pictures at 64×64 pixels."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.SegformerConfig(
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        id2label=labels(classes),
    )
    with_large_weights(transformers.SegformerForSemanticSegmentation(config)).save_pretrained(
        folder
    )
    return _prepared(folder)


def upernet(folder: Path, seed: int = 0) -> Path:
    """A UperNet that sees pictures at 64×64 pixels."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.UperNetConfig(
        backbone_config=transformers.ConvNextConfig(
            hidden_sizes=[8, 8, 16, 16],
            depths=[1, 1, 1, 1],
            out_features=["stage1", "stage2", "stage3", "stage4"],
        ),
        hidden_size=16,
        use_auxiliary_head=False,
        id2label=labels(150),
    )
    with_large_weights(transformers.UperNetForSemanticSegmentation(config)).save_pretrained(folder)
    return _prepared(folder)


def depth_anything(folder: Path, seed: int = 0) -> Path:
    """A Depth Anything that sees pictures at about 56 pixels."""
    import torch
    import transformers

    torch.manual_seed(seed)
    config = transformers.DepthAnythingConfig(
        backbone_config=transformers.Dinov2Config(
            image_size=56,
            patch_size=14,
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            out_indices=[1, 2, 3, 4],
            apply_layernorm=True,
            reshape_hidden_states=False,
        ),
        reassemble_hidden_size=16,
        patch_size=14,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        head_in_index=-1,
        head_hidden_size=8,
    )
    transformers.DepthAnythingForDepthEstimation(config).save_pretrained(folder)
    transformers.DPTImageProcessorPil(
        size={"height": 56, "width": 56}, ensure_multiple_of=14, keep_aspect_ratio=True
    ).save_pretrained(folder)
    return folder


def labels(classes: int) -> dict[int, str]:
    """Names for so many classes."""
    return {number: f"class {number}" for number in range(classes)}


def _prepared(folder: Path) -> Path:
    import transformers

    size = {"height": 64, "width": 64}
    transformers.SegformerImageProcessorPil(size=size, do_reduce_labels=True).save_pretrained(
        folder
    )
    return folder
