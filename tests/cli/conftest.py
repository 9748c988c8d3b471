"""The command line as a fixture."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdgraph.cli import main
from tests.support.command_line import BAD, FLOW, TOYS, Command, CommandResult


@pytest.fixture
def sdgraph(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs a command in this process, in an empty folder that holds flow.yaml and bad.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "bad.yaml").write_text(BAD)

    def command(verb: str, *arguments: str, toys: bool = True) -> CommandResult:
        with pytest.raises(SystemExit) as ended:
            main([verb, *arguments, *(["--nodes", TOYS] if toys else [])])
        result = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return CommandResult(ended.value.code, result.out, result.err)

    return command
