"""Takes arrays over without a copy if the caller gives them away, as in `Image(cv2.blur(pixels))`.

A value copies the arrays that it is made from, unless no other code can write to them. An array
that only the call itself refers to is of this kind, too; as numpy does it in `ndarray.resize`, this
is seen by its count of references:

1. When this module is imported, it counts the references to an object that a call creates in its
   arguments, and those to one that has a name, both inside of `TakesOver.__new__`.
2. If the first number is smaller, an array with as few references is made read-only when a value is
   created with it. Nobody else can notice, and the value needs no copy.
3. Versions of Python in which both numbers are equal copy every array. So does a call whose
   arguments come from a tuple, `Image(*arguments)`: the tuple hides a reference of the caller.
"""

from __future__ import annotations

import sys
from typing import Any, Self

from .arrays import is_array


def _references(arguments: tuple[object, ...], position: int) -> int:
    return sys.getrefcount(arguments[position])


def _calling_instruction() -> int:
    """The instruction of the code that makes the value: a call, with or without `*`."""
    frame = sys._getframe(2)
    return frame.f_code.co_code[frame.f_lasti]


class _Probe:
    """Counts the references to its argument in the way of `TakesOver`."""

    references: int
    instruction: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """An object that knows the count."""
        self = super().__new__(cls)
        self.references = _references(args, 0)
        self.instruction = _calling_instruction()
        return self

    def __init__(self, argument: object) -> None:
        pass


def _unnamed_references() -> int:
    """The references to an argument that has no name; 0 if one with a name has as few."""
    named = object()
    # More than once, because Python may run a call in another way the next time.
    of_unnamed = max(_Probe(object()).references for _ in range(3))
    of_named = min(_Probe(named).references for _ in range(3))
    return of_unnamed if of_unnamed < of_named else 0


_UNNAMED = _unnamed_references()
_CALL_WITH_TUPLE = _Probe(*(object(),)).instruction


class TakesOver:
    """A base class whose constructor makes arrays read-only that nobody else refers to."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """An object that is not initialized yet."""
        for position in range(len(args)):
            if is_array(args[position]) and _references(args, position) <= _UNNAMED:
                if _calling_instruction() == _CALL_WITH_TUPLE:
                    break
                _freeze(args[position])
        return super().__new__(cls)


def _freeze(array: Any) -> None:
    """Makes an array read-only, if it owns its memory."""
    if array.flags.owndata:
        array.setflags(write=False)
