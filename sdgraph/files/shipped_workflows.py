"""The workflow files that ship with sdgraph."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def shipped_workflows() -> dict[str, Path]:
    """The workflows that ship with sdgraph, by name; `FOLDER/NAME` for those in a folder."""
    spec = find_spec("sdgraph.workflows")  # importlib.resources takes ten times as long to import
    assert spec is not None and spec.submodule_search_locations, "it is a package that ships"
    folder = Path(spec.submodule_search_locations[0])
    paths = [*sorted(folder.glob("*.yaml")), *sorted(folder.glob("*/*.yaml"))]
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}
