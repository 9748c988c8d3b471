"""Arrays in values: they are checked when a value is made, and read-only afterwards."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from .content import refuse_value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Pixels: TypeAlias = "npt.NDArray[np.uint8]"
"""Pixels as numbers from 0 to 255."""

Sound: TypeAlias = "npt.NDArray[np.float32]"
"""Sound as numbers from -1 to 1: samples × channels."""


def is_array(value: object) -> TypeGuard[npt.NDArray[Any]]:
    """Whether a value is a numpy array; does not import numpy to find out."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def check_array(
    owner: object,
    array: object,
    wanted: str,
    dtypes: tuple[str, ...],
    *,
    ndim: int,
    channels: tuple[int, ...] = (),
) -> None:
    """Raises an error unless a value is an array of the wanted shape and dtype, and not empty.

    Args:
        owner: The value that the array is for; its class is named in the error.
        array: The value to check.
        wanted: The wanted array in words, for the error.
        dtypes: Names of dtypes ("uint8"), or their kinds ("f" for floats).
        ndim: The number of axes.
        channels: The lengths that the last axis may have; empty allows any.

    Raises:
        InvalidValueError: It is not an array, has another shape or dtype, or is empty.
    """
    import numpy as np

    subject = type(owner).__name__
    if not isinstance(array, np.ndarray):
        fix = "convert it with numpy.asarray"
        if hasattr(owner, "from_pil"):
            fix = f"use {subject}.from_pil for a Pillow picture, numpy.asarray for anything else"
        refuse_value(subject, f"a {type(array).__qualname__}", wanted, fix)
    if array.ndim != ndim or not array.size or (channels and array.shape[-1] not in channels):
        fix = "put the axes in that order"
        if channels:
            fix += "; repeat the values of a grey picture in three channels"
        refuse_value(subject, _describe(array), wanted, fix)
    if array.dtype.name not in dtypes and array.dtype.kind not in dtypes:
        fix = f"convert it with array.astype({dtypes[0]!r})"
        if "uint8" in dtypes:
            fix = "convert numbers from 0 to 1 by (array * 255).round().astype('uint8')"
        refuse_value(subject, _describe(array), wanted, fix)


def _describe(array: npt.NDArray[Any]) -> str:
    return f"a {array.dtype} array of shape {array.shape}"


def read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A read-only, contiguous view of an array, or of a copy if other code could write to it."""
    import numpy as np

    owner: object = array
    while isinstance(owner, np.ndarray) and not owner.flags.writeable:
        owner = owner.base
    immutable = owner is None or isinstance(owner, bytes)
    if not immutable or not array.flags.c_contiguous or not array.dtype.isnative:
        array = np.array(array, array.dtype.newbyteorder("="), order="C")
        array.setflags(write=False)
    return array.view(np.ndarray)  # numpy refuses `setflags(write=True)` for such a view
