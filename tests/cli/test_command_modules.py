"""A command line imports the module of its own command, and converts only what needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from sdgraph.cli.app import app
from sdgraph.cli.command_modules import COMMAND_MODULES, import_commands
from sdgraph.cli.usage_advice import CommandWithAdvice
from tests.support.processes import ROOT, forked


def test_the_table_names_all_commands() -> None:
    import_commands()
    assert getattr(get_command(app), "commands").keys() == COMMAND_MODULES.keys()  # noqa: B009


@pytest.mark.parametrize(
    ("arguments", "modules"),
    [
        (["validate", "text"], {"inspect"}),
        (["run", "text"], {"run"}),
        (["runs"], {"history"}),
        (["no-such-command"], {*COMMAND_MODULES.values()}),
        ([], {*COMMAND_MODULES.values()}),
    ],
)
def test_a_command_line_imports_the_module_of_its_command(
    arguments: list[str], modules: set[str], tmp_path: Path
) -> None:
    code = f"""
import sys
from sdgraph.cli.command_modules import COMMAND_MODULES, import_commands
import_commands({arguments!r})
names = {{*COMMAND_MODULES.values()}}
print(*sorted(name for name in names if "sdgraph.cli." + name in sys.modules))
"""
    done = forked("-c", code, cwd=tmp_path)
    assert {*done.stdout.split()} == modules, done.stderr


def test_checking_imports_no_part_of_the_engine_that_it_does_not_use(tmp_path: Path) -> None:
    code = """
import sys
sys.argv = ["sdgraph", "validate", "text"]
from sdgraph.__main__ import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
print(*(name.removeprefix("sdgraph.") for name in sys.modules), file=sys.stderr)
"""
    done = fresh("-c", code, cwd=tmp_path)
    unused = {
        *("execution", "history", "provenance", "store", "sweep", "media", "memory.vocabulary"),
        *("models.sources.hub_downloads", "models.sources.hub_listing"),
        *("models.loading.process_records", "models.loading.loader", "models.loading.cache"),
        *(
            "cli.run",
            "cli.cache",
            "cli.history",
            "cli.models",
            "cli.workflow_catalog",
            "cli.terminal",
        ),
        *("networkx", "numpy", "PIL", "rich", "torch", "huggingface_hub"),
    }
    loaded = {*done.stderr.split()}
    assert "cli.validation_report" in loaded
    assert unused & loaded == set()


def fresh(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a new Python process, which has imported nothing."""
    command = [sys.executable, *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=True)


def _parse(arguments: list[str], *, as_typer: bool) -> Any:
    """What a command gets: one that converts at need, or one of typer alone."""
    taken: dict[str, Any] = {}
    small = typer.Typer(add_completion=False)

    @small.command(cls=None if as_typer else CommandWithAdvice)
    def read(
        file: str,
        inputs: Annotated[list[str] | None, typer.Argument()] = None,
        out: Path | None = None,
        batch: Annotated[int | None, typer.Option(min=1)] = None,
        packs: Annotated[list[Path] | None, typer.Option("--nodes")] = None,
        device: str | None = None,
        dtype: str = "float32",
        quiet: bool = False,
    ) -> None:
        taken.update(locals())
        taken.pop("taken", None)

    command: Any = get_command(small)
    try:
        command(arguments, standalone_mode=False)
    except Exception as error:
        return type(error).__name__, str(error)
    return taken


OPTIONS = st.sampled_from(
    [
        ["--out", "a/b"],
        ["--batch", "2"],
        ["--batch", "0"],
        ["--batch", "x"],
        ["--nodes", "a.py", "--nodes", "b"],
        ["--device", "cpu"],
        ["--device", "caf\udce9"],
        ["--dtype", ""],
        ["--quiet"],
        ["--none"],
    ]
)
WORDS = st.lists(st.sampled_from(["flow.yaml", "seed=1", "", "ü=ß", "\udce9"]), max_size=3)


@given(WORDS, st.lists(OPTIONS, max_size=3))
def test_values_are_those_that_typer_makes(words: list[str], options: list[list[str]]) -> None:
    arguments = [*words, *(word for option in options for word in option)]
    wanted, found = (_parse(arguments, as_typer=as_typer) for as_typer in (True, False))
    if isinstance(wanted, tuple) and wanted[0] == "NoSuchOption":
        assert found[0] == wanted[0]  # with advice
    else:
        assert found == wanted
