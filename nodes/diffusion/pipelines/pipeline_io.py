"""The random numbers that a pipeline starts from, and the pixels that it ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sdgraph.errors import InvalidValueError, Problem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def random_generator(seed: int) -> Any:
    """A new random generator on the CPU, so that a seed gives the same numbers on any device."""
    import torch

    return torch.Generator("cpu").manual_seed(seed)


def resize_pixels(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """A picture in another size; itself if it has that size.

    Args:
        pixels: uint8, height × width × 3.
        size: The width and height.
    """
    import numpy as np
    import PIL.Image

    if pixels.shape[:2] == size[::-1]:
        return pixels
    picture = PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.LANCZOS)
    return np.asarray(picture)


def sound_of(output: Any, pipe: Any) -> dict[str, Any]:
    """The sound in what a pipeline returns, as arguments of a Video; {} if it makes none.

    Args:
        output: What the pipeline returned; its `audio` is 1 × channels × samples.
        pipe: The pipeline, whose vocoder has the rate.
    """
    audio = getattr(output, "audio", None)
    if audio is None:
        return {}
    samples = audio[0].float().clamp(-1, 1).T.contiguous().cpu().numpy()
    return {"sound": samples, "sound_rate": int(pipe.vocoder.config.output_sampling_rate)}


def to_pixels(picture: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Floats 0..1 of any shape as uint8, rounded as diffusers does.

    Raises:
        InvalidValueError: A number is NaN or infinite, because the network's dtype is too narrow.
    """
    import numpy as np

    if not np.isfinite(picture).all():
        found = "NaN from the network, which would be a black picture"
        fix = "its dtype is too narrow: set the checkpoint's dtype to bfloat16 or float32"
        raise InvalidValueError(Problem("checkpoint", found, "finite numbers", fix))
    return np.asarray((picture * 255).round().astype("uint8"))
