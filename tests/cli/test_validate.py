"""`sdgraph validate` shows every problem at its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.command_line import Command


def test_validate_shows_every_problem_beneath_its_line(sdgraph: Command) -> None:
    result = sdgraph("validate", "bad.yaml")
    assert result.code == 2
    assert (
        "bad.yaml:4:35: square.grey\n"
        "  4 |   square: {type: ToySquare, grey: 300, sise: 16}\n"
        "    |                                   ^\n"
        "  found:  300\n"
        "  wanted: at most 255\n"
    ) in result.out
    assert result.out.endswith("4 problems in 1 file\n")
    assert "a run needs values for photo (Path)" in result.out


def test_validate_notes_nodes_that_nothing_needs(sdgraph: Command) -> None:
    result = sdgraph("validate", "flow.yaml")
    assert result.code == 0
    assert "flow.yaml: no problems\n  note: no target needs model\n" in result.out


def test_validate_takes_inputs_and_several_files(sdgraph: Command) -> None:
    result = sdgraph("validate", "flow.yaml", "bad.yaml", "grey=300")
    assert result.out.endswith("5 problems in 2 files\n")


def test_an_input_that_no_validated_file_declares_is_a_problem(sdgraph: Command) -> None:
    result = sdgraph("validate", "flow.yaml", "bad.yaml", "gery=3")
    assert result.code == 2
    assert "gery" in result.out


def test_validate_prints_problems_as_json(sdgraph: Command) -> None:
    result = sdgraph("validate", "bad.yaml", "--json")
    first, *others = json.loads(result.out)["problems"]
    assert len(others) == 3
    assert first == {
        "file": "bad.yaml",
        "line": 4,
        "column": 35,
        "subject": "square.grey",
        "found": "300",
        "wanted": "at most 255",
        "fix": "",
        "severity": "error",
    }


def test_the_json_of_validate_lists_the_files_that_will_be_written(
    sdgraph: Command, tmp_path: Path
) -> None:
    assert json.loads(sdgraph("validate", "flow.yaml", "--json").out) == {
        "problems": [],
        "warnings": [],
        "notes": ["flow.yaml: no target needs model"],
        "writes": {"count": 1, "files": ["out/turned.png"]},
    }
    outside = str(tmp_path.parent / "elsewhere")
    result = sdgraph("validate", "flow.yaml", "--json", "--out", outside)
    assert json.loads(result.out)["writes"]["files"] == [f"{outside}/out/turned.png"]
    result = sdgraph("validate", "flow.yaml", "--json", "grey=0..255")
    writes = json.loads(result.out)["writes"]
    assert writes["count"] == 256 and len(writes["files"]) == 100


def test_the_caret_stands_right_after_wide_letters(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text("nodes: {a: {type: ToyStack, title: 猫, images: 3}}\n")
    lines = sdgraph("validate", "wide.yaml").out.splitlines()
    column = lines[1].index("3}}")
    assert lines[2].index("^") == column + 1  # one letter before it takes two cells


def test_inputs_that_no_node_reads_are_noted_and_a_value_for_one_is_a_warning(
    sdgraph: Command, tmp_path: Path
) -> None:
    (tmp_path / "unread.yaml").write_text(
        "inputs: {grey: 3, name: a, words: b, lost: 4}\nnodes:\n"
        "  square: {type: ToySquare, grey: $inputs.grey}\n"
        "  save: {type: ToySave, image: $square, path: '{name}_{words_slug}.png'}\n"
    )
    result = sdgraph("validate", "unread.yaml")
    assert result.code == 0 and "note: no node reads the input lost\n" in result.out
    words = "warning: inputs.lost: an input that no node reads, so it has no effect"
    for command in ("validate", "plan", "run"):
        assert words in sdgraph(command, "unread.yaml", "lost=5").out
        assert words not in sdgraph(command, "unread.yaml", "grey=5").out
    assert words in sdgraph("validate", "unread.yaml", "lost=5..7").out


def test_changed_fields_are_checked_in_the_files_that_have_the_node(
    sdgraph: Command, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(
            f"nodes:\n  {name}: {{type: ToySquare, grey: 3}}\n"
            f"  save: {{type: ToySave, image: ${name}, path: {name}.png}}\n"
        )
    assert sdgraph("validate", "one.yaml", "--set", "one.grey=5").code == 0
    wrong = sdgraph("validate", "one.yaml", "two.yaml", "--set", "two.grey=dark")
    assert wrong.code == 2 and "one.yaml: no problems" in wrong.out and "two.grey" in wrong.out
    moved = sdgraph("validate", "one.yaml", "two.yaml", "--set", "save.path=there.png").out
    assert moved.count("writes there.png") == 2
    unknown = sdgraph("validate", "one.yaml", "two.yaml", "--set", "three.grey=5")
    assert unknown.code == 2 and "three.grey" in unknown.err


def test_an_input_or_a_field_that_is_given_twice_is_a_warning(
    sdgraph: Command, tmp_path: Path
) -> None:
    (tmp_path / "twice.yaml").write_text(
        "inputs: {grey: 3}\nnodes:\n  square: {type: ToySquare, grey: $inputs.grey}\n"
        "  save: {type: ToySave, image: $square, path: a.png}\n"
    )
    words = "more than once: the last value counts"
    for command in ("validate", "plan", "run"):
        assert (
            f"warning: inputs.grey: given {words}"
            in sdgraph(command, "twice.yaml", "grey=5", "grey=6").out
        )
        assert words not in sdgraph(command, "twice.yaml", "grey=5").out
    assert sdgraph("plan", "twice.yaml", "grey=5", "grey=6", "grey=7").out.count(words) == 1
    changes = ("--set", "square.grey=1", "--set", "square.grey=2")
    assert f"square.grey: given {words}" in sdgraph("plan", "twice.yaml", *changes).out


@pytest.mark.parametrize("length", [250, 256, 300, 5000])
def test_a_name_that_is_too_long_is_a_problem_like_any_other(
    sdgraph: Command, tmp_path: Path, length: int
) -> None:
    (tmp_path / "long.yaml").write_text(
        "inputs: {photo: {type: Path, default: a.png}}\nnodes:\n"
        "  photo: {type: LoadImage, path: $inputs.photo}\n"
        f"  save: {{type: Save, image: $photo, path: {'a' * length}.png}}\n"
    )
    for command in ("validate", "plan", "run"):
        result = sdgraph(command, "long.yaml", f"photo={'b' * length}.png", toys=False)
        assert result.code == 2
        shown = result.out + result.err
        assert "photo.path" in shown and ("too long" in shown) == (length > 250)


def test_what_is_no_list_of_values_is_named(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "u16.txt").write_bytes("a".encode("utf-16"))
    (tmp_path / "a.txt").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    (tmp_path / "empty").mkdir()
    for value, words in (
        ("target=@u16.txt", "fix:    save it as UTF-8"),
        ("target=@a.txt", "found:  a.txt: a PNG picture"),
        ("target=@empty", "found:  @empty: no file in it that can be read"),
        ("target=*.nope", "found:  *.nope: no file of this name"),
        ("grey=[1,,2]", "found:  [1,,2], which is no valid YAML"),
        (f"grey={'9' * 5000}", "wanted: a number of at most 300 characters"),
    ):
        assert words in sdgraph("validate", "flow.yaml", value).out
