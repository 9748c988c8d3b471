"""A record gives back exactly the value that was put into it, or says that it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph.store import serialization
from sdgraph.store.serialization import (
    DamagedRecordError,
    Header,
    NewerRecordError,
    NotSerializableError,
)
from sdgraph.values import (
    ArrayValue,
    Checkpoint,
    DepthMap,
    Image,
    Lora,
    Mask,
    Series,
    Video,
    content_of,
    kinds,
)
from tests.support.strategies import texts

STILLS: list[type[Image]] = [
    kinds.Image,
    kinds.ControlMap,
    kinds.EdgeMap,
    kinds.SoftEdgeMap,
    kinds.ScribbleMap,
    kinds.PoseMap,
    kinds.SegmentMap,
    kinds.NormalMap,
]


@st.composite
def pixels(draw: st.DrawFn, *shape: int) -> Any:
    """Noise, or flat, so that both ways to write an array are met."""
    seed = draw(st.integers(0, 2**32 - 1))
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return noise if draw(st.booleans()) else np.full(shape, noise.flat[0], np.uint8)


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    height, width = draw(st.integers(1, 40)), draw(st.integers(2, 40))
    kind = draw(st.sampled_from([*STILLS, Mask, Video, DepthMap]))
    if kind is Mask:
        return Mask(draw(pixels(height, width)))
    if kind is Video:
        fps = draw(st.floats(0.01, 1000))
        return Video(draw(pixels(draw(st.integers(1, 4)), height, width, 3)), fps)
    if kind is DepthMap:
        depth = draw(pixels(height, width)).astype(np.float32) * np.float32(1 / 3)
        depth[0, 0], depth[0, 1] = -1e30, 1e-40  # far apart, and one below the normal numbers
        return DepthMap(depth)
    return kind(draw(pixels(height, width, draw(st.sampled_from([3, 4])))))


words = st.none() | st.from_regex(r"\S{1,8}", fullmatch=True)
sources = st.builds(
    Checkpoint,
    st.sampled_from(["tiny/inpaint", "a/b", "./größe"]),
    revision=words,
    variant=words,
    dtype=st.sampled_from([None, "float16"]),
    quantization=st.sampled_from([None, "nf4"]),
) | st.builds(
    Lora,
    st.just("a/b"),
    scale=st.floats(-5, 5),
    revision=words,
    file=st.sampled_from([None, "x.safetensors"]),
)
plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | texts
    | st.text(st.characters(), max_size=9)
    | st.binary(max_size=9)
    | st.integers(10**4, 10**5).map(lambda n: 7**n)
    | st.builds(Path, texts.map(lambda t: t[:50]))
)
kept = st.recursive(
    plain | arrays() | sources,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(texts, inner, max_size=3)
        | st.builds(Series, st.lists(inner, min_size=1, max_size=3), st.floats(0.01, 1000))
    ),
    max_leaves=5,
)


def header(value: Any) -> Header:
    return Header(content_of(value), "Toy", 1.5, {"/a": "b"})


def written(folder: Path, value: Any) -> Path:
    path = folder / "record"
    path.write_bytes(serialization.to_bytes(value, header(value)))
    return path


@settings(max_examples=120)
@given(kept)
def test_every_kind_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    path = written(tmp_path_factory.getbasetemp(), value)
    found = serialization.read_header(path)
    assert (found.content, found.node, found.seconds, found.files) == (
        content_of(value),
        "Toy",
        1.5,
        {"/a": "b"},
    )
    back = serialization.read_value(path, content_of(value))
    assert type(back) is type(value) and content_of(back) == content_of(value)
    if isinstance(value, dict):
        assert list(back) == list(value)
    if isinstance(value, ArrayValue):
        (array, *more), (other, *others) = back._arguments(), value._arguments()
        assert (array == other).all() and array.dtype == other.dtype and more == others
        assert not array.flags.writeable


def test_every_kind_of_value_of_the_library_is_known() -> None:
    def below(kind: type) -> set[type]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    ours = {each for each in below(ArrayValue) if each.__module__ == "sdgraph.values.kinds"}
    assert {each.__name__ for each in ours if each.__name__[0] != "_"} == set(serialization._ARRAYS)


class Stranger(Image):
    """A kind of picture that a node pack might make."""


@pytest.mark.parametrize("value", [Stranger(np.zeros((2, 2, 3), np.uint8)), object(), {1, 2}])
def test_what_no_file_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(NotSerializableError):
        serialization.to_bytes(value, Header("", "", 0))


def test_flat_pictures_shrink_and_noise_costs_no_more_than_itself() -> None:
    flat = Image(np.zeros((512, 512, 3), np.uint8))
    noise = Image(np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8))
    assert len(serialization.to_bytes(flat, header(flat))) < flat.nbytes / 100
    assert len(serialization.to_bytes(noise, header(noise))) < noise.nbytes + 1000


def picture(seed: int = 0) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8))


@pytest.mark.parametrize("flat", [False, True], ids=["raw", "deflated"])
def test_a_record_cut_off_anywhere_is_damaged(tmp_path: Path, flat: bool) -> None:
    value = Image(np.zeros((8, 8, 3), np.uint8)) if flat else picture()
    path = written(tmp_path, value)
    whole = path.read_bytes()
    for end in (0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(DamagedRecordError):
            serialization.read_header(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(DamagedRecordError):
        serialization.read_header(path)


@settings(max_examples=120)
@given(st.data())
def test_no_byte_can_be_flipped_unseen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    value = data.draw(st.sampled_from([picture(), Image(np.zeros((8, 8, 3), np.uint8)), "x" * 99]))
    path = written(tmp_path_factory.getbasetemp(), value)
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    try:
        back = serialization.read_value(path, content_of(value))
    except (DamagedRecordError, NewerRecordError):
        return
    # What it says of the node or the seconds may differ; the value cannot.
    assert content_of(back) == content_of(value) and type(back) is type(value)


def test_a_record_of_a_newer_version_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serialization, "VERSION", 2)
    path = written(tmp_path, "new")
    monkeypatch.undo()
    with pytest.raises(NewerRecordError):
        serialization.read_header(path)
    with pytest.raises(NewerRecordError):
        serialization.read_value(path, content_of("new"))


@pytest.mark.parametrize(
    "told",
    [
        [],
        {},
        {"content": "a"},
        "x",
        None,
        {"content": "c", "node": "n", "seconds": "soon", "files": {}, "value": 1, "arrays": {}},
    ],
)
def test_a_header_of_another_shape_is_damaged(tmp_path: Path, told: Any) -> None:
    from safetensors.numpy import save

    path = tmp_path / "record"
    path.write_bytes(save({}, {"sdgraph_result": "1", "record": json.dumps(told)}))
    with pytest.raises(DamagedRecordError):
        serialization.read_header(path)
    path.write_bytes(save({}, {"format": "pt"}))
    with pytest.raises(DamagedRecordError):
        serialization.read_header(path)


def test_a_deflated_array_that_would_fill_the_memory_is_stopped(tmp_path: Path) -> None:
    import zlib

    from safetensors.numpy import save

    bomb = np.frombuffer(zlib.compress(bytes(10**8)), np.uint8)
    value = Image(np.zeros((8, 8, 3), np.uint8))
    told = {
        **header(value)._asdict(),
        "value": {"Image": ["0"]},
        "arrays": {"0": ["uint8", 8, 8, 3]},
    }
    path = tmp_path / "record"
    path.write_bytes(save({"0": bomb}, {"sdgraph_result": "1", "record": json.dumps(told)}))
    assert serialization.read_value(path, value.content) == value  # and no byte of the rest
