"""Sessions and runs of the command line write what they hold, as often as it changes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from sdgraph.cli import main
from sdgraph.execution import Session
from sdgraph.graph import Graph
from sdgraph.models import ModelCache
from sdgraph.models.loading import process_records
from sdgraph.values import Checkpoint
from tests.support import fake_checkpoints, toys

from .test_process_records import home, model, parts

__all__ = ["home", "model"]


def test_sessions_write_what_they_hold_by_default() -> None:
    assert isinstance(Session().models.watch, process_records.ProcessRecord)
    assert Session().models.watch is not Session().models.watch


@pytest.mark.torch
def test_a_run_of_the_command_line_writes_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = tmp_path / "pack.py"
    pack.write_text(
        "from sdgraph.nodes import Turbo\n"
        "from sdgraph.models.loading.process_records import held_components\n"
        "class Peeking(Turbo):\n"
        "    def offload_modules(self, pipe, models):\n"
        "        print(*sorted(f'{row.name}: {row.why}' for row in held_components()), sep='\\n')\n"
        "        return super().offload_modules(pipe, models)\n"
    )
    flow = tmp_path / "flow.yaml"
    flow.write_text("nodes:\n  star: {type: Peeking, prompt: a red star, steps: 1}\n")
    with pytest.raises(SystemExit) as ended:
        main(["run", str(flow), "--nodes", str(pack), "--device", "cpu", "--quiet"])
    assert ended.value.code == 0
    assert "tiny/turbo/unet: used by a run\n" in capsys.readouterr().out


@pytest.mark.torch
def test_within_a_run_a_record_is_written_no_oftener_than_memory_changes(
    home: Path, model: Path
) -> None:
    class Counting(process_records.ProcessRecord):
        def _write(self, rows: list[tuple[object, ...]]) -> None:
            written.append([str(row[3]) for row in rows])
            super()._write(rows)

    written: list[list[str]] = []
    cache = ModelCache(fake_checkpoints.Loader(), watch=Counting())
    session = Session(device="cpu", dtype="float32", models=cache, store=None)
    node = toys.Dream(prompt="0", checkpoint=Checkpoint(model))
    for number in range(1, 20):
        node = toys.Dream(prompt=node, checkpoint=Checkpoint(model), steps=number)
    for loads in (2, 0):
        written.clear()
        session.run(Graph.of(node))
        assert len(written) == loads + 2
        assert written[-2:] == [["used by a run"] * 2, ["kept until its memory is needed"] * 2]
    assert [row.why for row in process_records.held_components()] == [
        "kept until its memory is needed"
    ] * 2


def test_a_change_of_the_reason_alone_is_written_a_moment_later(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Counting(process_records.ProcessRecord):
        def _write(self, rows: list[tuple[object, ...]]) -> None:
            written.append([str(row[3]) for row in rows])
            super()._write(rows)

    monkeypatch.setattr(process_records, "DELAY_S", 0.1)
    written: list[list[str]] = []
    cache = ModelCache(fake_checkpoints.Loader(), watch=Counting())
    for _ in range(3):
        with cache.lease(parts(model, "unet", "vae"), "cpu", "float32"):
            pass
    assert len(written) == 2, "one for each load, none for each lease"
    with cache.lease(parts(model, "unet", "vae"), "cpu", "float32"):
        until = time.monotonic() + 10
        while len(written) == 2 and time.monotonic() < until:
            time.sleep(0.01)
    assert written[2:] == [["leased by 1 node"] * 2]
    cache.unload()
    assert process_records.held_components() == ()
