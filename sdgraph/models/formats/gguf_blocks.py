"""Weights of linear layers in the blocks of a GGUF file, and the numbers that they stand for.

`gguf` computes all numbers of a file with numpy. diffusers has the same formulas for torch, which
round to float16 unless they are told otherwise; here they compute in float32, as gguf does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .gguf_headers import BLOCKS

_AT_ONCE = 2**22
"""How many numbers are computed at once, which bounds the memory that this takes."""


def compute_weights(data: Any, kind: int, dtype: Any) -> Any:
    """The numbers that blocks stand for, computed in float32 and rounded once.

    Args:
        data: A torch tensor of bytes: a row for each output of a linear layer.
        kind: Their type in GGUF, one of `KEPT_TYPES`.
        dtype: The torch dtype of the result.

    Returns:
        A tensor on the same device, outputs × inputs.
    """
    import torch
    from diffusers.quantizers.gguf.utils import dequantize_functions

    compute: Any = next(each for key, each in dequantize_functions.items() if key == kind)
    numbers, width = BLOCKS[kind]
    rows, columns = data.shape[0], data.shape[1] // width * numbers
    weights = torch.empty((rows, columns), dtype=dtype, device=data.device)
    step = max(1, _AT_ONCE // columns)
    for begin in range(0, rows, step):
        blocks = data[begin : begin + step].reshape(-1, width)
        part = compute(blocks, numbers, width, dtype=torch.float32)
        weights[begin : begin + step] = part.reshape(-1, columns)
    return weights


class BlockRows:
    """The weight of a linear layer in blocks, in the place of a tensor while layers are renamed.

    Every row consists of whole blocks. So diffusers' converters, which take the rows of fused
    layers apart and join them in another order, need no numbers. What they ask for otherwise
    raises TypeError or AttributeError.

    Args:
        data: A torch tensor of bytes, with a row for each output.
        kind: The type of its blocks in GGUF.
    """

    def __init__(self, data: Any, kind: int) -> None:
        self.data = data
        self.kind = kind

    @property
    def shape(self) -> tuple[int, int]:
        """Its outputs and inputs."""
        numbers, width = BLOCKS[self.kind]
        return self.data.shape[0], self.data.shape[1] // width * numbers

    def weights(self, dtype: Any) -> Any:
        """The numbers that it stands for, as a torch tensor."""
        return compute_weights(self.data, self.kind, dtype)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[BlockRows, ...]:
        """As `torch.chunk`, along the rows."""
        return self._take(self.data.chunk, chunks, dim)

    def split(self, sizes: int | Sequence[int], dim: int = 0) -> tuple[BlockRows, ...]:
        """As `torch.split`, along the rows."""
        return self._take(self.data.split, sizes, dim)

    def _take(self, function: Callable[..., Any], sizes: Any, dim: int) -> tuple[BlockRows, ...]:
        if dim != 0:
            raise TypeError("only whole rows can be taken from blocks")
        return tuple(BlockRows(part, self.kind) for part in function(sizes, dim=0))

    @classmethod
    def __torch_function__(
        cls, function: Any, _: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Computes those functions of torch that take or join rows."""
        import torch

        if function is torch.chunk:
            return args[0].chunk(*args[1:], **(kwargs or {}))
        if function is torch.split:
            return args[0].split(*args[1:], **(kwargs or {}))
        if function is torch.cat:
            return cls._join(*args, **(kwargs or {}))
        raise TypeError(f"torch.{function.__name__} needs the numbers of blocks")

    @classmethod
    def _join(cls, parts: Sequence[Any], dim: int = 0) -> BlockRows:
        import torch

        kinds = {part.kind for part in parts if isinstance(part, BlockRows)}
        if dim != 0 or len(kinds) != 1 or not all(isinstance(part, BlockRows) for part in parts):
            raise TypeError("only rows of blocks of one type can be joined")
        return cls(torch.cat([part.data for part in parts]), kinds.pop())
