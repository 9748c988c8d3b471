"""Finds in prompts what other programs read as instructions, and these nodes as plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sdgraph.errors import Problem

_SYNTAX: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (
        re.compile(r"<(?:lora|lyco|hypernet):[^<>]+>"),
        "words that are meant, without <…>",
        "put the adapter into `loras:` of the node",
    ),
    (
        re.compile(r"\{[^{}]*\|[^{}]*\}"),
        "one choice",
        "make it an input, and run its values as a sweep: prompt=[…, …]",
    ),
    (
        re.compile(r"(?<!\w)__[\w\-/*]+__(?!\w)"),
        "the words themselves",
        "read them from a file as a sweep: prompt=@words.txt",
    ),
    (
        re.compile(r"(?<!\w)(?:BREAK|AND)(?!\w)"),
        "words that are meant",
        "long prompts are split by themselves: leave it out",
    ),
    (
        re.compile(
            r"\[[^\[\]:]*:([^\[\]:]*:)?\s*\d*\.?\d+\s*\]|\[[^\[\]|]*\|[^\[\]]*\]|\.(blend|swap)\("
        ),
        "one of the two",
        "a prompt is the same in every step: choose one",
    ),
    (
        re.compile(r"(?<!\w)embedding:[\w./-]+"),
        "the word of the embedding alone",
        "put its file into `embeddings:` of the node",
    ),
)
"""Patterns, each with what is wanted in place of it and what to do."""

_WEIGHT = re.compile(r"\([^()]*:\s*-?\d*\.?\d+\s*\)")
"""A text in parentheses with its weight, such as (star:1.3)."""


def syntax_warnings(prompts: Mapping[str, Any]) -> Iterator[Problem]:
    """A warning for each kind of instruction that a prompt has and that is read as plain words.

    Args:
        prompts: Prompts by the names of their fields; one that comes from a node is passed over.

    Example:
        >>> [warning.found for warning in syntax_warnings({"prompt": "a star <lora:x:0.8>"})]
        ["'<lora:x:0.8>', read as plain words"]
    """
    for name, prompt in prompts.items():
        for pattern, wanted, fix in _SYNTAX if isinstance(prompt, str) else ():
            if (match := pattern.search(prompt)) is not None:
                yield Problem(name, f"{match[0]!r}, read as plain words", wanted, fix)


def weight_warnings(prompts: Mapping[str, Any], family: str) -> Iterator[Problem]:
    """A warning for each prompt with weights such as (star:1.3), where a family reads words alone.

    Args:
        prompts: Prompts by the names of their fields; one that comes from a node is passed over.
        family: The family's usual name.
    """
    for name, prompt in prompts.items():
        match = _WEIGHT.search(prompt) if isinstance(prompt, str) else None
        if match is not None:
            found = f"{match[0]!r}, read as plain words by {family}"
            yield Problem(name, found, "words that are meant", "say it in words, without weights")
