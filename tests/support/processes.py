"""Python code in a process of its own, where nothing is imported yet."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def python(code: str, *, cwd: Path | None = None, **environment: str) -> str:
    """What a fresh interpreter prints for some code; fails with its traceback."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=cwd
    )
    assert process.returncode == 0, process.stderr
    return process.stdout
