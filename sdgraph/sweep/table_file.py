"""The table of a sweep: a CSV or JSON lines file that grows by a row for each variant.

Its sidecar says of which sweep it is, so that a table of the same sweep replaces it and any other
gets a number. Without metadata it has no sidecar. Its paths say nothing about the machine: in the
folder of the table they are relative to it, all others are as in the records of pictures.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, TextIO

from sdgraph.errors import MediaError, Problem
from sdgraph.files import Existing, flush_to_disk, raise_write_error
from sdgraph.language import PortablePaths
from sdgraph.media import write_sidecar
from sdgraph.provenance import hash_source_files, list_checkpoints, open_output

from .report_table import VariantRecord, plain_inputs
from .sweep import Sweep

TABLE_SUFFIXES = (".csv", ".jsonl")


@dataclass(frozen=True)
class TableFile:
    """A table that is being written."""

    path: Path
    """Where it is."""
    add: Callable[[VariantRecord], None]
    """Adds a row, which is in the file when the function returns; raises MediaError."""


def describe_sweep(sweep: Sweep) -> str:
    """The record of a sweep for the sidecar of its table: the same for sweeps that are the same.

    Args:
        sweep: The sweep. The contents of the files that it reads count, their names too.
    """
    targets = [target.identity.hex() for target in sweep.graph.targets]
    sources = {str(path): sha256 for path, sha256 in hash_source_files(sweep.graph).items()}
    rows = [plain_inputs(variant.inputs) for variant in sweep.variants]
    checkpoints = [*list_checkpoints(sweep.graph)]
    text = json.dumps([targets, sources, checkpoints, rows], default=str)
    return json.dumps({"sdgraph_sweep": blake2b(text.encode(), digest_size=16).hexdigest()})


@contextmanager
def open_table(
    path: Path,
    inputs: Mapping[str, Any],
    record: str,
    paths: PortablePaths,
    *,
    overwrite: bool = False,
    with_sidecar: bool = True,
) -> Iterator[TableFile]:
    """Opens a table (CSV or JSON lines) to which records are added.

    Args:
        path: The file to write; its suffix is .csv or .jsonl. A table of another sweep is not
            replaced: then the file gets a number.
        inputs: The workflow's inputs, which are columns of the table.
        record: Of which sweep the table is (`describe_sweep`).
        paths: How paths are written.
        overwrite: Whether any file is replaced.
        with_sidecar: Whether the record is written into a sidecar of the table.

    Raises:
        MediaError: If the file has another suffix or cannot be written.
    """
    if path.suffix.lower() not in TABLE_SUFFIXES:
        wanted = f"a name that ends in {' or '.join(TABLE_SUFFIXES)}"
        raise MediaError(Problem("--table", str(path), wanted))
    columns = [*dict.fromkeys(("number", "state", "seed", *inputs, "files", "seconds", "error"))]
    is_csv = path.suffix.lower() == ".csv"
    try:
        rule: Existing = "replace" if overwrite else "number"
        with open_output(path, rule, record=lambda: record) as output:
            with output.temporary.open("w", encoding="utf-8", newline="") as head:
                if is_csv:
                    csv.writer(head).writerow(columns)
            if with_sidecar:
                write_sidecar(output.temporary, record)
    except MediaError as error:
        found = error.problems[0]
        problem = replace(found, subject="--table", found=f"{found.subject}: {found.found}")
        raise MediaError(problem) from error
    with _append_to(output.path, record if with_sidecar else None) as out:
        write = _csv_writer(out, columns) if is_csv else _json_writer(out)

        def add(row: VariantRecord) -> None:
            with _errors_about(output.path):
                write(_with_portable_paths(row, paths, output.path.parent).row())
                out.flush()

        yield TableFile(output.path, add)


def _with_portable_paths(row: VariantRecord, paths: PortablePaths, folder: Path) -> VariantRecord:
    return replace(
        row,
        files=tuple(paths.written_file(file, folder) for file in row.files),
        inputs=paths.data(row.inputs),
        error=paths.message(row.error),
    )


@contextmanager
def _append_to(path: Path, record: str | None) -> Iterator[TextIO]:
    """The file opened for further rows; at the end its sidecar gets the hash of all of them."""
    with path.open("a", encoding="utf-8", newline="") as out:
        try:
            yield out
        finally:
            with _errors_about(path):
                out.flush()
                flush_to_disk(path)
            if record is not None:
                write_sidecar(path, record)


@contextmanager
def _errors_about(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise_write_error(path, error)


def _json_writer(out: TextIO) -> Callable[[Mapping[str, Any]], None]:
    def write(row: Mapping[str, Any]) -> None:
        out.write(json.dumps(row, ensure_ascii=False) + "\n")

    return write


def _csv_writer(out: TextIO, columns: list[str]) -> Callable[[Mapping[str, Any]], None]:
    rows = csv.DictWriter(out, columns)

    def write(row: Mapping[str, Any]) -> None:
        rows.writerow({name: _cell(value) for name, value in row.items()})

    return write


def _cell(value: Any) -> Any:
    return "; ".join(map(str, value)) if isinstance(value, list) else value
