"""The name of the node pack that a module belongs to."""

from __future__ import annotations

import sys
from types import ModuleType


def pack_name(module: str) -> str:
    """The name of the pack that a module belongs to.

    It is the name of the topmost package that is not a namespace package, such as `company.filters`
    if `company` is a namespace that several distributions share. A module that was loaded by its
    path has the name of its pack in `__sdgraph_pack__`.

    Args:
        module: The name of a module, which need not be imported.

    Example:
        >>> pack_name("sdgraph.nodes.io.load")
        'sdgraph'
    """
    declared = _declared_pack(sys.modules.get(module))
    steps = module.split(".")
    for count in range(1, len(steps) + 1):
        name = ".".join(steps[:count])
        package = sys.modules.get(name)
        if declared := declared or _declared_pack(package):
            return str(declared)
        if package is None or getattr(package, "__file__", None) is not None:
            return name
    return module


def _declared_pack(module: ModuleType | None) -> str | None:
    # Not by getattr: a module's own __getattr__ may import what it does not find.
    name: str | None = vars(module).get("__sdgraph_pack__") if module else None
    return name
