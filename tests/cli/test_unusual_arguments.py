"""Words of any length and any characters are values or are refused; no output is a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdgraph.cli import main
from tests.support.processes import forked

FLOW = """\
inputs:
  size: {type: int, default: 8}
  share: {type: float, default: 0.5}
  text: {type: str, default: hello}
  photo: {type: Image, default: a.png}
  model: {type: Checkpoint, default: tiny/text-to-image}
nodes:
  small: {type: Resize, image: $inputs.photo, width: $inputs.size, height: 8}
  noted: {type: Text, image: $small, text: $inputs.text}
  art: {type: Text2Image, prompt: $inputs.text, guidance: $inputs.share, checkpoint: $inputs.model}
  result: {type: Save, image: $noted, path: out.png}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with flow.yaml and a.png."""
    import PIL.Image

    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.yaml").write_text(FLOW)
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    return tmp_path


def ending(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str]:
    """The exit code of a command in this process, and all that it printed."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    return ended.value.code, printed.out + printed.err


@pytest.mark.parametrize("verb", ["validate", "plan"])
@pytest.mark.parametrize("length", [100, 255, 256, 300, 5000])
def test_a_prompt_may_be_longer_than_a_file_name(
    verb: str, length: int, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in ("x", "a/", "é", "*", "a b/c.png "):
        code, _ = ending(capsys, verb, "flow.yaml", f"text={(word * length)[:length]}")
        assert code == 0


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ("photo=" + "x" * 300, "a name that is too long for a file"),
        ("photo=" + "x" * 300 + "*.png", "no file"),
        ("text=@" + "x" * 300, "a name that is too long for a file"),
        ("model=./" + "x" * 300, "a name that is too long for a file"),
        ("model=" + "x" * 300, "neither a folder nor a valid hub id"),
        ("model=./a.png", "a .png file"),
        ("model=a.png", "a .png file"),
        ("model=x.safetensors", "no such file"),
        ("model=./a.png/b", "a.png is a file, no folder"),
        ("model=./a\0b", "'./a\\x00b'"),
        ("photo=a.png/b", "a.png is a file, no folder"),
        ("photo=.", "a folder"),
        ("text=@a\0b", "a path with a NUL character"),
        ("size=" + "9" * 100_000, "the text '999"),
        ("size=0x" + "f" * 100_000, "the text '0xf"),
        ("share=" + "9" * 100_000, "the text '999"),
        ("size=1.." + "9" * 5000, "more than 100,000 values"),
    ],
)
def test_what_is_no_value_is_named_for_what_it_is(
    argument: str, found: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb in ("validate", "plan"):
        code, said = ending(capsys, verb, "flow.yaml", argument)
        assert code == 2 and found in said and "internal error" not in said


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("x" * 300, "a name that is too long for a file"),
        ("x" * 300 + ".yaml", "a name that is too long for a file"),
        ("x" * 300 + ".png", "a name that is too long for a file"),
        ("a\0b.yaml", "a path with a NUL character"),
        ("a\0b.png", "a path with a NUL character"),
        ("flow.yaml/x.yaml", "flow.yaml is a file, no folder"),
        ("loop.yaml", "a link that leads to itself"),
        ("gone.yaml", "a link to a file that is gone"),
        (".", "a folder"),
        ("none.yaml", "no such file"),
        ("\udcff.yaml", "no such file"),
    ],
)
def test_a_workflow_that_cannot_be_read_is_named_for_what_it_is(
    name: str, found: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "gone.yaml").symlink_to("nothing")
    for verb in ("validate", "plan", "show", "run"):
        code, said = ending(capsys, verb, name)
        assert code == 2 and found in said and "internal error" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "flow.yaml", "--out", "a.png"),
        ("run", "flow.yaml", "--out", "x" * 300),
        ("nodes", "--nodes", "x" * 300),
        ("nodes", "--nodes", "a.png/x"),
        ("plan", "flow.yaml", "--device", "cuda:" + "9" * 5000),
        ("plan", "flow.yaml", "--vram", "9" * 5000 + "GB"),
        ("plan", "flow.yaml", "--vram", "9" * 5000),
        ("runs", "show", "x" * 300),
        ("validate", "flow.yaml", "--set", "result.path=" + "x" * 300 + ".png"),
    ],
)
def test_options_of_any_length_are_refused_with_words(
    arguments: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = ending(capsys, *arguments)
    assert code == 2 and said and "internal error" not in said


def in_a_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a shell says that runs a command, in which `sdgraph` is this one."""
    program = f'sdgraph() {{ {sys.executable} -m sdgraph "$@"; }}\n{command}'
    return subprocess.run(
        ["bash", "-c", program],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_to_a_full_disk_is_one_line(folder: Path) -> None:
    for arguments in ("validate flow.yaml", "nodes", "--help"):
        with Path("/dev/full").open("wb") as full:
            done = forked("-m", "sdgraph", *arguments.split(), stdout=full)
        assert done.returncode == 1
        assert done.stderr == "standard output: no space left on device\n"


def test_output_that_is_closed_is_no_failure(folder: Path) -> None:
    done = in_a_shell("sdgraph validate flow.yaml >&-", folder)
    assert (done.returncode, done.stderr) == (0, "")
    done = in_a_shell("sdgraph nodes | head -c 1; exit ${PIPESTATUS[0]}", folder)
    assert done.returncode in (0, 141) and done.stderr == ""


def test_a_current_folder_that_was_removed_is_said_to_be(folder: Path) -> None:
    done = in_a_shell("mkdir gone && cd gone && rmdir ../gone && sdgraph plan text", folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[:2] == ["the current folder", "  found:  it was removed"]


def test_a_home_that_cannot_be_is_none(folder: Path) -> None:
    for home in ("/dev/null", "/nonexistent"):
        environment = {**os.environ, "HOME": home}
        del environment["SDGRAPH_HOME"]
        done = forked("-m", "sdgraph", "plan", "flow.yaml", environment=environment)
        assert (done.returncode, done.stderr) == (0, "")
