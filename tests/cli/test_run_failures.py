"""What goes wrong in a run is said with what to fix, and with the right exit code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import PIL.Image
import pytest

from tests.support.command_line import TOYS, Command


def test_wrong_inputs_come_out_together_with_the_problems_of_the_file(sdgraph: Command) -> None:
    result = sdgraph("run", "bad.yaml", "photo=x", "colour=red")
    assert result.code == 2
    assert result.out == ""
    for subject in ("inputs.colour", "square.grey", "square.sise", "edges.image", "edges.low"):
        assert subject in result.err


def test_an_input_of_another_type_says_what_was_wanted(sdgraph: Command) -> None:
    result = sdgraph("run", "flow.yaml", "grey=dark")
    assert result.code == 2
    assert result.err == "inputs.grey\n  found:  the text 'dark'\n  wanted: a whole number\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch.yaml"], "no such file"),
        (["nosuch"], "shipped"),
        (["flow.yaml", "--set", "edgs.low=3"], "did you mean 'edges'"),
        (["flow.yaml", "--set", "edges.low"], "NODE.FIELD=VALUE"),
        (["flow.yaml", "--set", "edges.low=[1"], "valid YAML"),
        (["flow.yaml", "grey"], "input=value"),
        (["flow.yaml", "--only", "edgs"], "did you mean 'edges'"),
        (["flow.yaml", "--device", "cdua"], "cuda"),
        (["flow.yaml", "--dtype", "float61"], "float16"),
        (["flow.yaml", "--nodes", "nosuch.py"], "no such file"),
        (["flow.yaml", "--out", "flow.yaml"], "a folder"),
        (["plain.png"], "no record"),
        (["nosuch.png"], "no such file"),
    ],
)
def test_a_wrong_argument_is_explained_with_exit_code_2(
    sdgraph: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    result = sdgraph("run", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err


def test_an_edited_file_is_shown_as_it_is_now(sdgraph: Command, tmp_path: Path) -> None:
    for grey in ("300", "400"):
        (tmp_path / "wrong.yaml").write_text(f"nodes:\n  a: {{type: ToySquare, grey: {grey}}}\n")
        assert f"grey: {grey}}}\n" in sdgraph("validate", "wrong.yaml").out


def test_a_failed_node_is_named_with_its_line_and_exit_code_1(
    sdgraph: Command, tmp_path: Path
) -> None:
    (tmp_path / "boom.yaml").write_text(
        "nodes:\n  a: {type: ToySquare}\n  b: {type: ToyBoom, image: $a}\n"
    )
    result = sdgraph("run", "boom.yaml")
    assert result.code == 1
    text, place = re.subn(r" \(\S*cli_nodes\.py:\d+, in run\)", "", result.err)
    assert place == 1
    assert text == (
        "boom.yaml:3:6: b: RuntimeError: the toy broke\n"
        "  3 |   b: {type: ToyBoom, image: $a}\n"
        "    |      ^\n"
        f"finished nodes are remembered; to resume: sdgraph run boom.yaml --nodes {TOYS}\n"
    )


def test_debug_shows_the_traceback_of_foreseen_failures_too(sdgraph: Command) -> None:
    assert "Traceback" in sdgraph("run", "bad.yaml", "--debug").err


def test_an_unforeseen_failure_is_one_line(
    sdgraph: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("sdgraph.cli.diagram.as_text", broken)
    result = sdgraph("show", "flow.yaml")
    assert result.code == 1
    assert result.err == ("internal error: ZeroDivisionError: two lines; run again with --debug\n")
    assert "Traceback" in sdgraph("show", "flow.yaml", "--debug").err


def test_a_node_that_exits_has_failed(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "exit.yaml").write_text("nodes:\n  a: {type: ToyExit}\n")
    result = sdgraph("run", "exit.yaml")
    assert result.code == 1
    assert "exit.yaml:2:6: a" in result.err and "ended the program with sys.exit(0)" in result.err
    lines = sdgraph("run", "exit.yaml", "--json").out.splitlines()
    assert json.loads(lines[-1])["event"] == "node_failed"


def test_warnings_are_printed_and_stop_nothing(sdgraph: Command, tmp_path: Path) -> None:
    text = "nodes:\n  a: {type: Turbo, prompt: a <lora:x:1> star}\n"
    (tmp_path / "warned.yaml").write_text(text)
    warning = "warned.yaml:2:28: a.prompt: '<lora:x:1>', read as plain words; put the adapter into"
    result = sdgraph("validate", "warned.yaml", toys=False)
    assert result.code == 0 and "warned.yaml: no problems" in result.out
    assert f"warning: {warning}" in result.out
    assert warning in sdgraph("plan", "warned.yaml", toys=False).out
    entries = json.loads(sdgraph("validate", "warned.yaml", "--json", toys=False).out)["warnings"]
    assert {(entry["severity"], entry["subject"]) for entry in entries} == {("warning", "a.prompt")}
    assert any("'<lora:x:1>'" in entry["found"] for entry in entries)
