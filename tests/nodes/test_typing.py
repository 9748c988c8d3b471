"""A type checker accepts right wires between the library's nodes and refuses wrong ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FILES = Path(__file__).parents[1] / "typing"


def errors(name: str) -> dict[int, str]:
    """The lines of a file that mypy refuses, and why."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(FILES / name)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    found = re.findall(rf"{re.escape(name)}:(\d+): error: (.*)", done.stdout)
    assert len(re.findall(": error: ", done.stdout)) == len(found), done.stdout
    return {int(line): reason for line, reason in found}


@pytest.mark.timeout(600)
def test_right_wires_are_accepted() -> None:
    assert errors("nodes_good.py") == {}


@pytest.mark.timeout(600)
def test_every_wrong_wire_is_refused_and_nothing_else() -> None:
    lines = (FILES / "nodes_bad.py").read_text().splitlines()
    marked = {number for number, line in enumerate(lines, 1) if line.endswith("# error")}
    assert set(errors("nodes_bad.py")) == marked
    assert len(marked) == 22
