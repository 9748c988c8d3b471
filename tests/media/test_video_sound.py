"""The sound of videos: what a value may hold, and what is written to files."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.media import read_provenance, read_video, write_video
from sdgraph.values import Video
from tests.support.small_images import PROVENANCE, VIDEOS, mean_difference, small_video

RATE = 24_000


def tone(channels: int = 2, seconds: float = 1.0) -> npt.NDArray[Any]:
    """A tone of 440 Hz, half as loud in the second channel."""
    times = np.arange(int(RATE * seconds)) / RATE
    wave = np.sin(2 * np.pi * 440 * times).astype(np.float32)
    return np.stack([wave / (number + 1) for number in range(channels)], axis=1) / 2


def video_with(sound: npt.NDArray[Any], rate: int = RATE) -> Video:
    return Video(small_video(count=8, fps=8).frames, 8, sound, rate)


def read_sound(path: Path) -> tuple[npt.NDArray[Any], int]:
    import av

    with av.open(str(path)) as file:
        blocks = [frame.to_ndarray() for frame in file.decode(audio=0)]
        return np.concatenate(blocks, axis=1).T, file.streams.audio[0].rate


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_is_written_with_the_frames(tmp_path: Path, suffix: str, channels: int) -> None:
    path, video = tmp_path / f"a{suffix}", video_with(tone(channels))
    assert write_video(video, path, provenance=PROVENANCE)
    assert read_provenance(path) == PROVENANCE
    back = read_video(path)
    assert len(back) == 8 and back.fps == 8 and back.sound is None
    assert mean_difference(back.frames, video.frames) < 5
    sound, rate = read_sound(path)
    assert rate == 48_000 and sound.shape[1] == channels
    assert len(sound) / rate == pytest.approx(1, abs=0.05)
    middle = sound[12_000:36_000]
    loudness = np.sqrt((middle**2).mean(axis=0))
    assert loudness == pytest.approx([0.354, 0.177][:channels], rel=0.1)
    spectrum = np.abs(np.fft.rfft(middle[:, 0]))
    assert int(spectrum.argmax()) * rate / len(middle) == pytest.approx(440, abs=3)


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize("width", [32, 144])
def test_a_file_is_the_same_each_time(tmp_path: Path, suffix: str, width: int) -> None:
    video = Video(small_video(count=12, width=width).frames, 8, tone(), RATE)
    contents = set()
    for number in range(12):
        used = [np.full(size, 20 * number, np.uint8) for size in (5_000, 20_000, 70_000, 200_000)]
        del used  # memory that the encoder gets, and that holds other numbers each time
        write_video(video, path := tmp_path / f"a{suffix}", provenance=PROVENANCE)
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_sound_is_a_part_of_the_content() -> None:
    video, silent = video_with(tone()), small_video(count=8, fps=8)
    assert video == video_with(tone()) != video_with(tone() / 2)
    assert video != silent and video.nbytes > silent.nbytes
    assert "with sound" in repr(video) and "sound" not in repr(silent)
    copy = pickle.loads(pickle.dumps(video))
    assert copy == video and (copy.sound == tone()).all() and copy.sound_rate == RATE
    assert silent.sound is None and silent.sound_rate == 0 and "sound" not in silent.fields


@pytest.mark.parametrize(
    ("sound", "rate", "words"),
    [
        (tone().astype(np.float64), RATE, "float32 sound"),
        (tone()[:, 0], RATE, "1 or 2 channels"),
        (tone() * 3, RATE, "numbers beyond 1"),
        (tone() * np.nan, RATE, "NaN"),
        (tone(), 0, "samples per second"),
    ],
)
def test_what_is_no_sound_is_refused(sound: Any, rate: int, words: str) -> None:
    with pytest.raises(InvalidValueError, match=words):
        video_with(sound, rate)
