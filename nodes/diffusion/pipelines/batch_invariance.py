"""Layers that give the rows of a batch the bits that each picture's rows get alone.

The kernels of a CPU add up numbers in an order that may depend on how many rows they get, so that
the same picture has other bits in a batch. Most layers do not differ; those that do are computed
for as many pictures at once as give the same bits:

1. While a pipeline runs with several pictures, the linear and the convolutional layers of its
   networks are called through `_Layer`.
2. At the first call with some shape, layers of that kind are tried with random numbers: all
   pictures at once, then half of them and so on, each compared with one picture at a time.
3. The largest number that gives equal bits is remembered for the process, by the shapes, the
   settings and the number of threads. Every call is split into parts of so many pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

_MAX_PARTS: dict[tuple[Any, ...], int] = {}
"""How many pictures give the same bits as one at a time, by kind of layer and shape of input."""

_RANDOM_NUMBERS = 65_521
"""A prime number of random numbers, so that they repeat at no row of a tensor."""

_LARGE = 2**20
"""The weights of a layer from which on the first, a middle and the last picture stand for all."""


@contextmanager
def batch_invariant(networks: Iterable[Any], pictures: int) -> Iterator[None]:
    """A block in which networks compute several pictures with the bits of each one alone.

    Attention, normalization and functions of single numbers compute each row by itself anyway.

    Args:
        networks: The modules; those that are None are skipped.
        pictures: How many pictures are in a batch. Rows are in the order of pipelines: those of
            all pictures without the prompt, then those of all pictures with it.
    """
    from torch import nn

    with ExitStack() as stack:
        for network in networks if pictures > 1 else ():
            for module in network.modules() if network is not None else ():
                if type(module) in (nn.Linear, nn.Conv2d):
                    stack.callback(setattr, module, "forward", module.forward)
                    module.forward = _Layer(module, pictures)
        yield


class _Layer:
    """The `forward` of a layer that is called with the rows of several pictures."""

    def __init__(self, module: Any, pictures: int) -> None:
        self._compute = module.forward
        self._module = module
        self._pictures = pictures
        self._parts: dict[tuple[Any, ...], int] = {}

    def __call__(self, rows: Any) -> Any:
        count = self._pictures
        if len(rows) % count:  # it is the same for all pictures, and has no rows for each
            return self._compute(rows)
        shape = (rows.shape, rows.stride())
        part = self._parts.get(shape)
        if part is None:
            part = self._parts[shape] = _largest_part(self._module, rows, count)
        if part == count:
            return self._compute(rows)
        if rows.dim() == 2 and _are_equal(rows, count):  # such as those of the timestep
            return _repeat_first(self._compute, rows, count)
        return _split(self._compute, rows, count, part)


def _are_equal(rows: Any, pictures: int) -> bool:
    """Whether all pictures have the same rows."""
    by_picture = rows.unflatten(0, (-1, pictures))
    return bool((by_picture == by_picture[:, :1]).all())


def _repeat_first(compute: Callable[[Any], Any], rows: Any, pictures: int) -> Any:
    """The result for the rows of the first picture, repeated for all."""
    first = compute(_join_passes(rows.unflatten(0, (-1, pictures))[:, :1]))
    return first.unsqueeze(1).expand(-1, pictures, -1).flatten(0, 1)


def _split(compute: Callable[[Any], Any], rows: Any, pictures: int, part: int) -> Any:
    """The result for the rows of all pictures, made of so many pictures at a time.

    Args:
        compute: Computes some rows.
        rows: A tensor of passes × pictures rows.
        pictures: How many pictures there are.
        part: How many pictures are computed at a time; the last time there may be fewer.
    """
    import torch

    by_picture = rows.unflatten(0, (-1, pictures))
    results = [
        compute(_join_passes(each)).unflatten(0, (-1, each.shape[1]))
        for each in by_picture.split(part, dim=1)
    ]
    passes, _, *shape = results[0].shape
    # Not by `cat`, which would lay out channels-last results in another way.
    joined = _empty_rows(results[0], passes * pictures, shape)
    torch.cat(results, dim=1, out=joined.unflatten(0, (passes, pictures)))
    return joined


def _empty_rows(like: Any, count: int, shape: Sequence[int]) -> Any:
    """A tensor of some rows, each laid out in memory as in one of passes × pictures rows."""
    strides = (math.prod(shape), *like.stride()[2:])
    return like.new_empty_strided((count, *shape), strides)


def _join_passes(rows: Any) -> Any:
    """The rows of passes × pictures in one dimension, each laid out in memory as before.

    Without a copy a kernel for another layout might be chosen than for one picture.
    """
    passes, pictures, *shape = rows.shape
    if passes == 1:
        return rows[0]
    joined = _empty_rows(rows, passes * pictures, shape)
    joined.unflatten(0, (passes, pictures)).copy_(rows)
    return joined


def _largest_part(module: Any, rows: Any, pictures: int) -> int:
    """How many pictures at a time give the bits of one at a time, for layers of this kind."""
    import torch

    weight = module.weight
    layer = (type(module), weight.shape, weight.stride(), weight.dtype, weight.device.type)
    options = [getattr(module, name, None) for name in ("stride", "padding", "dilation", "groups")]
    shapes = (rows.shape, rows.stride(), pictures, module.bias is None)
    key = (*layer, *options, *shapes, torch.get_num_threads())
    if key not in _MAX_PARTS:
        _MAX_PARTS[key] = _measure_part(module, rows, pictures)
    return _MAX_PARTS[key]


def _measure_part(module: Any, rows: Any, pictures: int) -> int:
    """The largest part that gives equal bits for random weights and random rows.

    Its own weights could be zeros, which are equal however they are added up.
    """
    import torch

    weight, sample = _fill_randomly(module.weight), _fill_randomly(rows)
    bias = None if module.bias is None else _fill_randomly(module.bias)

    def compute(part: Any) -> Any:
        return _apply(module, part, weight, bias)

    with torch.no_grad():
        by_picture = sample.unflatten(0, (-1, pictures))
        compared = list(range(pictures))
        if weight.numel() > _LARGE:  # it takes as long as a part of a step
            compared = sorted({0, 1, pictures // 2, pictures - 1})
        alone = {n: compute(_join_passes(by_picture[:, n : n + 1])) for n in compared}
        for part in part_sizes(pictures):
            result = (
                compute(sample) if part == pictures else _split(compute, sample, pictures, part)
            )
            results = result.unflatten(0, (-1, pictures))
            if all(torch.equal(results[:, n], one) for n, one in alone.items()):
                return part
    return 1


def _fill_randomly(like: Any) -> Any:
    """A tensor of random numbers, which large ones repeat, with the layout of another."""
    import torch

    random = torch.Generator("cpu").manual_seed(0)
    numbers = torch.empty(_RANDOM_NUMBERS).normal_(generator=random)
    flat = numbers.repeat(-(-like.numel() // len(numbers)))[: like.numel()]
    return torch.empty_like(like.detach()).copy_(flat.view(like.shape))


def _apply(module: Any, rows: Any, weight: Any, bias: Any) -> Any:
    """The layer's computation with other weights."""
    from torch import nn
    from torch.nn import functional

    if isinstance(module, nn.Conv2d):
        return module._conv_forward(rows, weight, bias)
    return functional.linear(rows, weight, bias)


def part_sizes(pictures: int) -> list[int]:
    """How many pictures at a time are tried: all, half of them, a third and so on down to two.

    Example:
        >>> part_sizes(12)
        [12, 6, 4, 3, 2]
    """
    return sorted({-(-pictures // parts) for parts in range(1, pictures)}, reverse=True)
