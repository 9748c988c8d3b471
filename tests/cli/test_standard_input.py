"""`-` is a workflow on standard input, with paths relative to the current folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from sdgraph.cli import standard_input
from tests.support.command_line import FLOW, Command, grey_of

Pipe = Callable[[bytes], None]


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Pipe:
    """Makes standard input hold some bytes."""

    def give(data: bytes) -> None:
        standard_input._text.cache_clear()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def test_it_runs_in_the_current_folder(sdgraph: Command, pipe: Pipe, tmp_path: Path) -> None:
    pipe(b"\xef\xbb\xbf" + FLOW.encode())
    result = sdgraph("run", "-", "grey=9")
    assert result.code == 0 and grey_of(tmp_path / "out/turned.png") == 255 - 9
    pipe(FLOW.encode())
    assert sdgraph("run", "-", "--out", "other").code == 0
    assert (tmp_path / "other/out/turned.png").is_file()


def test_its_mistakes_are_named_with_line_and_column(sdgraph: Command, pipe: Pipe) -> None:
    pipe(FLOW.replace("size: 16", "sise: 16").encode())
    result = sdgraph("run", "-")
    assert result.code == 2 and "<stdin>:7:" in result.err and "size" in result.err


@pytest.mark.parametrize(
    ("data", "found"), [(b" \n", "nothing"), (b"a: \xff", "no text in UTF-8"), (b"3", "found:")]
)
def test_what_is_no_workflow_is_an_error(
    sdgraph: Command, pipe: Pipe, data: bytes, found: str
) -> None:
    pipe(data)
    result = sdgraph("run", "-")
    assert result.code == 2 and found in result.err and "Traceback" not in result.err


def test_it_cannot_be_watched(sdgraph: Command, pipe: Pipe) -> None:
    pipe(FLOW.encode())
    result = sdgraph("run", "-", "--watch")
    assert result.code == 2 and "leave --watch out" in result.err


def test_it_can_be_planned_and_shown(sdgraph: Command, pipe: Pipe) -> None:
    for verb in ("plan", "show"):
        pipe(FLOW.encode())
        result = sdgraph(verb, "-")
        assert result.code == 0 and "ToySquare" in result.out
