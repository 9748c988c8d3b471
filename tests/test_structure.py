"""The house keeps its floors, its names and its size."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import sdgraph

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path for folder in ("sdgraph", "nodes", "workflows") for path in (ROOT / folder).rglob("*.py")
)
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_floors_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_packages_are_the_folders_that_are_packages() -> None:
    declared = PROJECT["tool"]["setuptools"]
    found = {
        ".".join(("sdgraph", *path.parent.relative_to(ROOT).parts)).replace(
            "sdgraph.sdgraph", "sdgraph"
        )
        for folder in ("sdgraph", "nodes", "workflows")
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert set(declared["packages"]) == found
    for package, folder in declared["package-dir"].items():
        assert (ROOT / folder / "__init__.py").is_file(), package


def test_the_public_names_are_there_and_sorted() -> None:
    assert sdgraph.__all__ == sorted(sdgraph.__all__)
    public = {
        name
        for name, value in vars(sdgraph).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    }
    assert public == set(sdgraph.__all__)
    assert sdgraph.__version__ == PROJECT["project"]["version"]


@pytest.mark.parametrize("module", ["sdgraph", "sdgraph.nodes", "sdgraph.cli", "sdgraph.graph"])
def test_importing_costs_no_heavy_library(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = ('torch', 'diffusers', 'transformers', 'cv2', 'skimage', 'scipy', 'av')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_has_a_name_that_says_nothing(path: Path) -> None:
    assert not {"utils", "helpers", "manager", "base", "core"} & set(path.stem.split("_"))


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]])
def test_ruff_finds_nothing(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "."], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_type_is_right() -> None:
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
