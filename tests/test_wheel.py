"""The wheel: its files, and that the shipped workflows run where it is installed."""

from __future__ import annotations

import email
import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[1]
SOURCES = {"sdgraph": "sdgraph", "nodes": "sdgraph/nodes", "workflows": "sdgraph/workflows"}
"""Where the files of each folder are in the wheel."""

LEFT_BEHIND = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "dist", "out", "tests"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the tree, built from a copy, so that no build folder is left in the tree."""
    copy = tmp_path_factory.mktemp("source") / "sdgraph"
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=LEFT_BEHIND)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(copy))
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with this wheel, and with the libraries that the tests run with.

    The libraries' folders are added without their `.pth` files, so an editable install of sdgraph
    in them is not seen.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel))
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    libraries = [path for path in (*site.getsitepackages(), *sys.path) if "site-packages" in path]
    (packages / "libraries.pth").write_text("\n".join(dict.fromkeys(libraries)), "utf-8")
    return python


def pip(*arguments: str) -> None:
    """Runs pip, and shows what it printed where it fails."""
    command = [sys.executable, "-m", "pip", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def output(python: Path, folder: Path, *arguments: str) -> str:
    """What a process of the environment prints, started in a folder outside the tree."""
    outside = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), *arguments],
        cwd=folder,
        env=outside,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sources() -> list[Path]:
    """The files of the tree that users need, without caches and results of runs."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *SOURCES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("the tree is no clone: git does not say which files belong to it")
    paths = [ROOT / line for line in listed.stdout.splitlines()]
    return [path.relative_to(ROOT) for path in paths if path.is_file()]


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    expected = {
        f"{SOURCES[path.parts[0]]}/{'/'.join(path.parts[1:])}"
        for path in sources()
        if path.parts[-1] != ".gitignore"
    }

    with zipfile.ZipFile(wheel) as held:
        packed = {name for name in held.namelist() if name.startswith("sdgraph/")}

    assert packed == expected
    assert {"sdgraph/workflows/parts/background.yaml", "sdgraph/py.typed"} <= packed


def test_its_metadata_show_no_picture_that_an_index_cannot_find(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as held:
        (name,) = (name for name in held.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(held.read(name))

    text = str(metadata.get_payload())
    assert metadata["Author"] and metadata["Keywords"] and metadata["Requires-Python"]
    assert any(
        line.startswith("Operating System ::") for line in metadata.get_all("Classifier", [])
    )
    assert text.startswith("# sdgraph") and "![" not in text and "<img" not in text


def test_it_is_imported_from_the_environment(python: Path, tmp_path: Path) -> None:
    code = "import sdgraph, sdgraph.nodes; print(sdgraph.__file__, sdgraph.nodes.__file__)"

    for path in output(python, tmp_path, "-c", code).split():
        assert Path(path).is_relative_to(python.parents[1])


def test_every_shipped_workflow_is_valid(wheel: Path, python: Path, tmp_path: Path) -> None:
    folder = "sdgraph/workflows/"
    with zipfile.ZipFile(wheel) as held:
        files = [name for name in held.namelist() if re.match(rf"{folder}.*\.yaml$", name)]
    names = [name.removeprefix(folder).removesuffix(".yaml") for name in files]
    names = [name for name in names if not name.startswith("parts/")]

    printed = output(python, tmp_path, "-m", "sdgraph", "validate", *names)

    assert len(names) > 20
    assert printed.splitlines()[-1] == f"0 problems in {len(names)} files"


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        pytest.param(["inpaint"], ["inpaint.png"], marks=pytest.mark.slow),
        pytest.param(
            ["text", "seed=1..2"],
            ["text_seed-0001.png", "text_seed-0002.png"],
            marks=pytest.mark.slow,
        ),
        (["background"], ["background.png"]),
    ],
    ids=["inpaint", "a sweep", "a workflow with parts"],
)
def test_it_runs(python: Path, tmp_path: Path, arguments: Sequence[str], files: list[str]) -> None:
    output(python, tmp_path, "-m", "sdgraph", "run", *arguments)

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == files


@pytest.mark.slow
def test_a_type_checker_finds_it_from_any_folder(python: Path, tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\n[mypy-torch.*,diffusers.*,transformers.*]\nfollow_imports = skip\n", "utf-8"
    )
    (tmp_path / "flow.py").write_text(
        "from sdgraph import Node, run\n"
        "from sdgraph.nodes import Canny, LoadImage\n"
        "from sdgraph.values import EdgeMap\n"
        "edges: Node[EdgeMap] = Canny(image=LoadImage(path='photo.png'))\n"
        "reveal_type(run(edges))\n"
        "Canny(image=3)\n",
        "utf-8",
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python)]

    done = subprocess.run(
        [*command, "flow.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert [line.partition(": ")[0] for line in done.stdout.splitlines()[:-1]] == [
        "flow.py:5",
        "flow.py:6",
    ], done.stdout + done.stderr
    assert re.search(r'Revealed type is "sdgraph\.values\.\w+\.EdgeMap"', done.stdout)
