"""Captions as tokens: unknown words are reported for a small tokenizer, never for a large one."""

from __future__ import annotations

from typing import Any

import pytest

from sdgraph import Checkpoint
from sdgraph.errors import InvalidValueError
from sdgraph.nodes.diffusion.prompts.vocabulary import SMALL_VOCABULARY
from sdgraph.nodes.training.data import WorldDataset
from sdgraph.nodes.training.latents import refuse_unknown_words, tokenize
from sdgraph.nodes.training.loading import load_parts


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return load_parts(Checkpoint("tiny/text-to-image"), ("tokenizer",))["tokenizer"]


@pytest.mark.parametrize("moving", [False, True])
def test_the_worlds_words_are_all_known(moving: bool, tokenizer: Any) -> None:
    captions = WorldDataset(300, 0, 32, moving=moving).captions
    assert tokenize(tokenizer, captions).shape == (301, 77)


@pytest.mark.parametrize("words", ["A RED star, on a navy background.", "", "12 red stars' ring"])
def test_case_and_punctuation_make_no_word_unknown(words: str, tokenizer: Any) -> None:
    if "stars" in words:
        with pytest.raises(InvalidValueError, match=r"does not know: stars\n"):
            tokenize(tokenizer, [words])
    else:
        assert len(tokenize(tokenizer, [words])) == 2


def test_unknown_words_are_named_once_and_not_without_end(tokenizer: Any) -> None:
    captions = ["a lighthouse and a zebra", "a Lighthouse", "a red star"]
    with pytest.raises(InvalidValueError) as refused:
        refuse_unknown_words(tokenizer, captions)
    text = str(refused.value)
    assert "does not know: lighthouse, zebra\n" in text
    assert "a red star on a navy background" in text
    assert "CLIP's own tokenizer" in text
    with pytest.raises(InvalidValueError, match=r"qqa, qqb, .*, qqh and 4 more"):
        refuse_unknown_words(tokenizer, [f"qq{letter}" for letter in "abcdefghijkl"])


def test_a_tokenizer_of_clips_size_is_not_asked() -> None:
    class Large:
        def __len__(self) -> int:
            return 49_408

        def tokenize(self, text: str) -> list[str]:
            raise AssertionError(f"asked for {text}")

    assert SMALL_VOCABULARY < 49_408
    refuse_unknown_words(Large(), ["pneumonoultramicroscopicsilicovolcanoconiosis"])
