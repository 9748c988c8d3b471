"""Videos keep their frames, colours, rate and provenance in files."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from sdgraph.errors import MediaError
from sdgraph.media import probe_video, read_provenance, read_video, write_video
from sdgraph.values import Pixels, Video
from tests.support.small_images import PROVENANCE, VIDEOS, mean_difference, small_video


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize("fps", [8, 24, 25.0, 12.5])
def test_a_video_keeps_its_frames_rate_and_provenance(
    tmp_path: Path, suffix: str, fps: float
) -> None:
    path, video = tmp_path / f"a{suffix}", small_video(count=9, fps=fps)
    assert write_video(video, path, provenance=PROVENANCE) is True
    back = read_video(path)
    assert back.frames.shape == video.frames.shape
    assert back.fps == pytest.approx(fps, rel=0.02 if suffix == ".gif" else 1e-9)
    assert mean_difference(back.frames, video.frames) < 5
    assert read_provenance(path) == PROVENANCE


@pytest.mark.parametrize("fps", [30000 / 1001, 24000 / 1001, 0.5, 7.3, 240])
def test_mp4_keeps_odd_rates_exactly(tmp_path: Path, fps: float) -> None:
    write_video(small_video(fps=fps), tmp_path / "a.mp4")
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

    write_video(small_video(), path := tmp_path / "a.mp4")
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as file:
        context = file.streams.video[0].codec_context
        assert (context.pix_fmt, context.colorspace, context.color_range) == ("yuv420p", 1, 1)


def test_quality_of_a_video_changes_the_file(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    for suffix in (".mp4", ".webm"):
        sizes = []
        for quality in (1, 95):
            write_video(Video(noise, 8), path := tmp_path / f"a{suffix}", quality=quality)
            sizes.append(path.stat().st_size)
        assert sizes[0] < sizes[1] / 2


def test_a_gif_loops_for_ever_and_takes_as_long_as_its_video(tmp_path: Path) -> None:
    video = small_video(count=12, fps=30)
    write_video(video, tmp_path / "a.gif")
    with PIL.Image.open(tmp_path / "a.gif") as gif:
        assert gif.info["loop"] == 0
    assert read_video(tmp_path / "a.gif").seconds == pytest.approx(video.seconds)


def test_equal_frames_in_a_row_come_back_from_a_gif(tmp_path: Path) -> None:
    frames = small_video(count=3).frames[[0, 1, 1, 1, 2]]
    write_video(Video(frames, 10), tmp_path / "a.gif")
    back = read_video(tmp_path / "a.gif")
    assert (len(back), back.fps) == (5, 10) and np.array_equal(back.frames[1], back.frames[3])


def test_a_video_of_equal_frames_comes_back_whole_from_a_gif(tmp_path: Path) -> None:
    video = Video(small_video(count=1).frames.repeat(7, axis=0), 25)
    write_video(video, tmp_path / "a.gif")
    back = read_video(tmp_path / "a.gif")
    assert (len(back), back.fps) == (7, 25) and (back.frames == back.frames[0]).all()


def test_every_reader_sees_the_same_frames_in_a_gif(tmp_path: Path) -> None:
    import av

    frames = np.full((9, 20, 30, 3), (20, 40, 60), np.uint8)
    for number in (1, 2, 3, 5, 6, 8):  # what they do not reach stays as it was, 3 and 4 are equal
        frames[number:, number : 2 * number, 2 * number : 20] = 255 - 20 * number
    write_video(Video(frames, 8), path := tmp_path / "a.gif")
    assert np.array_equal(read_video(path).frames, frames)
    with av.open(str(path)) as file:
        decoded = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert np.array_equal(decoded, frames)


def test_one_long_pause_of_a_gif_does_not_fill_the_memory(tmp_path: Path) -> None:
    first, second = (image.pil for image in small_video(count=2))
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


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({}, list(range(12))),
        ({"start": 0.5}, list(range(4, 12))),
        ({"seconds": 0.5}, [0, 1, 2, 3]),
        ({"start": 0.25, "seconds": 0.01}, [2]),
        ({"start": 1.25, "seconds": 99.0}, [10, 11]),
        ({"fps": 4.0}, [0, 2, 4, 6, 8, 10]),
        ({"fps": 16.0, "seconds": 0.5}, [0, 0, 1, 1, 2, 2, 3, 3]),
        ({"fps": 3.0}, [0, 2, 5, 8, 10]),
    ],
)
def test_a_part_is_read_at_any_rate(
    tmp_path: Path, suffix: str, part: dict[str, float], expected: list[int]
) -> None:
    shades = np.arange(0, 240, 20, dtype=np.uint8)
    video = Video(np.repeat(shades, 16 * 16 * 3).reshape(12, 16, 16, 3), 8)
    write_video(video, tmp_path / f"a{suffix}")
    entire = read_video(tmp_path / f"a{suffix}")
    part_read = read_video(tmp_path / f"a{suffix}", **part)  # type: ignore[arg-type]
    assert part_read.fps == part.get("fps", entire.fps)
    assert np.rint(part_read.frames.mean(axis=(1, 2, 3)) / 20).astype(int).tolist() == expected


@pytest.mark.parametrize("suffix", VIDEOS)
def test_the_longer_side_is_shrunk_while_it_is_read(tmp_path: Path, suffix: str) -> None:
    write_video(small_video(height=24, width=60), path := tmp_path / f"a{suffix}")
    assert read_video(path, longest=30).size == (30, 12)
    assert read_video(path, longest=1).size == (1, 1)
    assert read_video(path, longest=60) == read_video(path)
    assert probe_video(path) == (60, 24)


def test_a_start_beyond_the_end_is_refused(tmp_path: Path) -> None:
    write_video(small_video(), path := tmp_path / "a.mp4")
    with pytest.raises(MediaError, match="no frame 9 s from its start"):
        read_video(path, start=9)


@pytest.mark.parametrize("suffix", VIDEOS)
def test_writing_takes_no_more_memory_for_more_frames(tmp_path: Path, suffix: str) -> None:
    peaks = []
    for count in (10, 40):
        video = Video(np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), np.uint8), 8)
        write_video(video, tmp_path / f"warm{suffix}")
        tracemalloc.start()
        write_video(video, tmp_path / f"a{suffix}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_of_a_gif_two_pictures_are_held_at_once_however_many_come(tmp_path: Path) -> None:
    class Watched(Video):
        def pixels(self) -> Iterator[Pixels]:
            for pixels in super().pixels():
                held.append(sum(type(item) is PIL.Image.Image for item in gc.get_objects()))
                yield pixels

    held: list[int] = []
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    write_video(Watched(noise, 8), tmp_path / "a.gif")
    assert len(held) == 12 and max(held[2:]) <= held[2]
