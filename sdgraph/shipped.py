"""The checkpoints that ship inside the package, called `tiny/NAME`; they need no network.

Each is a folder in the layout of diffusers or transformers. The package holds its small text files;
where it holds no weights, `folder` makes random ones, the same ones everywhere, and keeps them in
the user's cache. Nothing here imports torch before weights are to be made.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from .errors import CheckpointError, Problem, did_you_mean
from .files import home

_SHIPPED = Path(__file__).with_name("tiny")
_PREFIX = "tiny/"
_DIFFUSERS_WEIGHTS = "diffusion_pytorch_model.safetensors"
_TRANSFORMERS_WEIGHTS = "model.safetensors"

# Two threads that draw from torch's one global generator would spoil each other's weights.
_making = threading.Lock()


def names() -> tuple[str, ...]:
    """The names of all shipped checkpoints, sorted, as in `tiny/inpaint`."""
    return _names_in(_SHIPPED)


@cache
def _names_in(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(_PREFIX + entry.name for entry in folder.iterdir() if entry.is_dir()))


def configs(name: str) -> Path:
    """The folder inside the package with the checkpoint's config files; it may hold no weights.

    Raises CheckpointError for a name that is not shipped.
    """
    known = names()
    if name not in known:
        problem = Problem(
            subject=name,
            found="no shipped checkpoint of that name",
            wanted=f"one of {', '.join(known)}",
            fix=did_you_mean(name, known),
        )
        raise CheckpointError(problem)
    return _SHIPPED / name.removeprefix(_PREFIX)


def folder(name: str) -> Path:
    """The folder with the checkpoint's config files and weights, for `from_pretrained`.

    That is the package's own folder when it holds weights; else a folder in the user's cache,
    made on first need: `$SDGRAPH_HOME/tiny/DIGEST/NAME`, or below `~/.cache/sdgraph`. The digest
    is of the package's files, so an edited config never meets the weights of an older one.
    Raises CheckpointError for an unknown name and for a cache that cannot be written.
    """
    source = configs(name)
    if _is_complete(source):
        return source
    files = _files(source)
    final = _place(source, files)
    try:
        with _making:
            if not final.is_dir():
                _make(files, final)
    except OSError as error:
        problem = Problem(
            subject=f"checkpoint {name!r}",
            found=f"its weights cannot be kept in {final.parent}: {error.strerror or error}",
            wanted="a folder that can be written",
            fix="set the environment variable SDGRAPH_HOME to such a folder",
        )
        raise CheckpointError(problem) from error
    if not _is_complete(final):
        problem = Problem(
            subject=f"checkpoint {name!r}",
            found=f"{final} has lost some of its weights",
            wanted="every component with its weights",
            fix="delete that folder; it will be made again",
        )
        raise CheckpointError(problem)
    return final


def made(name: str) -> Path | None:
    """The folder with the checkpoint's weights where they are there already, else None."""
    final = _kept(configs(name), os.environ.get("SDGRAPH_HOME"))
    return final if final.is_dir() else None


@cache
def _kept(source: Path, _home: str | None) -> Path:
    """Where the weights of a package folder are or will be; package files do not change."""
    return source if _is_complete(source) else _place(source, _files(source))


def _place(source: Path, files: Mapping[str, bytes]) -> Path:
    """Where the weights for these package files are kept."""
    return home() / "tiny" / _digest(files) / source.name


def _files(source: Path) -> dict[str, bytes]:
    """Every file below `source` by its path from there, in the order of the paths."""
    paths = (path for path in source.rglob("*") if path.is_file())
    return dict(sorted((path.relative_to(source).as_posix(), path.read_bytes()) for path in paths))


def _digest(files: Mapping[str, bytes]) -> str:
    """A name for these files that changes when any path or any byte does."""
    each = ((path, sha256(content).hexdigest()) for path, content in files.items())
    return sha256(json.dumps(list(each)).encode()).hexdigest()[:16]


def _weights_file(config: Path) -> Path:
    """Where the weights stand that belong to a component's config file."""
    by_diffusers = "_class_name" in json.loads(config.read_bytes())
    return config.with_name(_DIFFUSERS_WEIGHTS if by_diffusers else _TRANSFORMERS_WEIGHTS)


def _is_complete(checkpoint: Path) -> bool:
    """Whether every component has its weights; schedulers and tokenizers have no config.json."""
    return all(_weights_file(config).is_file() for config in checkpoint.rglob("config.json"))


def _make(files: Mapping[str, bytes], final: Path) -> None:
    """Write the files and the weights they lack to `final`, all or nothing.

    A maker works under a temporary name beside it and renames at the end, so a killed one leaves
    nothing that looks finished; of two makers the second to arrive uses what the first made.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=final.parent) as scratch:
        made = Path(scratch) / final.name
        for path, content in files.items():
            # Written, not copied with its mode: an installed package may be read-only.
            target = made / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        fill(made)
        try:
            made.rename(final)
        except OSError:
            if not final.is_dir():
                raise


def fill(checkpoint: Path) -> None:
    """Writes random weights beside every config of a checkpoint's folder that has none.

    The seed is a digest of the config, so equal configs give equal weights.
    """
    for config in sorted(checkpoint.rglob("config.json")):
        target = _weights_file(config)
        if not target.exists():
            target.write_bytes(_random_weights(json.loads(config.read_bytes())))


def _random_weights(config: Mapping[str, Any]) -> bytes:
    """A safetensors file with the fresh weights of the component that `config` describes.

    The seed is a digest of the config, so equal configs give equal weights in every checkpoint.
    """
    from safetensors.torch import save

    text = json.dumps(config, sort_keys=True)
    make = _maker(config)
    with _drawing_from(int.from_bytes(sha256(text.encode()).digest()[:8])):
        state = make().state_dict()
    return bytes(save(state, metadata={"format": "pt"}))


def _maker(config: Mapping[str, Any]) -> Callable[[], Any]:
    """What makes the module new and untrained; only classes of diffusers and transformers.

    All imports happen here, before the seed is set, so that none can draw from it.
    """
    if "_class_name" in config:
        import diffusers

        return partial(getattr(diffusers, config["_class_name"]).from_config, dict(config))
    import transformers

    model = getattr(transformers, config["architectures"][0])
    return partial(model, model.config_class.from_dict(dict(config)))


@contextmanager
def _drawing_from(seed: int) -> Iterator[None]:
    """Let torch make float32 on the CPU from `seed` here, and be afterwards as it was before."""
    import torch

    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=()), torch.device("cpu"):
        # Not torch.manual_seed: that would seed the generators of accelerators too.
        torch.default_generator.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
