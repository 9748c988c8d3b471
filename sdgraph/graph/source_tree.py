"""The files that a Python file depends on: itself, and files of its folder that it imports.

They are found by reading the import statements, also those inside functions; nothing is imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

Import = tuple[int, str]
"""The level of a relative import (0: an absolute one) and the dotted name after the dots."""


def hash_source_tree(path: Path, module: str) -> list[str] | None:
    """The hashes of a file and of the files of its folder that it imports; None if it is missing.

    They are sorted, and depend on the content of the files but not on where the files are.
    """
    try:
        waiting = [(path, path.read_bytes())]
    except OSError:
        return None
    package = _Package(path, module)
    hashes: dict[Path, str] = {}
    while waiting:
        file, data = waiting.pop()
        hashes[file] = blake2b(data, digest_size=16).hexdigest()
        for level, name in _imports(data):
            for neighbour in package.files(file, level, name):
                if neighbour not in hashes:
                    with suppress(OSError):
                        waiting.append((neighbour, neighbour.read_bytes()))
    return sorted(hashes.values())


class _Package:
    """The package or folder that a module is in."""

    def __init__(self, path: Path, module: str) -> None:
        self._is_package = "." in module or path.name == "__init__.py"
        self._name = module.partition(".")[0]
        self._folder = path.parent
        for _ in range(module.count(".") - (path.name != "__init__.py")):
            self._folder = self._folder.parent

    def files(self, importer: Path, level: int, name: str) -> Iterator[Path]:
        """The files of the package that an import statement in one of its files refers to."""
        steps = [step for step in name.split(".") if step]
        if level:
            folder = importer.parent
            for _ in range(level - 1):
                folder = folder.parent
            return _module_files(folder, steps)
        if steps[0] in sys.stdlib_module_names or steps[0] == "sdgraph":
            return iter(())
        if self._is_package and steps[0] == self._name:
            return _module_files(self._folder, steps[1:])
        if self._is_package and not self._name.startswith(LOADED_PREFIX):
            return iter(())
        return _module_files(self._folder, steps)


LOADED_PREFIX = "sdgraph_pack_"
"""The prefix of the names of modules that are loaded by their path."""


def _module_files(folder: Path, steps: list[str]) -> Iterator[Path]:
    """The files of a dotted module name below a folder, with those of its packages."""
    if not steps:
        candidates = [folder / "__init__.py"]
    else:
        candidates = []
        for count in range(1, len(steps) + 1):
            place = folder.joinpath(*steps[:count])
            candidates += [place.with_name(f"{place.name}.py"), place / "__init__.py"]
    for candidate in candidates:
        if candidate.is_file():
            yield candidate


@lru_cache(maxsize=256)
def _imports(data: bytes) -> tuple[Import, ...]:
    """The import statements in the text of a file; none if it is not valid Python."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return ()
    imports: dict[Import, None] = {}
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Import):
            imports.update(((0, alias.name), None) for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            module = statement.module or ""
            imports[statement.level, module] = None
            for alias in statement.names:
                name = f"{module}.{alias.name}" if module else alias.name
                imports[statement.level, name] = None
    return tuple(imports)
