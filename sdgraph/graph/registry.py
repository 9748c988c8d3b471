"""The known node types: those of the installed packs, and those in Python files."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from sdgraph.errors import PackError, Problem, did_you_mean
from sdgraph.values import Value, pack_name, shipped_kinds

from .class_identity import SHIPPED_PACK
from .node import Node
from .pack_files import load_pack
from .validation import shorten_text

ENTRY_POINT_GROUP = "sdgraph.nodes"
"""The entry-point group through which a package offers its nodes."""

LIBRARY_PACKAGE = "sdgraph.nodes"
"""The package with the nodes that ship; its entry point is not needed to find them."""

NodeType = type[Node[Any]]


class Registry(Mapping[str, NodeType]):
    """Node classes by type name, as workflow files write them.

    Every type also has a full name, which begins with the name of its pack: `sdgraph.Canny`. Where
    two packs have a type of the same plain name, only the full names are listed, and looking up the
    plain name is a KeyError.

    Args:
        types: Node classes by name. A class may be given as the name of its module, which is then
            imported when the type is first looked up.
        broken: Packs that could not be loaded, each with the reason.

    Example:
        >>> from sdgraph.graph import installed_registry
        >>> registry = installed_registry()
        >>> registry["Canny"] is registry["sdgraph.Canny"]
        True
        >>> registry.unknown("Cany").fix
        "did you mean 'Canny'?"
    """

    def __init__(
        self, types: Mapping[str, NodeType | str], broken: Mapping[str, str] | None = None
    ) -> None:
        self.broken = dict(broken or {})
        self._types: dict[str, NodeType | str] = {}
        self._packs: dict[str, list[str]] = {}
        for name, node_type in types.items():
            module = node_type if isinstance(node_type, str) else node_type.__module__
            self._add(pack_name(module), name.rpartition(".")[2], node_type)

    def _add(self, pack: str, name: str, node_type: NodeType | str) -> None:
        full = f"{pack}.{name}"
        known_type = self._types.setdefault(full, node_type)
        if known_type is not node_type and _module_of(known_type) != _module_of(node_type):
            found_type = f"the node type {name}, which {_module_of(known_type)} has too"
            raise PackError(Problem(pack, found_type, "a name of its own", "rename one of the two"))
        self._types[full] = node_type
        if full not in self._packs.setdefault(name, []):
            self._packs[name].append(full)

    def __getitem__(self, name: str) -> NodeType:
        full = self._full_name(name)
        node_type = self._types[full]
        if isinstance(node_type, str):
            plain = full.rpartition(".")[2]
            self._types[full] = node_type = getattr(importlib.import_module(node_type), plain)
        return node_type

    def _full_name(self, name: str) -> str:
        full_names = self._packs.get(name, [])
        return full_names[0] if len(full_names) == 1 else name

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._full_name(name) in self._types

    def __iter__(self) -> Iterator[str]:
        for name, full_names in self._packs.items():
            yield from [name] if len(full_names) == 1 else full_names

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def pack_kinds(self) -> dict[str, type[Value]]:
        """The kinds of value of packs that nodes make or take, by `pack.Name`.

        A kind is also there by its plain name, unless another kind has the same.
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

    def unknown(self, name: str) -> Problem:
        """The problem of a type name that is not in the registry, with a fix.

        Args:
            name: The name as it was written.
        """
        shown = shorten_text(name)
        full_names = sorted(self._packs.get(name, []))
        if full_names:
            packs = " and ".join(full.rpartition(".")[0] for full in full_names)
            found = f"the type {shown!r}, which the packs {packs} both offer"
            return Problem("type", found, " or ".join(full_names), f"write {full_names[0]}")
        return Problem("type", f"the type {shown!r}", "a known node type", self._fix(name))

    def _fix(self, name: str) -> str:
        if self.broken:
            packs = "; ".join(f"{pack}: {why}" for pack, why in self.broken.items())
            return f"a node pack could not be loaded ({packs})"
        return did_you_mean(name, self) or "`sdgraph nodes` lists the types"

    def with_file(self, path: str | Path) -> Registry:
        """A registry that also has the nodes of a Python file, or of a folder of Python files.

        Of a folder with an `__init__.py` only that file counts, of another folder every file. The
        files may import one another. The name of the file or folder is the name of the pack.

        Args:
            path: The file or the folder.

        Raises:
            PackError: There is no such file, its code fails, or it has no node class.
        """
        modules = load_pack(Path(path))
        types = {name: cls for module in modules for name, cls in node_classes(module).items()}
        if not types:
            wanted = "a class such as `class X(Node[Image])`"
            raise PackError(Problem(str(path), "no node class", wanted))
        return self._with_pack(pack_name(modules[0].__name__), types)

    def _with_pack(self, pack: str, types: Mapping[str, NodeType | str]) -> Registry:
        registry = Registry({}, self.broken)
        registry._types = dict(self._types)
        registry._packs = {name: list(full_names) for name, full_names in self._packs.items()}
        for name, node_type in types.items():
            if not any(
                registry._types[full] is node_type for full in registry._packs.get(name, [])
            ):
                registry._add(pack, name, node_type)
        return registry


def library_module(name: str) -> Any:
    """A module of the node library that the engine uses, by its name, such as "contact_sheet"."""
    return importlib.import_module(f"{LIBRARY_PACKAGE}.{name}")


def _module_of(node_type: NodeType | str) -> str:
    return node_type if isinstance(node_type, str) else node_type.__module__


def node_classes(module: ModuleType) -> dict[str, NodeType]:
    """The node classes in a module's `__all__`, or without one those that the module defines."""
    names: Iterable[str] = getattr(module, "__all__", None) or (
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    )
    offered = {name: getattr(module, name) for name in names}
    return {
        cls.__name__: cls
        for cls in offered.values()
        if isinstance(cls, type) and issubclass(cls, Node) and "definition" in vars(cls)
    }


def type_name(cls: NodeType) -> str:
    """The name of a node class in workflow files: the full name if sdgraph has its plain one."""
    pack = cls.definition.identity.pack
    is_ambiguous = pack != SHIPPED_PACK and cls.__name__ in _shipped_modules()
    return f"{pack}.{cls.__name__}" if is_ambiguous else cls.__name__


def _shipped_modules() -> dict[str, str]:
    """The modules of the nodes that ship, by the names of the nodes."""
    modules: dict[str, str] = importlib.import_module(LIBRARY_PACKAGE).NODE_MODULES
    return modules


@cache
def installed_registry() -> Registry:
    """The node types of every installed pack, read once.

    A pack that fails to import is left out as a whole and listed in `broken`. Where two packs have
    a type of the same name, both are there by their full names.
    """
    registry = Registry({})._with_pack(SHIPPED_PACK, _shipped_modules())
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.value):
        if entry.value == LIBRARY_PACKAGE:
            continue
        try:
            module = entry.load()
            types = getattr(module, "NODE_MODULES", None) or node_classes(module)
            registry = registry._with_pack(pack_name(module.__name__), types)
        except (Exception, SystemExit) as error:
            # An installed pack may raise anything; workflows that do not use it must still run.
            registry.broken[entry.name] = f"{type(error).__name__}: {error}"
    return registry
