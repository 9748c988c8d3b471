"""Weights in pickles: refused, unless the person who runs sdgraph allows them.

A pickle can run code when it is read. One that is allowed is read by diffusers or transformers with
torch's `weights_only`, which makes tensors of it and refuses whatever else it asks for. Leave is
given to a process, by `--allow-pickle` or by `allowed`; nothing that a workflow says can give it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sdgraph.errors import CheckpointError, Problem

SUFFIXES = (".bin", ".ckpt", ".pt", ".pth")

_READ = ("diffusion_pytorch_model", "pytorch_model")
"""What the names of the pickles begin with that diffusers and transformers look for."""

_CONVERT = "convert them (with diffusers: load with `use_safetensors=False`, `save_pretrained`)"

_given = 0


@contextmanager
def allowed() -> Iterator[None]:
    """Until the block ends, weights of this process may be pickles."""
    global _given
    _given += 1
    try:
        yield
    finally:
        _given -= 1


def are_allowed() -> bool:
    """Whether they are just now."""
    return _given > 0


def readable(part: str, names: Sequence[str]) -> list[str]:
    """Those of a component's files that are weights in pickles; raises where they are refused."""
    found = [name for name in names if name.endswith(SUFFIXES)]
    known = [name for name in found if name.endswith(".bin") and name.startswith(_READ)]
    if found and not known and are_allowed():
        told = f"only {', '.join(found)}, which no library reads from a folder"
        wanted = f"safetensors, or {' or '.join(f'{stem}.bin' for stem in _READ)}"
        raise CheckpointError(Problem(part, told, wanted, _CONVERT))
    if found and not are_allowed():
        told = "its weights are pickles, which can run code"
        fix = f"{_CONVERT}; choose a revision that has them; or trust them, with --allow-pickle"
        raise CheckpointError(Problem(part, told, "safetensors", fix))
    return known
