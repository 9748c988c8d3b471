"""Checks, inputs and inference for the nodes that recognise what pictures show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import refuse
from sdgraph.models import resolve
from sdgraph.values import Checkpoint


def check_model(
    field: str, checkpoint: object, architecture: str, *, words: bool = False
) -> Iterator[Problem]:
    """The problems of a checkpoint that a node cannot use.

    Args:
        field: The name of the node's field.
        checkpoint: Its value; a node that makes a checkpoint is not checked.
        architecture: The name of the model's class, or several joined by " or ".
        words: Whether the model needs a tokenizer.

    Raises:
        CheckpointError: A config of the processor or the tokenizer is missing.
    """
    if not isinstance(checkpoint, Checkpoint) or (config := resolve(checkpoint).config()) is None:
        return
    classes = config.get("architectures") or [config.get("_class_name", "model without a class")]
    if classes[0] not in architecture.split(" or "):
        yield Problem(field, f"{checkpoint.source}, a {classes[0]}", f"a {architecture}")
        return
    resolve(checkpoint).config(name="preprocessor_config.json")
    if words:
        resolve(checkpoint).config(name="tokenizer_config.json")


def as_checkpoint(checkpoint: object) -> Checkpoint:
    """The value of a port as a Checkpoint, for the type checker."""
    assert isinstance(checkpoint, Checkpoint), "a node in this field was replaced by its result"
    return checkpoint


def infer(
    model: Any,
    device: str,
    inputs: Mapping[str, Any],
    method: Callable[..., Any] | None = None,
    **options: Any,
) -> Any:
    """Runs a model without gradients in its own dtype; half precision runs under autocast.

    Args:
        model: The model.
        device: Where to compute.
        inputs: Its tensors by name.
        method: A method to call instead of the model itself.
        options: Further arguments for the call.
    """
    import torch

    dtype = model.dtype
    tensors = {
        name: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
        for name, tensor in inputs.items()
    }
    half = dtype in (torch.float16, torch.bfloat16)
    with torch.no_grad(), torch.autocast(device.partition(":")[0], dtype=dtype, enabled=half):
        return (method or model)(**tensors, **options)


def preprocess(processor: Any, image: Any) -> dict[str, Any]:
    """The tensors of a Pillow picture, made by the model's own processor."""
    # Otherwise a picture 3 pixels wide is read as one with the channels first.
    return dict(processor(images=image, input_data_format="channels_last", return_tensors="pt"))


def tokenize(tokenizer: Any, words: str, limit: int) -> dict[str, Any]:
    """The tensors of a text.

    Args:
        tokenizer: The tokenizer of the model.
        words: The text.
        limit: The largest number of tokens.

    Raises:
        InvalidValueError: The text is blank or too long.
    """
    if not words.strip():
        raise InvalidValueError(Problem("words", repr(words), "what to look for, in words"))
    tokens = dict(tokenizer(words, return_tensors="pt"))
    length = tokens["input_ids"].shape[1]
    if length > limit:
        found = f"{length} tokens"
        raise InvalidValueError(Problem("words", found, f"at most {limit}", "make it shorter"))
    return tokens


def refuse_narrow(size: tuple[int, int], longest: int) -> None:
    """Raises InvalidValueError for a picture whose shorter side vanishes when it is scaled down.

    Args:
        size: Width and height of the picture.
        longest: The longer side after scaling, in pixels.
    """
    if min(size) * longest < 0.5 * max(size):
        found = f"{size[0]}×{size[1]}, less than a pixel wide after scaling to {longest} pixels"
        wanted = "a picture of other proportions, such as a part of it"
        raise InvalidValueError(Problem("image", found, wanted))


def refuse_blank(words: object) -> None:
    """Raises the validation error of blank words; words that a node makes are not known yet."""
    if isinstance(words, str) and not words.strip():
        raise refuse("words", found=repr(words), wanted="what to look for, in words")


def refuse_outside(points: Sequence[Sequence[int]], size: tuple[int, int]) -> None:
    """Raises InvalidValueError if a point is outside a picture.

    Args:
        points: x and y of each, in pixels.
        size: Width and height of the picture.
    """
    for x, y in points:
        if not (0 <= x < size[0] and 0 <= y < size[1]):
            found = f"[{x}, {y}], which lies outside the picture of {size[0]}×{size[1]}"
            wanted = f"x of 0 to {size[0] - 1} and y of 0 to {size[1] - 1}"
            raise InvalidValueError(Problem("points", found, wanted))
