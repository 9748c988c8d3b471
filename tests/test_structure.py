"""The code keeps to its layers, its names and its size."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sdgraph
import sdgraph.media
import sdgraph.memory
import sdgraph.models
from tests.benchmarks.structure import AT_MOST, Structure, structure, table
from tests.conftest import SLOWEST_FILES, TORCH_FOLDERS
from tests.support.processes import forked

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("sdgraph", "nodes", "workflows") for path in (ROOT / folder).rglob("*.py")
)
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_packages_are_the_folders_that_are_packages() -> None:
    declared = PROJECT["tool"]["setuptools"]
    packages = {
        ".".join(("sdgraph", *path.parent.relative_to(ROOT).parts)).replace(
            "sdgraph.sdgraph", "sdgraph"
        )
        for folder in ("sdgraph", "nodes", "workflows")
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(declared["packages"]) == packages
    for package, folder in declared["package-dir"].items():
        assert (ROOT / folder / "__init__.py").is_file(), package


def test_the_public_names_are_there_and_sorted() -> None:
    assert sdgraph.__all__ == sorted(sdgraph.__all__)
    assert set(dir(sdgraph)) == {*sdgraph.__all__, "__version__"}
    assert all(hasattr(sdgraph, name) for name in sdgraph.__all__)
    assert sdgraph.__version__ == PROJECT["project"]["version"]
    with pytest.raises(AttributeError, match="has no attribute 'Sesion'"):
        sdgraph.Sesion  # type: ignore[attr-defined]  # noqa: B018 - the misspelling is the test


@pytest.mark.parametrize("package", [sdgraph, sdgraph.media, sdgraph.memory, sdgraph.models])
def test_type_checkers_read_the_names_that_are_imported_at_first_use(package: ModuleType) -> None:
    tree = ast.parse(Path(package.__file__ or "").read_text())
    (typed,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If)
        and node.orelse == []
        and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    read = {
        node.module: {alias.name for alias in node.names}
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
    }
    assert read == {module: set(names) for module, names in package._EXPORTS.items()}
    assert sorted(name for names in read.values() for name in names) == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)


def imported_by(code: str, *libraries: str) -> list[str]:
    """Those of the libraries that a process which ran the code has imported.

    The process is forked from one that has imported the engine; for parts of the engine, and for
    what it imports itself, use `imported_afresh_by`.
    """
    return _imported_by(code, libraries, forked)


def imported_afresh_by(code: str, *libraries: str) -> list[str]:
    """Those of the libraries that a new Python process has imported after running the code."""
    return _imported_by(code, libraries, fresh)


def fresh(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)


def _imported_by(
    code: str,
    libraries: tuple[str, ...],
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> list[str]:
    script = (
        f"import sys\n{code}\n"
        f"print([name for name in {libraries!r} if name in sys.modules], file=sys.stderr)"
    )
    done = run("-c", script, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    names = ast.literal_eval(done.stderr.splitlines()[-1])
    assert isinstance(names, list)
    return names


def test_importing_packages_imports_no_heavy_library() -> None:
    heavy = ("torch", "diffusers", "transformers", "cv2", "skimage", "scipy", "av")
    code = "import sdgraph.execution, sdgraph.nodes, sdgraph.cli, sdgraph.graph"
    assert imported_by(code, *heavy) == []


HELP = """
from tests.support.processes import forked
from sdgraph.cli import main
try:
    main({arguments})
except SystemExit as ended:
    assert not ended.code
"""


def test_help_imports_neither_pydantic_nor_the_engine() -> None:
    engine = ("sdgraph.graph", "sdgraph.models", "sdgraph.values", "sdgraph.language")
    libraries = ("pydantic", "networkx", "yaml", "numpy", "PIL", "rich")
    assert imported_afresh_by(HELP.format(arguments=["--help"]), *libraries, *engine) == []


def test_the_help_of_verbs_imports_no_engine() -> None:
    engine = ("sdgraph.graph", "sdgraph.models", "sdgraph.values", "sdgraph.language")
    verbs = (["run"], ["validate"], ["cache", "prune"], ["runs"])
    code = "".join(HELP.format(arguments=[*verb, "--help"]) for verb in verbs)
    assert imported_afresh_by(code, *engine, "networkx", "PIL") == []


def test_checking_and_planning_import_no_networkx() -> None:
    code = "".join(HELP.format(arguments=[verb, "inpaint"]) for verb in ("validate", "plan"))
    assert imported_by(code, "networkx", "torch", "diffusers", "transformers", "cv2") == []


def test_no_two_modules_of_the_engine_are_one_letter_apart() -> None:
    engine = [path.stem for path in SOURCES if "nodes" not in path.parts]
    names = sorted({name for name in engine if not name.startswith("__")})
    assert [pair for pair in combinations(names, 2) if one_letter_apart(*pair)] == []


def test_no_two_classes_have_the_same_name() -> None:
    names = Counter(
        node.name
        for path in SOURCES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    )
    # The node Mask makes a value Mask; workflow files know the node by that name.
    assert [name for name, count in names.items() if count > 1] == ["Mask"]


def one_letter_apart(first: str, second: str) -> bool:
    shorter, longer = sorted((first, second), key=len)
    if len(shorter) == len(longer):
        return sum(a != b for a, b in zip(shorter, longer, strict=True)) == 1
    return any(longer[:n] + longer[n + 1 :] == shorter for n in range(len(longer)))


def test_no_file_is_longer_than_400_lines() -> None:
    files = (*SOURCES, *(ROOT / "tests").rglob("*.py"))
    lines = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in files}
    assert {path: count for path, count in lines.items() if count > 400} == {}


def test_no_file_has_a_name_that_says_nothing() -> None:
    vague = {"utils", "helpers", "manager", "base", "core"}
    assert [path for path in SOURCES if vague & set(path.stem.split("_"))] == []


@pytest.fixture(scope="module")
def imports() -> Structure:
    return structure()


@pytest.mark.parametrize(
    "count",
    [
        "boxes",
        "arrows",
        "upward",
        "circles",
    ],
)
def test_boxes_and_arrows_stay_within_their_bounds(imports: Structure, count: str) -> None:
    assert imports.counts()[count] <= AT_MOST[count], table(imports)


def test_the_files_that_start_first_are_there() -> None:
    assert [path for path in SLOWEST_FILES if not (ROOT / "tests" / path).is_file()] == []
    assert [path for path in TORCH_FOLDERS if not (ROOT / "tests" / path).is_dir()] == []
