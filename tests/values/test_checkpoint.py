"""A checkpoint is read from what a person writes, and written back."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.values import Checkpoint, Lora


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
        ({"source": "a", "clip_skip": 0}, r"from 1 on"),
        ({"source": "a", "clip_skip": True}, r"found:  True"),
    ],
)
def test_a_wrong_checkpoint_is_refused(data: object, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        Checkpoint.parse(data)


def test_an_adapter_is_read_from_a_name_or_a_mapping_and_written_back() -> None:
    plain = Lora("./mine")
    full = Lora(Path("mine"), scale=0.5, file="a.safetensors", revision="main")
    assert plain.as_data() == "./mine" and repr(plain) == "Lora('./mine')"
    assert plain.scale == 1.0 and type(Lora("a", scale=2).scale) is float
    for lora in (plain, full, Lora("a", scale=0)):
        assert Lora.parse(lora.as_data()) == lora and eval(repr(lora)) == lora
        assert Lora.parse(lora) is lora
    assert len({plain, full, Lora("./mine", scale=0.5), Lora("./mine", scale=0)}) == 4
    assert Lora("a") != Checkpoint("a") and Lora("a", scale=0.5).unscaled == Lora("a")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"source": "a", "scale": "b"}, r"Lora.scale\n  found:  'b'"),
        ({"source": "a", "scale": True}, r"a finite number"),
        ({"source": "a", "scale": float("nan")}, r"a finite number"),
        ({"source": "a", "dtype": "float16"}, r"Lora.dtype"),
        ({"source": "a", "file": "a.bin"}, r"safetensors"),
        ({"scale": 1}, r"write the source alone, or {source: …, file: …}"),
        (Checkpoint("a"), r"a source, or a mapping"),
    ],
)
def test_a_wrong_adapter_is_refused(data: object, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        Lora.parse(data)
