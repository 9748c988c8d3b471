"""Loads node classes from a Python file or a folder by its path.

The folder becomes a package and the file a module in it. The file may therefore import other files
of the folder, by `from .helpers import x` or by `import helpers`, also inside functions. `sys.path`
is not changed, so that modules of other packs and programs may have the same names. No bytecode is
read or written: Python would take old bytecode for current if a file was edited within the same
second and kept its size.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from sdgraph.errors import PackError, Problem
from sdgraph.files import describe_path, is_file, is_folder, read_bytes

from .source_tree import LOADED_PREFIX, tree_changed

_MAX_BYTES = 16 * 2**20
"""The most bytes of a Python file."""

_WANTED = "a Python file with node classes, or a folder of such files"


def load_pack(path: Path) -> list[ModuleType]:
    """The modules of a file or of a folder: its `__init__.py`, or else each of its files.

    Raises PackError where one cannot be loaded; then none of them stays imported.
    """
    if is_folder(path):
        files = _files_of_folder(path)
    elif path.suffix != ".py" and is_file(path):
        found = f"a file that ends in {path.suffix!r}"
        raise PackError(Problem(str(path), found, "a Python file (.py) with node classes"))
    elif is_file(path):
        files = [path]
    else:
        raise PackError(Problem(str(path), describe_path(path, "file or folder"), _WANTED))
    _unload_changed({file.parent.resolve() for file in files})
    before = set(sys.modules)
    try:
        return [_load(file, path) for file in files]
    except (Exception, SystemExit) as error:
        for name in set(sys.modules) - before:
            if name.startswith(LOADED_PREFIX):
                del sys.modules[name]
        raise PackError(Problem(str(path), f"{type(error).__name__}: {error}")) from error


def _unload_changed(folders: Iterable[Path]) -> None:
    """Removes the modules of folders of which a file has changed, so that they are loaded again."""
    for folder in folders:
        package = _package_name(folder)
        names = [name for name in sys.modules if name.partition(".")[0] == package]
        if any(map(tree_changed, names)):
            for name in names:
                del sys.modules[name]


def _files_of_folder(folder: Path) -> list[Path]:
    if (folder / "__init__.py").is_file():
        return [folder / "__init__.py"]
    files = sorted(file for file in folder.glob("*.py") if not file.name.startswith("_"))
    if not files:
        raise PackError(Problem(str(folder), "a folder without Python files", _WANTED))
    return files


def _load(file: Path, pack: Path) -> ModuleType:
    """The module of a file that belongs to the pack of a path, imported once."""
    package = _package_of(file.parent.resolve())
    pack_name = pack.name if pack.is_dir() else pack.stem
    if file.name == "__init__.py":
        if package.__file__ is None:
            package.__file__ = str(file)
            package.__dict__["__sdgraph_pack__"] = pack_name
            try:
                _run(package, file)
            except BaseException:
                package.__file__ = None
                raise
        return package
    name = f"{package.__name__}.{file.stem.replace('.', '_')}"
    _loaded.setdefault(name, (file, pack_name))
    return importlib.import_module(name)


_loaded: dict[str, tuple[Path, str]] = {}
"""The file and the name of the pack of each module that was loaded by its path."""


def _package_of(folder: Path) -> ModuleType:
    """The package that stands for a folder; its files are imported as its modules."""
    name = _package_name(folder)
    if name not in sys.modules:
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
        package = ModuleType(name, f"The files of {folder}.")
        package.__path__ = [str(folder)]
        package.__package__ = name
        package.__file__ = None
        package.__dict__["__sdgraph_pack__"] = folder.name
        sys.modules[name] = package
    return sys.modules[name]


def _package_name(folder: Path) -> str:
    return LOADED_PREFIX + hashlib.blake2b(str(folder).encode(), digest_size=8).hexdigest()


class _Finder(MetaPathFinder):
    """Finds the modules of these packages, and no others."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(LOADED_PREFIX) or path is None:
            return None
        stem = fullname.rpartition(".")[2]
        files = [_loaded[fullname][0]] if fullname in _loaded else []
        for folder in path:
            files += (Path(folder, stem, "__init__.py"), Path(folder, f"{stem}.py"))
        for file in files:
            if file.is_file():
                search = [str(file.parent)] if file.name == "__init__.py" else None
                loader = _Loader(fullname, str(file))
                return importlib.util.spec_from_file_location(
                    fullname, file, loader=loader, submodule_search_locations=search
                )
        return None


class _Loader(SourceFileLoader):
    """Runs the present content of a file; neither reads nor writes bytecode."""

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ in _loaded:
            module.__dict__["__sdgraph_pack__"] = _loaded[module.__name__][1]
        _run(module, Path(self.path))


def _run(module: ModuleType, file: Path) -> None:
    """Runs a file as a module whose imports find other files of its folder first."""
    package = sys.modules[module.__name__.partition(".")[0]]
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(package)}
    exec(compile(read_bytes(file, _MAX_BYTES), file, "exec", dont_inherit=True), module.__dict__)


def _importer(package: ModuleType) -> Any:
    """`__import__` for the modules of a package: `import helpers` finds its own file first."""

    def import_neighbour(
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002  the names that Python passes
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        first = name.partition(".")[0]
        if level or not _is_neighbour(package, first):
            return builtins.__import__(name, globals, locals, fromlist, level)
        full = f"{package.__name__}.{name}"
        module = builtins.__import__(full, globals, locals, fromlist or ("__name__",), 0)
        return module if fromlist else sys.modules[f"{package.__name__}.{first}"]

    return import_neighbour


def _is_neighbour(package: ModuleType, name: str) -> bool:
    if name in sys.stdlib_module_names or name == "sdgraph":
        return False
    return any(
        Path(folder, f"{name}.py").is_file() or Path(folder, name, "__init__.py").is_file()
        for folder in package.__path__
    )
