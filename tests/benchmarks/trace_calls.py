"""Counts how often a run goes from one file of sdgraph to another before its pipeline is called.

    python -m tests.benchmarks.trace_calls [--pairs N] [ARGUMENT...]

runs the command line with these arguments (`run text --no-cache` without any) under a profile
function and prints two numbers:

- files: the files of sdgraph, its nodes among them, of which a function was entered;
- changes: how often, between consecutive calls of such functions, the file was another one.

Both are counted from the start of the command, imports included, to the first call of a diffusers
pipeline. The bodies of modules and classes are not counted, nor are the functions of other
packages. Run it twice and read the second numbers: the first run compiles and hashes files. With
`--pairs` the N most frequent changes follow, each with its count.
"""

from __future__ import annotations

import argparse
import inspect
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import sdgraph

_PACKAGE = Path(sdgraph.__file__).parent
FOLDERS = {str(path.resolve()) for path in (_PACKAGE, _PACKAGE / "nodes")}
"""Where the files of sdgraph and of its nodes lie."""


class Trace:
    """A profile function that counts calls by file until a pipeline of diffusers is called."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.changes: Counter[tuple[str, str]] = Counter()
        self._names: dict[str, str | None] = {}
        self._last: str | None = None
        self._done = False

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Counts one event of the interpreter."""
        if event != "call" or self._done:
            return
        code = frame.f_code
        if code.co_name == "__call__" and "/diffusers/pipelines/" in code.co_filename:
            self._done = True
            return
        if not code.co_flags & inspect.CO_OPTIMIZED:
            return  # the body of a module or of a class
        name = self._name(code.co_filename)
        if name is None:
            return
        self.calls[name] += 1
        if self._last is not None and name != self._last:
            self.changes[self._last, name] += 1
        self._last = name

    def _name(self, path: str) -> str | None:
        """A file of sdgraph by its path from the top; None for one of another package."""
        if path not in self._names:
            resolved = Path(path).resolve()
            folders = [Path(folder) for folder in FOLDERS if str(resolved).startswith(f"{folder}/")]
            self._names[path] = str(resolved.relative_to(folders[0].parent)) if folders else None
        return self._names[path]


def main() -> None:
    """Runs the command line under a trace and prints what was counted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=0, help="how many pairs of files to print")
    options, arguments = parser.parse_known_args()
    sys.argv = ["sdgraph", *(arguments or ["run", "text", "--no-cache"])]
    trace = Trace()
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        from sdgraph.cli import main as run_command

        run_command()
    except SystemExit:
        pass
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    for (before, after), count in trace.changes.most_common(options.pairs):
        print(f"{count:5d}  {before} -> {after}")
    print(f"{len(trace.calls)} files, {sum(trace.changes.values())} changes")


if __name__ == "__main__":
    main()
