"""A wrong wire is a type error in the user's editor, without a plugin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ("tests/typing/good.py", "tests/typing/bad.py")


@pytest.fixture(scope="module")
def refused() -> set[tuple[str, int]]:
    """The lines that mypy, strict and without a plugin, refuses."""
    # The project's own cache makes the difference between 1 s and 20 s.
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *FILES]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr and done.returncode in (0, 1), done.stderr
    found = re.findall(r"^(\S+?):(\d+): error:", done.stdout, re.MULTILINE)
    return {(file, int(line)) for file, line in found}


def marked(file: str) -> set[tuple[str, int]]:
    lines = (ROOT / file).read_text().splitlines()
    return {(file, number) for number, line in enumerate(lines, 1) if "# error: " in line}


@pytest.mark.parametrize("file", FILES)
def test_a_type_checker_refuses_exactly_the_marked_lines(
    refused: set[tuple[str, int]], file: str
) -> None:
    assert {each for each in refused if each[0] == file} == marked(file)


def test_the_files_of_types_hold_something_to_refuse() -> None:
    assert len(marked(FILES[1])) >= 10 and not marked(FILES[0])
