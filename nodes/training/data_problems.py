"""Checks whether data has what a training asks of it, before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from sdgraph.errors import Problem
from sdgraph.formatting import shorten_list
from sdgraph.nodes.diffusion.families import family_of
from sdgraph.nodes.diffusion.prompts.vocabulary import SHOWN_WORDS, unknown_words
from sdgraph.values import Checkpoint

from .data import DataNode

Need = Literal["depth", "motion"]
"""What a training needs besides pictures: their true depth, or scenes that move."""


def missing_data_problems(data: object, *needs: Need) -> Iterator[Problem]:
    """The problem of data that lacks what a training needs.

    Args:
        data: The value of the training's port; nodes of other packs are not judged.
        needs: What the training needs.
    """
    if not isinstance(data, DataNode):
        return
    name = type(data).__name__
    if "depth" in needs and not data.knows_depth:
        found, wanted = (
            f"{name}, whose pictures have no depth",
            "pictures whose true depth is known",
        )
        yield Problem("data", found, wanted, "use TinyWorld")
    if "motion" in needs and not data.knows_motion:
        found, wanted = f"{name}, whose pictures stand still", "scenes with a motion"
        yield Problem("data", found, wanted, "use TinyWorld with moving: true")


def caption_problems(data: object, checkpoint: object) -> Iterator[Problem]:
    """The problem of captions with words that a checkpoint's small tokenizer does not know.

    Args:
        data: The value of the training's port.
        checkpoint: What the tokenizer is taken from; a checkpoint that a node makes is not judged.
    """
    if not isinstance(data, DataNode) or not isinstance(checkpoint, Checkpoint):
        return
    captions = data.known_captions()
    family = family_of(checkpoint) if captions else None
    if captions is None or family is None:
        return
    words = unknown_words(checkpoint, family.tokenizers[0], captions)
    if words:
        listed = shorten_list(words, SHOWN_WORDS)
        yield Problem(
            "data",
            f"captions with words that the tokenizer of {checkpoint.source} does not know: "
            f"{listed}",
            'words that are one token to it, as in "a red star on a navy background"',
            "write the captions in its words, or take a checkpoint with CLIP's own tokenizer",
        )
