"""What the nodes share that recognise what a picture shows by a model."""

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
    """Problems of a checkpoint that is no model of that class, or lacks what prepares its input.

    Of several classes, joined by "or", each will do. Raises CheckpointError where a config is
    missing.
    """
    if not isinstance(checkpoint, Checkpoint) or (own := resolve(checkpoint).config()) is None:
        return
    named = (own.get("architectures") or [own.get("_class_name", "model without a class")])[0]
    if named not in architecture.split(" or "):
        yield Problem(field, f"{checkpoint.source}, a {named}", f"a {architecture}")
        return
    resolve(checkpoint).config(name="preprocessor_config.json")
    if words:
        resolve(checkpoint).config(name="tokenizer_config.json")


def as_checkpoint(checkpoint: object) -> Checkpoint:
    """The checkpoint itself, as a type checker wants to see it."""
    assert isinstance(checkpoint, Checkpoint), "a checkpoint from a node is put in before"
    return checkpoint


def infer(
    model: Any,
    device: str,
    inputs: Mapping[str, Any],
    by: Callable[..., Any] | None = None,
    **options: Any,
) -> Any:
    """What a model makes of tensors, in its own precision; half precision under autocast.

    `by` is a method of it, where a part of it alone is to work.
    """
    import torch

    dtype = model.dtype
    given = {
        name: each.to(device=device, dtype=dtype if each.is_floating_point() else None)
        for name, each in inputs.items()
    }
    half = dtype in (torch.float16, torch.bfloat16)
    with torch.no_grad(), torch.autocast(device.partition(":")[0], dtype=dtype, enabled=half):
        return (by or model)(**given, **options)


def preprocess(processor: Any, image: Any) -> dict[str, Any]:
    """The tensors of a picture, as a model's own processor makes them."""
    # A picture 3 pixels wide would pass for one whose channels come first.
    return dict(processor(images=image, input_data_format="channels_last", return_tensors="pt"))


def tokenize(tokenizer: Any, words: str, most: int) -> dict[str, Any]:
    """The tensors of a text.

    Raises InvalidValueError for one that is blank, or too long to be read.
    """
    if not words.strip():
        raise InvalidValueError(Problem("words", repr(words), "what to look for, in words"))
    made = dict(tokenizer(words, return_tensors="pt"))
    length = made["input_ids"].shape[1]
    if length > most:
        found = f"{length} tokens"
        raise InvalidValueError(Problem("words", found, f"at most {most}", "be brief"))
    return made


def refuse_narrow(size: tuple[int, int], longest: int) -> None:
    """Raises InvalidValueError for a picture with less than a pixel left on its shorter side.

    longest is the longer side as the model sees it.
    """
    if min(size) * longest < 0.5 * max(size):
        found = (
            f"{size[0]}×{size[1]}, which is less than a pixel wide where the model sees it, "
            f"{longest} pixels long"
        )
        wanted = "a picture of other proportions, such as a part of it"
        raise InvalidValueError(Problem("image", found, wanted))


def refuse_blank(words: object) -> None:
    """Raises a node's refusal of words that are none; those of a node are not known yet."""
    if isinstance(words, str) and not words.strip():
        raise refuse("words", found=repr(words), wanted="what to look for, in words")


def refuse_outside(points: Sequence[Sequence[int]], size: tuple[int, int]) -> None:
    """Raises InvalidValueError where a point lies outside a picture of that size."""
    for x, y in points:
        if not (0 <= x < size[0] and 0 <= y < size[1]):
            found = f"[{x}, {y}], which lies outside the picture of {size[0]}×{size[1]}"
            wanted = f"x of 0 to {size[0] - 1} and y of 0 to {size[1] - 1}"
            raise InvalidValueError(Problem("points", found, wanted))
