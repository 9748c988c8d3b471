"""What `sdgraph show` prints about a saved file: how it was made, and what has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sdgraph.formatting import align_columns, format_count, shorten_path

from .record import ProvenanceRecord
from .source_paths import record_folder
from .verify import changed_versions, checkpoint_states, source_states

_DETAILS = (
    "revision",
    "commit",
    "subfolder",
    "variant",
    "dtype",
    "quantization",
    "config",
    "prediction_type",
    "component",
    "file",
    "scale",
)
"""The entries of a checkpoint in a record that are shown."""


def format_record(file: str, record: ProvenanceRecord) -> str:
    """How a saved file was made, as text for people: a summary, then the workflow in YAML.

    Args:
        file: The path of the file.
        record: The record in it.
    """
    return "\n".join([*_summary(file, record), "", record.workflow.rstrip()])


def record_as_data(record: ProvenanceRecord, folder: Path | None = None) -> dict[str, Any]:
    """The record as data for JSON, with the present state of its files, checkpoints and versions.

    Args:
        record: The record in a saved file.
        folder: The folder that its paths are relative to; None is the current one.
    """
    return {
        **json.loads(record.to_text()),
        "sources_now": source_states(record, folder),
        "checkpoints_now": [
            {"source": source, "state": state}
            for source, state in checkpoint_states(record, folder)
        ],
        "versions_now": changed_versions(record),
    }


def _summary(file: str, record: ProvenanceRecord) -> Iterator[str]:
    folder = record_folder(Path(file), record)
    dtype = f", {record.dtype}" if record.dtype else ""
    yield f"{shorten_path(file)}: made by the node {record.node} on {record.device}{dtype}"
    for name, settings in record.altered.items():
        yield f"out of memory, {name} ran with other settings: {', '.join(settings)}"
    here = {name: f" (here {version})" for name, version in changed_versions(record).items()}
    versions = (
        f"{name} {version}{here.get(name, '')}" for name, version in record.versions.items()
    )
    yield f"versions: {', '.join(versions)}"
    inputs = {name: json.dumps(value, ensure_ascii=False) for name, value in record.inputs.items()}
    yield from _table("inputs", [*inputs.items()])
    yield from _table("seeds", [(name, str(seed)) for name, seed in record.seeds.items()])
    chosen = [
        (f"{node}.{name}", str(value))
        for node, fields in record.chosen.items()
        for name, value in fields.items()
    ]
    yield from _table("chosen by sdgraph", chosen)
    states = [
        (path, f"{state}{_converted(record, path)}")
        for path, state in source_states(record, folder).items()
    ]
    yield from _table("source files", states)
    rows = [
        (source, state, _checkpoint_details(checkpoint))
        for checkpoint, (source, state) in zip(
            record.checkpoints, checkpoint_states(record, folder), strict=True
        )
    ]
    yield from _table("checkpoints", rows)


def _converted(record: ProvenanceRecord, path: str) -> str:
    name = record.profiles.get(path)
    return f"; its colours were converted from {name} to sRGB" if name else ""


def _checkpoint_details(checkpoint: Mapping[str, Any]) -> str:
    files = checkpoint.get("files")
    count = format_count(len(files) if isinstance(files, Mapping) else 0, "file")
    return ", ".join(
        [count, *(f"{key} {checkpoint[key]}" for key in _DETAILS if key in checkpoint)]
    )


def _table(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield f"{title}:"
        yield from (f"  {line}" for line in align_columns(rows))
