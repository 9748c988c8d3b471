"""Control characters that stand in files never reach the terminal."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from sdgraph.cli import main
from sdgraph.cli.safe_output import SafeStream, escape_controls, safe_console
from sdgraph.media import write_image
from tests.support import cli_nodes

TOYS = str(Path(cli_nodes.__file__))

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b31mred\r\x08\u202egnp.exe\x7f"
"""Sets the title, clears the screen, colours, goes back, and turns the direction of text."""

WRITTEN = json.dumps(HOSTILE)  # as in YAML too

_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

FLOW = f"""\
name: {WRITTEN}
description: {WRITTEN}
inputs:
  word: {{type: str, default: {WRITTEN}, description: {WRITTEN}}}
nodes:
  square: {{type: ToySquare, grey: 40}}
  save: {{type: ToySave, image: $square, path: {json.dumps(f"out/{HOSTILE}.png")}}}
"""

WRONG = f"""\
name: wrong
nodes:
  one: {{type: {WRITTEN}, {WRITTEN}: 1, image: $two}}
  two: {{type: ToySquare, grey: {WRITTEN}, {WRITTEN}: 2}}
  three: {{type: ToySave, image: $two, path: {WRITTEN}}}
  four: {{type: Workflow, path: {WRITTEN}}}
"""

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs a command here and returns its exit code and all that it wrote."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDGRAPH_RUNS", str(tmp_path / "runs"))

    def call(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        out, errors = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out + errors

    return call


def test_nothing_of_a_hostile_workflow_reaches_the_terminal(
    command: Command, tmp_path: Path
) -> None:
    for name in ("flow.yaml", f"{HOSTILE}.yaml"):
        (tmp_path / name).write_text(FLOW)
        for arguments in (
            ("validate", name),
            ("show", name),
            ("show", name, "--mermaid"),
            ("show", name, "--yaml"),
            ("plan", name),
            ("run", name),
            ("run", name, "--explain"),
            ("run", name, f"word={HOSTILE}", "--json"),
            ("run", name, f"{HOSTILE}=1"),
            ("run", name, "--only", HOSTILE),
            ("run", name, "--set", f"square.grey={HOSTILE}"),
            ("run", name, f"--{HOSTILE}"),
            ("run", name, "--out", "flow.yaml", "--debug"),
        ):
            packs = ["--nodes", TOYS] if "--out" not in arguments else []
            code, text = command(*arguments, *packs)
            assert not _UNSAFE.search(text), (arguments, text)
            assert code in (0, 1, 2) and "internal error" not in text, text
    for name in ("last", HOSTILE):
        assert not _UNSAFE.search(command("runs", "show", name)[1])
    assert not _UNSAFE.search(command("runs")[1])


@pytest.mark.parametrize("flag", [(), ("--json",)])
def test_nothing_of_the_errors_of_a_hostile_workflow_reaches_the_terminal(
    command: Command, tmp_path: Path, flag: tuple[str, ...]
) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    code, text = command("validate", "wrong.yaml", *flag, "--nodes", TOYS)
    assert code == 2 and not _UNSAFE.search(text), text
    assert "\\u001b" in text
    if flag:
        assert any(HOSTILE[:20] in problem["found"] for problem in json.loads(text)["problems"])


def test_nothing_of_a_hostile_record_reaches_the_terminal(command: Command, tmp_path: Path) -> None:
    record = {
        "sdgraph_record": 2,
        "workflow": FLOW + HOSTILE,
        "node": HOSTILE,
        "device": HOSTILE,
        "dtype": HOSTILE,
        "versions": {HOSTILE: HOSTILE},
        "altered": {HOSTILE: [HOSTILE]},
        "inputs": {HOSTILE: HOSTILE},
        "seeds": {HOSTILE: 1},
        "sources": {HOSTILE: HOSTILE},
        "checkpoints": [{"source": HOSTILE, "commit": HOSTILE, "files": {HOSTILE: HOSTILE}}],
    }
    write_image(PIL.Image.new("RGB", (8, 8)), tmp_path / "a.png", provenance=json.dumps(record))
    for arguments in (("show",), ("show", "--yaml"), ("show", "--json"), ("run",), ("plan",)):
        _, text = command(arguments[0], "a.png", *arguments[1:])
        assert not _UNSAFE.search(text), (arguments, text)
    assert json.loads(command("show", "a.png", "--json")[1])["node"] == HOSTILE


def test_a_coloured_console_escapes_what_it_prints_but_not_its_own_colours() -> None:
    screen = io.StringIO()
    console = safe_console(screen, force_terminal=True, color_system="standard", highlight=False)
    console.print(f"a{HOSTILE}b", style="red", markup=False)
    shown = screen.getvalue()
    assert shown.startswith("\x1b[31m") and "\\u001b]0;title" in shown
    assert not _UNSAFE.search(re.sub("\x1b\\[[0-9;]*m", "", shown))


def test_text_in_any_language_stays_as_it_is() -> None:
    text = "größe\t日本語 👩‍👩‍👧 \u200fשלום\n"
    assert escape_controls(text) == text


def test_progress_bars_of_libraries_still_move() -> None:
    SafeStream(out := io.StringIO(), allow_bars=True).write("\r 50%\x1b[A\x1b[2K\x1b]0;x\x07")
    assert out.getvalue() == "\r 50%\x1b[A\x1b[2K\\u001b]0;x\\u0007"
