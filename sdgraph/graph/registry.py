"""Which node types there are: the packs that are installed, and files of one's own."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from sdgraph.errors import PackError, Problem, did_you_mean
from sdgraph.values import Value, shipped_kinds

from .node import Node

GROUP = "sdgraph.nodes"
"""The entry-point group through which a package offers its nodes."""

OWN = "sdgraph.nodes"
"""The pack that ships; there even when sdgraph runs from a source tree."""


class Registry(Mapping[str, type[Node[Any]]]):
    """Node classes by type name; `broken` tells of packs that could not be loaded.

    A class may be given as the name of its module, which is imported when it is asked for.
    """

    def __init__(
        self, types: Mapping[str, type[Node[Any]] | str], broken: Mapping[str, str] | None = None
    ) -> None:
        self._types = dict(types)
        self.broken = dict(broken or {})

    def __getitem__(self, name: str) -> type[Node[Any]]:
        found = self._types[name]
        if isinstance(found, str):
            self._types[name] = found = getattr(importlib.import_module(found), name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    @property
    def pack_kinds(self) -> dict[str, type[Value]]:
        """The kinds of value that the packs' nodes make or take, by `pack.Name`.

        By the plain name too, where no other kind has it.
        """
        kinds: dict[str, type[Value]] = {}
        for cls in self._types.values():
            if isinstance(cls, str):  # a node that ships, not imported yet
                continue
            ports = cls.definition.ports.values()
            for kind in (cls.definition.output, *(kind for port in ports for kind in port.kinds)):
                if issubclass(kind, Value) and "." in kind.kind_name:
                    kinds[kind.kind_name] = kind
        names = [*shipped_kinds(), *(kind.__name__ for kind in kinds.values())]
        plain = {kind.__name__: kind for kind in kinds.values()}
        return {**{name: k for name, k in plain.items() if names.count(name) == 1}, **kinds}

    def suggest(self, name: str) -> str:
        """What to do about an unknown type name."""
        if self.broken:
            packs = "; ".join(f"{pack}: {why}" for pack, why in self.broken.items())
            return f"a node pack could not be loaded ({packs})"
        return did_you_mean(name, self) or "`sdgraph nodes` lists the types"

    def and_file(self, path: str | Path) -> Registry:
        """This registry with the nodes of one Python file; raises PackError."""
        types = nodes_of(_load_file(Path(path)))
        if not types:
            wanted = "a class such as `class X(Node[Image])`"
            raise PackError(Problem(str(path), "no node class", wanted))
        return self._merged(str(path), types)

    def _merged(self, pack: str, types: Mapping[str, type[Node[Any]]]) -> Registry:
        for name, cls in types.items():
            there = self.get(name)
            if there is not None and there is not cls:
                found = f"the node type {name}, which {there.__module__} has too"
                raise PackError(Problem(pack, found, "a name of its own", "rename one of the two"))
        return Registry({**self._types, **types}, self.broken)


def library_module(name: str) -> Any:
    """A module of the node library that serves the engine, such as "contact_sheet", by its name."""
    return importlib.import_module(f"{OWN}.{name}")


def nodes_of(module: ModuleType) -> dict[str, type[Node[Any]]]:
    """The node classes a module offers: those in `__all__`, or those it defines."""
    names: Iterable[str] = getattr(module, "__all__", None) or (
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    )
    found = {name: getattr(module, name) for name in names}
    return {
        cls.__name__: cls
        for cls in found.values()
        if isinstance(cls, type) and issubclass(cls, Node) and "definition" in vars(cls)
    }


@cache
def installed() -> Registry:
    """The node types of every installed pack.

    A pack that fails to import is left out whole and named in `broken`; two packs that claim one
    name are a PackError.
    """
    registry = Registry(importlib.import_module(OWN).NODE_MODULES)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.value):
        if entry.value == OWN:
            continue
        try:
            types = nodes_of(entry.load())
        except (Exception, SystemExit) as error:
            # Whatever a stranger's pack raises, one's own workflows must still run.
            registry.broken[entry.name] = f"{type(error).__name__}: {error}"
            continue
        registry = registry._merged(entry.name, types)
    return registry


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PackError(Problem(str(path), "no such file", "a Python file with node classes"))
    name = (
        "sdgraph_pack_" + hashlib.blake2b(str(path.resolve()).encode(), digest_size=8).hexdigest()
    )
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        found = f"a file that ends in {path.suffix!r}"
        raise PackError(Problem(str(path), found, "a Python file (.py) with node classes"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PackError(Problem(str(path), f"{type(error).__name__}: {error}")) from error
    return module
