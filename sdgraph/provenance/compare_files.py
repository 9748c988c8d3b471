"""What differs between two saved files: in how they were made, and in their pixels."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, MediaError, Problem
from sdgraph.files import describe_path, hash_files, is_file
from sdgraph.language import parse_document
from sdgraph.media import read_image

from .record import ProvenanceRecord, read_record

Facts = Mapping[str, Any]
"""What a record says, by the names of its parts; a part may have parts of its own."""


@dataclass(frozen=True)
class Difference:
    """One thing that differs in how two files were made.

    Args:
        what: What it is, such as "inputs.seed" or "nodes.star.steps".
        first: What the first record says; None if it says nothing.
        second: What the second record says.
    """

    what: str
    first: Any
    second: Any

    def as_row(self) -> tuple[str, str, str]:
        """The difference as cells of a table; what a record does not say is "–"."""
        return self.what, _cell(self.first), _cell(self.second)


def differences(first: Facts, second: Facts, within: str = "") -> list[Difference]:
    """What two records say differently, in the order in which it is said.

    Args:
        first: What one says.
        second: What the other says.
        within: The name of the part that both are, for the names of the differences.

    Example:
        >>> differences({"seeds": {"star": 1}}, {"seeds": {"star": 2}})
        [Difference(what='seeds.star', first=1, second=2)]
    """
    found: list[Difference] = []
    for name in dict.fromkeys([*first, *second]):
        one, other = first.get(name), second.get(name)
        full = f"{within}.{name}" if within else str(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other, full)
        elif _text(one) != _text(other):
            found.append(Difference(full, one, other))
    return found


def record_facts(record: ProvenanceRecord) -> dict[str, Any]:
    """What a record says: inputs, nodes and their fields, seeds, files, checkpoints, versions."""
    checkpoints = {
        str(checkpoint.get("source") or number): checkpoint
        for number, checkpoint in enumerate(record.checkpoints, 1)
    }
    return {
        "inputs": record.inputs,
        "nodes": _nodes(record.workflow),
        "seeds": record.seeds,
        "chosen": record.chosen,
        "sources": record.sources,
        "profiles": record.profiles,
        "checkpoints": checkpoints,
        "altered": record.altered,
        "device": record.device,
        "dtype": record.dtype,
        "versions": record.versions,
    }


def _nodes(workflow: str) -> Any:
    """The nodes of a workflow and their fields; the whole text if it cannot be read."""
    try:
        return parse_document(workflow, "the record").data["nodes"]
    except (InvalidWorkflowError, KeyError, TypeError):
        return workflow


@dataclass(frozen=True)
class PixelDifference:
    """How much two pictures differ.

    Args:
        first_size: The width and height of the first picture.
        second_size: Those of the second.
        differing: How many pixels differ; None for pictures of different sizes.
        share: Their share of all, from 0 to 1.
        largest: The largest difference of a channel, from 0 to 255.
        mean: The mean difference of the channels, from 0 to 255.
        box: The box around what differs, as left, top, right, bottom in pixels; right and bottom
            are the first that are outside.
    """

    first_size: tuple[int, int]
    second_size: tuple[int, int]
    differing: int | None
    share: float | None = None
    largest: int | None = None
    mean: float | None = None
    box: tuple[int, int, int, int] | None = None

    def __str__(self) -> str:
        sizes = [f"{width}×{height}" for width, height in (self.first_size, self.second_size)]
        if self.differing is None:
            return f"{sizes[0]} and {sizes[1]} pixels, not compared"
        if not self.differing:
            return f"all {sizes[0]} are equal"
        assert self.share is not None and self.box is not None
        left, top, right, bottom = self.box
        return (
            f"{self.differing:,} of {sizes[0]} differ ({self.share:.1%}), by at most {self.largest}"
            f" of 255 and {self.mean:.2f} in the mean; all in x {left}–{right - 1},"
            f" y {top}–{bottom - 1}"
        )


def compare_pixels(first: Path, second: Path) -> PixelDifference:
    """How much the pictures in two files differ; MediaError if one cannot be read."""
    import numpy as np

    pictures = [read_image(path) for path in (first, second)]
    sizes = [picture.size for picture in pictures]
    if sizes[0] != sizes[1]:
        return PixelDifference(sizes[0], sizes[1], None)
    mode = "RGBA" if any("A" in picture.mode for picture in pictures) else "RGB"
    arrays = [np.asarray(picture.convert(mode), np.int16) for picture in pictures]
    by_channel = np.abs(arrays[0] - arrays[1])
    differs = by_channel.any(axis=2)
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if len(rows) else None
    return PixelDifference(
        sizes[0],
        sizes[1],
        int(differs.sum()),
        float(differs.mean()),
        int(by_channel.max()),
        float(by_channel.mean()),
        None if box is None else (int(box[0]), int(box[1]), int(box[2]), int(box[3])),
    )


@dataclass(frozen=True)
class FileComparison:
    """What differs between two saved files.

    Args:
        same_bytes: Whether the files are equal, byte for byte.
        made: What differs in how they were made; None if one of them has no record.
        pixels: How much their pixels differ; None for files that are no pictures.
        notices: What could not be compared, and why.
    """

    same_bytes: bool
    made: list[Difference] | None
    pixels: PixelDifference | None
    notices: tuple[Problem, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """The comparison as plain data for JSON."""
        return {
            "same_bytes": self.same_bytes,
            "made": None if self.made is None else [asdict(item) for item in self.made],
            "pixels": None if self.pixels is None else asdict(self.pixels),
            "notices": [problem.as_data() for problem in self.notices],
        }


def compare_files(first: Path, second: Path) -> FileComparison:
    """What differs between two files that sdgraph saved.

    Files without a record are compared by their pixels, videos by their records.

    Args:
        first: A picture or video.
        second: Another one.

    Raises:
        MediaError: A file cannot be read, or there is nothing by which the two can be compared.
    """
    for path in (first, second):
        if not is_file(path):
            raise MediaError(Problem(str(path), describe_path(path), "a picture or video"))
    digests = hash_files([first, second])
    facts: list[dict[str, Any]] = []
    notices: list[Problem] = []
    for path in (first, second):
        try:
            facts.append(record_facts(read_record(path)))
        except MediaError as error:
            notices += error.problems
    made = differences(facts[0], facts[1]) if len(facts) == 2 else None
    try:
        pixels = compare_pixels(first, second)
    except MediaError as error:
        if made is None:
            raise MediaError([*notices, *error.problems]) from error
        pixels = None
    return FileComparison(digests[0] == digests[1], made, pixels, tuple(notices))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else _text(value)
    return _SHA256.sub(lambda match: f"{match[0][:12]}…", text)


_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
