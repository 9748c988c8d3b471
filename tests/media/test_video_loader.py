"""Films: frames that are decoded when they are read are those that are read at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph.errors import MediaError
from sdgraph.media import load_video, read_video, video_loader, write_video
from sdgraph.values import Video
from tests.support.small_videos import damage, noisy_film, tone


@pytest.fixture(autouse=True)
def _every_video_is_a_film(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_loader, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("sdgraph.media.sound_reader.IN_MEMORY_BYTES", 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for suffix in (".mp4", ".webm"):
        write_video(noisy_film(50, sound=tone(2.0)), folder / f"film{suffix}")
    return folder


PARTS: list[dict[str, Any]] = [
    {},
    {"start": 0.5, "seconds": 0.77},
    {"fps": 7},
    {"fps": 60, "longest": 20, "seconds": 1},
]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_its_frames_are_those_that_are_read_at_once(
    folder: Path, suffix: str, part: dict[str, Any]
) -> None:
    path = folder / f"film{suffix}"
    film, whole = load_video(path, **part), read_video(path, **part)
    assert film.stream is not None and film.fps == whole.fps
    assert np.array_equal(film.frames, whole.frames)
    assert film[-1] == whole[-1] and film[0] == whole[0]  # backwards


@pytest.mark.parametrize("suffix", [".avi", ".ts", ".mkv"])
def test_other_containers_are_read_too(tmp_path: Path, suffix: str) -> None:
    import av

    path = tmp_path / f"film{suffix}"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for pixels in noisy_film(20).pixels():
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        file.mux(stream.encode(None))
    film, whole = load_video(path), read_video(path)
    assert film.stream is not None and np.array_equal(film.frames, whole.frames)


@pytest.mark.parametrize(("suffix", "error"), [(".webm", 0.03), (".mp4", 0.3)])
def test_the_sound_is_that_of_the_frames(folder: Path, suffix: str, error: float) -> None:
    path = folder / f"film{suffix}"
    film = load_video(path)
    assert film.sound is not None and film.sound_rate == 48_000
    assert film.sound.shape == (96_000, 2) and film.sound.dtype == np.float32
    expected, _ = tone(2.0, rate=48_000)
    inner = slice(4_800, -9_600)
    assert np.abs(film.sound[inner] - expected[inner]).max() < error
    part = load_video(path, start=0.5, seconds=1)
    assert part.sound is not None and len(part.sound) == round(part.seconds * 48_000)
    assert np.array_equal(part.sound, film.sound[24_000 : 24_000 + len(part.sound)])


def test_where_a_film_is_longer_than_its_sound_there_is_silence(tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    write_video(noisy_film(50, sound=tone(1.0)), path)
    sound = load_video(path).sound
    assert sound is not None and len(sound) == 96_000
    assert np.abs(sound[60_000:]).max() == 0 and np.abs(sound[:40_000]).max() > 0.4


def test_a_silent_film_has_no_sound(tmp_path: Path) -> None:
    write_video(noisy_film(5), tmp_path / "film.mp4")
    assert not load_video(tmp_path / "film.mp4").has_sound


def test_damaged_sound_is_told_with_its_time(folder: Path, tmp_path: Path) -> None:
    import av

    path = tmp_path / "film.mp4"
    path.write_bytes((folder / "film.mp4").read_bytes())
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(audio=0) if packet.size]
        places = [(packet.pos or 0, packet.size) for packet in packets[40:60]]
    data = bytearray(path.read_bytes())
    for begin, size in places:
        data[begin : begin + size] = b"\xff" * size
    path.write_bytes(data)
    film = load_video(path)
    assert np.array_equal(film.frames, load_video(folder / "film.mp4").frames)
    with pytest.raises(MediaError, match=r"its sound cannot be decoded after 0\.\d s"):
        film.sound  # noqa: B018


def test_a_damaged_frame_in_the_middle_is_named_and_those_before_it_are_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "film.mp4"
    write_video(noisy_film(120), path)
    damage(path, 0.5)
    film = load_video(path)
    assert len(film) == 120
    frames = []
    with pytest.raises(MediaError, match=r"damaged file \(frame \d+ ") as caught:
        for pixels in film.pixels():
            frames.append(pixels)
    named = int(str(caught.value).split("(frame ")[1].split()[0])
    assert 20 < len(frames) <= named < 110


def test_a_film_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_video(noisy_film(60), path)
    film = load_video(path)
    assert film[3].size == (48, 32)
    write_video(noisy_film(61), path)
    with pytest.raises(MediaError, match="changed while it was read"):
        film.frames  # noqa: B018


def test_a_film_beyond_the_memory_is_loaded_and_refused_where_all_of_it_is_needed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sdgraph.media.video_loader.memory_bytes", lambda: 100_000)
    film = load_video(folder / "film.mp4")
    assert len(list(film.pixels())) == 50
    with pytest.raises(ValueError, match="half of the memory"):
        film.frames  # noqa: B018


def test_a_saved_film_is_the_one_saved_from_memory(folder: Path, tmp_path: Path) -> None:
    film = load_video(folder / "film.mp4")
    whole = Video(film.frames, film.fps, film.sound, film.sound_rate)
    for name, video in (("a", film), ("b", whole)):
        for suffix in (".webm", ".gif"):
            write_video(video, tmp_path / f"{name}{suffix}")
    for suffix in (".webm", ".gif"):
        one, other = (tmp_path / f"{name}{suffix}" for name in "ab")
        assert np.array_equal(read_video(one).frames, read_video(other).frames)
