"""What a run records: its events and its totals, and nothing private."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from sdgraph.errors import NodeFailedError
from sdgraph.execution import Session
from sdgraph.graph import Graph, Node
from sdgraph.history import find_run, list_runs, record_run, recorder, timeline
from sdgraph.history.reader import RunNotFoundError
from sdgraph.history.redaction import redact
from tests.support import cli_nodes, toys
from tests.support.processes import forked

SQUARE = cli_nodes.ToySquare(grey=7)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for records."""
    monkeypatch.setenv("SDGRAPH_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def run_recorded(*targets: Node[Any], session: Session | None = None, name: str = "flow") -> None:
    graph = Graph.of(*targets)
    with record_run(graph, name) as record:
        (session or Session(device="cpu")).run(graph, record)


def test_a_run_is_recorded_with_its_events_workflow_and_sums(runs: Path) -> None:
    session = Session(device="cpu")
    run_recorded(cli_nodes.ToySlow(image=SQUARE, steps=3), session=session)
    run_recorded(cli_nodes.ToyEdges(image=SQUARE), session=session)
    newest, oldest = list_runs()
    kinds = [event["event"] for event in oldest.events()]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_finished")
    assert kinds.count("stepped") == 3 and kinds.count("node_finished") == 2
    assert "grey: 7" in (oldest.folder / "workflow.yaml").read_text()
    summary = json.loads((oldest.folder / "summary.json").read_text())
    assert [node["name"] for node in summary["nodes"]] == ["toy_square", "toy_slow"]
    assert summary["peak_host"] > 10**6 and summary["peak_device"] is None
    data = newest.as_data()
    assert (data["workflow"], data["status"], data["ran"], data["reused"]) == (
        "flow",
        "finished",
        1,
        1,
    )
    assert newest.id > oldest.id


def test_events_say_nothing_of_the_folders_of_files(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "alice").mkdir()
    monkeypatch.chdir(tmp_path / "alice")
    here, elsewhere = tmp_path / "alice" / "out" / "here.png", tmp_path / "elsewhere.png"
    run_recorded(*(cli_nodes.ToySave(image=SQUARE, path=path) for path in (here, elsewhere)))
    (tmp_path / "alice" / "bad.txt").write_bytes(b"\xff")
    with pytest.raises(NodeFailedError):
        run_recorded(cli_nodes.ToyRead(path=tmp_path / "alice" / "bad.txt"))
    failed, run = list_runs()
    files = {event["file"] for event in run.events() if event["event"] == "node_finished"}
    assert files == {None, "out/here.png", "elsewhere.png"}
    assert "UnicodeDecodeError" in failed.summary["error"]
    for folder in (failed.folder, run.folder):
        for name in ("events.jsonl", "summary.json"):
            assert str(tmp_path) not in (folder / name).read_text()


def test_a_failure_is_recorded_and_a_refused_run_leaves_nothing(runs: Path) -> None:
    with pytest.raises(NodeFailedError):
        run_recorded(cli_nodes.ToyBoom(image=SQUARE))
    (run,) = list_runs()
    assert run.status == "failed"
    assert "the toy broke" in run.summary["error"]
    assert "error: toy_boom: RuntimeError: the toy broke" in timeline.as_text(run)
    with pytest.raises(Exception, match="no such file"):
        run_recorded(cli_nodes.ToyRead(path=Path("/nowhere")))
    assert len(list_runs()) == 1


def test_a_run_stopped_by_ctrl_c_says_so(runs: Path) -> None:
    graph = Graph.of(SQUARE)
    with pytest.raises(KeyboardInterrupt), record_run(graph) as record:
        Session(device="cpu").run(graph, record)
        raise KeyboardInterrupt
    assert list_runs()[0].status == "stopped"


def test_a_killed_run_is_known_and_so_is_one_that_goes_on(runs: Path, tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from tests.support import cli_nodes\n"
        "from tests.history.test_recorder import run_recorded\n"
        "from sdgraph.history import list_runs\n"
        "class Die(cli_nodes.ToyBoom):\n"
        "    def run(self, image):\n"
        "        print(list_runs()[0].status, flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "run_recorded(Die(image=cli_nodes.ToySquare()))\n"
    )
    done = forked("-c", code)
    assert done.stdout == "running\n", done.stderr
    (run,) = list_runs()
    assert run.status == "killed"
    assert "not finished" in timeline.as_text(run)
    assert run.as_data()["ran"] == 1


def test_only_the_newest_are_kept_and_none_that_goes_on_is_swept(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_RECORDS", 3)
    graph = Graph.of(SQUARE)
    with record_run(graph, "open") as open_:
        Session(device="cpu").run(graph, open_)
        for number in range(5):
            run_recorded(SQUARE, name=str(number))
    assert [run.workflow for run in list_runs()] == ["4", "3", "2", "open"]
    run_recorded(SQUARE, name="5")
    assert [run.workflow for run in list_runs()] == ["5", "4", "3"]


def test_folders_and_files_that_no_run_wrote_stay(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "MAX_RECORDS", 1)
    (runs / "1999 photos").mkdir(parents=True)
    (runs / "1999 photos/a.jpg").touch()
    run_recorded(SQUARE, name="first")
    (record,) = [path for path in runs.iterdir() if path.name != "1999 photos"]
    (record / "notes.txt").touch()
    run_recorded(SQUARE, name="second")
    assert [path.name for path in record.iterdir()] == ["notes.txt"]
    assert (runs / "1999 photos/a.jpg").exists()


def test_a_drawing_names_a_file_without_its_folder(runs: Path, tmp_path: Path) -> None:
    run_recorded(cli_nodes.ToySave(image=SQUARE, path=tmp_path / "out/a.png"))
    (run,) = list_runs()
    for drawing in (timeline.as_svg(run), timeline.as_html(run)):
        assert "a.png" in drawing and str(tmp_path) not in drawing


@pytest.mark.parametrize("moment", ["begin", "middle"])
def test_a_disk_that_fails_is_no_reason_for_a_run_to(
    runs: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    if moment == "begin":
        runs.write_text("a file where the folder would be")
    else:
        monkeypatch.setattr(recorder, "redact", full)
    kinds: list[str] = []
    graph = Graph.of(SQUARE)
    with record_run(graph, "flow", lambda event: kinds.append(event.kind)) as record:
        assert Session(device="cpu").run(graph, record)
    assert kinds[-1] == "run_finished"


def test_records_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path))
    monkeypatch.setenv("SDGRAPH_RUNS", "")
    run_recorded(SQUARE)
    assert list_runs() == [] and not list(tmp_path.iterdir())
    monkeypatch.delenv("SDGRAPH_RUNS")
    run_recorded(SQUARE)
    assert (tmp_path / "runs" / list_runs()[0].id).is_dir()


def test_many_steps_are_thinned_to_a_hundred(runs: Path) -> None:
    run_recorded(cli_nodes.ToySlow(image=SQUARE, steps=1000))
    steps = [event["step"] for event in list_runs()[0].events() if event["event"] == "stepped"]
    assert 100 <= len(steps) <= 101 and steps[-1] == 1000


def test_a_run_is_found_by_the_beginning_of_its_id(runs: Path) -> None:
    with pytest.raises(RunNotFoundError, match="no runs at all"):
        find_run("last")
    run_recorded(SQUARE, name="one")
    run_recorded(SQUARE, name="two")
    newest, oldest = list_runs()
    assert find_run("last").id == newest.id
    assert find_run(oldest.id).workflow == "one"
    with pytest.raises(RunNotFoundError, match="2 runs"):
        find_run("20")
    with pytest.raises(RunNotFoundError, match="no run with that id"):
        find_run("x")


def test_a_record_cut_off_anywhere_is_still_listed_and_drawn(runs: Path) -> None:
    run_recorded(cli_nodes.ToyEdges(image=SQUARE))
    (run,) = list_runs()
    (run.folder / "summary.json").unlink()
    contents = (run.folder / "events.jsonl").read_bytes()
    for length in range(0, len(contents), 17):
        (run.folder / "events.jsonl").write_bytes(contents[:length])
        assert list_runs()[0].as_data()["status"] == "killed"
        assert timeline.as_text(list_runs()[0])
    for text in ("", "[]", '{"at": null}\n{"event": "loaded", "at": 1}\n3\n{"at": "x"}'):
        (run.folder / "run.json").write_text(text)
        (run.folder / "events.jsonl").write_text(text)
        assert timeline.as_text(list_runs()[0]) and timeline.summary_row(list_runs()[0])


def test_pages_are_whole_and_their_text_is_escaped(runs: Path) -> None:
    with pytest.raises(NodeFailedError):
        run_recorded(toys.Fail(message="<script>&\x1b"), name="<b>&\"'")
    (run,) = list_runs()
    svg = ElementTree.fromstring(timeline.as_svg(run))
    assert svg.tag.endswith("svg") and "failed" in "".join(svg.itertext())
    page = timeline.as_html(run)
    xml = page.removeprefix("<!doctype html>\n").replace('<meta charset="utf-8">', "")
    ElementTree.fromstring(xml)
    assert "<script" not in page and "&lt;script&gt;" in page and "<b>&" not in page
    assert "\x1b" not in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_loads_belong_to_the_node_with_models_that_ran(runs: Path) -> None:
    folder = runs / "20260101-000000-0000000"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"models": ["star"], "workflow": "w"}')
    events = [
        {"event": "run_started", "at": 0.0, "device": "cuda", "reused": 0},
        {"event": "node_started", "at": 0.0, "node": "star", "type": "T"},
        {"event": "node_started", "at": 0.1, "node": "light", "type": "U"},
        {
            "event": "loaded",
            "at": 5.0,
            "component": "a/unet",
            "seconds": 5.0,
            "bytes": 2,
            "file_bytes": 3,
            "device": "cuda",
        },
        {"event": "node_finished", "at": 9.0, "node": "light", "seconds": 8.9, "file": None},
        {"event": "node_finished", "at": 10.0, "node": "star", "seconds": 10.0, "file": None},
        {"event": "a kind of tomorrow", "at": 10.0},
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    lines = timeline.as_text(list_runs()[0]).splitlines()
    star, light = (line for line in lines if line.startswith(("star ", "light ")))
    assert 23 <= star.count("L") - star.count("loads") <= 26 and "loads 1 model (3 B" in star
    assert "L" not in light


SECRETS = [
    ("hf_abcdefghijklmnopqrstuvwxyz", "hf_abcdef"),
    ("Authorization: Bearer abcdefghijklmnop", "abcdefghijklmnop"),
    ("https://me:hunter2@example.org/x", "hunter2"),
    ("https://example.org/f?X-Amz-Signature=abc123def&x=1", "abc123def"),
    ("password=hunter2 is wrong", "hunter2"),
    ("told: my-own-secret!", "my-own-secret!"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_no_secret_is_written_down(
    runs: Path, monkeypatch: pytest.MonkeyPatch, text: str, secret: str
) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "my-own-secret!")
    with pytest.raises(NodeFailedError):
        run_recorded(toys.Fail(message=text))
    for path in list_runs()[0].folder.iterdir():
        assert secret not in path.read_text()
    assert "[hidden]" in timeline.as_text(list_runs()[0])


@pytest.mark.parametrize(
    "text", ["a secret garden", "the key: a token of love", "sk", "https://example.org/a?b=c"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact({"a": [text, 3, None]}) == {"a": [text, 3, None]}


def test_a_record_of_pipes_is_not_waited_for(runs: Path) -> None:
    (runs / "20260101-000000-000aaaa").mkdir(parents=True)
    for name in ("run.json", "events.jsonl", "summary.json"):
        os.mkfifo(runs / "20260101-000000-000aaaa" / name)
    assert [run.status for run in list_runs()] == ["unknown"]
    assert list(find_run("last").events()) == []
