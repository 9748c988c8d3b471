"""Small films, their sound, and damage to their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sdgraph.values import Video

Sound = tuple[npt.NDArray[np.float32], int]


def noisy_film(count: int, fps: float = 25, sound: Sound | None = None) -> Video:
    """Coarse noise that moves; no two frames are equal."""
    blocks = np.random.default_rng(3).integers(0, 256, (8, 12, 3), np.uint8)
    still = blocks.repeat(4, 0).repeat(4, 1)
    frames = np.stack(
        [np.roll(still, 3 * number, 1) // 2 + number % 100 for number in range(count)]
    )
    return Video(frames.astype(np.uint8), fps, *(sound or ()))


def tone(seconds: float, rate: int = 24_000) -> Sound:
    """A tone of 440 Hz, half as loud in the second of two channels."""
    times = np.arange(int(rate * seconds)) / rate
    wave: Any = np.sin(2 * np.pi * 440 * times).astype(np.float32) / 2
    return np.stack([wave, wave / 2], axis=1), rate


def damage(path: Path, where: float, size: int = 400) -> None:
    """Replaces bytes of a file by noise.

    Args:
        path: The file.
        where: At which part of it, from 0 to 1.
        size: How many bytes.
    """
    data = bytearray(path.read_bytes())
    begin = int(len(data) * where)
    noise = np.random.default_rng(5).integers(0, 256, size, np.uint8)
    data[begin : begin + size] = noise.tobytes()
    path.write_bytes(data)
