"""Weights in pickles, which are refused unless the user allows them.

A pickle can run code when it is read. An allowed one is read with torch's `weights_only`, which
reads tensors and refuses everything else. Pickles are allowed for a
process, by `--allow-pickle` or by `allow`; nothing in a workflow can allow them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem

SUFFIXES = (".bin", ".ckpt", ".pt", ".pth")

_READ = ("diffusion_pytorch_model", "pytorch_model")
"""The prefixes of the names of pickles that diffusers and transformers read."""

_CONVERT = "convert them (with diffusers: load with `use_safetensors=False`, `save_pretrained`)"

_allowances = 0


@contextmanager
def allow() -> Iterator[None]:
    """A block within which the weights of this process may be pickles."""
    global _allowances
    _allowances += 1
    try:
        yield
    finally:
        _allowances -= 1


def are_allowed() -> bool:
    """Whether pickles are allowed now."""
    return _allowances > 0


def readable(part: str, names: Sequence[str]) -> list[str]:
    """The files of a component that are weights in pickles; raises CheckpointError if refused."""
    pickled = [name for name in names if name.endswith(SUFFIXES)]
    weights = [name for name in pickled if name.endswith(".bin") and name.startswith(_READ)]
    if pickled and not weights and are_allowed():
        found = f"only {', '.join(pickled)}, which no library reads from a folder"
        wanted = f"safetensors, or {' or '.join(f'{stem}.bin' for stem in _READ)}"
        raise CheckpointError(Problem(part, found, wanted, _CONVERT))
    if pickled and not are_allowed():
        found = "its weights are pickles, which can run code"
        fix = f"{_CONVERT}; choose a revision that has them; or trust them, with --allow-pickle"
        raise CheckpointError(Problem(part, found, "safetensors", fix))
    return weights


def is_pickle(start: bytes) -> bool:
    """Whether a file is one of torch or another pickle, by its first bytes.

    Args:
        start: At least the first nine. The length of a safetensors header may look like a pickle.
    """
    if start[4:9] == b"\0\0\0\0{":
        return False
    return start.startswith((b"PK\x03\x04", *(b"\x80%c" % version for version in range(2, 6))))


NESTED_KEYS = ("state_dict", "params_ema", "params", "model_state_dict", "string_to_param")
"""The keys under which programs that train keep the tensors, besides what else they store."""


def read_pickle(path: Path, names: Collection[str]) -> dict[str, Any]:
    """Some tensors of a file of torch; raises CheckpointError unless pickles are allowed.

    Args:
        path: The file.
        names: The names of the tensors.
    """
    import zipfile

    import torch

    if not are_allowed():
        found, fix = "a pickle, which can run code", "if you trust it, use --allow-pickle"
        raise CheckpointError(Problem(str(path), found, "safetensors", fix))
    is_archive = zipfile.is_zipfile(path)
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_archive)
    for key in NESTED_KEYS:
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    # A copy: the tensors of the file are not to change with it, nor to keep all of it open.
    return {name: content[name].detach().clone() for name in names}
