"""Weights in several files: the index that lists them, and the files themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem

from .config_files import read_json
from .safetensors_files import refuse_damaged

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<rest>(\.\w+)?)")
"""The name of a shard without its suffix: `model-00001-of-00002` or `model.fp16-00001-of-00002`."""

_COPY = "fetch or copy the checkpoint again"


def refuse_incomplete(part: str, folder: Path, files: Sequence[Path]) -> None:
    """Raises CheckpointError if weights in several files lack one of them, or their index.

    Args:
        part: The component's name in messages.
        folder: The component's folder.
        files: The weight files that were chosen in it.
    """
    shards = [match for path in files if (match := _SHARD.fullmatch(path.stem))]
    if not shards or len(shards) != len(files):
        return  # one of them has all tensors
    _refuse_missing_numbers(part, shards)
    names = dict.fromkeys(map(_index_name, shards))
    index = next((folder / name for name in names if (folder / name).is_file()), None)
    if index is not None:
        _refuse_other_files(part, index, files)
    elif files[0].suffix == ".safetensors":
        found = f"weights in {len(shards)} files, without the index that lists their tensors"
        wanted = f"a file {next(iter(names))}"
        raise CheckpointError(Problem(part, found, wanted, _COPY))


def _refuse_missing_numbers(part: str, shards: Sequence[re.Match[str]]) -> None:
    """Raises CheckpointError if files of a series are not there, by the numbers in their names."""
    series: dict[tuple[str, int], set[int]] = {}
    for shard in shards:
        series.setdefault((shard["stem"], int(shard["count"])), set()).add(int(shard["number"]))
    for (_, count), numbers in sorted(series.items()):
        missing = [number for number in range(1, count + 1) if number not in numbers]
        if missing:
            named = ", ".join(f"{number} of {count}" for number in missing[:3])
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            found = f"weights in {count} files, without file {named}{more}"
            raise CheckpointError(Problem(part, found, "all files of the weights", _COPY))


def _index_name(shard: re.Match[str]) -> str:
    """The name of the index of a shard, as diffusers and transformers write it."""
    stem, _, variant = (shard["stem"] + shard["rest"]).partition(".")
    return f"{stem}.safetensors.index.{variant + '.' if variant else ''}json"


def _refuse_other_files(part: str, index: Path, files: Sequence[Path]) -> None:
    """Raises CheckpointError if an index names files or tensors that are not there."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, Mapping):
        raise CheckpointError(
            Problem(str(index), "no weight_map", "the file of each tensor", _COPY)
        )
    by_name = {path.name: path for path in files}
    for name in dict.fromkeys(map(str, weight_map.values())):
        if name not in by_name:
            odd = Path(name).name != name
            found = f"its index names {name!r}, {'a path' if odd else 'which is not there'}"
            wanted = "the names of files in the same folder" if odd else "all files of the weights"
            raise CheckpointError(Problem(f"{part}: {index.name}", found, wanted, _COPY))
    tensors = {name: set(refuse_damaged(path).tensors) for name, path in by_name.items()}
    for tensor, name in _misplaced(weight_map, tensors):
        found = f"its index says that {name} holds {tensor}, which it does not"
        wanted = "an index of these files"
        raise CheckpointError(Problem(f"{part}: {index.name}", found, wanted, _COPY))


def _misplaced(
    weight_map: Mapping[str, Any], tensors: Mapping[str, set[str]]
) -> Iterator[tuple[str, str]]:
    """The tensors that an index places in a file that does not have them, with the file's name."""
    for tensor, name in weight_map.items():
        if tensor not in tensors[str(name)]:
            yield tensor, str(name)
