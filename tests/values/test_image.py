"""Values are frozen, equal by content, and refuse what they cannot be."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sdgraph.errors import InvalidValueError
from sdgraph.values import (
    Checkpoint,
    ControlMap,
    DepthMap,
    EdgeMap,
    Image,
    Mask,
    NormalMap,
    PoseMap,
    ScribbleMap,
    SegmentMap,
    SoftEdgeMap,
    Value,
    Video,
)
from tests.support.small_images import photo

SIDES = st.integers(1, 9)
RGB = st.tuples(SIDES, SIDES, st.sampled_from((3, 4))).flatmap(lambda s: hnp.arrays(np.uint8, s))
GREY = st.tuples(SIDES, SIDES).flatmap(lambda shape: hnp.arrays(np.uint8, shape))
DEPTHS = hnp.arrays(
    np.float32,
    st.tuples(SIDES, st.integers(2, 9)),
    elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
).filter(lambda depth: depth.min() != depth.max())
VIDEOS = st.tuples(st.integers(1, 4), SIDES, SIDES, st.just(3)).flatmap(
    lambda shape: hnp.arrays(np.uint8, shape)
)
VALUES: st.SearchStrategy[Value] = st.one_of(
    RGB.map(Image),
    RGB.map(EdgeMap),
    GREY.map(Mask),
    DEPTHS.map(DepthMap),
    st.builds(Video, VIDEOS, st.floats(0.5, 120)),
    st.builds(Checkpoint, st.just("tiny/inpaint"), dtype=st.sampled_from((None, "float16"))),
)
WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
OPAQUE = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "I;16B")


@given(VALUES)
def test_a_value_survives_pickling_and_copying(value: Value) -> None:
    for twin in (pickle.loads(pickle.dumps(value)), copy.copy(value), copy.deepcopy(value)):
        assert type(twin) is type(value)
        assert twin == value and hash(twin) == hash(value)
        assert repr(twin) == repr(value)
        array = getattr(twin, "_array", None)
        assert array is None or not array.flags.writeable


@given(VALUES, VALUES)
def test_values_are_equal_exactly_when_type_and_content_are(one: Value, other: Value) -> None:
    assert (one == other) == (one.content == other.content)
    assert len(one.content) == 32
    assert type(one) is type(other) or one != other


@given(VALUES)
def test_no_attribute_can_be_set_or_deleted(value: Value) -> None:
    for name in ("content", "source", "_array", "fps", "anything"):
        with pytest.raises(AttributeError, match="frozen"):
            setattr(value, name, 1)
        with pytest.raises(AttributeError, match="frozen"):
            delattr(value, name)


def test_editing_a_pillow_picture_of_a_value_leaves_the_value_alone() -> None:
    for value in (Image(photo()), Image(photo(channels=4)), Mask(photo()[..., 0])):
        before = value.numpy.copy()
        value.pil.paste(9, (0, 0, 3, 3))
        value.pil.putpixel((0, 0), 9)
        assert np.array_equal(value.numpy, before)


def test_the_kind_of_a_map_is_part_of_its_content() -> None:
    kinds = (Image, EdgeMap, PoseMap, SegmentMap, ScribbleMap, SoftEdgeMap, NormalMap)
    assert len({kind(photo()) for kind in kinds}) == len(kinds)
    assert all(issubclass(kind, ControlMap) for kind in (*kinds[1:], DepthMap))


def test_an_image_has_its_size_in_pillow_order() -> None:
    image = Image(photo(4, 6, 4))
    assert (image.width, image.height, image.size) == (6, 4, (6, 4))
    assert repr(image) == "Image(6×4 RGBA)" and image.nbytes == 96
    assert image.pil.mode == "RGBA" and image.rgb.mode == "RGB"
    assert np.array_equal(np.asarray(image.rgb), image.numpy[..., :3])
    assert image._repr_png_().startswith(b"\x89PNG")


@given(RGB)
def test_an_image_survives_pillow(pixels: npt.NDArray[np.uint8]) -> None:
    assert Image.from_pil(Image(pixels).pil) == Image(pixels)


@pytest.mark.parametrize("mode", (*OPAQUE, *WITH_ALPHA))
def test_every_pillow_mode_becomes_an_image_and_a_mask(mode: str) -> None:
    picture = PIL.Image.new(mode, (5, 3))
    assert Image.from_pil(picture).pil.mode == ("RGBA" if mode in WITH_ALPHA else "RGB")
    assert Mask.from_pil(picture).size == (5, 3)


def test_alpha_of_a_palette_is_kept() -> None:
    picture = PIL.Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0])
    picture.putpixel((1, 0), 1)
    picture.info["transparency"] = 0
    assert Image.from_pil(picture).numpy.tolist() == [[[255, 0, 0, 0], [0, 255, 0, 255]]]


def test_sixteen_bits_become_eight_by_dividing_by_257() -> None:
    deep = np.array([[0, 128, 129, 257 * 7, 65535]], np.uint16)
    for picture in (PIL.Image.fromarray(deep), PIL.Image.fromarray(deep.astype(np.int32))):
        assert Image.from_pil(picture).numpy[0, :, 0].tolist() == [0, 0, 1, 7, 255]
        assert Mask.from_pil(picture).numpy[0].tolist() == [0, 0, 1, 7, 255]


@pytest.mark.parametrize("number", [-1.0, 256.0, float("nan"), float("inf")])
def test_numbers_outside_the_range_of_a_picture_are_refused(number: float) -> None:
    with pytest.raises(InvalidValueError, match=r"wanted: numbers 0\.\.255"):
        Image.from_pil(PIL.Image.fromarray(np.full((2, 2), number, np.float32)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Image(photo().astype(np.float32)), r"Image\n.*float32.*\n.*uint8.*\n.*\* 255"),
        (lambda: Image(photo()[..., 0]), r"shape \(4, 6\)"),
        (lambda: Image(photo()[:0]), r"not empty"),
        (lambda: Image(PIL.Image.new("RGB", (2, 2))), r"from_pil"),  # type: ignore[arg-type]
        (lambda: Mask(photo()), r"Mask\n.*shape \(4, 6, 3\)"),
        (lambda: EdgeMap(photo(channels=2)), r"EdgeMap"),
        (lambda: Video(photo(), 8), r"frames, height, width, 3"),
        (lambda: Video(photo()[None], 0), r"fps\n  found:  0"),
        (lambda: Video(photo()[None], float("nan")), r"fps\n  found:  nan"),
        (lambda: Video(photo()[None], True), r"fps\n  found:  True"),
        (lambda: Video(photo()[None], "8"), r"fps\n  found:  '8'"),  # type: ignore[arg-type]
        (lambda: DepthMap(np.ones((3, 3))), r"no near and far"),
        (lambda: DepthMap(np.array([[0, np.nan]])), r"NaN or infinity"),
        (lambda: DepthMap(np.array([[0, 1e300]])), r"NaN or infinity"),
        (lambda: DepthMap(np.ones((3, 3), bool)), r"real numbers"),
        (lambda: DepthMap.from_pil(PIL.Image.fromarray(photo())), r"a colour picture"),
    ],
)
def test_a_refusal_says_what_was_found_and_wanted(make: Callable[[], Value], words: str) -> None:
    with pytest.raises(InvalidValueError, match=words) as caught:
        make()
    assert all(word in str(caught.value) for word in ("found:", "wanted:", "fix:"))


@given(DEPTHS)
def test_the_picture_of_a_depth_spans_black_to_white(depth: npt.NDArray[np.float32]) -> None:
    value = DepthMap(depth)
    grey = value.numpy[..., 0]
    assert value.numpy.shape == (*depth.shape, 3) and value.numpy is value.numpy
    assert grey.min() == 0 and grey.max() == 255
    assert grey[np.unravel_index(depth.argmax(), depth.shape)] == 255
    assert (np.diff(grey.ravel()[depth.ravel().argsort(kind="stable")].astype(int)) >= 0).all()


def test_depths_of_one_picture_but_other_numbers_differ() -> None:
    near = np.array([[0.0, 1.0]], np.float32)
    assert DepthMap(near) != DepthMap(2 * near)
    assert np.array_equal(DepthMap(near).numpy, DepthMap(2 * near).numpy)


def test_depth_is_read_from_grey_pictures() -> None:
    deep = np.array([[0, 300, 65535]], np.uint16)
    assert DepthMap.from_pil(PIL.Image.fromarray(deep)).depth.tolist() == deep.tolist()
    grey = deep.astype(np.uint8)
    assert DepthMap.from_pil(PIL.Image.fromarray(grey)).depth.tolist() == grey.tolist()
    depth = DepthMap(deep)
    assert np.array_equal(DepthMap.from_pil(depth.pil).numpy, depth.numpy)


def test_a_mask_covers_the_share_that_is_painted() -> None:
    mask = Mask(np.array([[True, False], [False, False]]))
    assert mask.numpy.tolist() == [[255, 0], [0, 0]] and mask.coverage == 0.25
    assert mask.pil.mode == "L" and Mask.from_pil(mask.pil) == mask
    assert repr(mask) == "Mask(2×2 25%)" and not isinstance(mask, Image)


def test_a_video_is_a_sequence_of_images() -> None:
    frames = np.stack([photo(), 255 - photo()])
    video = Video(frames, 4)
    assert (len(video), video.fps, video.seconds, video.size) == (2, 4.0, 0.5, (6, 4))
    assert video[-1] == Image(frames[1]) and list(video) == [video[0], video[1]]
    with pytest.raises(IndexError):
        video[2]
    assert repr(video) == "Video(2 frames 6×4 4 fps)"


def test_importing_values_and_media_loads_no_heavy_library() -> None:
    code = "import sys, sdgraph.values, sdgraph.media; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "PIL", "cv2", "av", "torch"} & set(out.stdout.split())
