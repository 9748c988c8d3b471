"""`doctor` says what is here, what is missing and how to get it; it imports no torch."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from sdgraph.cli import tested_versions
from sdgraph.cli.machine_checks import Folder, Machine
from sdgraph.cli.tested_versions import TESTED, Library, libraries, numbers
from tests.support.command_line import Command, CommandResult
from tests.support.processes import ROOT, python


def doctor(sdgraph: Command, *arguments: str) -> CommandResult:
    return sdgraph("doctor", *arguments, toys=False)


Versions = Callable[..., None]


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Versions:
    """Makes libraries have these versions, None for one that is not installed."""

    def give(**here: str | None) -> None:
        def version(name: str) -> str:
            found = here.get(name, TESTED[name])
            if found is None:
                raise PackageNotFoundError(name)
            return found

        monkeypatch.setattr(tested_versions, "version", version)
        requirements = [f"{name}>={number}" for name, number in TESTED.items()]
        monkeypatch.setattr(tested_versions, "requires", lambda name: requirements)

    return give


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A disk with room, and no graphics card."""
    usage = SimpleNamespace(total=10**13, used=0, free=10**13)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    monkeypatch.setattr("sdgraph.models.loading.devices._nvidia", lambda field: ())
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "home"))


def test_a_machine_with_everything_has_no_problem(sdgraph: Command, versions: Versions) -> None:
    versions(torch="2.13.0+cpu")
    result = doctor(sdgraph)
    assert result.code == 0 and "\n0 problems\n" in result.out and not result.err
    assert re.search(r"^  torch +2\.13\.0\+cpu +≥ 2\.13\.0 +2\.13\.0 +tested$", result.out, re.M)
    assert re.search(r"^  memory +.* free of ", result.out, re.M)
    assert re.search(r"^  remembered results +home/results +[\d.,]+ [TG]B free", result.out, re.M)
    assert "to begin: sdgraph run inpaint" in result.out


def test_what_is_missing_is_a_problem_with_the_command_that_installs_it(
    sdgraph: Command, versions: Versions
) -> None:
    versions(peft=None, diffusers="0.30.0", gguf=None)
    result = doctor(sdgraph)
    assert result.code == 2 and "\n2 problems\n" in result.out
    assert "pip install 'peft>=0.21.2'" in result.out
    assert "diffusers\n  found:  0.30.0\n  wanted: 0.42.1 or newer" in result.out
    assert "optional: pip install 'sdgraph[gguf]'" in result.out
    data = json.loads(doctor(sdgraph, "--json").out)
    assert [problem["subject"] for problem in data["problems"]] == ["diffusers", "peft"]
    assert {"machine", "libraries", "folders", "hub", "problems"} == set(data)


@pytest.mark.parametrize(
    ("here", "state"),
    [
        ("1.4", "tested"),
        ("1.4.0+cu130", "tested"),
        ("1.4.1", "newer than tested"),
        ("1.10", "newer than tested"),
        ("1.3.9", "older than tested"),
        ("1.1", "too old"),
        (None, "missing"),
    ],
)
def test_versions_are_compared_by_their_numbers(here: str | None, state: str) -> None:
    assert Library("x", here, "1.2", "1.4").state == state


def test_newer_versions_than_tested_are_no_problem(sdgraph: Command, versions: Versions) -> None:
    versions(torch="3.0.1")
    result = doctor(sdgraph)
    assert result.code == 0 and "newer than tested" in result.out


def test_every_library_that_is_needed_was_tested_at_no_less() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    dependencies = project.partition("dependencies = [")[2].partition("]")[0]
    needed = dict(re.findall(r'"([\w-]+)>=([\w.]+)"', dependencies))
    assert set(needed) == {library.name for library in libraries() if not library.is_optional}
    assert all(numbers(needed[name]) <= numbers(TESTED[name]) for name in needed)


def test_a_card_that_torch_cannot_use_is_a_problem() -> None:
    machine = Machine("3.11", "Linux", 2, 10**9, 10**9, "cuda", 10**9, "2.13.0+cpu")
    assert machine.problem is not None and "an NVIDIA card" in machine.problem.found
    assert Machine("3.11", "Linux", 2, 10**9, 10**9, "cuda", 10**9, "2.13.0").problem is None
    assert Machine("3.11", "Linux", 2, 10**9, None, "cpu", None, "2.13.0+cpu").problem is None
    (*_, device) = Machine("3.11", "Darwin", 2, 1, None, "mps", None, None).rows()
    assert device == ("device", "mps, free memory not known (PyTorch is missing)")


def test_a_folder_in_which_nothing_can_be_written_is_a_problem(
    sdgraph: Command, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "file"))
    result = doctor(sdgraph)
    assert result.code == 2 and "nothing can be written there" in result.out
    assert "$SDGRAPH_HOME" in result.out and not (tmp_path / "home").exists()


def test_a_disk_that_is_nearly_full_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = SimpleNamespace(total=10**13, used=10**13, free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    problem = Folder.inspect("results", tmp_path / "new", "$X", 10**7).problem
    assert problem is not None and problem.fix == "make room, or use $X"
    assert Folder.inspect("results", tmp_path, "$X", 10**5).problem is None
    assert Folder.inspect("records", None, "$X", 10**7).problem is None


def test_a_damaged_config_and_missing_model_folders_are_problems(
    sdgraph: Command, versions: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions()
    monkeypatch.setenv("SDGRAPH_MODELS", str(tmp_path / "gone"))
    assert "no such folder" in doctor(sdgraph).out
    monkeypatch.delenv("SDGRAPH_MODELS")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "sdgraph").mkdir()
    (tmp_path / "sdgraph/config.toml").write_text("models = 3")
    result = doctor(sdgraph)
    assert result.code == 2 and "config.toml:1:1" in result.out


def test_the_token_is_not_printed(
    sdgraph: Command, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    result = doctor(sdgraph)
    assert "there is one" in result.out and "nothing is downloaded" in result.out
    assert "hf_secret" not in result.out + doctor(sdgraph, "--json").out


def test_it_imports_neither_torch_nor_the_engine(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom sdgraph.cli import main\n"
        "try: main(['doctor'])\nexcept SystemExit as ended: assert ended.code in (0, 2)\n"
        "heavy = {'torch', 'diffusers', 'numpy', 'sdgraph.language', 'sdgraph.graph'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    assert python(code, cwd=tmp_path).splitlines()[-1:] == ["[]"]
