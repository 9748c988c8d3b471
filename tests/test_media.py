"""Pictures and videos survive files, carry their provenance, and fail with a way out."""

from __future__ import annotations

import errno
import io
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sdgraph.errors import MediaError
from sdgraph.media import (
    probe_image,
    read_image,
    read_provenance,
    read_video,
    write_beside,
    write_image,
    write_video,
)
from sdgraph.values import Image, Video

PICTURES = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"]
VIDEOS = [".mp4", ".webm", ".gif"]
PROVENANCE = 'name: "portrait"\nprompt: Käse ☃ 😀, 100%\n'


def gradient(height: int = 24, width: int = 32) -> npt.NDArray[np.uint8]:
    """A smooth picture, red to the right and green downwards: its four edges all differ."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return pixels


def film(count: int = 5, fps: float = 8, height: int = 24, width: int = 32) -> Video:
    """The gradient, moving a little from frame to frame."""
    still = gradient(height, width) // 2
    return Video(np.stack([still + 10 * n for n in range(count)]).astype(np.uint8), fps)


def mean_difference(one: Any, other: Any) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from((3, 4))).flatmap(
        lambda shape: hnp.arrays(np.uint8, shape)
    ),
    st.sampled_from((".png", ".webp", ".tif", ".bmp")),
    st.text(st.characters(exclude_categories=["Cs", "Cc"])),
)
def test_lossless_formats_keep_every_pixel_and_the_provenance(
    tmp_path: Path, pixels: npt.NDArray[np.uint8], suffix: str, text: str
) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".bmp":
        pixels = pixels[..., :3]
    stored = write_image(Image(pixels).pil, path, provenance=text, quality=100)
    assert np.array_equal(np.asarray(read_image(path).convert(Image(pixels).pil.mode)), pixels)
    assert stored == (suffix != ".bmp")
    assert read_provenance(path) == (text if stored else None)


@pytest.mark.parametrize("suffix", PICTURES)
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F", "I", "I;16"])
def test_every_format_takes_every_mode(tmp_path: Path, suffix: str, mode: str) -> None:
    path = tmp_path / f"a{suffix.upper()}"
    stored = write_image(PIL.Image.new(mode, (5, 3)), path, provenance=PROVENANCE)
    assert probe_image(path)[:2] == read_image(path).size == (5, 3)
    assert read_provenance(path) == (PROVENANCE if stored else None)
    assert stored == (suffix != ".bmp")


def test_sixteen_bits_of_grey_survive_png_and_tiff(tmp_path: Path) -> None:
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    for suffix in (".png", ".tif"):
        write_image(PIL.Image.fromarray(deep), path := tmp_path / f"a{suffix}")
        assert np.array_equal(np.asarray(read_image(path)), deep)


def test_jpeg_lays_transparency_over_white(tmp_path: Path) -> None:
    clear = PIL.Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    write_image(clear, tmp_path / "a.jpg")
    assert read_image(tmp_path / "a.jpg").getpixel((8, 8)) == (255, 255, 255)


def test_quality_is_heard(tmp_path: Path) -> None:
    picture = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    for suffix in (".jpg", ".webp"):
        sizes = []
        for quality in (20, 95):
            write_image(picture, path := tmp_path / f"a{suffix}", quality=quality)
            sizes.append(path.stat().st_size)
        assert sizes[0] < sizes[1]


def test_a_picture_without_provenance_has_none_and_takes_over_no_foreign_comment(
    tmp_path: Path,
) -> None:
    for suffix in PICTURES:
        assert (
            write_image(PIL.Image.fromarray(gradient()), path := tmp_path / f"a{suffix}") is False
        )
        assert read_provenance(path) is None
    write_image(PIL.Image.fromarray(gradient()), tmp_path / "old.gif", provenance="old")
    with PIL.Image.open(tmp_path / "old.gif") as old:
        write_image(old, tmp_path / "new.gif")
        write_image(old, tmp_path / "new.jpg")
    assert read_provenance(tmp_path / "new.gif") is None
    assert b"sdgraph" not in (tmp_path / "new.jpg").read_bytes()


def test_provenance_too_long_for_jpeg_is_left_out_and_said_so(tmp_path: Path) -> None:
    picture, long = PIL.Image.fromarray(gradient()), "x" * 70_000
    assert write_image(picture, tmp_path / "a.jpg", provenance=long) is False
    assert read_image(tmp_path / "a.jpg").size == (32, 24)
    assert read_provenance(tmp_path / "a.jpg") is None
    for suffix in (".png", ".webp", ".tif", ".gif"):
        assert write_image(picture, path := tmp_path / f"a{suffix}", provenance=long) is True
        assert read_provenance(path) == long


def test_a_stray_byte_of_a_command_line_is_spelled_out(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg"):
        path = tmp_path / f"a{suffix}"
        write_image(PIL.Image.fromarray(gradient()), path, provenance="a\udc80b")
        assert read_provenance(path) == "a\\udc80b"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_picture_is_turned_as_its_exif_says(
    tmp_path: Path, suffix: str, orientation: int
) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.fromarray(gradient()).save(path := tmp_path / f"a{suffix}", exif=exif, quality=95)
    turned = np.rot90(gradient(), {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    assert mean_difference(read_image(path), turned) < 4
    assert probe_image(path) == (turned.shape[1], turned.shape[0], "RGB")


def test_probing_reads_the_header_alone(tmp_path: Path) -> None:
    write_image(PIL.Image.fromarray(gradient(200, 300)), path := tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:200])
    assert probe_image(path) == (300, 200, "RGB")
    with pytest.raises(MediaError, match=r"damaged"):
        read_image(path)


def test_the_first_frame_of_a_moving_picture_is_read(tmp_path: Path) -> None:
    write_video(film(), tmp_path / "a.gif")
    assert mean_difference(read_image(tmp_path / "a.gif").convert("RGB"), film().frames[0]) < 6


def broken_files(folder: Path) -> dict[str, Path]:
    """A path for each thing that can be wrong with a file."""
    whole = io.BytesIO()
    PIL.Image.fromarray(gradient(99, 99)).save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[:700])
    (folder / "text.png").write_text("no picture at all")
    (folder / "empty.png").write_bytes(b"")
    return {
        "cut": folder / "cut.jpg",
        "text": folder / "text.png",
        "empty": folder / "empty.png",
        "folder": folder,
        "missing": folder / "txt.png",
        "below a file": folder / "text.png" / "a.png",
    }


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("cut", "damaged"),
        ("text", "no picture"),
        ("empty", "no picture"),
        ("folder", "found:  a folder"),
        ("missing", "no such file"),
        ("below a file", "no such file"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_way_out(
    tmp_path: Path, case: str, words: str
) -> None:
    path = broken_files(tmp_path)[case]
    with pytest.raises(MediaError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value) and "fix:" in str(caught.value)
    with pytest.raises(MediaError):
        read_video(path)
    if case != "cut":  # whose header is whole
        for reader in (probe_image, read_provenance):
            with pytest.raises(MediaError):
                reader(path)


def test_a_missing_picture_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    write_image(PIL.Image.fromarray(gradient()), tmp_path / "portrait.png")
    with pytest.raises(MediaError, match=r"did you mean 'portrait.png'\?"):
        read_image(tmp_path / "potrait.png")


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(PIL.Image, "open", forbid)
    with pytest.raises(MediaError, match=r"may not be read"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("policy", ["error", "ignore"])
@pytest.mark.parametrize("limit", [500, 200])  # beyond the limit Pillow warns, beyond twice raises
def test_a_decompression_bomb_is_refused_with_its_size_and_the_limit(
    tmp_path: Path, limit: int, policy: Literal["error", "ignore"], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(PIL.Image.fromarray(gradient()), path := tmp_path / "a.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
    for reader in (read_image, probe_image, read_provenance):
        with (
            warnings.catch_warnings(),
            pytest.raises(MediaError, match=rf"a\.png\n.*(768|32×24) pixels\n.*at most {limit} "),
        ):
            warnings.simplefilter(policy)
            reader(path)


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize("fps", [8, 24, 25.0, 12.5])
def test_a_video_keeps_its_frames_rate_and_provenance(
    tmp_path: Path, suffix: str, fps: float
) -> None:
    path, video = tmp_path / f"a{suffix}", film(count=9, fps=fps)
    assert write_video(video, path, provenance=PROVENANCE) is True
    back = read_video(path)
    assert back.frames.shape == video.frames.shape
    assert back.fps == pytest.approx(fps, rel=0.02 if suffix == ".gif" else 1e-9)
    assert mean_difference(back.frames, video.frames) < 5
    assert read_provenance(path) == PROVENANCE


@pytest.mark.parametrize("fps", [30000 / 1001, 24000 / 1001, 0.5, 7.3, 240])
def test_mp4_keeps_odd_rates_exactly(tmp_path: Path, fps: float) -> None:
    write_video(film(fps=fps), tmp_path / "a.mp4")
    assert read_video(tmp_path / "a.mp4").fps == fps


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_colours_do_not_drift_through_a_video(tmp_path: Path, suffix: str) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128), (255, 255, 255), (0, 0, 0)]
    for colour in colours:
        write_video(
            Video(np.full((2, 16, 16, 3), colour, np.uint8), 8), path := tmp_path / f"a{suffix}"
        )
        drift = read_video(path).frames.astype(int) - colour
        assert np.abs(drift).max() <= 3


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 33), (2, 3)])
def test_odd_sides_grow_by_a_repeated_edge_in_mp4_alone(
    tmp_path: Path, height: int, width: int
) -> None:
    ramp = np.arange(2 * height * width, dtype=np.uint8).reshape(2, height, width, 1)
    video = Video(np.repeat(ramp, 3, axis=3), 8)
    write_video(video, tmp_path / "a.mp4")
    padded = np.pad(video.frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), "edge")
    back = read_video(tmp_path / "a.mp4")
    assert back.frames.shape == padded.shape and mean_difference(back.frames, padded) < 8
    for suffix in (".webm", ".gif"):
        write_video(video, path := tmp_path / f"a{suffix}")
        assert read_video(path).size == video.size


def test_mp4_plays_before_it_is_loaded_and_says_its_colours(tmp_path: Path) -> None:
    import av

    write_video(film(), path := tmp_path / "a.mp4")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.pix_fmt, context.colorspace, context.color_range) == ("yuv420p", 1, 1)


def test_quality_of_a_video_is_heard(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    for suffix in (".mp4", ".webm"):
        sizes = []
        for quality in (1, 95):
            write_video(Video(noise, 8), path := tmp_path / f"a{suffix}", quality=quality)
            sizes.append(path.stat().st_size)
        assert sizes[0] < sizes[1] / 2


def test_a_gif_loops_for_ever_and_takes_as_long_as_its_video(tmp_path: Path) -> None:
    video = film(count=12, fps=30)
    write_video(video, tmp_path / "a.gif")
    with PIL.Image.open(tmp_path / "a.gif") as gif:
        assert gif.info["loop"] == 0
    assert read_video(tmp_path / "a.gif").seconds == pytest.approx(video.seconds)


def test_equal_frames_in_a_row_come_back_from_a_gif(tmp_path: Path) -> None:
    frames = film(count=3).frames[[0, 1, 1, 1, 2]]
    write_video(Video(frames, 10), tmp_path / "a.gif")
    back = read_video(tmp_path / "a.gif")
    assert (len(back), back.fps) == (5, 10) and np.array_equal(back.frames[1], back.frames[3])


def test_one_long_pause_of_a_gif_does_not_fill_the_memory(tmp_path: Path) -> None:
    first, second = (image.pil for image in film(count=2))
    first.save(
        tmp_path / "a.gif", save_all=True, append_images=[second], duration=[10, 600_000], loop=0
    )
    back = read_video(tmp_path / "a.gif")
    assert len(back) == 2 and back.seconds == pytest.approx(600.01)


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize("kept", [0.1, 0.4, 0.6])
def test_a_cut_video_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), np.uint8)
    write_video(Video(noise, 8), path := tmp_path / f"a{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data))])
    with pytest.raises(MediaError):
        read_video(path)


def test_an_unknown_suffix_is_answered_with_the_known(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"'.pgn'\n.*\.png, \.jpg"):
        write_image(PIL.Image.fromarray(gradient()), tmp_path / "a.pgn")
    with pytest.raises(MediaError, match=r"''\n.*\.mp4, \.webm, \.gif"):
        write_video(film(), tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_size_that_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"16384"):
        write_image(PIL.Image.new("L", (16384, 1)), tmp_path / "a.webp")
    with pytest.raises(MediaError):
        write_image(PIL.Image.new("L", (65536, 1)), tmp_path / "a.gif")
    assert not list(tmp_path.iterdir())


def test_write_beside_makes_folders_and_shows_only_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "er" / "a.png"
    with write_beside(path) as beside:
        assert beside.parent == path.parent and beside.name.startswith(".")
        assert beside.suffix == ".png" and not path.exists()
        beside.write_text("whole")
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_write_beside_leaves_the_old_file_when_anything_goes_wrong(
    tmp_path: Path, error: type[BaseException]
) -> None:
    (tmp_path / "a.png").write_text("old")
    with pytest.raises(error), write_beside(tmp_path / "a.png") as beside:
        beside.write_text("half")
        raise error
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.png", "old")]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "full disk"),
        (errno.EDQUOT, "full disk"),
        (errno.EROFS, "cannot be written to"),
        (errno.EACCES, "cannot be written to"),
        (errno.EIO, "a failure"),
    ],
)
def test_a_disk_that_fails_is_said_with_a_way_out(
    tmp_path: Path, number: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, data: bytes) -> None:
        path.write_text("half")
        raise OSError(number, "the disk says no")

    monkeypatch.setattr(Path, "write_bytes", fail)
    writers: list[Callable[[], bool]] = [
        lambda: write_image(PIL.Image.fromarray(gradient()), tmp_path / "a.png"),
        lambda: write_video(film(), tmp_path / "a.gif"),
    ]
    for write in writers:
        with pytest.raises(MediaError, match=rf"a\.\w+\n  found: .*{words}.*\n.*\n  fix: "):
            write()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes by resource")
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.gif", "a.mp4", "a.webm", "film.gif"])
def test_a_disk_that_runs_full_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    code = """
import resource, sys, numpy, sdgraph.media as media, sdgraph.values as values
pixels = numpy.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), numpy.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    if sys.argv[1].endswith(("mp4", "webm", "film.gif")):
        media.write_video(values.Video(pixels, 8), sys.argv[1])
    else:
        media.write_image(values.Image(pixels[0]).pil, sys.argv[1])
except media.MediaError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path / name)]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "full disk" in out.stdout and "free some space" in out.stdout
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_said_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.png").mkdir()
    picture = PIL.Image.fromarray(gradient())
    for below in ("file/a.png", "file/deeper/a.png"):
        with pytest.raises(MediaError, match=r"cannot be written to"):
            write_image(picture, tmp_path / below)
    with pytest.raises(MediaError, match=r"found:  a folder"):
        write_image(picture, tmp_path / "folder.png")
    with pytest.raises(MediaError, match=r"cannot be written to"):
        write_video(film(), tmp_path / "file" / "a.mp4")
