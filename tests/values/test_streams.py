"""Streams: a few chunks of items are in memory, whoever reads them in whatever order."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.values import Image, Series, Video, content_of, run_per_frame, size_of
from sdgraph.values.streams import (
    ArrayStream,
    SequentialChunks,
    Stream,
    chunk_length,
    read_ahead,
    worker_count,
)


def numbers(length: int, chunk: int, made: list[int] | None = None) -> Stream:
    def make(number: int) -> Sequence[int]:
        if made is not None:
            made.append(number)
        return range(number * chunk, min((number + 1) * chunk, length))

    return Stream(length, chunk, make)


def film(frames: np.ndarray[Any, Any], chunk: int = 4) -> ArrayStream:
    def make(number: int) -> Sequence[Any]:
        parts = [frame.copy() for frame in frames[number * chunk : (number + 1) * chunk]]
        for part in parts:
            part.setflags(write=False)
        return parts

    return ArrayStream(frames.shape, "uint8", chunk, make)


def noise(count: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(count).integers(0, 256, (count, 8, 12, 3), np.uint8)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 5))
def test_it_is_the_sequence_of_its_items(length: int, chunk: int, threads: int) -> None:
    stream, items = numbers(length, chunk), list(range(length))
    assert list(stream) == list(read_ahead(stream, threads)) == items
    assert [stream[n] for n in range(length)] == items and len(stream) == length
    assert stream[-1] == items[-1] and stream[1:-1] == tuple(items[1:-1])
    assert list(stream.map(str)) == [str(n) for n in items]
    with pytest.raises(IndexError):
        stream[length]


def test_few_chunks_are_held_however_long_it_is() -> None:
    alive: list[weakref.ref[Any]] = []

    def make(number: int) -> Sequence[Any]:
        item = np.zeros(1000, np.uint8)
        alive.append(weakref.ref(item))
        return [item]

    stream, most = Stream(200, 1, make), 0
    for _ in read_ahead(stream, 2):
        gc.collect(0)
        most = max(most, sum(ref() is not None for ref in alive))
    assert most <= worker_count() + 8 and size_of(stream) < 20_000


def test_a_chunk_that_two_threads_want_is_made_once() -> None:
    made: list[int] = []
    stream = numbers(8, 8, made)
    threads = [threading.Thread(target=stream.chunk, args=(0,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [0]


def test_an_error_of_a_chunk_reaches_the_reader_and_nothing_hangs() -> None:
    def make(number: int) -> Sequence[int]:
        if number == 3:
            raise ValueError("three")
        return [number]

    stream = Stream(100, 1, make)
    with pytest.raises(ValueError, match="three"):
        list(read_ahead(stream, 3))
    stream.on_error = lambda error: KeyError(str(error))
    with pytest.raises(KeyError, match="three"):
        stream.chunk(3)
    assert not [thread for thread in threading.enumerate() if "sdgraph-frames" in thread.name]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20))
def test_what_is_read_from_its_beginning_is_read_in_any_order(order: list[int]) -> None:
    def open_items() -> Iterator[int]:
        yield from range(28)

    make = SequentialChunks(open_items, 3)
    for number in order:
        assert tuple(make(number)) == tuple(range(28))[3 * number : 3 * number + 3]


def test_a_video_of_a_stream_equals_one_in_memory() -> None:
    frames = noise(10)
    sound = np.linspace(-1, 1, 100, dtype=np.float32)[:, None]

    def sound_piece(number: int) -> Any:
        return sound[30 * number : 30 * number + 30]

    pieces = ArrayStream(sound.shape, "float32", 30, sound_piece)
    video, other = Video(frames, 5, sound, 8000), Video(film(frames), 5, pieces, 8000)
    assert video == other and content_of(video) == content_of(other)
    assert other.size == (12, 8) and len(other) == 10 and other[7] == video[7]
    assert np.array_equal(other.frames, frames) and list(other) == list(video)
    assert other.sound is not None and np.array_equal(other.sound, sound)
    assert np.array_equal(np.stack(list(other.pixels())), frames)
    copy = pickle.loads(pickle.dumps(other))
    assert copy == video and copy.stream is None
    assert video.series() == other.series() == pickle.loads(pickle.dumps(other.series()))


def test_a_node_runs_on_the_frames_of_a_stream_when_they_are_read() -> None:
    seen: list[int] = []
    steps: list[tuple[int, int]] = []

    def run(image: Image) -> int:
        seen.append(1)
        return int(image.numpy[0, 0, 0])

    frames = noise(10)
    series = Video(film(frames), 5).series()
    result = run_per_frame(run, lambda *step, **_: steps.append(step), {"image": series})
    assert isinstance(result, Series) and result.fps == 5 and not seen
    assert list(result) == frames[:, 0, 0, 0].tolist()
    assert steps == [(n, 10) for n in range(1, 11)]


def test_a_chunk_has_at_least_one_frame() -> None:
    assert chunk_length(10**9) == 1 and chunk_length(0) == 16
