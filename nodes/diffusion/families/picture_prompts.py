"""What text encoders that also see pictures read: a prompt with the pictures that it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, Protocol

_MULTIPLE = 32
_PLACE = "<|image_pad|>"
"""The token of Qwen's language models that stands for a part of a picture."""


def size_of_area(area: int, width: int, height: int) -> tuple[int, int]:
    """The width and height of about an area that have the proportions of a picture.

    Example:
        >>> size_of_area(1024 * 1024, 640, 480)
        (1184, 896)
    """
    long = sqrt(area * (width / height))
    sides = (long, long / (width / height))
    return round(sides[0] / _MULTIPLE) * _MULTIPLE, round(sides[1] / _MULTIPLE) * _MULTIPLE


class PictureInput(Protocol):
    """How the pipelines of a family give pictures to the text encoder."""

    def prepare(self, pipe: Any, pictures: Any) -> Any:
        """The picture, or a list of them, as `encode_prompt` of a pipeline takes it.

        Args:
            pipe: The pipeline, which may be prepared too.
            pictures: A picture, or a list of them.
        """


@dataclass(frozen=True)
class UnchangedPictures:
    """A text encoder to whose pipeline a picture is given as it is."""

    def prepare(self, pipe: Any, pictures: Any) -> Any:
        """The picture."""
        return pictures


@dataclass(frozen=True)
class PromptPictures:
    """A text encoder of Qwen's kind, to which pictures are given in a size of their own.

    Args:
        area: The pixels that each picture is resized to.
        several: Whether the pipeline takes a list of pictures.
    """

    area: int
    several: bool = False

    def prepare(self, pipe: Any, pictures: Any) -> Any:
        """The picture, or a list of them, in the size in which the text encoder sees them."""
        pipe.processor = PicturePromptReader(pipe.tokenizer, pipe.processor)
        resized = [
            pipe.image_processor.resize(picture, *reversed(size_of_area(self.area, *picture.size)))
            for picture in (pictures if isinstance(pictures, list) else [pictures])
        ]
        return resized if self.several else resized[0]


class PicturePromptReader:
    """Makes the inputs of a Qwen language model from prompts with pictures.

    It does what transformers' `Qwen2_5_VLProcessor` does for pictures; that class, which reads
    videos too, needs torchvision.

    Args:
        tokenizer: The tokenizer.
        image_processor: The image processor, which needs no torchvision.
    """

    def __init__(self, tokenizer: Any, image_processor: Any) -> None:
        self.tokenizer = tokenizer
        self.image_processor = image_processor

    def __call__(self, text: Sequence[str], images: Any, padding: bool, return_tensors: str) -> Any:
        """The tokens of texts, and the patches of their pictures.

        Args:
            text: Prompts with a place for each picture, in order.
            images: A picture, or a list of them.
            padding: Whether all texts get the same length.
            return_tensors: "pt" for tensors of torch.
        """
        from transformers import BatchFeature

        seen = self.image_processor(images=images, return_tensors=return_tensors)
        patches = seen["image_grid_thw"].prod(-1) // self.image_processor.merge_size**2
        counts = iter(patches.tolist())
        texts = [_widen_places(one, counts) for one in text]
        tokens = self.tokenizer(texts, padding=padding, return_tensors=return_tensors)
        return BatchFeature({**tokens, **seen})


def _widen_places(text: str, counts: Any) -> str:
    """A text in which the place of each picture is as many tokens as it has patches."""
    first, *rest = text.split(_PLACE)
    return first + "".join(_PLACE * next(counts) + part for part in rest)
