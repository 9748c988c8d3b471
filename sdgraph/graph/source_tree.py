"""The files that a Python file depends on: itself, what it imports of one's own, and its data.

They are found by reading the file as text, also inside functions; nothing is imported:

1. Import statements, and `import_module("name")`. Files of the same folder or package are found
   there; other modules where Python would find them, unless they are of an installed package.
2. Where a module is imported whose name is computed, all Python files of the folder.
3. In a file that uses `__file__` or `importlib.resources`: every text that is the name of a file
   in its folder, or in a folder that another text names.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from sdgraph.files import FileStamp, open_regular_file

Import = tuple[int, str]
"""The level of a relative import (0: an absolute one) and the dotted name after the dots."""

_INSTALLED = frozenset({"site-packages", "dist-packages"})

_PYTHON = Path(ast.__file__).parent
"""The folder of Python's own library."""

_MAX_DATA_BYTES = 64 * 2**20
"""Of a larger data file only the size and the time count."""

_MAX_NAME = 200
"""A longer text does not name a file."""

_stamps: dict[str, tuple[FileStamp, ...]] = {}
"""The files of each module that was hashed, as they were then."""


def hash_source_tree(path: Path, module: str) -> list[str] | None:
    """The hashes of a file and of all files that it depends on; None if it is missing.

    They are sorted, and depend on the content of the files but not on where the files are.
    """
    hashes: dict[Path, str] = {}
    stamps = []
    for file, data in _walk(path, module):
        with suppress(OSError):
            stamps.append(FileStamp.of(file))
            hashes[file] = blake2b(data, digest_size=16).hexdigest()
    if path not in hashes:
        return None
    _stamps[module] = tuple(stamps)
    return sorted(hashes.values())


def source_files_of(module: str) -> tuple[Path, ...]:
    """The files that a module of one's own depended on when its classes were made."""
    return tuple(Path(stamp.path) for stamp in _stamps.get(module, ()))


def tree_changed(module: str) -> bool:
    """Whether one of these files has changed since."""
    return any(_present_stamp(Path(stamp.path)) != stamp for stamp in _stamps.get(module, ()))


def _present_stamp(path: Path) -> FileStamp | None:
    try:
        return FileStamp.of(path)
    except OSError:
        return None


def _walk(path: Path, module: str) -> Iterator[tuple[Path, bytes]]:
    """A file and all files that it depends on, each once, with their contents."""
    package = _Package(path, module)
    waiting, seen = [path], {path}
    while waiting:
        file = waiting.pop()
        try:
            data = _content(file)
        except OSError:
            continue
        yield file, data
        if file.suffix != ".py":
            continue
        references = _references(data)
        found = [f for level, name in references.imports for f in package.files(file, level, name)]
        if references.imports_any:
            found += sorted(package.folder.glob("*.py"))
        found += _data_files(file.parent, references.texts)
        waiting += (each for each in dict.fromkeys(found) if each not in seen)
        seen.update(found)


def _content(file: Path) -> bytes:
    stamp = FileStamp.of(file)
    if file.suffix != ".py" and stamp.size > _MAX_DATA_BYTES:
        return f"{stamp.size} {stamp.modified}".encode()
    with open_regular_file(file) as opened:
        return opened.read()


def _data_files(folder: Path, texts: tuple[str, ...]) -> list[Path]:
    """The files in the folder of a Python file whose names are texts in it."""
    folders = [folder, *(folder / text for text in texts if (folder / text).is_dir())]
    candidates = (place / text for place in folders for text in texts)
    return [path for path in candidates if path.suffix != ".pyc" and path.is_file()]


class _Package:
    """The package or folder that a module is in."""

    def __init__(self, path: Path, module: str) -> None:
        self._is_package = "." in module or path.name == "__init__.py"
        self._name = module.partition(".")[0]
        self.folder = path.parent
        for _ in range(module.count(".") - (path.name != "__init__.py")):
            self.folder = self.folder.parent

    def files(self, importer: Path, level: int, name: str) -> list[Path]:
        """The files of one's own that an import statement in a file refers to."""
        steps = [step for step in name.split(".") if step]
        if level:
            folder = importer.parent
            for _ in range(level - 1):
                folder = folder.parent
            return list(_module_files(folder, steps))
        if not steps or steps[0] in sys.stdlib_module_names or steps[0] == "sdgraph":
            return []
        if self._is_package and steps[0] == self._name:
            return list(_module_files(self.folder, steps[1:]))
        files = []
        if not self._is_package or self._name.startswith(LOADED_PREFIX):
            files = list(_module_files(self.folder, steps))
        return files or list(_files_elsewhere(steps))


LOADED_PREFIX = "sdgraph_pack_"
"""The prefix of the names of modules that are loaded by their path."""


def _files_elsewhere(steps: list[str]) -> Iterator[Path]:
    """The files of a module that Python finds on its path, unless it is of an installed package."""
    module = sys.modules.get(steps[0])
    origin = getattr(module, "__file__", None)
    if module is None:
        try:
            spec = find_spec(steps[0])
        except (ImportError, ValueError, AttributeError):
            return
        origin = spec.origin if spec is not None and spec.has_location else None
    if not origin or not origin.endswith(".py"):
        return
    path = Path(origin)
    if not _INSTALLED.isdisjoint(path.parts) or path.is_relative_to(_PYTHON):
        return
    yield path
    if path.name == "__init__.py":
        yield from _module_files(path.parent, steps[1:])


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


class _References(NamedTuple):
    """What the text of a file refers to."""

    imports: tuple[Import, ...] = ()
    imports_any: bool = False
    """Whether it imports a module whose name is computed."""
    texts: tuple[str, ...] = ()
    """Texts that may be names of files in its folder."""


@lru_cache(maxsize=256)
def _references(data: bytes) -> _References:
    """The references in the text of a file; none if it is not valid Python."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return _References()
    imports: dict[Import, None] = {}
    texts: dict[str, None] = {}
    imports_any = reads_files = False
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Import):
            imports.update(((0, alias.name), None) for alias in statement.names)
            reads_files |= any(alias.name == "importlib.resources" for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom):
            imports.update(_from_imports(statement))
            reads_files |= "resources" in f"{statement.module} {statement.names[0].name}"
        elif isinstance(statement, ast.Call) and _called_name(statement) in _IMPORTERS:
            name = _text_of(statement.args[0]) if statement.args else None
            imports_any |= name is None
            if name:
                level = len(name) - len(name.lstrip("."))
                imports[level, name.lstrip(".")] = None
        elif isinstance(statement, ast.Name):
            reads_files |= statement.id in ("__file__", "__spec__", "__path__")
        elif (text := _text_of(statement)) and len(text) <= _MAX_NAME and text.isprintable():
            texts[text] = None
    return _References(tuple(imports), imports_any, tuple(texts) if reads_files else ())


_IMPORTERS = ("import_module", "__import__")


def _from_imports(statement: ast.ImportFrom) -> Iterator[tuple[Import, None]]:
    module = statement.module or ""
    yield (statement.level, module), None
    for alias in statement.names:
        name = f"{module}.{alias.name}" if module else alias.name
        yield (statement.level, name), None


def _called_name(call: ast.Call) -> str:
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _text_of(expression: ast.AST) -> str | None:
    value = expression.value if isinstance(expression, ast.Constant) else None
    return value if isinstance(value, str) else None
