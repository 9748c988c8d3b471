"""`sdgraph models` lists what other processes hold, and nothing of those that have ended."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sdgraph.cli import main
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache
from sdgraph.models.loading import process_records
from sdgraph.values import Checkpoint, Part
from tests.support import fake_checkpoints

ROOT = Path(__file__).parents[3]

FAKE_MODULE = """
class FakeModule:
    def __init__(self, part, dtype, device):
        self.bytes = part.footprint(dtype)
    def parameters(self):
        return [self]
    def numel(self):
        return self.bytes
    def element_size(self):
        return 1
    def to(self, device):
        return self
"""
"""A loader as short as it can be: to import that of `sdgraph.testing` takes most of a process."""

CHILD = f"""
import sys
from pathlib import Path
from sdgraph.models import ModelCache
from sdgraph.models.loading import process_records
from sdgraph.models.loading.process_records import ProcessRecord
from sdgraph.values import Checkpoint, Part
{FAKE_MODULE}
process_records.DELAY_S = 0
model = Checkpoint(Path(sys.argv[1]))
record = ProcessRecord()
cache = ModelCache(FakeModule, probe=lambda device: 10**9, reserve=0, watch=record)
with cache.lease({{name: Part(model, name) for name in ("unet", "vae")}}, "cpu", "float32"):
    print("leased", flush=True)
    sys.stdin.readline()
print("kept", flush=True)
sys.stdin.readline()
cache.unload()
print("dropped", flush=True)
sys.stdin.readline()
"""

Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(process_records, "DELAY_S", 0)
    return tmp_path / "home"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    weights = {
        "unet": fake_checkpoints.safetensors(b"u" * 3000),
        "vae": fake_checkpoints.safetensors(b"v" * 200),
    }
    return fake_checkpoints.checkpoint(tmp_path / "model", **weights)


@pytest.fixture
def start(model: Path) -> Iterator[Start]:
    """Starts processes that lease components until they are sent a line."""
    begun: list[subprocess.Popen[str]] = []

    def start_child() -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(model)],
            cwd=ROOT,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        begun.append(child)
        assert read_line(child) == "leased"
        return child

    yield start_child
    for child in begun:
        child.kill()
        child.communicate()


def read_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def nod(child: subprocess.Popen[str]) -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


@pytest.fixture
def listed(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The output of `sdgraph models`."""

    def command(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["models", *arguments])
        assert ended.value.code == 0
        return capsys.readouterr().out

    return command


def records(home: Path) -> list[Path]:
    return sorted((home / "running").iterdir()) if (home / "running").is_dir() else []


def parts(model: Path, *names: str) -> dict[str, Part]:
    return {name: Part(Checkpoint(model), name) for name in names}


@pytest.fixture
def leased(model: Path) -> Iterator[None]:
    """This process leases two components."""
    cache = ModelCache(fake_checkpoints.Loader(), watch=process_records.ProcessRecord())
    with cache.lease(parts(model, "unet", "vae"), "cpu", "float32"):
        yield


def test_what_another_process_leases_keeps_and_drops_is_listed(
    home: Path, model: Path, start: Start, listed: Callable[..., str]
) -> None:
    assert "in memory now" not in listed()
    child = start()
    words = [line.split() for line in listed().partition("in memory now (3.2 kB)\n")[2].split("\n")]
    assert words[0] == ["component", "size", "where", "why", "process"]
    for name, row in zip(("unet 3 kB", "vae 200 B"), words[1:3], strict=True):
        expected = f"{model}/{name} host leased by 1 node {child.pid}"
        assert " ".join(row) == expected
    nod(child)
    assert read_line(child) == "kept"
    memory = json.loads(listed("--json"))["memory"]
    assert memory == [
        {
            "name": f"{model}/{name}",
            "bytes": size,
            "where": "host",
            "why": "kept until its memory is needed",
            "process": child.pid,
        }
        for name, size in (("unet", 3000), ("vae", 200))
    ]
    nod(child)
    assert read_line(child) == "dropped"
    assert "in memory now" not in listed() and records(home) == []


def test_every_section_is_there_as_json(listed: Callable[..., str]) -> None:
    data = json.loads(listed("--json"))
    assert set(data) == {"shipped", "files", "missing_folders", "hub", "memory"}
    assert data["memory"] == data["files"] == data["missing_folders"] == []
    (inpaint,) = [row for row in data["shipped"] if row["checkpoint"] == "tiny/inpaint"]
    assert inpaint["bytes"] > 0 and Path(inpaint["folder"]).is_dir()


def test_two_processes_are_listed_apart_and_one_that_is_killed_leaves_no_row(
    home: Path, start: Start
) -> None:
    one, two = start(), start()
    assert {row.process for row in process_records.held_components()} == {one.pid, two.pid}
    assert len(process_records.held_components()) == 4
    one.kill()
    one.wait()
    assert {row.process for row in process_records.held_components()} == {two.pid}
    assert [path.name.partition("-")[0] for path in records(home)] == [str(two.pid)]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="without /proc the dead are reaped first")
def test_one_that_is_killed_and_not_yet_reaped_leaves_no_row(start: Start) -> None:
    child = start()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_records.held_components() == ()


def test_a_process_that_ends_leaves_no_record(home: Path, start: Start) -> None:
    child = start()
    nod(child)
    assert read_line(child) == "kept" and len(records(home)) == 1
    child.communicate("\n\n")
    assert child.returncode == 0 and records(home) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="no start of a process is known here")
@pytest.mark.usefixtures("leased")
@pytest.mark.parametrize("suffix", [".json", ".part"])
def test_a_record_of_an_earlier_process_of_the_same_id_is_none(home: Path, suffix: str) -> None:
    (path,) = records(home)
    data = json.loads(path.read_text())
    assert data["process"] == os.getpid()
    older = {**data, "started": data["started"] + "0"}
    left = path.with_name(f"{os.getpid()}-older{suffix}")
    left.write_text(json.dumps(older))
    assert len(process_records.held_components()) == 2
    assert records(home) == [path]


@pytest.mark.usefixtures("leased")
@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"machine": "another"},
        {"process": "?"},
        {"process": None},
        {"components": [["unet"]]},
        {"components": 7},
    ],
)
def test_a_record_that_is_not_understood_is_passed_over_and_left(
    home: Path, change: dict[str, Any]
) -> None:
    (path,) = records(home)
    strange = path.with_name("1-strange.json")
    strange.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    path.with_name("2-empty.json").write_text("")
    path.with_name("a folder").mkdir()
    assert len(process_records.held_components()) == 2
    assert strange.exists()


@pytest.mark.parametrize("blocked", ["home", "home/running"])
def test_a_home_that_cannot_be_written_hurts_nobody(
    tmp_path: Path, model: Path, blocked: str
) -> None:
    (tmp_path / blocked).parent.mkdir(exist_ok=True)
    (tmp_path / blocked).write_text("a file in its place")
    cache = ModelCache(fake_checkpoints.Loader(), watch=process_records.ProcessRecord())
    with cache.lease(parts(model, "unet"), "cpu", "float32") as models:
        assert models["unet"].size == 3000
    assert process_records.held_components() == ()


def test_a_user_without_a_home_is_not_hurt(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", "~nobody-of-this-name/cache")
    cache = ModelCache(fake_checkpoints.Loader(), watch=process_records.ProcessRecord())
    with cache.lease(parts(model, "unet"), "cpu", "float32"):
        assert process_records.held_components() == ()


def test_where_a_new_record_cannot_be_written_the_old_one_goes(
    home: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ModelCache(fake_checkpoints.Loader(), watch=process_records.ProcessRecord())
    with cache.lease(parts(model, "unet"), "cpu", "float32"):
        assert len(process_records.held_components()) == 1

        def full(path: Path, target: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "replace", full)
    assert records(home) == []


def test_nothing_is_written_where_nothing_is_held_or_nothing_changed(
    home: Path, model: Path
) -> None:
    cache = ModelCache(fake_checkpoints.Loader(), watch=process_records.ProcessRecord())
    cache.unload()
    cache.pin(Checkpoint(model))
    assert not home.exists()
    with cache.lease(parts(model, "unet"), "cpu", "float32"):
        (path,) = records(home)
        before = path.stat().st_ino
        cache.pin(Checkpoint(model))
        assert path.stat().st_ino == before


@pytest.mark.torch
def test_pins_devices_and_moves_are_listed(model: Path) -> None:
    cache = ModelCache(
        fake_checkpoints.Loader(),
        budgets=Budgets(3100, 10**6),
        watch=process_records.ProcessRecord(),
    )
    with cache.lease(parts(model, "unet"), "cuda:1", "float32"):
        assert [row.where for row in process_records.held_components()] == ["cuda:1"]
    with cache.lease(parts(model, "vae"), "cuda:1", "float32"):
        states = {
            Path(row.name).name: (row.where, row.why) for row in process_records.held_components()
        }
        assert states == {
            "unet": ("host", "kept until its memory is needed"),
            "vae": ("cuda:1", "leased by 1 node"),
        }
    cache.pin(Checkpoint(model))
    assert {row.why for row in process_records.held_components()} == {"pinned"}
    cache.unpin(Checkpoint(model))
    cache.unload()
    assert process_records.held_components() == ()


def test_a_load_that_fails_leaves_a_true_record(model: Path) -> None:
    loader = fake_checkpoints.Loader(failing={f"{model}/vae"})
    cache = ModelCache(loader, watch=process_records.ProcessRecord())
    with (
        pytest.raises(Exception, match="the file cannot be read"),
        cache.lease(parts(model, "unet", "vae"), "cpu", "float32"),
    ):
        raise AssertionError("the lease was granted")
    (row,) = process_records.held_components()
    assert (Path(row.name).name, row.why) == ("unet", "kept until its memory is needed")


def test_a_cache_that_is_deleted_removes_its_record(home: Path, model: Path) -> None:
    cache = ModelCache(fake_checkpoints.Loader(), watch=process_records.ProcessRecord())
    with cache.lease(parts(model, "unet"), "cpu", "float32"):
        pass
    assert len(records(home)) == 1
    del cache
    gc.collect()
    assert records(home) == []


FORKING = f"""
import os
import sys
from pathlib import Path
from sdgraph.models.loading import process_records
from sdgraph.models import ModelCache
from sdgraph.values import Checkpoint, Part
{FAKE_MODULE}
process_records.DELAY_S = 0
unet = {{"unet": Part(Checkpoint(Path(sys.argv[1])), "unet")}}
cache = ModelCache(FakeModule, watch=process_records.ProcessRecord())
with cache.lease(unet, "cpu", "float32"):
    parent = os.getpid()
    child = os.fork()
    if not child:
        with cache.lease(unet, "cpu", "float32"):
            rows = process_records.held_components()
            rows = sorted((row.process == parent, row.why[:17]) for row in rows)
            print(rows, flush=True)
        sys.exit()
    os.waitpid(child, 0)
    print([row.process == parent for row in process_records.held_components()])
"""


def test_a_fork_writes_of_itself_and_leaves_its_parents_record(home: Path, model: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(model)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    expected = [(False, "leased by 2 nodes"), (True, "leased by 1 node")]
    assert done.stdout.splitlines() == [str(expected), "[True]"]
    assert records(home) == []
