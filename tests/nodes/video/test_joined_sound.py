"""The sound of videos whose frames go through nodes and are joined again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Graph, Session
from sdgraph.media import write_video
from sdgraph.nodes import Canny, Frames, LoadVideo, VideoFromFrames
from sdgraph.values import Image, Video
from tests.support.small_videos import noisy_film, tone

RATE = 24_000


@pytest.fixture(params=["in memory", "as streams"])
def film(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A node that loads a film of two seconds with sound."""
    if request.param == "as streams":
        monkeypatch.setattr("sdgraph.media.video_loader.IN_MEMORY_BYTES", 0)
        monkeypatch.setattr("sdgraph.media.sound_reader.IN_MEMORY_BYTES", 0)
    path = tmp_path / "film.webm"
    write_video(noisy_film(50, sound=tone(2.0)), path)
    return LoadVideo(path=path)


def run(node: Any) -> Any:
    (value,) = Session(store=None).run(Graph.of(node)).values()
    return value


def test_it_goes_through_nodes_that_change_frames(film: Any) -> None:
    sound = run(film).sound
    video = run(VideoFromFrames(frames=Canny(image=Frames(video=film))))
    assert video.sound_rate == 48_000 and np.array_equal(video.sound, sound)


def test_a_video_that_plays_at_another_speed_is_silent(film: Any) -> None:
    assert not run(VideoFromFrames(frames=Frames(video=film), fps=10)).has_sound
    assert run(VideoFromFrames(frames=Frames(video=film), fps=25)).has_sound


def test_pictures_between_two_films_are_silent(film: Any) -> None:
    frames, picture = Frames(video=film), Image(np.zeros((32, 48, 3), np.uint8))
    video = run(VideoFromFrames(frames=[picture, frames, picture, frames]))
    assert len(video) == 102 and len(video.sound) == round(102 / 25 * 48_000)
    silence, sound = 48_000 // 25, run(film).sound
    assert not video.sound[:silence].any()
    assert np.array_equal(video.sound[silence:][: len(sound)], sound)
    assert not video.sound[silence + len(sound) :][:silence].any()
    assert np.array_equal(video.sound[2 * silence + len(sound) :], sound)


def test_one_channel_is_heard_on_both_sides_and_another_rate_is_not_heard() -> None:
    sound, rate = tone(2.0)
    frames = noisy_film(50).frames
    stereo = Video(frames, 25, sound, rate)
    mono, other = Video(frames, 25, sound[:, :1], rate), Video(frames, 25, sound, 44_100)
    both = [Frames(video=video) for video in (stereo, mono)]
    video = run(VideoFromFrames(frames=both))
    assert np.array_equal(video.sound[48_000:], np.repeat(sound[:, :1], 2, axis=1))
    video = run(VideoFromFrames(frames=both[::-1]))
    assert np.allclose(video.sound[48_000:, 0], sound.mean(axis=1))
    video = run(VideoFromFrames(frames=[both[0], Frames(video=other)]))
    assert not video.sound[48_000:].any() and len(video.sound) == 96_000


def test_pictures_alone_have_no_sound() -> None:
    picture = Image(np.zeros((32, 48, 3), np.uint8))
    assert not run(VideoFromFrames(frames=[picture, picture])).has_sound
