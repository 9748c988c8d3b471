"""The stored help is typer's own, and printing it imports no library."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sdgraph.__main__ import main
from sdgraph.cli import main as run_command_line
from sdgraph.cli.exit_codes import PIPE_CLOSED
from sdgraph.cli.help_examples import EXAMPLES
from sdgraph.cli.help_files import command_names, typer_help
from sdgraph.cli.help_texts import FOLDER, file_name, print_help, stored_help
from tests.support.processes import ROOT


def test_the_stored_help_of_each_command_is_what_typer_prints() -> None:
    for names in command_names():
        assert stored_help([*names, "--help"]) == typer_help(names), (
            "run python -m sdgraph.cli.help_files"
        )
    files = {path.name for path in Path(FOLDER).iterdir()}
    assert files == {file_name(names) for names in command_names()}


@pytest.mark.parametrize(
    "arguments",
    [[], ["validate"], ["--help", "validate"], ["validate", "a.yaml", "-h"], ["../x", "-h"]],
)
def test_other_command_lines_are_left_to_typer(arguments: list[str]) -> None:
    assert stored_help(arguments) is None


def test_a_narrow_terminal_gets_help_of_its_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert not print_help(["--help"])
    monkeypatch.delenv("COLUMNS")
    assert print_help(["validate", "-h"])
    assert capsys.readouterr().out == stored_help(["validate", "--help"])


def test_help_for_a_reader_that_left_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            raise OSError

    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdout", Closed())
    monkeypatch.setattr(sys, "stderr", Closed())
    monkeypatch.setattr(sys, "argv", ["sdgraph", "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == PIPE_CLOSED


def test_help_imports_neither_the_engine_nor_pydantic_nor_typer(tmp_path: Path) -> None:
    code = """
import sys
sys.argv = ["sdgraph", "--help"]
from sdgraph.__main__ import main
main()
ours = {name for name in sys.modules if name.startswith("sdgraph")}
print(sorted(ours), {"pydantic", "typer", "yaml", "pathlib"} & {*sys.modules}, file=sys.stderr)
"""
    # Without `site`, which may itself import libraries for packages that are installed editable.
    command = [sys.executable, "-S", "-c", code]
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    env["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == stored_help(["--help"])
    wanted = {"", ".__main__", ".cli", ".cli.help_texts", ".lazy_exports"}
    assert done.stderr == f"{sorted('sdgraph' + name for name in wanted)} set()\n"


@pytest.mark.parametrize("names", command_names(), ids=" ".join)
def test_the_help_of_each_command_has_an_example_and_nothing_is_cut(names: tuple[str, ...]) -> None:
    text = typer_help(names)
    full = " ".join(("sdgraph", *names))
    assert f"\nExample:\n  {full}" in text and "..." not in text.partition("[ARGS]...")[2]
    example = shlex.split(EXAMPLES[full])
    assert example[: len(names) + 1] == ["sdgraph", *names] and set(EXAMPLES) == {
        " ".join(("sdgraph", *known)) for known in command_names()
    }


def test_without_a_command_it_says_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command_line([])
    assert not ended.value.code
    out = capsys.readouterr().out
    commands = [shlex.split(line.partition(":")[2]) for line in out.splitlines() if ":" in line]
    known = {names[0] for names in command_names() if names}
    assert len(commands) == 6 and {words[1] for words in commands} <= {*known, "--help"}
