"""What `show` tells of a saved picture: how it was made, and whether it could be made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from sdgraph.formatting import align_columns, format_count, shorten_path

from .record import Record
from .verify import checkpoint_states, other_versions, source_states


def record_text(file: str, record: Record) -> str:
    """How a saved file was made, in words and YAML."""
    return "\n".join([*_head(file, record), "", record.workflow.rstrip()])


def record_data(record: Record) -> dict[str, Any]:
    """The same as data: the record, how its files and checkpoints stand, other versions here."""
    return {
        **json.loads(record.to_text()),
        "sources_now": source_states(record),
        "checkpoints_now": [
            {"source": source, "state": state} for source, state in checkpoint_states(record)
        ],
        "versions_now": other_versions(record),
    }


def _head(file: str, record: Record) -> Iterator[str]:
    dtype = f", {record.dtype}" if record.dtype else ""
    yield f"{shorten_path(file)}: made by the node {record.node} on {record.device}{dtype}"
    for name, how in record.altered.items():
        yield f"out of memory, {name} was made otherwise than asked: {', '.join(how)}"
    others = other_versions(record)
    here = {name: f" (here {other})" for name, other in others.items()}
    told = (f"{name} {version}{here.get(name, '')}" for name, version in record.versions.items())
    yield f"versions: {', '.join(told)}"
    shown = {name: json.dumps(value, ensure_ascii=False) for name, value in record.inputs.items()}
    yield from _table("inputs", [*shown.items()])
    yield from _table("seeds", [(name, str(seed)) for name, seed in record.seeds.items()])
    stands = [(shorten_path(path), str(state)) for path, state in source_states(record).items()]
    yield from _table("source files", stands)
    rows: list[tuple[str, ...]] = []
    for told_of, (source, state) in zip(record.checkpoints, checkpoint_states(record), strict=True):
        words = (
            "revision",
            "commit",
            "subfolder",
            "variant",
            "dtype",
            "quantization",
            "file",
            "scale",
        )
        asked = ", ".join(f"{word} {told_of[word]}" for word in words if word in told_of)
        named = told_of.get("files")
        files = format_count(len(named) if isinstance(named, dict) else 0, "file")
        rows.append((source, state, f"{files}, {asked}" if asked else files))
    yield from _table("checkpoints", rows)


def _table(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield f"{title}:"
        yield from (f"  {line}" for line in align_columns(rows))
