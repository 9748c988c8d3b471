"""Writes the sound of a video into its file, piece by piece between the frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from sdgraph.values import Video

if TYPE_CHECKING:
    import av
    import av.container

_RATE = 48_000
"""Samples per second: all players have it, and Opus has hardly any other."""
_AHEAD = 1.0
"""Seconds by which the sound is written before the frames."""


class SoundWriter:
    """Encodes the sound of a video.

    Args:
        file: The open file; all streams are added before the first frame is written.
        video: The video, which has sound.
        codec: The name of the codec.
    """

    def __init__(self, file: av.container.OutputContainer, video: Video, codec: str) -> None:
        import av

        self._file = file
        self._rate = video.sound_rate
        self._blocks = video.sound_blocks()
        first = next(self._blocks)
        self._next = first
        self._layout = "mono" if first.shape[1] == 1 else "stereo"
        added = file.add_stream(codec, rate=_RATE, layout=self._layout)
        self._stream = cast("av.AudioStream", added)
        size = self._stream.codec_context.frame_size or None
        self._resampler = av.AudioResampler(
            self._stream.format, self._layout, _RATE, frame_size=size
        )
        self._samples = 0
        self._is_finished = False

    def write_until(self, seconds: float) -> None:
        """Writes the sound that belongs to the first seconds of the video, and a little more."""
        while not self._is_finished and self._samples < (seconds + _AHEAD) * self._rate:
            self._write_block()

    def finish(self) -> None:
        """Writes the rest."""
        while not self._is_finished:
            self._write_block()

    def _write_block(self) -> None:
        import av
        import numpy as np

        block = self._next
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block.T), format="fltp", layout=self._layout
        )
        frame.sample_rate, frame.pts = self._rate, self._samples
        self._samples += len(block)
        self._encode(frame)
        following = next(self._blocks, None)
        if following is None:
            self._encode(None)
            self._file.mux(self._stream.encode(None))
            self._is_finished = True
        else:
            self._next = following

    def _encode(self, frame: av.AudioFrame | None) -> None:
        for resampled in self._resampler.resample(frame):
            self._file.mux(self._stream.encode(resampled))
