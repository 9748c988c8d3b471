"""A run that is killed at any moment and started again goes on where it was."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import PIL.Image
import pytest

from sdgraph.cli import main
from sdgraph.store import DiskStore, serialization
from tests.support import cli_nodes
from tests.support.effort import scaled

TOYS = str(Path(cli_nodes.__file__))
COUNT = 25

FLOW = "nodes:\n" + "".join(
    f"  square{n}: {{type: ToySquare, size: 64, grey: {n}}}\n"
    f"  edges{n}: {{type: ToySlow, image: $square{n}, steps: 1, seconds: 0.005}}\n"
    f"  result{n}: {{type: ToySave, image: $edges{n}, path: out/{n}.png}}\n"
    for n in range(COUNT)
)

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["tests.execution.test_resuming", "sdgraph.execution", "sdgraph.nodes"]
)


def run_command(folder: Path, log: Path) -> None:
    """What the process does: the command line, with its events in a file."""
    os.chdir(folder)
    os.environ["SDGRAPH_HOME"] = str(folder / "home")
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 1)
    main(["run", "flow.yaml", "--nodes", TOYS, "--json"])


def start_process(folder: Path, log: Path) -> BaseProcess:
    log.touch()
    process = FORKS.Process(target=run_command, args=(folder, log))
    process.start()
    return process


def read_log(log: Path) -> list[dict[str, str]]:
    """The events in a log, without a last line that the kill cut off."""
    lines = log.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


def finished_nodes(log: Path, kind: str = "node_finished") -> set[str]:
    every = {event["node"] for event in read_log(log) if event["event"] == kind}
    return {name for name in every if not name.startswith("result")}


def check_whole(folder: Path) -> None:
    """No file under its final name is partial, and no remembered value is wrong."""
    for path in (folder / "out").glob("[0-9]*.png"):
        with PIL.Image.open(path) as picture:
            picture.load()
            assert picture.getpixel((3, 3)) == (int(path.stem),) * 3
    shelf = DiskStore(folder / "home" / "results")
    for entry in shelf.entries():
        header = serialization.read_header(entry.path)
        assert serialization.read_value(entry.path, header.content).content == header.content


def kill_until_done(folder: Path, kills: int, seed: int) -> int:
    """Kills runs at random moments, the first ones early; returns how many were killed at work."""
    random_moments = random.Random(seed)
    (folder / "flow.yaml").write_text(FLOW)
    done: set[str] = set()
    at_work = 0
    for number in range(kills):
        log = folder / f"{number}.jsonl"
        process = start_process(folder, log)
        while process.is_alive() and not log.stat().st_size:
            time.sleep(0.001)
        time.sleep(random_moments.uniform(0, 0.08))
        process.kill()
        process.join()
        ran = finished_nodes(log)
        assert not ran & done, "what had finished ran again"
        at_work += bool(read_log(log)) and process.exitcode == -signal.SIGKILL
        done |= ran
        check_whole(folder)
    last = folder / "last.jsonl"
    process = start_process(folder, last)
    process.join()
    assert process.exitcode == 0
    assert not finished_nodes(last) & done
    check_whole(folder)
    assert len(list((folder / "out").glob("[0-9]*.png"))) == COUNT
    return at_work


def test_nothing_that_had_finished_is_lost_by_a_dozen_kills(tmp_path: Path) -> None:
    assert kill_until_done(tmp_path, scaled(12), seed=0) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 18))
def test_nothing_that_had_finished_is_lost_by_two_hundred_kills(tmp_path: Path, seed: int) -> None:
    assert kill_until_done(tmp_path, 12, seed) > 0
