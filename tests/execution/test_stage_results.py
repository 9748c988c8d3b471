"""The result of a stage is kept and recalled only if it was made of what its key says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Graph, Session, events
from sdgraph.execution.event_emitter import EventEmitter
from sdgraph.execution.plan_data import PlannedStage
from sdgraph.execution.results import Results
from sdgraph.execution.stage_results import StageResults
from sdgraph.graph import In, Node, Stage
from sdgraph.models import ModelCache, Models
from sdgraph.models.loading import devices
from sdgraph.store import LostRecordError, Store
from sdgraph.values import Part
from tests.support import fake_checkpoints, toys

KEY = b"k" * 16


@pytest.fixture(autouse=True)
def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "choose_device", lambda device: device)
    monkeypatch.setattr(devices, "give_back", lambda device, collect=True: None)


class Quoting(Node[str]):
    """A node with a stage that reads a text."""

    text: In[str]
    checkpoint: In[Checkpoint]
    mark: str = "."

    def parts(self) -> Mapping[str, Part]:
        assert isinstance(self.checkpoint, Checkpoint)
        return {"unet": Part(self.checkpoint, "unet")}

    def stages(self) -> Iterator[Stage]:
        assert isinstance(self.text, Node)
        yield Stage("prompt", {}, (), (self.text,))

    def run(self, text: str, checkpoint: Checkpoint, models: Models) -> str:
        return models.recall("prompt", text.encode).decode() + self.mark


def quote(folder: Path, source: Path, model: str, mark: str, change: str | None = None) -> Any:
    """What a new session quotes of a file, which is changed when its run has started."""

    def change_file(event: events.Event) -> None:
        if change is not None and isinstance(event, events.RunStarted):
            source.write_text(change)

    cache = ModelCache(fake_checkpoints.Loader(), probe=lambda device: 10**6, reserve=0)
    session = Session(device="cpu", dtype="float32", store=Store(folder=folder), models=cache)
    node = Quoting(text=toys.Read(path=source), checkpoint=Checkpoint(model), mark=mark)
    return session.run(Graph.of(node, names={node: "quote"}), change_file)["quote"]


def test_a_stage_that_read_a_file_that_changed_meanwhile_is_not_kept(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    weights = fake_checkpoints.safetensors(b"u")
    model = str(fake_checkpoints.checkpoint(tmp_path / "model", unet=weights))
    source = tmp_path / "text.txt"
    source.write_text("first")
    assert quote(folder, source, model, ".", change="second") == "second."
    source.write_text("first")
    assert quote(folder, source, model, "!") == "first!"


def test_a_result_of_other_values_than_the_run_has_read_is_not_recalled() -> None:
    text, store = toys.Text(text="a"), Store()
    store.put(KEY, b"of another text")
    remembered = store.get(KEY)
    plan = Session(device="cpu", store=store).plan(Graph.of(text))
    results = Results(store, EventEmitter(None))
    stages = StageResults(plan, results)
    known = PlannedStage("prompt", KEY, reads=(text,), remembered=remembered)
    alone = PlannedStage("prompt", KEY, remembered=remembered)
    results.alterations[text] = ["on the CPU"]
    with pytest.raises(LostRecordError, match="prompt was made of what has changed"):
        stages.find(known)
    assert stages.find(PlannedStage("prompt", KEY, reads=(text,))) is None
    assert stages.find(alone) == b"of another text"
