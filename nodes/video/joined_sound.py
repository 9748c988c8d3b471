"""Joins the sounds of videos whose frames are joined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sdgraph.values import ArrayStream, Series
from sdgraph.values.streams import SequentialChunks

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]


def join_sounds(parts: Sequence[Any], fps: float) -> tuple[Samples | ArrayStream, int] | None:
    """The sound of joined parts and its rate; None if no part has sound that fits.

    Pictures, silent videos and those that play at another speed than their own are silent. If the
    rates of the sounds differ, only those with the rate of the first are heard.

    Args:
        parts: Series of frames, and single pictures.
        fps: Frames per second of the joined video.
    """
    heard = [part for part in parts if _is_heard(part, fps)]
    if not heard:
        return None
    rate, channels = heard[0].sound_rate, heard[0].sound.shape[1]
    if len(parts) == 1:
        return heard[0].sound, rate
    counts = [len(part) if isinstance(part, Series) else 1 for part in parts]
    ends = [round(sum(counts[: number + 1]) / fps * rate) for number in range(len(parts))]
    lengths = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    sounds = [
        part.sound if _is_heard(part, fps) and part.sound_rate == rate else None for part in parts
    ]
    pieces = partial(_seconds, sounds, lengths, rate, channels)
    chunks = SequentialChunks(pieces, 1)
    stream = ArrayStream((ends[-1], channels), "float32", rate, lambda number: chunks(number)[0])
    is_long = any(isinstance(sound, ArrayStream) for sound in sounds)
    return (stream if is_long else stream.array()), rate


def _is_heard(part: Any, fps: float) -> bool:
    return isinstance(part, Series) and part.sound is not None and part.fps == fps


def _seconds(
    sounds: Sequence[Any], lengths: Sequence[int], rate: int, channels: int
) -> Iterator[Samples]:
    """The joined sound in pieces of a second."""
    import numpy as np

    held = np.zeros((0, channels), np.float32)
    for sound, length in zip(sounds, lengths, strict=True):
        for block in _pieces(sound, length, rate, channels):
            held = np.concatenate([held, block])
            while len(held) >= rate:
                piece, held = held[:rate].copy(), held[rate:]
                piece.setflags(write=False)
                yield piece
    if len(held):
        yield held


def _pieces(sound: Any, length: int, rate: int, channels: int) -> Iterator[Samples]:
    """The sound of one part in pieces, cut or followed by silence to this length."""
    import numpy as np

    left = length
    if sound is not None:
        blocks = sound.blocks() if isinstance(sound, ArrayStream) else (sound,)
        for block in blocks:
            samples = block if block.shape[1] == channels else _with_channels(block, channels)
            yield samples[:left]
            left -= min(left, len(samples))
    while left:
        silence = min(left, rate)
        yield np.zeros((silence, channels), np.float32)
        left -= silence


def _with_channels(block: Samples, channels: int) -> Samples:
    """One channel repeated, or the mean of two."""
    import numpy as np

    if channels == 2:
        return np.repeat(block, 2, axis=1)
    mixed: Samples = block.mean(axis=1, keepdims=True, dtype=np.float32)
    return mixed
