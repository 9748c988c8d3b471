"""Words that a checkpoint with a small tokenizer does not know, found without a tokenizer.

CLIP's tokenizer has 49,408 tokens and is made for any word. A small one, as that of the shipped
checkpoints, has a token for each of some words and spells all others in letters that the text
encoder has learned nothing from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from sdgraph.errors import Problem
from sdgraph.files import FileStamp
from sdgraph.formatting import shorten_list
from sdgraph.models import resolve
from sdgraph.values import Checkpoint

SMALL_VOCABULARY = 4_000
"""A tokenizer of at most so many tokens knows some words and spells the rest."""

_MAX_BYTES = 200_000
"""The file of a larger vocabulary is not read."""

_END_OF_WORD = "</w>"

SHOWN_WORDS = 8
"""How many unknown words an error or a warning names."""


def split_words(texts: Iterable[str]) -> list[str]:
    """The words of all texts, sorted, in lower case; punctuation and digits are no words."""
    words = {word for text in texts for word in re.findall(r"[^\W\d_]+", text.lower())}
    return sorted(words)


def unknown_words(checkpoint: Checkpoint, tokenizer: str, texts: Iterable[str]) -> list[str]:
    """The words of texts that a small tokenizer has to spell; none for a large tokenizer.

    Args:
        checkpoint: The checkpoint, whose files are read.
        tokenizer: The name of its tokenizer's folder.
        texts: Captions or prompts.
    """
    path = resolve(checkpoint).path_of(f"{tokenizer}/vocab.json")
    vocabulary = None if path is None else _small_vocabulary(path)
    if vocabulary is None:
        return []
    return [word for word in split_words(texts) if word + _END_OF_WORD not in vocabulary]


def _small_vocabulary(path: Path) -> frozenset[str] | None:
    try:
        stamp = FileStamp.of(path)
    except OSError:
        return None
    return _read_vocabulary(path, stamp) if stamp.size <= _MAX_BYTES else None


@lru_cache(maxsize=16)
def _read_vocabulary(path: Path, stamp: FileStamp) -> frozenset[str] | None:
    del stamp
    try:
        tokens = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):  # reported when the tokenizer is loaded
        return None
    known = isinstance(tokens, dict) and len(tokens) <= SMALL_VOCABULARY
    # Without ends of words it is not a vocabulary of CLIP's kind.
    return frozenset(tokens) if known and any(t.endswith(_END_OF_WORD) for t in tokens) else None


def word_warnings(
    prompts: Mapping[str, object], checkpoint: Checkpoint, tokenizer: str, known: Sequence[str]
) -> Iterator[Problem]:
    """A warning for each prompt with words that a checkpoint's small tokenizer does not know.

    Args:
        prompts: The values of fields by name; a prompt that a node makes is skipped.
        checkpoint: The checkpoint.
        tokenizer: The name of its tokenizer's folder.
        known: Further words that it knows, such as those of textual inversions.
    """
    for field, text in prompts.items():
        if not isinstance(text, str) or not text:
            continue
        for word in known:
            text = re.sub(re.escape(word), " ", text, flags=re.IGNORECASE)
        if words := unknown_words(checkpoint, tokenizer, [text]):
            found = f"words that {checkpoint.source} has not learned: "
            found += shorten_list(words, SHOWN_WORDS)
            fix = "the picture will not follow them: use other words, or another checkpoint"
            yield Problem(field, found, "words that its tokenizer knows", fix)
