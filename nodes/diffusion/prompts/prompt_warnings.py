"""Warnings of prompts that a checkpoint does not read as they are meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sdgraph.errors import Problem
from sdgraph.nodes.diffusion.families import ModelFamily
from sdgraph.values import Checkpoint

from . import prompt_syntax, vocabulary


def wording_warnings(
    prompts: Mapping[str, object],
    checkpoint: Checkpoint,
    family: ModelFamily,
    own_words: Sequence[str],
) -> Iterator[Problem]:
    """Warnings of words that a checkpoint does not know, and of weights that it does not read.

    Args:
        prompts: Prompts by the names of their fields; one that comes from a node is skipped.
        checkpoint: The checkpoint.
        family: Its family.
        own_words: Further words that it knows, such as those of textual inversions.
    """
    if not family.prompt_encoding.in_windows:
        yield from prompt_syntax.weight_warnings(prompts, family.label)
    present = family.text_components_of(checkpoint)
    tokenizer = next((name for name in family.tokenizers if name in present), "")
    if tokenizer:
        yield from vocabulary.word_warnings(prompts, checkpoint, tokenizer, own_words)


def no_words_warnings(
    prompts: Mapping[str, object], checkpoint: Checkpoint, family: ModelFamily
) -> Iterator[Problem]:
    """Warnings of prompts for a checkpoint without a text encoder.

    Args:
        prompts: Prompts by the names of their fields.
        checkpoint: The checkpoint.
        family: Its family.
    """
    for name, text in prompts.items():
        if text != "":
            found = f"one for {checkpoint.source}, which has no effect"
            wanted = f"none: {family.label} reads a picture and no words"
            yield Problem(name, found, wanted, "leave it out")


def negative_prompt_warning(
    checkpoint: Checkpoint, family: ModelFamily, guidance: float
) -> Problem:
    """The warning that a negative prompt has no effect, and why.

    Args:
        checkpoint: The checkpoint.
        family: Its family.
        guidance: The scale of guidance.
    """
    if guidance <= family.guidance.none_up_to:
        found = f"one with guidance {guidance:g}, which has no effect"
        wanted = f"guidance above {family.guidance.none_up_to:g}"
        return Problem(
            "negative_prompt", found, wanted, "raise guidance, or leave the negative prompt out"
        )
    found = f"one for {checkpoint.source}, which has no effect"
    wanted = f"none: this kind of {family.label} takes no negative prompt"
    return Problem("negative_prompt", found, wanted, "say in the prompt what is wanted")
