"""Saved pictures are made again and compared, runs listed and drawn, and files watched."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import PIL.Image
import pytest

from sdgraph.cli import main
from sdgraph.cli.file_watcher import FileWatcher, files_to_watch
from sdgraph.cli.request import parse_request
from sdgraph.language import load_workflow
from sdgraph.media import read_image, write_image
from sdgraph.sweep import files_named_in
from tests.support import cli_nodes
from tests.support.processes import forked

TOYS = str(Path(cli_nodes.__file__))

FLOW = """\
name: flow
inputs:
  grey: {type: int, default: 40}
  photo: {type: Image, default: p.png}
  target: {type: Path, default: out/a.png}
nodes:
  square: {type: ToySquare, grey: $inputs.grey}
  all: {type: ToyStack, images: [$square, $inputs.photo], title: a most secret prompt}
  save: {type: ToySave, image: $all, path: $inputs.target}
"""

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs a command here, in a folder with flow.yaml and p.png, and tells (code, out, err)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("SDGRAPH_RUNS", str(tmp_path / "runs"))
    (tmp_path / "flow.yaml").write_text(FLOW)
    PIL.Image.new("RGB", (8, 8), "red").save(tmp_path / "p.png")

    def called(*arguments: str) -> tuple[int, str, str]:
        toys = ["--nodes", TOYS] if arguments[0] in ("run", "show") else []
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *toys])
        result = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, result.out, result.err

    return called


def first_grey(path: str) -> int:
    pixel = read_image(path).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return int(pixel[0])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "gif"])
def test_a_picture_is_made_again_with_another_input(command: Command, suffix: str) -> None:
    assert command("run", "flow.yaml", "grey=7", f"target=out/a.{suffix}")[0] == 0
    assert command("run", f"out/a.{suffix}", "--out", "same")[0] == 0
    assert read_image(f"same/a.{suffix}").tobytes() == read_image(f"out/a.{suffix}").tobytes()
    assert command("run", f"out/a.{suffix}", "grey=200", "target=b.png")[0] == 0
    assert first_grey("b.png") == 200
    code, _, err = command("run", f"out/a.{suffix}", "gray=200")
    assert code == 2 and "did you mean 'grey'?" in err


def test_show_tells_what_a_picture_was_made_of_and_whether_it_is_here(
    command: Command, tmp_path: Path
) -> None:
    command("run", "flow.yaml", "grey=7")
    _, out, _ = command("show", "out/a.png")
    assert re.search(r"^  grey +7$", out, re.M)
    assert re.search(r"^  p\.png +unchanged$", out, re.M)
    PIL.Image.new("RGB", (8, 8), "blue").save("p.png")
    assert re.search(r"^  p\.png +changed$", command("show", "out/a.png")[1], re.M)
    _, _, err = command("run", "out/a.png", "--out", "again")
    assert "the source file p.png has changed since" in err
    PIL.Image.new("RGB", (8, 8), "blue").save("q.png")
    assert command("run", "out/a.png", "photo=q.png", "--out", "again")[2] == ""
    Path("p.png").unlink()
    data = json.loads(command("show", "out/a.png", "--json")[1])
    assert data["inputs"]["grey"] == 7 and list(data["sources_now"].values()) == ["not here"]
    assert command("show", "flow.yaml", "--json")[0] == 2


def test_show_compares_checkpoints_by_their_files(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    record = {
        "sdgraph_record": 2,
        "workflow": "nodes: {}",
        "node": "a",
        "device": "cpu",
        "dtype": None,
        "versions": {"torch": "0.1"},
        "sources": {"/dev/zero": "0", "/a\0b": "0"},
        "checkpoints": [
            {"source": str(folder), "files": {"unet/w": "0" * 64}},
            {"source": "no/such-one", "revision": "main", "files": {"w": "0" * 64}},
            {"source": [], "files": 3},
        ],
    }
    write_image(PIL.Image.new("RGB", (4, 4)), "a.png", provenance=json.dumps(record))
    (folder / "unet/w").write_bytes(b"weights")
    code, out, _ = command("show", "a.png")
    assert code == 0
    assert re.search(r"model +changed +1 file$", out, re.M)
    assert re.search(r"no/such-one +not here +1 file, revision main$", out, re.M)
    assert "torch 0.1 (here " in out


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "bmp", "gif"])
def test_no_metadata_leaves_no_byte_of_it_in_the_file(command: Command, suffix: str) -> None:
    target = f"target=out/a.{suffix}"
    word = [b"secret", "secret".encode("utf-16-le"), "secret".encode("utf-16-be")]
    assert command("run", "flow.yaml", target)[0] == 0
    written = b"".join(path.read_bytes() for path in Path("out").iterdir())
    if suffix != "png":  # where it may be deflated
        assert any(secret in written for secret in word)
    assert command("run", "flow.yaml", target, "--no-metadata")[0] == 0
    (only,) = Path("out").iterdir()
    data = only.read_bytes()
    assert not any(secret in data for secret in [*word, b"sdgraph"])
    assert command("show", str(only))[0] == 2


def test_runs_are_listed_and_drawn(command: Command) -> None:
    assert "no runs are recorded" in command("runs")[1]
    command("run", "flow.yaml", "--quiet")
    command("run", "flow.yaml", "grey=300")
    _, out, _ = command("runs")
    assert re.search(r"^\d{8}-\d{6}-\w{7} +.* flow +finished +\d", out, re.M)
    assert len(out.splitlines()) == 2
    _, out, _ = command("runs", "show")
    assert re.search(r"^save +ToySave +\| *━+ *\| +\d.*→ .*a\.png$", out, re.M)
    assert command("runs", "show", "last", "--svg", "t.svg", "--html", "t.html")[1] == ""
    assert Path("t.svg").read_text().startswith("<svg") and "<svg" in Path("t.html").read_text()
    assert json.loads(command("runs", "--json")[1])[0]["status"] == "finished"
    assert json.loads(command("runs", "show", "--json")[1])["peak_host"] > 0
    code, _, err = command("runs", "show", "nope")
    assert code == 2 and "no run with that id" in err


def test_neither_showing_nor_listing_imports_torch(command: Command, tmp_path: Path) -> None:
    command("run", "flow.yaml")
    code = (
        "import sys\nfrom sdgraph.cli import main\n"
        "for verb in (['runs'], ['runs', 'show'], ['show', 'out/a.png']):\n"
        "    try: main(verb)\n"
        "    except SystemExit as ended: assert not ended.code, verb\n"
        "print(sorted({'torch', 'diffusers', 'transformers', 'cv2', 'av'} & sys.modules.keys()))"
    )
    done = forked("-c", code, cwd=tmp_path)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


# watching


def test_a_touched_file_is_no_change_and_half_a_save_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    pieces = iter(["tw", "two"])
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if (piece := next(pieces, None)) is not None:
            path.write_text(piece)

    watcher = FileWatcher([path, tmp_path / "gone"], sleep)
    os.utime(path, (1, 1))
    piece, pieces = pieces, iter([])
    assert watcher.changed() == []
    pieces = piece
    path.write_text("t")
    assert watcher.changed() == [path]
    assert path.read_text() == "two" and watcher.changed() == []
    path.unlink()
    assert watcher.changed() == [path]
    path.with_name("new").write_text("three")
    path.with_name("new").replace(path)
    (tmp_path / "gone").write_text("back")
    assert sorted(watcher.changed()) == [path, tmp_path / "gone"]


WATCHING = """
from sdgraph.cli import file_watcher, main
file_watcher.POLL_S = 0.05
main()
"""
"""The command line, which looks at files ten times as often."""


def test_a_watched_workflow_runs_again_what_changed_until_ctrl_c(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text(FLOW)
    PIL.Image.new("RGB", (8, 8), "red").save(tmp_path / "p.png")
    running = subprocess.Popen(
        [sys.executable, "-c", WATCHING, "run", "flow.yaml", "--watch", "--nodes", TOYS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert running.stdout is not None

    def until_it_waits() -> Iterator[str]:
        for line in running.stdout or ():
            if re.match(r"watching \d+ files", line):
                return
            yield line.rstrip()

    try:
        assert "all         ToyStack" in "\n".join(until_it_waits())
        flow.write_text(FLOW.replace("40", "90"))
        again = "\n".join(until_it_waits())
        assert "changed: flow.yaml" in again and "load_image  remembered" in again
        assert first_grey(str(tmp_path / "out/a.png")) == 90
        flow.write_text("nodes: [")
        assert "wanted: valid YAML" in "\n".join(until_it_waits())
        (tmp_path / "new").write_text(FLOW)
        (tmp_path / "new").replace(flow)
        assert "save → " in "\n".join(until_it_waits())
        (tmp_path / "p.png").unlink()
        assert "no such file" in "\n".join(until_it_waits())
        PIL.Image.new("RGB", (8, 8), "blue").save(tmp_path / "p.png")
        assert "square      remembered" in "\n".join(until_it_waits())
    finally:
        running.send_signal(signal.SIGINT)
        rest, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert rest == "stopped; finished files stay\n"


def test_what_a_sweep_takes_its_values_from_is_watched_too(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        PIL.Image.new("RGB", (8, 8), "red").save(tmp_path / "photos" / name)
    (tmp_path / "flow.yaml").write_text(
        "inputs: {photo: {type: Path}, size: 8}\n"
        "nodes:\n"
        "  load: {type: LoadImage, path: $inputs.photo}\n"
        "  small: {type: Resize, image: $load, width: $inputs.size, height: 8}\n"
    )
    arguments = [f"photo=@{tmp_path}/photos", f"size=@{tmp_path}/sizes.txt"]
    assert files_named_in(arguments) == {tmp_path / "photos", tmp_path / "sizes.txt"}
    assert files_named_in([f"photo={tmp_path}/photos/*.png"]) == {tmp_path / "photos"}
    (tmp_path / "sizes.txt").write_text("4\n6\n")
    request = parse_request(load_workflow(tmp_path / "flow.yaml"), arguments)
    paths = files_to_watch(request) | files_named_in(arguments)
    assert {path.name for path in paths} == {"flow.yaml", "photos", "a.png", "b.png", "sizes.txt"}
    watcher = FileWatcher(paths, sleep=lambda _: None)
    assert watcher.changed() == []
    PIL.Image.new("RGB", (8, 8), "red").save(tmp_path / "photos" / "c.png")
    assert watcher.changed() == [tmp_path / "photos"]


# comparing


def test_diff_says_what_differs_between_two_pictures(command: Command) -> None:
    command("run", "flow.yaml", "grey=7")
    command("run", "flow.yaml", "grey=9", "target=out/b.png")
    code, out, err = command("diff", "out/a.png", "out/b.png")
    assert (code, err) == (0, "")
    assert re.search(r"^inputs\.grey +7 +9 *$", out, re.M) and "versions" not in out
    assert "pixels: " in out and "by at most 2 of 255" in out
    data = json.loads(command("diff", "out/a.png", "out/b.png", "--json")[1])
    assert {"what": "inputs.grey", "first": 7, "second": 9} in data["made"]
    assert "byte for byte" in command("diff", "out/a.png", "out/a.png")[1]
    code, out, err = command("diff", "p.png", "out/a.png")
    assert code == 0 and "not compared: p.png: no record" in err and "pixels: " in out
    code, _, err = command("diff", "p.png", "gone.png")
    assert code == 2 and "no such file" in err
