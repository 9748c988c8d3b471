"""A record gives back exactly the value that was put into it, or says that it cannot."""

from __future__ import annotations

import json
import sys
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
    UnknownKindError,
)
from sdgraph.values import (
    Checkpoint,
    ComponentSource,
    ControlMap,
    DepthMap,
    EdgeMap,
    Image,
    Lora,
    Mask,
    NormalMap,
    PoseMap,
    ScribbleMap,
    SegmentMap,
    Series,
    SoftEdgeMap,
    Value,
    Video,
    content_of,
    shipped_kinds,
)
from tests.support.strategies import texts

STILLS: list[type[Image]] = [
    Image,
    ControlMap,
    EdgeMap,
    SoftEdgeMap,
    ScribbleMap,
    PoseMap,
    SegmentMap,
    NormalMap,
]

VERSION = str(serialization.VERSION)


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


words = st.none() | st.from_regex(r"[^\s\0]{1,8}", fullmatch=True)
sources = (
    st.builds(
        Checkpoint,
        st.sampled_from(["tiny/inpaint", "a/b", "./größe"]),
        revision=words,
        variant=words,
        dtype=st.sampled_from([None, "float16"]),
        quantization=st.sampled_from([None, "nf4"]),
        vae=st.sampled_from([None, "./x.safetensors", {"source": "c/d", "subfolder": "vae"}]),
    )
    | st.builds(
        ComponentSource,
        st.just("./x.safetensors"),
        component=st.just("vae"),
        base=st.just(Checkpoint("a/b", vae="./x.safetensors")),
    )
    | st.builds(
        Lora,
        st.just("a/b"),
        scale=st.floats(-5, 5),
        revision=words,
        file=st.sampled_from([None, "x.safetensors"]),
    )
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
    header = serialization.read_header(path)
    assert (header.content, header.node, header.seconds, header.files) == (
        content_of(value),
        "Toy",
        1.5,
        {"/a": "b"},
    )
    back = serialization.read_value(path, content_of(value))
    assert type(back) is type(value) and content_of(back) == content_of(value)
    if isinstance(value, dict):
        assert list(back) == list(value)
    if isinstance(value, Value):
        assert list(back.fields) == list(value.fields)
        for name, field in value.fields.items():
            if isinstance(field, np.ndarray):
                assert (back.fields[name] == field).all() and back.fields[name].dtype == field.dtype
                assert not back.fields[name].flags.writeable


def test_every_kind_of_value_of_the_library_is_written_here() -> None:
    kinds = {*STILLS, Mask, Video, DepthMap, Checkpoint, Lora, ComponentSource, Series}
    assert set(shipped_kinds().values()) == kinds


class Palette(Value):
    """A kind of value that a node pack might define: arrays of several dtypes, and other values."""

    def __init__(self, colors: Any, weights: Any, names: tuple[str, ...], sample: Image) -> None:
        self._set_fields(colors=colors, weights=weights, names=names, sample=sample)


class Fingerprint(Value):
    """A kind that is compared by content, but does not say what it is made of."""

    content = "fingerprint"


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "f2", ">f4", "f8"],
)
def test_a_kind_of_a_pack_comes_back_exactly(tmp_path: Path, dtype: str) -> None:
    weights = np.arange(6).reshape(2, 3).astype(dtype)[:, ::-1]
    value = Palette(np.zeros((0, 3), np.uint8), weights, ("a", "ß"), picture())
    back = serialization.read_value(written(tmp_path, value), value.content)
    assert type(back) is Palette and back == value
    assert (back.fields["weights"] == weights).all()
    assert back.fields["weights"].dtype == np.dtype(dtype).newbyteorder("=")
    assert back.fields["names"] == ("a", "ß") and back.fields["sample"] == picture()


def test_the_name_of_a_kind_in_a_record_imports_nothing(tmp_path: Path) -> None:
    from safetensors.numpy import save

    for name in ("this.s", "antigravity.Image", "os.system", "tests.Nothing", "Value"):
        record = {**header(1)._asdict(), "files": {}, "value": {name: {}}, "arrays": {}}
        path = tmp_path / "record"
        metadata = {"sdgraph_result": str(serialization.VERSION), "record": json.dumps(record)}
        path.write_bytes(save({}, metadata))
        with pytest.raises(UnknownKindError, match=f"a {name}, .*not in use"):
            serialization.read_value(path, content_of(1))
    assert "this" not in sys.modules and "antigravity" not in sys.modules


@pytest.mark.parametrize("value", [Fingerprint(), object(), {1, 2}])
def test_what_no_file_can_hold_is_refused(value: Any) -> None:
    with pytest.raises(NotSerializableError):
        serialization.to_bytes(value, Header("", "", 0))


def test_a_record_of_an_old_version_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serialization, "VERSION", 1)
    path = written(tmp_path, "old")
    monkeypatch.undo()
    with pytest.raises(DamagedRecordError, match="old version 1"):
        serialization.read_header(path)


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
    contents = path.read_bytes()
    for end in (0, 1, 7, 8, 9, 100, len(contents) // 2, len(contents) - 1):
        path.write_bytes(contents[:end])
        with pytest.raises(DamagedRecordError):
            serialization.read_header(path)
    path.write_bytes(contents + b"\0")
    with pytest.raises(DamagedRecordError):
        serialization.read_header(path)


@settings(max_examples=120)
@given(st.data())
def test_no_byte_can_be_flipped_unseen(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    value = data.draw(st.sampled_from([picture(), Image(np.zeros((8, 8, 3), np.uint8)), "x" * 99]))
    path = written(tmp_path_factory.getbasetemp(), value)
    contents = bytearray(path.read_bytes())
    contents[data.draw(st.integers(0, len(contents) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(contents)
    try:
        back = serialization.read_value(path, content_of(value))
    except (DamagedRecordError, NewerRecordError, UnknownKindError):
        return
    # What it says of the node or the seconds may differ; the value cannot.
    assert content_of(back) == content_of(value) and type(back) is type(value)


def test_a_record_of_a_newer_version_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serialization, "VERSION", serialization.VERSION + 1)
    path = written(tmp_path, "new")
    monkeypatch.undo()
    with pytest.raises(NewerRecordError):
        serialization.read_header(path)
    with pytest.raises(NewerRecordError):
        serialization.read_value(path, content_of("new"))


@pytest.mark.parametrize(
    "header_data",
    [
        [],
        {},
        {"content": "a"},
        "x",
        None,
        {"content": "c", "node": "n", "seconds": "soon", "files": {}, "value": 1, "arrays": {}},
    ],
)
def test_a_header_of_another_shape_is_damaged(tmp_path: Path, header_data: Any) -> None:
    from safetensors.numpy import save

    path = tmp_path / "record"
    path.write_bytes(save({}, {"sdgraph_result": VERSION, "record": json.dumps(header_data)}))
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
    header_data = {
        **header(value)._asdict(),
        "value": {"Image": {"pixels": {"array": "0"}}},
        "arrays": {"0": ["uint8", 8, 8, 3]},
    }
    path = tmp_path / "record"
    path.write_bytes(
        save({"0": bomb}, {"sdgraph_result": VERSION, "record": json.dumps(header_data)})
    )
    assert serialization.read_value(path, value.content) == value  # and no byte of the rest
