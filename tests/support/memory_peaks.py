"""Peaks of torch's allocations, measured without computing, by tensors that have only shapes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class Held(TorchDispatchMode):  # type: ignore[misc]
    """Follows the bytes of all tensors that are alive, other than a module's own."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        tensors = (*module.parameters(), *module.buffers())
        self.sizes = {tensor.untyped_storage()._cdata: 0 for tensor in tensors}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        for tensor in tree_iter(results):
            if isinstance(tensor, torch.Tensor):
                self.follow(tensor.untyped_storage())
        return results

    def follow(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self.sizes:
            return
        self.sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self.let_go, key)

    def let_go(self, key: int) -> None:
        self.now -= self.sizes.pop(key)


def attend_without_matrix(query: Any, key: Any, value: Any, *rest: Any, **more: Any) -> Any:
    """Attention as torch's kernels for devices compute it; that of the meta device is larger."""
    return torch.empty_like(query)


@pytest.fixture(autouse=True)
def use_attention_without_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes torch's attention as small as its kernels for devices are."""
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", attend_without_matrix)


def meta_module(cls: Any, config: Any, dtype: torch.dtype) -> Any:
    """A module that has shapes and no numbers."""
    with torch.device("meta"):
        module = cls.from_config(config) if hasattr(cls, "from_config") else cls(config)
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
    return module.eval()


def empty(*shape: int, dtype: torch.dtype = torch.float16) -> Any:
    return torch.empty(*shape, dtype=dtype, device="meta")


def peak(module: Any, call: Callable[[], Any]) -> int:
    with torch.no_grad(), Held(module) as held:
        call()
    return int(held.peak)
