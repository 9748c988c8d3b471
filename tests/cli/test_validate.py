"""`sdgraph validate` shows every problem at its line."""

from __future__ import annotations

import json
from pathlib import Path

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
    first = json.loads(result.out)[0]
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
    assert json.loads(sdgraph("validate", "flow.yaml", "--json").out) == []


def test_the_caret_stands_right_after_wide_letters(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text("nodes: {a: {type: ToyStack, title: 猫, images: 3}}\n")
    lines = sdgraph("validate", "wide.yaml").out.splitlines()
    column = lines[1].index("3}}")
    assert lines[2].index("^") == column + 1  # one letter before it takes two cells
