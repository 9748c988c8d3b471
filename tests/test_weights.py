"""A checkpoint is read from what a person writes, and written back."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdgraph.errors import ValueRefused
from sdgraph.weights import Checkpoint


def test_a_checkpoint_is_read_from_a_name_or_a_mapping_and_written_back() -> None:
    plain = Checkpoint("tiny/inpaint")
    full = Checkpoint(Path("models/mine"), revision="main", variant="fp16", dtype="float16")
    assert plain.as_data() == "tiny/inpaint" and repr(plain) == "Checkpoint('tiny/inpaint')"
    for checkpoint in (plain, full):
        assert checkpoint.content and Checkpoint.parse(checkpoint.as_data()) == checkpoint
        assert eval(repr(checkpoint)) == checkpoint
        assert Checkpoint.parse(checkpoint) is checkpoint
    assert full.source == "models/mine"
    assert len({plain, full, Checkpoint("tiny/inpaint", dtype="float32")}) == 3


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", r"source\n  found:  ''"),
        ("  ", r"source"),
        (3, r"found:  3"),
        ({"variant": "fp16"}, r"a mapping that has one"),
        ({"source": "a", "varient": "b"}, r"did you mean 'variant'"),
        ({"source": "a", "dtype": "float61"}, r"did you mean 'float16'"),
        ({"source": "a", "variant": "two words"}, r"one word"),
        ({"source": "a", "revision": ""}, r"one word"),
        ({"source": None}, r"hub id"),
    ],
)
def test_a_wrong_checkpoint_is_refused(data: object, words: str) -> None:
    with pytest.raises(ValueRefused, match=words):
        Checkpoint.parse(data)
