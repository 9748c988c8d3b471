"""Estimates the working memory of recognition models from their configs.

The factors count tensors; `tests/nodes/vision/test_memory.py` measured them for each architecture.
An estimate is 0 if the config is not on this disk or the architecture is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sdgraph.models import resolve
from sdgraph.values import DTYPE_BYTES, Checkpoint

_DEPTH_TENSORS = 1.4
"""The number of tensors that a depth estimator holds at once: side × side × fusion width."""

_MAX_PIXELS = 800 * 1333
"""The largest picture of Grounding DINO in pixels, by its processor's defaults."""

_POSITIONS_PER_PIXEL = 1 / 8**2 + 1 / 16**2 + 1 / 32**2 + 1 / 64**2
"""The positions that it attends to, at four scales, for each pixel of the picture."""

_INCLUDED_TOKENS = 16
"""The number of text tokens whose memory `recognition_memory` includes."""


def recognition_memory(dtype: str, *checkpoints: object) -> int:
    """The bytes that the largest of some models needs for one picture, or for one person in it.

    Args:
        dtype: What the models compute in, unless a checkpoint says otherwise.
        checkpoints: The values of checkpoint ports; nodes are skipped.
    """
    return max(_model_memory(dtype, item) for item in checkpoints if isinstance(item, Checkpoint))


def text_attention_memory(dtype: str, checkpoint: object, words: object) -> int:
    """The additional bytes that Grounding DINO needs for its attention between text and picture.

    The attention matrix is stored. A token counts as two characters; in most texts it has three or
    four.

    Args:
        dtype: What the model computes in, unless the checkpoint says otherwise.
        checkpoint: The value of the checkpoint port.
        words: The text, or the node that makes it; then the longest text is assumed.
    """
    config = (resolve(checkpoint).config() if isinstance(checkpoint, Checkpoint) else None) or {}
    tokens = config.get("max_text_len", 256)
    if isinstance(words, str):
        tokens = min(tokens, len(words) // 2 + 2)
    heads = config.get("encoder_attention_heads", 8) // 2
    matrix = _MAX_PIXELS * _POSITIONS_PER_PIXEL * max(0, tokens - _INCLUDED_TOKENS)
    dtype = (checkpoint.dtype if isinstance(checkpoint, Checkpoint) else None) or dtype
    return int(4 * heads * matrix * DTYPE_BYTES.get(dtype, 4))


def depth_estimation_memory(estimator: Mapping[str, Any], dtype: str) -> int:
    """The bytes that a depth estimator needs for one picture in its working size.

    Args:
        estimator: The config of the model.
        dtype: What it computes in.
    """
    side = max(_sides(estimator.get("image_size") or 384))
    width = estimator.get("fusion_hidden_size") or 256
    return int(_DEPTH_TENSORS * side**2 * width * DTYPE_BYTES.get(dtype, 4))


def _sides(size: Any) -> tuple[int, int]:
    """Height and width of an `image_size`, which is one number or a list of both."""
    if isinstance(size, Mapping):
        size = [number for number in size.values() if isinstance(number, int)] or [384]
    return (size[0], size[-1]) if isinstance(size, list | tuple) else (size, size)


def _model_memory(dtype: str, checkpoint: Checkpoint) -> int:
    config = resolve(checkpoint).config() or {}
    estimate = _ESTIMATES.get((config.get("architectures") or [""])[0])
    return int(estimate(config) * DTYPE_BYTES.get(checkpoint.dtype or dtype, 4)) if estimate else 0


def _sam(config: Mapping[str, Any]) -> float:
    vision = config.get("vision_config") or {}
    tokens = (vision.get("image_size", 1024) // vision.get("patch_size", 16)) ** 2
    # The attention matrix is stored.
    return float(134 * tokens * vision.get("hidden_size", 768))


def _clipseg(config: Mapping[str, Any]) -> float:
    vision = config.get("vision_config") or {}
    tokens = (352 // vision.get("patch_size", 16)) ** 2
    return float(21 * tokens * vision.get("hidden_size", 768))


def _dino(config: Mapping[str, Any]) -> float:
    backbone = config.get("backbone_config") or {}
    return float(56 * _MAX_PIXELS * backbone.get("embed_dim", 96) / 16)


def _rt_detr(config: Mapping[str, Any]) -> float:
    backbone = config.get("backbone_config") or {}
    return float(1.25 * 640**2 * backbone.get("embedding_size", 64))


def _vitpose(config: Mapping[str, Any]) -> float:
    backbone = config.get("backbone_config") or {}
    height, width = _sides(backbone.get("image_size") or (256, 192))
    return float(25 * (height // 16) * (width // 16) * backbone.get("hidden_size", 768))


def _segformer(config: Mapping[str, Any]) -> float:
    return float(9.5 * 512**2 / 16 * config.get("decoder_hidden_size", 768))


def _upernet(config: Mapping[str, Any]) -> float:
    return float(10 * 512**2 / 16 * config.get("hidden_size", 512))


_ESTIMATES: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    "SamModel": _sam,
    "CLIPSegForImageSegmentation": _clipseg,
    "GroundingDinoForObjectDetection": _dino,
    "RTDetrForObjectDetection": _rt_detr,
    "VitPoseForPoseEstimation": _vitpose,
    "SegformerForSemanticSegmentation": _segformer,
    "UperNetForSemanticSegmentation": _upernet,
}
