"""What differs in how two files were made is found, and nothing else; so are their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.errors import MediaError
from sdgraph.provenance import ProvenanceRecord, compare_files
from sdgraph.provenance.compare_files import Difference, compare_pixels, differences, record_facts

SCALARS = st.integers() | st.text(max_size=3) | st.booleans()
FACTS = st.dictionaries(
    st.text("ab", min_size=1, max_size=2),
    st.recursive(
        SCALARS,
        lambda inner: st.dictionaries(st.text("ab", min_size=1, max_size=2), inner),
        max_leaves=6,
    ),
    max_size=3,
)


@given(FACTS, FACTS)
def test_there_is_a_difference_exactly_if_the_facts_differ(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    found = differences(first, second)
    assert bool(found) == (repr(_sorted(first)) != repr(_sorted(second)))
    swapped = {
        (item.what, str(item.second), str(item.first)) for item in differences(second, first)
    }
    assert {(item.what, str(item.first), str(item.second)) for item in found} == swapped


def _sorted(data: Any) -> Any:
    """Plain data with the keys of its maps in order."""
    if isinstance(data, dict):
        return {key: _sorted(data[key]) for key in sorted(data)}
    return data


def record(workflow: str = "nodes: {a: {type: Canny, low: 1}}", **fields: Any) -> ProvenanceRecord:
    return ProvenanceRecord(workflow, "a", "cpu", "float32", {"torch": "1"}, **fields)


def test_fields_nodes_and_checkpoints_are_compared_by_name() -> None:
    first = record(inputs={"seed": 1}, checkpoints=({"source": "a/b", "commit": "x"},))
    second = record(
        "nodes: {a: {type: Canny, low: 2}, b: {type: Mask}}",
        inputs={"seed": 2},
        checkpoints=({"source": "a/b", "commit": "y"},),
    )
    assert differences(record_facts(first), record_facts(second)) == [
        Difference("inputs.seed", 1, 2),
        Difference("nodes.a.low", 1, 2),
        Difference("nodes.b", None, {"type": "Mask"}),
        Difference("checkpoints.a/b.commit", "x", "y"),
    ]
    assert Difference("nodes.b", None, {"type": "Mask"}).as_row()[1:] == ("–", '{"type": "Mask"}')
    assert Difference("sources.a", "0" * 64, "z").as_row() == ("sources.a", "0" * 12 + "…", "z")


@pytest.mark.parametrize("workflow", ["nodes: [", "3", "{}", "nodes: 3"])
def test_a_workflow_that_cannot_be_read_is_compared_as_a_whole(workflow: str) -> None:
    assert differences(record_facts(record(workflow)), record_facts(record(workflow))) == []
    (difference,) = differences(record_facts(record(workflow)), record_facts(record("nodes: {}")))
    assert difference.what == "nodes"


def picture(path: Path, *changes: tuple[int, int, int], size: tuple[int, int] = (8, 6)) -> Path:
    """A black picture with other greys at some places: x, y, grey."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for x, y, grey in changes:
        pixels[y, x] = grey
    PIL.Image.fromarray(pixels).save(path)
    return path


def test_pixels_that_differ_are_counted_and_boxed(tmp_path: Path) -> None:
    black = picture(tmp_path / "a.png")
    found = compare_pixels(black, picture(tmp_path / "b.png", (1, 2, 10), (4, 3, 250)))
    assert (found.differing, found.largest, found.box) == (2, 250, (1, 2, 5, 4))
    assert found.share == 2 / 48 and found.mean == pytest.approx(260 / 48)
    assert "2 of 8×6 differ (4.2%), by at most 250 of 255" in str(found)
    assert str(found).endswith("all in x 1–4, y 2–3")
    assert str(compare_pixels(black, black)) == "all 8×6 are equal"
    small = picture(tmp_path / "c.png", size=(4, 4))
    assert str(compare_pixels(black, small)) == "8×6 and 4×4 pixels, not compared"


def test_a_transparent_picture_differs_from_an_opaque_one(tmp_path: Path) -> None:
    black = picture(tmp_path / "a.png")
    PIL.Image.new("RGBA", (8, 6), (0, 0, 0, 0)).save(tmp_path / "b.png")
    assert compare_pixels(black, tmp_path / "b.png").differing == 48


def test_pictures_without_a_record_are_compared_by_their_pixels(tmp_path: Path) -> None:
    first, second = picture(tmp_path / "a.png"), picture(tmp_path / "b.png", (0, 0, 1))
    found = compare_files(first, second)
    assert found.made is None and found.pixels is not None and found.pixels.differing == 1
    assert [problem.subject for problem in found.notices] == [str(first), str(second)]
    assert not found.same_bytes and compare_files(first, first).same_bytes


@pytest.mark.parametrize("name", ["gone.png", "folder.png", "text.png"])
def test_what_is_no_picture_is_an_error_with_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("text")
    with pytest.raises(MediaError, match=name):
        compare_files(picture(tmp_path / "a.png"), tmp_path / name)
