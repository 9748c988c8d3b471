"""What travels on the edges of a graph: frozen pictures, masks, videos and checkpoints."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import FrozenInstanceError
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from math import inf
from operator import index
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NoReturn, Self

from .errors import Problem, ValueRefused, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

    Pixels = npt.NDArray[np.uint8]

_INLINE_VIDEO_BYTES = 64 * 2**20  # of raw frames; beyond it a notebook page grows sluggish
_SMALL = 64  # bytes: about what a scalar, or a container beside its items, holds
_DTYPES = ("float32", "float16", "bfloat16")
_CHECKPOINT_FIELDS = ("source", "revision", "variant", "dtype")


class Value:
    """A frozen value that travels on an edge; equal to another of its type by content alone."""

    @property
    def content(self) -> str:
        """32 hexadecimal digits that stand for the type and all that is held; made once."""
        raise NotImplementedError

    def __setattr__(self, name: str, value: object = None) -> NoReturn:
        kind = type(self).__name__
        raise FrozenInstanceError(f"{kind}.{name}: values are frozen; make a new {kind}")

    __delattr__ = __setattr__

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def __deepcopy__(self, memo: object) -> Self:
        return self


class _ArrayValue(Value):
    """A value made of one read-only array and, at most, a few arguments after it."""

    _array: npt.NDArray[Any]

    def _hold(self, array: npt.NDArray[Any], **more: object) -> None:
        self.__dict__.update(_array=_read_only(array), **more)

    def _arguments(self) -> tuple[Any, ...]:
        return (self._array,)

    @cached_property
    def content(self) -> str:
        array, *more = self._arguments()
        head = repr((type(self).__name__, array.dtype.str, array.shape, *more))
        digest = blake2b(head.encode(), digest_size=16)
        digest.update(array.data)
        return digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return int(self._array.nbytes)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, in Pillow's order."""
        height, width = self._array.shape[:2]
        return int(width), int(height)

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), *self._arguments())


class _Still(_ArrayValue):
    """What pictures and masks share: pixels, and ways to look at them."""

    @property
    def numpy(self) -> Pixels:
        """The pixels: read-only uint8, height × width, × 3 or 4 where there are channels."""
        return self._array

    @property
    def pil(self) -> PIL.Image.Image:
        """A fresh Pillow picture (RGB, RGBA; L of a mask); editing it changes nothing here."""
        import PIL.Image

        return PIL.Image.fromarray(self.numpy)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.size[0]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.size[1]

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        self.pil.save(file := BytesIO(), "PNG")
        return file.getvalue()


class Image(_Still):
    """A picture: uint8, height × width × 3 (RGB) or 4 (RGBA, alpha not premultiplied)."""

    def __init__(self, pixels: Pixels) -> None:
        wanted = "a uint8 array of shape (height, width, 3 or 4), nowhere empty"
        _check_array(self, pixels, wanted, ("uint8",), ndim=3, channels=(3, 4))
        self._hold(pixels)

    @classmethod
    def from_pil(cls, picture: PIL.Image.Image) -> Self:
        """The value of a Pillow picture of any mode; alpha is kept where there is any.

        16 bits become 8 by dividing by 257 and rounding; mode F is taken as 0..255.
        """
        import numpy as np

        from .media import eight_bit

        grey = eight_bit(picture)
        return cls(np.asarray(grey.convert("RGBA" if grey.has_transparency_data else "RGB")))

    @property
    def rgb(self) -> PIL.Image.Image:
        """A fresh Pillow picture that is always RGB: alpha is dropped, not blended."""
        import PIL.Image

        return PIL.Image.fromarray(self.numpy[..., :3])

    def __repr__(self) -> str:
        mode = "RGBA" if self.numpy.shape[2] == 4 else "RGB"
        return f"{type(self).__name__}({self.width}×{self.height} {mode})"


class ControlMap(Image):
    """A picture that steers a ControlNet; its class says which kind of network it fits."""


class EdgeMap(ControlMap):
    """Hard edges, white on black."""


class SoftEdgeMap(ControlMap):
    """Soft edges, brighter where surer."""


class ScribbleMap(ControlMap):
    """Hand-drawn lines, white on black."""


class PoseMap(ControlMap):
    """Skeletons, a colour for each limb."""


class SegmentMap(ControlMap):
    """Regions, a flat colour for each class of thing."""


class NormalMap(ControlMap):
    """Surface normals: x, y, z of -1..1 as red, green, blue of 0..255."""


class DepthMap(ControlMap):
    """Relative depth: float32, height × width, larger is nearer, any finite range but not flat."""

    def __init__(self, depth: npt.NDArray[Any]) -> None:
        import numpy as np

        wanted = "an array of real numbers of shape (height, width), nowhere empty"
        _check_array(self, depth, wanted, ("f", "i", "u"), ndim=2)
        with np.errstate(over="ignore"):  # what float32 cannot hold turns infinite: refused below
            array = depth.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            fix = "replace NaN and infinity, for example by numpy.nan_to_num"
            _refuse("DepthMap", "NaN or infinity", "a finite float32 at every pixel", fix)
        if array.min() == array.max():
            found = f"one depth, {array.flat[0]:g}, at every pixel"
            fix = "a flat map has no near and far; take another picture, or another estimator"
            _refuse("DepthMap", found, "at least two depths", fix)
        self._hold(array)

    @classmethod
    def from_pil(cls, picture: PIL.Image.Image) -> Self:
        """The depth in a grey picture of 8, 16 or 32 bits: brighter is nearer."""
        import numpy as np

        if picture.mode.startswith(("I", "F")):
            return cls(np.asarray(picture))
        pixels = np.asarray(picture.convert("RGB"))
        if (pixels != pixels[..., :1]).any():
            found = f"a colour picture (mode {picture.mode})"
            _refuse(
                "DepthMap", found, "a grey picture", "take the depth of a photo by DepthEstimate"
            )
        return cls(pixels[..., 0])

    @property
    def depth(self) -> npt.NDArray[np.float32]:
        """The depth: read-only float32, height × width."""
        return self._array

    @cached_property
    def numpy(self) -> Pixels:
        """The depth as grey pixels: uint8, height × width × 3, farthest 0, nearest 255."""
        import numpy as np

        far, near = float(self.depth.min()), float(self.depth.max())
        share = (self.depth.astype(np.float64) - far) / (near - far)
        grey = np.rint(share * 255).astype(np.uint8)
        return _read_only(np.repeat(grey[..., None], 3, axis=2))

    @property
    def nbytes(self) -> int:
        """Bytes of memory held: the depth, and the grey pixels made or not."""
        return int(self.depth.nbytes + 3 * self.depth.size)

    def __repr__(self) -> str:
        far, near = self.depth.min(), self.depth.max()
        return f"DepthMap({self.width}×{self.height} {far:.4g}..{near:.4g})"


class Mask(_Still):
    """Where to paint: uint8 (or bool), height × width, 255 = paint here, 0 = keep."""

    def __init__(self, alpha: Pixels | npt.NDArray[np.bool_]) -> None:
        wanted = "a uint8 or bool array of shape (height, width), nowhere empty"
        _check_array(self, alpha, wanted, ("uint8", "bool"), ndim=2)
        self._hold(alpha.view("uint8") * 255 if alpha.dtype == bool else alpha)

    @classmethod
    def from_pil(cls, picture: PIL.Image.Image) -> Self:
        """The brightness of a Pillow picture of any mode; its alpha plays no part."""
        import numpy as np

        from .media import eight_bit

        return cls(np.asarray(eight_bit(picture).convert("L")))

    @property
    def coverage(self) -> float:
        """The painted share of the area, 0..1; half-painted pixels count by half."""
        return float(self.numpy.mean()) / 255

    def __repr__(self) -> str:
        return f"Mask({self.width}×{self.height} {self.coverage:.0%})"


class Video(_ArrayValue):
    """A silent film: uint8, frames × height × width × 3 (RGB), `fps` frames a second."""

    fps: float

    def __init__(self, frames: Pixels, fps: float) -> None:
        wanted = "a uint8 array of shape (frames, height, width, 3), nowhere empty"
        _check_array(self, frames, wanted, ("uint8",), ndim=4, channels=(3,))
        if not isinstance(fps, float | int) or isinstance(fps, bool) or not 0 < fps < inf:
            wanted = "frames a second: a finite number above 0"
            _refuse("Video.fps", repr(fps), wanted, "8 suits short clips")
        self._hold(frames, fps=float(fps))

    def _arguments(self) -> tuple[Any, ...]:
        return self._array, self.fps

    @property
    def frames(self) -> Pixels:
        """The frames: read-only uint8, frames × height × width × 3."""
        return self._array

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of every frame in pixels."""
        return int(self.frames.shape[2]), int(self.frames.shape[1])

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self) / self.fps

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> Image:
        return Image(self.frames[index(number)])

    def __iter__(self) -> Iterator[Image]:
        return map(Image, self.frames)

    def __repr__(self) -> str:
        return f"Video({len(self)} frames {self.size[0]}×{self.size[1]} {self.fps:g} fps)"

    def _repr_html_(self) -> str:
        if self.nbytes > _INLINE_VIDEO_BYTES:
            return f"<p>{self!r} is too large to show here; save it with SaveVideo</p>"
        from base64 import b64encode
        from tempfile import TemporaryDirectory

        from .media import write_video

        with TemporaryDirectory() as folder:
            write_video(self, path := Path(folder, "video.mp4"))
            data = b64encode(path.read_bytes()).decode()
        return f'<video controls loop src="data:video/mp4;base64,{data}"></video>'


class Checkpoint(Value):
    """Where weights come from: a hub id, a folder, or a shipped one such as "tiny/inpaint".

    `dtype` is "float32", "float16" or "bfloat16"; None leaves it to the device.
    """

    source: str
    revision: str | None
    variant: str | None
    dtype: str | None

    def __init__(
        self,
        source: str | PurePath,
        *,
        revision: str | None = None,
        variant: str | None = None,
        dtype: str | None = None,
    ) -> None:
        source = str(source) if isinstance(source, PurePath) else source
        if not isinstance(source, str) or not source.strip():
            wanted = "a hub id such as 'stabilityai/sdxl-turbo', or a folder"
            _refuse("Checkpoint.source", repr(source), wanted)
        for name, word in (("revision", revision), ("variant", variant), ("dtype", dtype)):
            if word is not None and not (isinstance(word, str) and re.fullmatch(r"\S+", word)):
                _refuse(f"Checkpoint.{name}", repr(word), "one word, or nothing")
        if dtype is not None and dtype not in _DTYPES:
            fix = did_you_mean(dtype, _DTYPES)
            _refuse("Checkpoint.dtype", repr(dtype), f"one of {', '.join(_DTYPES)}", fix)
        self.__dict__.update(source=source, revision=revision, variant=variant, dtype=dtype)

    @classmethod
    def parse(cls, data: object) -> Checkpoint:
        """The checkpoint that `data` is or describes: a source, or a mapping of the fields."""
        if isinstance(data, Checkpoint):
            return data
        if isinstance(data, str | PurePath):
            return cls(data)
        if not isinstance(data, Mapping) or "source" not in data:
            fix = "write the source alone, or {source: …, variant: …}"
            _refuse("Checkpoint", repr(data), "a source, or a mapping that has one", fix)
        for key in data:
            if key not in _CHECKPOINT_FIELDS:
                fix = did_you_mean(str(key), _CHECKPOINT_FIELDS)
                wanted = f"one of {', '.join(_CHECKPOINT_FIELDS)}"
                _refuse(f"Checkpoint.{key}", "an unknown key", wanted, fix)
        return cls(**data)

    def as_data(self) -> str | dict[str, str]:
        """What `parse` takes back: the source, or a dict of the fields when others are set."""
        fields = {name: text for name in _CHECKPOINT_FIELDS if (text := getattr(self, name))}
        return fields if len(fields) > 1 else self.source

    @cached_property
    def content(self) -> str:
        return _digest(repr((type(self).__name__, self.as_data())).encode())

    def __repr__(self) -> str:
        others = [(name, getattr(self, name)) for name in _CHECKPOINT_FIELDS[1:]]
        named = (f"{name}={text!r}" for name, text in others if text)
        return f"Checkpoint({', '.join([repr(self.source), *named])})"


def expanded(path: str | Path) -> Path:
    """The path with `~` as the home folder; where there is no such user, as it stands."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  Path's own raises then


def content_of(value: object) -> str:
    """A text that two values share only if they are of one kind and hold the same.

    Takes values and str, bytes, int, float, bool, None, paths (the text, not the file), and tuples,
    lists and mappings of those, a mapping in any order; other types and NaN raise ValueRefused.
    No white space and no comma is in it, so a caller may join several by either.
    """
    if writer := _WRITERS.get(type(value)):
        return writer(value)
    content = getattr(value, "content", None)
    if isinstance(content, str):
        return content
    for kind, writer in _WRITERS.items():
        if isinstance(value, kind):
            return writer(value)
    wanted = "a value of sdgraph, a str, number, path, or a tuple, list or mapping of them"
    return _refuse("content_of", f"a {type(value).__qualname__}", wanted)


def size_of(value: object) -> int:
    """Bytes that a value holds: exact for arrays, about right for the rest."""
    held = getattr(value, "nbytes", None)
    if isinstance(held, int):
        return held
    if isinstance(value, str | bytes):
        return _SMALL + len(value)
    if isinstance(value, Mapping):
        return _SMALL + sum(map(size_of, chain.from_iterable(value.items())))
    return _SMALL + sum(map(size_of, value)) if isinstance(value, tuple | list) else _SMALL


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def _of_float(value: float) -> str:
    if value != value:
        _refuse("content_of", "NaN", "a number that equals itself", "give the parameter a number")
    return f"float:{value.hex()}"


def _of_many(tag: str, contents: list[str]) -> str:
    return f"{tag}:{_digest(','.join(contents).encode())}"


def _of_mapping(value: Mapping[Any, Any]) -> str:
    return _of_many("map", sorted(f"{content_of(k)}={content_of(v)}" for k, v in value.items()))


_WRITERS: dict[type, Callable[[Any], str]] = {
    int: lambda value: f"int:{value:x}",
    str: lambda value: "str:" + _digest(value.encode("utf-8", "surrogatepass")),
    float: _of_float,
    bool: lambda value: "bool:true" if value else "bool:false",
    type(None): "none:{}".format,
    bytes: lambda value: "bytes:" + _digest(value),
    tuple: lambda value: _of_many("tuple", [content_of(item) for item in value]),
    list: lambda value: _of_many("list", [content_of(item) for item in value]),
    PurePath: lambda value: "path:" + _digest(str(value).encode("utf-8", "surrogatepass")),
    Mapping: _of_mapping,
}


def _refuse(subject: str, found: str, wanted: str, fix: str = "") -> NoReturn:
    raise ValueRefused(Problem(subject, found, wanted, fix))


def _check_array(
    owner: Value,
    array: object,
    wanted: str,
    dtypes: tuple[str, ...],
    *,
    ndim: int,
    channels: tuple[int, ...] = (),
) -> None:
    """Refuses what is no array of that many axes, of one of `dtypes` (names or kinds)."""
    import numpy as np

    subject = type(owner).__name__
    if not isinstance(array, np.ndarray):
        fix = f"{subject}.from_pil takes Pillow pictures, numpy.asarray makes arrays of the rest"
        _refuse(subject, f"a {type(array).__qualname__}", wanted, fix)
    found = f"a {array.dtype} array of shape {array.shape}"
    if array.ndim != ndim or not array.size or (channels and array.shape[-1] not in channels):
        _refuse(subject, found, wanted, "put the axes in that order; stack grey three times")
    if array.dtype.name not in dtypes and array.dtype.kind not in dtypes:
        fix = "of numbers 0..1 make (array * 255).round().astype('uint8')"
        _refuse(subject, found, wanted, fix)


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view of `array` when it, and all it is a view of, is read-only; else of a copy."""
    import numpy as np

    owner: object = array
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:
        owner = owner.base
    immutable = owner is None or isinstance(owner, bytes)
    if not immutable or not array.flags.c_contiguous:
        array = np.array(array, order="C")
        array.setflags(write=False)
    return array.view(np.ndarray)  # of a view, `setflags(write=True)` is refused by numpy


def _revive(kind: Callable[..., Value], array: npt.NDArray[Any], *more: object) -> Value:
    array.setflags(write=False)  # unpickled a moment ago, so nobody else holds it: spares a copy
    return kind(array, *more)
