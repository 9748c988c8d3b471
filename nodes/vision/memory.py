"""The memory that models which recognise things work with: laws of their configs, measured.

The factors are counts of tensors, measured on the architectures that the nodes take by
`tests/nodes/vision/test_memory.py`. 0 where a model's config is not on this disk, or where there is
no law for its architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sdgraph.models import resolve
from sdgraph.values import Checkpoint

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
"""The bytes of a number of each dtype."""

_ESTIMATING = 1.4

_LONGEST = 800 * 1333
"""The pixels that Grounding DINO sees at most, as its processor is set up."""


_SEEN_OF_PIXELS = 1 / 8**2 + 1 / 16**2 + 1 / 32**2 + 1 / 64**2
"""Its places in a picture, at four scales, for each pixel."""

_COUNTED = 16
"""The tokens of text that are in what it takes to see."""


def recognition_memory(dtype: str, *checkpoints: object) -> int:
    """The bytes that the hungriest of some models takes to see one picture, or one person."""
    return max(_seeing(dtype, each) for each in checkpoints if isinstance(each, Checkpoint))


def text_attention_memory(dtype: str, checkpoint: object, words: object) -> int:
    """The bytes that Grounding DINO takes beside that to read words, known now or only later.

    Its attention between text and picture is computed with its matrix. A token is taken to be two
    characters, where it is three or four in most texts.
    """
    own = (resolve(checkpoint).config() if isinstance(checkpoint, Checkpoint) else None) or {}
    tokens = own.get("max_text_len", 256)
    if isinstance(words, str):
        tokens = min(tokens, len(words) // 2 + 2)
    heads = own.get("encoder_attention_heads", 8) // 2
    matrix = _LONGEST * _SEEN_OF_PIXELS * max(0, tokens - _COUNTED)
    dtype = (checkpoint.dtype if isinstance(checkpoint, Checkpoint) else None) or dtype
    return int(4 * heads * matrix * BYTES.get(dtype, 4))


def depth_estimation_memory(estimator: Mapping[str, Any], dtype: str) -> int:
    """The bytes that a depth estimator takes for one picture of the size that it works at."""
    side = estimator.get("image_size") or 384
    width = estimator.get("fusion_hidden_size") or 256
    return int(_ESTIMATING * int(side) ** 2 * width * BYTES.get(dtype, 4))


def _seeing(dtype: str, checkpoint: Checkpoint) -> int:
    own = resolve(checkpoint).config() or {}
    law = _LAWS.get((own.get("architectures") or [""])[0])
    return int(law(own) * BYTES.get(checkpoint.dtype or dtype, 4)) if law else 0


def _sam(own: Mapping[str, Any]) -> float:
    vision = own.get("vision_config") or {}
    tokens = (vision.get("image_size", 1024) // vision.get("patch_size", 16)) ** 2
    # Its attention is computed with its matrix.
    return float(134 * tokens * vision.get("hidden_size", 768))


def _clipseg(own: Mapping[str, Any]) -> float:
    vision = own.get("vision_config") or {}
    tokens = (352 // vision.get("patch_size", 16)) ** 2
    return float(21 * tokens * vision.get("hidden_size", 768))


def _dino(own: Mapping[str, Any]) -> float:
    backbone = own.get("backbone_config") or {}
    return float(56 * _LONGEST * backbone.get("embed_dim", 96) / 16)


def _rt_detr(own: Mapping[str, Any]) -> float:
    backbone = own.get("backbone_config") or {}
    return float(1.25 * 640**2 * backbone.get("embedding_size", 64))


def _vitpose(own: Mapping[str, Any]) -> float:
    backbone = own.get("backbone_config") or {}
    height, width = backbone.get("image_size") or (256, 192)
    return float(25 * (height // 16) * (width // 16) * backbone.get("hidden_size", 768))


def _segformer(own: Mapping[str, Any]) -> float:
    return float(9.5 * 512**2 / 16 * own.get("decoder_hidden_size", 768))


def _upernet(own: Mapping[str, Any]) -> float:
    return float(10 * 512**2 / 16 * own.get("hidden_size", 512))


_LAWS: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    "SamModel": _sam,
    "CLIPSegForImageSegmentation": _clipseg,
    "GroundingDinoForObjectDetection": _dino,
    "RTDetrForObjectDetection": _rt_detr,
    "VitPoseForPoseEstimation": _vitpose,
    "SegformerForSemanticSegmentation": _segformer,
    "UperNetForSemanticSegmentation": _upernet,
}
