"""Words of prompts that a small tokenizer does not know are a warning, found without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.prompts.vocabulary import split_words, unknown_words
from sdgraph.values import Checkpoint, Lora
from tests.support.lora_files import write


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"prompt": "a red star on a navy background"}, []),
        ({"prompt": "a (red:1.2) star, 4K"}, []),
        ({"prompt": "A Lighthouse with zebras"}, ["lighthouse, zebras"]),
        ({"prompt": "a red star", "negative_prompt": "lighthouse"}, ["lighthouse"]),
        ({"prompt": "a lighthouse", "checkpoint": "someone/else"}, []),
    ],
)
def test_words_that_the_checkpoint_has_not_learned_are_a_warning(
    fields: dict[str, Any], found: list[str]
) -> None:
    checkpoint = Checkpoint(fields.pop("checkpoint", "tiny/text-to-image"))
    warnings = list(Text2Image(**fields, checkpoint=checkpoint).warnings())
    words = [warning.found.rpartition(": ")[2] for warning in warnings]
    assert words == found
    assert all("tiny/text-to-image has not learned" in warning.found for warning in warnings)


def test_the_word_of_a_textual_inversion_is_known(tmp_path: Path) -> None:
    path = write(tmp_path / "mycat.safetensors", {"emb_params": np.zeros((1, 64), np.float32)})
    node = Text2Image(prompt="mycat on a navy background", embeddings=[Lora(path)])
    assert list(node.warnings()) == []


def test_a_large_or_damaged_vocabulary_is_not_judged(tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (tmp_path / "tokenizer").mkdir()
    vocabulary = tmp_path / "tokenizer" / "vocab.json"
    checkpoint = Checkpoint(tmp_path)
    assert unknown_words(checkpoint, "tokenizer", ["zebra"]) == []
    vocabulary.write_text('{"red</w>": 0}')
    assert unknown_words(checkpoint, "tokenizer", ["zebra red"]) == ["zebra"]
    for text in ("{", "[]", '{"red": 0}', '{"red</w>": 0, ' + '"' + "x" * 300_000 + '": 1}'):
        vocabulary.write_text(text)
        assert unknown_words(checkpoint, "tokenizer", ["zebra"]) == []


def test_words_are_what_has_letters() -> None:
    assert split_words(["A red-ish star, 4K!", "a STAR_2 (naïve)"]) == [
        "a",
        "ish",
        "k",
        "naïve",
        "red",
        "star",
    ]
