"""Weight files that are cut short are refused by the plan; those that change later, by the run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sdgraph import events, plan, run
from sdgraph.cli import main
from sdgraph.errors import CheckpointError, InvalidWorkflowError, NodeFailedError
from sdgraph.execution import Session
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache
from sdgraph.models.sources.shipped import shipped_folder
from tests.support import fake_checkpoints, toys


@pytest.fixture
def model(tmp_path: Path) -> Path:
    weights = {name: fake_checkpoints.safetensors(name.encode() * 9) for name in ("unet", "vae")}
    return fake_checkpoints.checkpoint(tmp_path / "model", **weights)


def dream(model: Path, prompt: str = "") -> toys.Dream:
    return toys.Dream(prompt=prompt, checkpoint=str(model))  # type: ignore[arg-type]


@pytest.mark.torch
@pytest.mark.parametrize("part", ["unet", "vae"])
@pytest.mark.parametrize("change", ["replaced", "removed", "another config"])
def test_a_file_that_changes_between_plan_and_load_stops_the_run(
    model: Path, part: str, change: str
) -> None:
    name = "config.json" if change == "another config" else fake_checkpoints.WEIGHTS
    path = model / part / name

    def meddle(event: events.Event) -> None:
        if isinstance(event, events.NodeStarted):
            before = path.read_bytes()
            path.unlink()
            if change != "removed":
                path.write_bytes(before.replace(b"e", b"E"))  # as long as before

    loader = fake_checkpoints.Loader()
    session = Session(device="cpu", models=ModelCache(loader))
    with pytest.raises(NodeFailedError) as caught:
        run(dream(model), session=session, on_event=meddle)
    assert isinstance(caught.value.__cause__, CheckpointError)
    problem = caught.value.__cause__.problems[0]
    assert problem.subject == str(path)
    assert ("removed" if change == "removed" else "changed") in problem.found
    assert "run again" in problem.fix
    assert loader.loaded == [] and session.models.loaded() == ()


@pytest.mark.torch
def test_the_next_run_takes_the_file_as_it_is_then(model: Path) -> None:
    loader = fake_checkpoints.Loader()
    session = Session(device="cpu", models=ModelCache(loader))
    run(dream(model), session=session)
    (model / "vae" / fake_checkpoints.WEIGHTS).write_bytes(fake_checkpoints.safetensors(b"other"))
    run(dream(model), session=session)
    assert [Path(name).name for name in loader.loaded] == ["unet", "vae", "vae"]


@pytest.mark.torch
def test_what_is_loaded_needs_its_file_no_more(model: Path) -> None:
    session = Session(
        device="cpu", models=ModelCache(fake_checkpoints.Loader(), budgets=Budgets(10**9, 10**9))
    )
    run(dream(model), session=session)

    def meddle(event: events.Event) -> None:
        if isinstance(event, events.NodeStarted):
            (model / "vae" / fake_checkpoints.WEIGHTS).unlink()

    run(dream(model, prompt="again"), session=session, on_event=meddle)
    assert fake_checkpoints.names(session.models.loaded()) == ["unet", "vae"]


def test_a_file_cut_short_is_refused_when_it_is_planned(model: Path) -> None:
    path = model / "vae" / fake_checkpoints.WEIGHTS
    contents = path.read_bytes()
    path.write_bytes(contents[:-1])
    with pytest.raises(InvalidWorkflowError) as caught:
        plan(dream(model))
    (problem,) = caught.value.problems
    assert problem.subject == "dream.checkpoint"
    assert problem.found == f"{path}: {len(contents) - 1} bytes: it is cut short"
    assert problem.wanted == f"{len(contents)} bytes"
    assert problem.fix == "download or copy it again"


def test_the_command_refuses_a_file_cut_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(shipped_folder("tiny/text-to-image"), tmp_path / "model")
    path = folder / "unet" / fake_checkpoints.WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])
    flow = tmp_path / "flow.yaml"
    node = "{type: Text2Image, prompt: a red star, checkpoint: ./model}"
    flow.write_text(f"nodes:\n  star: {node}\n")
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(flow)])
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "it is cut short" in message and "download or copy it again" in message
