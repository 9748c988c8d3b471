"""The frames and masks that pipelines take of videos to follow, to keep or to paint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node
from sdgraph.nodes.image.padding import check_same_size
from sdgraph.nodes.masks.pixels import PAINTED
from sdgraph.values import Mask, Video

if TYPE_CHECKING:
    import PIL.Image

_GREY = (128, 128, 128)
"""What stands for pixels that a pipeline paints freely."""


def fitting_size(
    size: tuple[int, int], multiple: int, width: int | None = None, height: int | None = None
) -> tuple[int, int]:
    """The size next to another one whose sides are multiples of a number, unless they are given.

    Example:
        >>> fitting_size((100, 60), 16), fitting_size((100, 60), 16, width=64)
        ((96, 64), (64, 64))
    """
    nearest_width, nearest_height = (max(1, round(side / multiple)) * multiple for side in size)
    return width or nearest_width, height or nearest_height


def frame_counts(video: In[Video | Mask]) -> tuple[int, int] | None:
    """The least and the largest number of frames of a video, or of what a node makes, if known."""
    if isinstance(video, Node):
        return video.frame_range()
    return (len(video), len(video)) if isinstance(video, Video) else None


def length_problems(videos: Mapping[str, In[Video | Mask] | None]) -> Iterator[Problem]:
    """The problem of videos of different lengths, as far as they are known before the run.

    Args:
        videos: The videos by the names of their fields. A Mask is for all frames, and skipped, as
            None is.
    """
    given = {name: video for name, video in videos.items() if isinstance(video, Video | Node)}
    known = {name: frame_counts(video) for name, video in given.items()}
    counts = {name: count for name, count in known.items() if count is not None}
    names = list(counts)
    for name in names[1:]:
        (least, most), (first_least, first_most) = counts[name], counts[names[0]]
        if most < first_least or first_most < least:
            length, first = _describe(least, most), _describe(first_least, first_most)
            found = f"{length}, and {names[0]} has {first}"
            yield Problem(name, found, "videos of one length", "cut the longer one by `seconds`")


def _describe(least: int, most: int) -> str:
    return f"{least} frames" if least == most else f"about {(least + most) // 2} frames"


def refuse_other_shapes(videos: Mapping[str, Video | Mask | None], *, sizes: bool = True) -> None:
    """Raises InvalidValueError if videos differ in size or length; a Mask is for all frames.

    Args:
        videos: The videos by the names of their fields; None is skipped.
        sizes: Whether they must be of one size.
    """
    given = {name: video for name, video in videos.items() if video is not None}
    (first_name, first), *others = given.items()
    for name, other in others:
        if sizes:
            check_same_size(first.size, other.size, (first_name, name))
        if isinstance(first, Video) and isinstance(other, Video) and len(first) != len(other):
            found = f"{len(other)} frames, and {first_name} has {len(first)}"
            fix = "cut the longer one by `seconds`"
            raise InvalidValueError(Problem(name, found, "videos of one length", fix))


def with_sound_of(source: Video, made: Video, fps: float) -> Video:
    """A video that was made of another one, with its sound: its own, or as much of the source's.

    Args:
        source: The video that it was made of, whose sound begins with the first frame.
        made: What was made of it, with as many frames, or fewer.
        fps: The frames per second of the result; at another rate than the source's it is silent.
    """
    if made.has_sound or not source.has_sound or fps != source.fps:
        return Video(made.frames, fps, made.sound, made.sound_rate)
    assert source.sound is not None
    samples = round(len(made) / fps * source.sound_rate)
    return Video(made.frames, fps, source.sound[:samples], source.sound_rate)


def pictures_of(video: Video, count: int, size: tuple[int, int]) -> list[PIL.Image.Image]:
    """The first frames of a video as pictures of a size.

    Args:
        video: The video.
        count: How many.
        size: Width and height in pixels.
    """
    import PIL.Image

    frames = (PIL.Image.fromarray(frame) for frame in video.frames[:count])
    return [
        frame if frame.size == size else frame.resize(size, PIL.Image.Resampling.LANCZOS)
        for frame in frames
    ]


def masks_of(mask: Mask | Video, count: int, size: tuple[int, int]) -> list[PIL.Image.Image]:
    """The mask of each frame, white where it is painted and black elsewhere.

    Args:
        mask: One for all frames, or a video.
        count: How many.
        size: Width and height in pixels.

    Raises:
        InvalidValueError: No pixel of any frame is painted.
    """
    import PIL.Image

    if isinstance(mask, Mask):
        masks = [_threshold(mask.pil)] * count
    else:
        masks = [_threshold(PIL.Image.fromarray(each).convert("L")) for each in mask.frames[:count]]
    if not any(each.getextrema()[1] for each in masks):
        found = f"a mask that marks nothing: no pixel is white ({PAINTED} or more)"
        wanted = "the part to paint in white, the rest in black"
        raise InvalidValueError(Problem("mask", found, wanted, "invert it"))
    nearest = PIL.Image.Resampling.NEAREST
    return [each if each.size == size else each.resize(size, nearest) for each in masks]


def _threshold(mask: PIL.Image.Image) -> PIL.Image.Image:
    return mask.point([0] * PAINTED + [255] * (256 - PAINTED))


def frames_to_paint(
    known: Mapping[int, PIL.Image.Image], count: int, size: tuple[int, int]
) -> dict[str, list[PIL.Image.Image]]:
    """The frames of a video of which some are known, and masks that are white for the others.

    Args:
        known: The known frames by their numbers.
        count: How many frames there are.
        size: Width and height in pixels.
    """
    import PIL.Image

    grey = PIL.Image.new("RGB", size, _GREY)
    white, black = (PIL.Image.new("L", size, brightness) for brightness in (255, 0))
    lanczos = PIL.Image.Resampling.LANCZOS
    numbers = range(count)
    return {
        "video": [known[n].resize(size, lanczos) if n in known else grey for n in numbers],
        "mask": [black if n in known else white for n in numbers],
    }


def black_out(frames: list[PIL.Image.Image], masks: list[PIL.Image.Image]) -> list[PIL.Image.Image]:
    """Frames that are black where their masks are white."""
    import PIL.Image

    black = PIL.Image.new("RGB", frames[0].size)
    return paint_frames(frames, masks, [black] * len(frames))


def paint_frames(
    frames: list[PIL.Image.Image],
    masks: list[PIL.Image.Image],
    controls: list[PIL.Image.Image] | None,
) -> list[PIL.Image.Image]:
    """Frames with grey where they are painted, or there with those of a video to follow.

    Args:
        frames: The frames.
        masks: The mask of each.
        controls: The frames of the video to follow; None for grey.
    """
    import PIL.Image

    grey = PIL.Image.new("RGB", frames[0].size, _GREY)
    fillings = controls or [grey] * len(frames)
    return [
        PIL.Image.composite(filling, frame, mask)
        for frame, filling, mask in zip(frames, fillings, masks, strict=True)
    ]
