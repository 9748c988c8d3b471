"""Frames in a temporary file: the same values, and a clear error where the disk is full."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.store.spool import spooled
from sdgraph.values import ArrayStream, Image, Mask, Series, Stream, Video


def stream(items: list[Any]) -> Stream:
    return Stream(len(items), 2, lambda number: items[2 * number : 2 * number + 2])


def test_values_of_any_kind_come_back_equal_and_what_no_file_holds_stays_in_memory(
    tmp_path: Path,
) -> None:
    noise = np.random.default_rng(2).integers(0, 256, (5, 4, 6, 3), np.uint8)
    other = object()
    items = [Image(noise[0]), Mask(noise[1, ..., 0].copy()), 7, "text", other, Image(noise[4])]
    series = spooled(Series(stream(items), 5), tmp_path)
    assert list(series) == items and series.items[4] is other and series.fps == 5
    frames = ArrayStream(noise.shape, "uint8", 2, lambda n: list(noise[2 * n : 2 * n + 2]))
    sound = np.zeros((100, 1), np.float32)
    video = spooled(Video(frames, 5, sound, 8000), tmp_path)
    assert video.stream is not None and video == Video(noise, 5, sound, 8000)
    assert not list(tmp_path.iterdir())
    assert spooled(7) == 7 and spooled(Series(items, 5)).stream is None


def test_a_disk_that_fills_up_meanwhile_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.TemporaryFile

    def full(**options: Any) -> Any:
        file: Any = make(**options)

        class Full:
            def write(self, data: Any) -> None:
                if file.tell() > 100:
                    raise OSError(errno.ENOSPC, "No space left on device")
                file.write(data)

            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

        return Full()

    monkeypatch.setattr("sdgraph.store.spool.tempfile.TemporaryFile", full)
    items = [Image(np.zeros((8, 8, 3), np.uint8)) for _ in range(6)]
    with pytest.raises(InvalidValueError, match=r"are free in .*\n.*room for all of them"):
        spooled(Series(stream(items), 5), tmp_path)
