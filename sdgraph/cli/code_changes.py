"""Finds the user's own node classes that have changed since their last run, for `--explain`.

Each run records a hash of the code of each such class in a small file in sdgraph's home folder.
Nothing depends on these files: if they cannot be written, `--explain` gives a more general reason.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sdgraph.errors import SdgraphError
from sdgraph.files import atomic_write, read_text, sdgraph_home, write_only_in
from sdgraph.formatting import shorten_path
from sdgraph.graph import Graph

_MAX_NOTE_BYTES = 4096


def describe_code(cls: Any) -> str:
    """A class of one's own and its file: "Posterize (my_nodes.py)"; "" for an installed class."""
    identity = cls.definition.identity
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if identity.installed or file is None:
        return ""
    return f"{cls.__name__} ({shorten_path(file)})"


def record_code(graph: Graph) -> frozenset[Any]:
    """Records the code of a graph's own classes; returns those whose recorded code was another.

    Args:
        graph: The graph that runs; most have no class of the user.
    """
    classes = {type(node) for node in graph.nodes}
    own = [cls for cls in classes if cls.definition.identity.has_file and describe_code(cls)]
    return frozenset(_record_all(own)) if own else frozenset()


def _record_all(classes: Iterable[Any]) -> Iterable[Any]:
    with suppress(OSError, RuntimeError, ValueError, SdgraphError), write_only_in(None):
        folder = sdgraph_home() / "code"
        for cls in classes:
            file = Path(str(sys.modules[cls.__module__].__file__)).resolve()
            name = blake2b(f"{file}:{cls.__qualname__}".encode(), digest_size=16).hexdigest()
            tag = cls.definition.identity.tag
            noted = ""
            with suppress(FileNotFoundError):
                noted = read_text(folder / name, _MAX_NOTE_BYTES)
            if noted != tag:
                with atomic_write(folder / name, durable=False) as temporary:
                    temporary.write_text(tag, "utf-8")
            if noted not in ("", tag):
                yield cls
