"""A node pack of one file with a kind of value of its own: sound, in WAV files."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from sdgraph.graph import ExistingFile, In, Node, SourceFile, TargetFile
from sdgraph.media import write_sidecar
from sdgraph.values import Value, check_array

FULL_SCALE = np.float32(32767)
"""What a sample of 1 is in a file of 16 bits."""


class Audio(Value):
    """A sound: float32, samples × channels, -1..1; `rate` samples a second."""

    suffixes: ClassVar[tuple[str, ...]] = (".wav",)
    loader: ClassVar[str | None] = "LoadAudio"

    samples: npt.NDArray[np.float32]
    rate: int

    def __init__(self, samples: npt.NDArray[np.float32], rate: int) -> None:
        wanted = "a float32 array of shape (samples, channels), not empty"
        check_array(self, samples, wanted, ("float32",), ndim=2)
        self._set_fields(samples=samples, rate=rate)


class LoadAudio(Node[Audio]):
    """The sound in a WAV file of 16 bits."""

    path: SourceFile = Field(description="a WAV file")

    def run(self) -> Audio:
        """Reads the file."""
        with wave.open(str(self.path), "rb") as file:
            data = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            samples = data.reshape(-1, file.getnchannels()).astype(np.float32) / FULL_SCALE
            return Audio(samples, file.getframerate())


class Gain(Node[Audio]):
    """A sound made louder or quieter, cut off at full scale."""

    sound: In[Audio] = Field(description="what to change")
    factor: float = Field(default=1.0, ge=0, le=100, description="1 leaves it as it is")

    def run(self, sound: Audio) -> Audio:
        """Multiplies the samples."""
        return Audio(np.clip(sound.samples * np.float32(self.factor), -1, 1), sound.rate)


class SaveAudio(Node[Path]):
    """A sound written as a WAV file, with the workflow that made it next to it."""

    effect: ClassVar[bool] = True

    sound: In[Audio] = Field(description="what to save")
    path: TargetFile = Field(description="a name that ends in .wav")
    existing: ExistingFile = "number"

    def run(self, sound: Audio, provenance: str) -> Path:
        """Writes the file and its sidecar."""
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(sound.samples.shape[1])
            file.setsampwidth(2)
            file.setframerate(sound.rate)
            file.writeframes(np.rint(sound.samples * FULL_SCALE).astype("<i2").tobytes())
        write_sidecar(path, provenance)
        return path


def write_tone(path: Path, amplitude: float, seconds: float = 0.1) -> Path:
    """Writes a WAV file with a tone of 440 Hz, for tests."""
    times = np.arange(round(8000 * seconds)) / 8000
    samples = (amplitude * np.sin(2 * np.pi * 440 * times)).astype(np.float32)[:, None]
    SaveAudio(sound=Audio(samples, 8000), path=path).run(Audio(samples, 8000), "")
    return path
