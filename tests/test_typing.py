"""A wrong wire is a type error in the user's editor, without a plugin."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFUSED = {"good.py": 0, "bad.py": 12, "nodes_good.py": 0, "nodes_bad.py": 22}
"""How many lines of each file in `typing/` are to be refused; they end with `# error`."""


@pytest.fixture(scope="module")
def refused() -> set[tuple[str, int]]:
    """The lines that mypy, strict and without a plugin, refuses."""
    # All files at once: two processes that share the project's cache wait for each other.
    files = [f"tests/typing/{file}" for file in REFUSED]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr and done.returncode in (0, 1), done.stderr
    errors = re.findall(r"^tests/typing/(\S+?):(\d+): error:", done.stdout, re.MULTILINE)
    assert len(errors) == done.stdout.count(": error:"), done.stdout
    return {(file, int(line)) for file, line in errors}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("file", REFUSED)
def test_a_type_checker_refuses_exactly_the_marked_lines(
    refused: set[tuple[str, int]], file: str
) -> None:
    lines = (ROOT / "tests" / "typing" / file).read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if "# error" in line}

    assert {line for name, line in refused if name == file} == marked
    assert len(marked) == REFUSED[file]
