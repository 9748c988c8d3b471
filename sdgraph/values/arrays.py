"""Values made of one array: checked when it comes in, and read-only ever after."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from .value import Value, refuse_value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]


class ArrayValue(Value):
    """A value made of one read-only array and, at most, a few arguments after it."""

    _array: npt.NDArray[Any]

    def _hold(self, array: npt.NDArray[Any], **more: object) -> None:
        self.__dict__.update(_array=read_only(array), **more)

    def _arguments(self) -> tuple[Any, ...]:
        return (self._array,)

    @cached_property
    def content(self) -> str:
        """A digest of the array (its type, shape and bytes) and of the other arguments."""
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


def check_array(
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
        refuse_value(subject, f"a {type(array).__qualname__}", wanted, fix)
    if array.ndim != ndim or not array.size or (channels and array.shape[-1] not in channels):
        fix = "put the axes in that order; stack grey three times"
        refuse_value(subject, _told(array), wanted, fix)
    if array.dtype.name not in dtypes and array.dtype.kind not in dtypes:
        fix = "of numbers 0..1 make (array * 255).round().astype('uint8')"
        refuse_value(subject, _told(array), wanted, fix)


def _told(array: npt.NDArray[Any]) -> str:
    return f"a {array.dtype} array of shape {array.shape}"


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
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
