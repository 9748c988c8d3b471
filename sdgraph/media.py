"""Pictures and videos from and to files, with the text of how they were made inside them."""

from __future__ import annotations

import errno
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Any, NoReturn, cast

from .errors import MediaError, Problem, ValueRefused, did_you_mean
from .values import Image, Video

if TYPE_CHECKING:
    import av.container
    import PIL.Image

    from .values import Pixels

_KEY = "sdgraph"  # names our text in PNG, and begins it wherever a comment could be anyone's
_EXIF_IFD, _USER_COMMENT, _ORIENTATION = 0x8769, 0x9286, 0x0112
_JPEG_EXIF_BYTES = 65533  # a JPEG segment counts its length in 16 bits
_KEPT_INFO = ("icc_profile", "transparency", "dpi", "gamma")  # and no foreign comment or EXIF

# suffix → Pillow's format, and the modes it keeps as they are
_PICTURES = {
    ".png": ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    ".jpg": ("JPEG", ("L", "RGB")),
    ".jpeg": ("JPEG", ("L", "RGB")),
    ".webp": ("WEBP", ("RGB", "RGBA")),
    ".tif": ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F")),
    ".tiff": ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F")),
    ".bmp": ("BMP", ("1", "L", "P", "RGB")),
    ".gif": ("GIF", ("1", "L", "P", "RGB", "RGBA")),
}
# suffix → codec, its options, its constant rate factor at quality 95 and at 0
_VIDEOS = {
    ".mp4": ("libx264", {"preset": "medium"}, 17, 51),
    ".webm": ("libvpx-vp9", {"b": "0", "row-mt": "1", "cpu-used": "2"}, 24, 63),
}
_NO_FILM = ("image2", "tty")  # FFmpeg's names
_BT709 = 1  # as FFmpeg numbers primaries, transfer and matrix
PICTURE_SUFFIXES = tuple(_PICTURES)
VIDEO_SUFFIXES = (*_VIDEOS, ".gif")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_UNWRITABLE = (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST)


def read_image(path: str | Path) -> PIL.Image.Image:
    """The picture in a file, turned as its EXIF says; the first frame of a moving one.

    Raises MediaError for a file that is missing, unreadable, damaged, too large or no picture.
    """
    from PIL import ImageOps

    with _reading(path, "a picture"), _opened(path) as picture:
        picture.load()
        return ImageOps.exif_transpose(picture)


def probe_image(path: str | Path) -> tuple[int, int, str]:
    """(width, height, mode) of the picture that `read_image` gives, from its header alone."""
    import PIL.Image

    with _reading(path, "a picture"), _opened(path) as picture:
        width, height = picture.size
        # Not `picture.getexif()`: PNG's own decodes the pixels to look for EXIF behind them.
        turned = PIL.Image.Image.getexif(picture).get(_ORIENTATION, 1) >= 5
        if turned and picture.format != "TIFF":  # Pillow gives the size of a TIFF turned already
            width, height = height, width
        return width, height, picture.mode


def write_image(
    picture: PIL.Image.Image, path: str | Path, *, provenance: str | None = None, quality: int = 95
) -> bool:
    """Writes a picture in the format that the suffix names; returns whether it holds `provenance`.

    quality: 1..100 for JPEG and WebP, where WebP at 100 is lossless. What a format has no mode for
    becomes 8-bit RGB; transparency is laid over white in JPEG, dropped in BMP. BMP takes no
    provenance, JPEG none beyond 64 KB: the picture is then written without. Raises MediaError.
    """
    path = Path(path)
    if path.suffix.lower() not in _PICTURES:
        _fail(path, f"the suffix {path.suffix!r}", f"one of {', '.join(_PICTURES)}", "rename it")
    format_, modes = _PICTURES[path.suffix.lower()]
    options = _options(format_, quality)
    marks = _marks(format_, provenance) if provenance is not None else {}
    with write_beside(path) as beside:
        try:
            fitted = _fitted(picture, format_, modes)
            # Not straight to the disk: Pillow does not notice when a full one takes half a write.
            fitted.save(encoded := BytesIO(), format_, **options, **marks)
        except (ValueError, OverflowError, RuntimeError, struct.error) as error:
            found = f"a picture of {picture.width}×{picture.height} that {format_} refuses: {error}"
            _fail(path, found, "one that the format can hold", "try .png", error)
        beside.write_bytes(encoded.getbuffer())
    return bool(marks)


def write_video(
    video: Video, path: str | Path, *, provenance: str | None = None, quality: int = 95
) -> bool:
    """Writes .mp4 (H.264), .webm (VP9) or .gif; returns whether it holds `provenance`.

    quality: 1..100, of no effect on a GIF. An odd side of an MP4 grows by one pixel, repeated from
    the edge. A GIF counts time in 1/100 s and merges equal frames in a row. Raises MediaError.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _VIDEOS and suffix != ".gif":
        _fail(path, f"the suffix {path.suffix!r}", "one of .mp4, .webm, .gif", "rename it")
    import av

    with write_beside(path) as beside:
        try:
            if suffix == ".gif":
                _write_gif(video, beside, provenance)
            else:
                _encode(video, beside, provenance, quality)
        except (av.error.FFmpegError, ValueError, OverflowError, struct.error) as error:
            if isinstance(error, OSError) and error.errno in (*_DISK_FULL, *_UNWRITABLE):
                raise
            found = f"an encoder that refuses {video!r}: {error}"
            _fail(path, found, "a size and rate it takes", "resize it, or try .webm", error)
    return provenance is not None


def read_video(path: str | Path) -> Video:
    """The frames of a video or GIF, turned upright, at their mean rate; sound is left out.

    Raises MediaError for a file that is missing, unreadable, damaged or holds no frames.
    """
    import numpy as np

    with _reading(path, "a video"):
        with Path(path).open("rb") as file:
            is_gif = file.read(4) == b"GIF8"
        frames, fps = _gif_frames(path) if is_gif else _decoded(path)
        if not frames or not fps:
            _fail(path, "no frames", "a video with at least one frame", "save it again")
        stack = np.stack(frames)
        stack.setflags(write=False)  # spares Video a copy
        return Video(stack, fps)


def read_provenance(path: str | Path) -> str | None:
    """The text that `write_image` or `write_video` put into a file, or None if it has none."""
    import PIL

    with _reading(path, "a picture or video"):
        try:
            with _opened(path) as picture:
                return _text_in(picture)
        except PIL.UnidentifiedImageError:
            with _film(path) as film:
                tags = {name.lower(): text for name, text in film.metadata.items()}
            return _ours(tags.get("comment", ""))


@contextmanager
def write_beside(path: str | Path) -> Iterator[Path]:
    """A hidden path in the folder of `path`, renamed over it at the end, removed on any exception.

    Makes the folders above. Any OSError inside becomes a MediaError that says how to mend it.
    """
    path = Path(path)
    beside = path.with_name(f".{_KEY}-{token_hex(8)}{path.suffix}")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield beside
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        _fail_to_write(path, error)


def eight_bit(picture: PIL.Image.Image) -> PIL.Image.Image:
    """`picture` itself, or grey of 8 bits when it holds more: 16 bits divided by 257, F rounded.

    Raises ValueRefused when numbers fall outside 0..65535 (I) or 0..255 (F), as NaN does.
    """
    import numpy as np
    import PIL.Image

    if direct := {"La": "LA", "LAB": "RGB", "HSV": "RGB"}.get(picture.mode):
        return picture.convert(direct)  # the only door out of these modes
    if not picture.mode.startswith(("I", "F")):
        return picture
    top = 255 if picture.mode == "F" else 65535
    numbers = np.asarray(picture, np.float64)
    if not ((numbers >= 0) & (numbers <= top)).all():
        found = (
            f"a picture of mode {picture.mode} with numbers {numbers.min():g}..{numbers.max():g}"
        )
        fix = "scale the numbers, or load them as a DepthMap"
        raise ValueRefused(str(Problem("Image", found, f"numbers 0..{top}", fix)))
    return PIL.Image.fromarray(np.rint(numbers * (255 / top)).astype(np.uint8))


def _opened(path: str | Path) -> PIL.Image.Image:
    """The picture at `path`, its header read and its size found bearable."""
    import PIL.Image

    picture = PIL.Image.open(path)
    limit = PIL.Image.MAX_IMAGE_PIXELS
    if limit is not None and picture.width * picture.height > limit:
        picture.close()
        _fail_too_large(path, f"{picture.width}×{picture.height} pixels", limit)
    return picture


@contextmanager
def _reading(path: str | Path, wanted: str) -> Iterator[None]:
    """Turns whatever a reader raises into a MediaError about `path`."""
    import PIL.Image

    try:
        yield
    except MediaError:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))
        _fail_too_large(path, f"{pixels[0] if pixels else 'too many'} pixels", None, error)
    except (FileNotFoundError, NotADirectoryError) as error:
        folder = Path(path).parent
        known = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        fix = did_you_mean(Path(path).name, known) or f"look into {folder}"
        _fail(path, "no such file", wanted, fix, error)
    except IsADirectoryError as error:
        _fail(path, "a folder", wanted, "name a file inside it", error)
    except PermissionError as error:
        _fail(path, "a file that may not be read", wanted, "give yourself the right to", error)
    except Exception as error:  # decoders raise every kind on damaged bytes
        unknown = isinstance(error, PIL.UnidentifiedImageError)
        found = f"a file that is no {wanted[2:]}" if unknown else f"a damaged file ({error})"
        fix = "save it as PNG, JPEG, WebP, MP4 or GIF" if unknown else "fetch or save it again"
        _fail(path, found, wanted, fix, error)


def _fail(
    path: str | Path, found: str, wanted: str, fix: str, cause: BaseException | None = None
) -> NoReturn:
    raise MediaError(Problem(str(path), found, wanted, fix)) from cause


def _fail_too_large(
    path: str | Path, found: str, limit: int | None, cause: BaseException | None = None
) -> NoReturn:
    import PIL.Image

    wanted = f"at most {limit or PIL.Image.MAX_IMAGE_PIXELS} pixels"
    fix = "make it smaller, or raise PIL.Image.MAX_IMAGE_PIXELS if you trust the file"
    _fail(path, found, wanted, fix, cause)


def _fail_to_write(path: Path, error: OSError) -> NoReturn:
    wanted = "a place to write the file"
    if error.errno in _DISK_FULL:
        _fail(path, f"a full disk ({error.strerror})", wanted, "free some space", error)
    if error.errno == errno.EISDIR:
        _fail(path, "a folder", wanted, "name a file inside it", error)
    if error.errno in _UNWRITABLE:
        found = f"a folder that cannot be written to ({error.strerror})"
        _fail(path, found, wanted, "choose another folder, or give yourself the right to", error)
    _fail(path, f"a failure: {error}", wanted, "check the path and the disk", error)


def _options(format_: str, quality: int) -> dict[str, Any]:
    if format_ == "JPEG":  # colour at full resolution, where the eye is to see no loss
        return {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    if format_ == "WEBP":  # exact: keep the colours under full transparency
        return {"quality": quality, "lossless": quality == 100, "exact": True}
    return {}


def _fitted(picture: PIL.Image.Image, format_: str, modes: tuple[str, ...]) -> PIL.Image.Image:
    """A copy in a mode that the format holds, without the notes of the file it came from."""
    import PIL.Image

    fits = picture.mode in modes and not (format_ == "JPEG" and picture.has_transparency_data)
    fitted = picture.copy() if fits else Image.from_pil(picture).pil
    if fitted.mode == "RGBA" and format_ == "JPEG":
        white = PIL.Image.new("RGBA", fitted.size, "white")
        fitted = PIL.Image.alpha_composite(white, fitted)
    if fitted.mode not in modes:
        fitted = fitted.convert("RGB")
    kept = _KEPT_INFO if fits else _KEPT_INFO[2:]  # a converted picture has lost what they describe
    fitted.info = {key: picture.info[key] for key in kept if key in picture.info}
    return fitted


def _utf8(text: str) -> str:
    """`text`, with half a surrogate pair (a stray byte of a command line) spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _marks(format_: str, text: str) -> dict[str, Any]:
    """The arguments by which Pillow stores `text` in a file; none when the format cannot."""
    import PIL.Image
    from PIL.PngImagePlugin import PngInfo

    text = _utf8(text)
    if format_ == "PNG":
        info = PngInfo()
        info.add_itxt(_KEY, text)
        return {"pnginfo": info}
    if format_ == "GIF":
        return {"comment": f"{_KEY}\n{text}".encode()}
    if format_ == "BMP":
        return {}
    # The first eight bytes name the encoding, and the byte order mark makes it certain.
    comment = b"UNICODE\0" + f"{_KEY}\n{text}".encode("utf-16")
    exif = PIL.Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = comment
    data = exif.tobytes()  # as an object, Pillow 13 leaves the inner IFD out of a TIFF
    return {} if format_ == "JPEG" and len(data) > _JPEG_EXIF_BYTES else {"exif": data}


def _text_in(picture: PIL.Image.Image) -> str | None:
    import PIL.Image

    if picture.format == "PNG":
        text = picture.info.get(_KEY)
        return str(text) if text is not None else None
    if picture.format == "GIF":
        return _ours(bytes(picture.info.get("comment", b"")).decode("utf-8", "replace"))
    comment = PIL.Image.Image.getexif(picture).get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
    if not isinstance(comment, bytes) or not comment.startswith(b"UNICODE\0"):
        return None
    return _ours(comment[8:].decode("utf-16", "replace"))


def _ours(comment: str) -> str | None:
    return comment.removeprefix(f"{_KEY}\n") if comment.startswith(f"{_KEY}\n") else None


def _accurate() -> Any:
    """How to scale colours: without these flags FFmpeg darkens all by more than 1 of 255."""
    from av.video.reformatter import Interpolation

    return Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def _encode(video: Video, path: Path, provenance: str | None, quality: int) -> None:
    """Writes MP4 or WebM, in the colours of BT.709 and saying so, one frame in hand at a time."""
    import av
    import numpy as np

    codec, options, best, worst = _VIDEOS[path.suffix.lower()]
    rate = Fraction(video.fps).limit_denominator(100_000)  # 29.97002997… is 30000/1001 again
    is_mp4 = codec == "libx264"
    width, height = (side + side % 2 * is_mp4 for side in video.size)  # its 4:2:0 has no odd sides
    edges = ((0, height - video.size[1]), (0, width - video.size[0]), (0, 0))
    with av.open(str(path), "w", options={"movflags": "+faststart"} if is_mp4 else {}) as file:
        if provenance is not None:
            file.metadata["comment"] = f"{_KEY}\n{_utf8(provenance)}"
        crf = round(best + (95 - quality) * (worst - best) / 95)
        options = {**options, "crf": str(crf)}
        stream = cast("av.VideoStream", file.add_stream(codec, rate=rate, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1  # limited: what every browser expects of a video
        for number, pixels in enumerate(video.frames):
            frame = av.VideoFrame.from_ndarray(np.pad(pixels, edges, "edge"), format="rgb24")
            frame = frame.reformat(
                format="yuv420p", dst_colorspace="ITU709", interpolation=_accurate()
            )
            frame.pts, frame.time_base = number, 1 / rate
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def _write_gif(video: Video, path: Path, provenance: str | None) -> None:
    """Writes a GIF that loops for ever; rounding its delays to 1/100 s does not add up."""
    ends = [round(100 * number / video.fps) for number in range(len(video) + 1)]
    delays = [10 * max(end - start, 1) for start, end in pairwise(ends)]
    marks = _marks("GIF", provenance) if provenance is not None else {}
    pictures = (frame.pil for frame in video)
    options = {"save_all": True, "append_images": pictures, "duration": delays, "loop": 0}
    next(pictures).save(encoded := BytesIO(), "GIF", **options, **marks)
    path.write_bytes(encoded.getbuffer())


@contextmanager
def _film(path: str | Path) -> Iterator[av.container.InputContainer]:
    """The video at `path`, opened; FFmpeg alone would take pictures too, and text as a terminal."""
    import av

    with av.open(str(path)) as file:
        if not file.streams.video or file.format.name in _NO_FILM or "_pipe" in file.format.name:
            _fail(path, f"no video (but {file.format.long_name})", "a video", "name another file")
        yield file


def _decoded(path: str | Path) -> tuple[list[Pixels], float]:
    """The frames of a video by FFmpeg, and its rate, 0 if unknown."""
    import numpy as np

    with _film(path) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        frames: list[Any] = []  # PyAV types them by any of its formats
        end = 0.0
        for packet in file.demux(stream):
            if packet.is_corrupt:
                raise ValueError(f"frame {len(frames)} is cut short")
            for frame in packet.decode():
                pixels = frame.to_ndarray(format="rgb24", interpolation=_accurate())
                frames.append(np.rot90(pixels, frame.rotation // 90))
                end = frame.time or end
        clock = stream.metadata.get("DURATION", "0").split(":")  # Matroska's word for the end
        seconds = sum(float(part) * 60**power for power, part in enumerate(reversed(clock)))
        if rate and end + 3 / rate < seconds:
            raise ValueError(f"it ends after {end:.2f} of {seconds:.2f} seconds")
        return frames, rate


def _gif_frames(path: str | Path) -> tuple[list[Pixels], float]:
    """The frames of a GIF at an even rate: those held longer than the shortest are repeated."""
    import numpy as np
    from PIL import ImageSequence

    frames: list[Pixels] = []
    delays: list[float] = []
    with _opened(path) as gif:
        for frame in ImageSequence.Iterator(gif):
            frames.append(np.asarray(frame.convert("RGB")))
            delays.append(frame.info.get("duration") or 100)  # as browsers take a delay of 0
    times = [round(delay / min(delays)) for delay in delays]
    if sum(times) > 10 * len(times):  # one long pause must not fill the memory
        times = [1] * len(times)
    even = [frame for frame, count in zip(frames, times, strict=True) for _ in range(count)]
    return even, 1000 * len(even) / sum(delays)
