"""What a training over a user's own folder reports: the loss, and what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import InvalidWorkflowError, MediaError, NodeFailedError
from sdgraph.events import Event, Stepped
from sdgraph.nodes.tiny_world import describe_scene, random_scene, render_scene
from sdgraph.nodes.training.loop import SMOOTH, TrainingStoppedError
from sdgraph.nodes.training.picture_folder import PictureFolder
from sdgraph.nodes.training.procedure import Training
from sdgraph.nodes.training.state import STATE_FILE
from sdgraph.nodes.training.text_to_image import TextToImageTrainee, TrainText2Image
from sdgraph.nodes.training.vae import TrainVae, VaeTrainee
from tests.support.toy_training import Line, train_toy

BASE = Checkpoint("tiny/text-to-image")
SIDE = 32


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of four captioned pictures, one of which cannot be read."""
    for cls in (TextToImageTrainee, VaeTrainee):
        monkeypatch.setattr(cls, "sample", lambda _: None)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(4):
        path = folder / f"{number}.png"
        Image.fromarray(render_scene(random_scene(number), SIDE)).save(path)
        path.with_suffix(".txt").write_text(describe_scene(random_scene(number)))
    (folder / "2.png").write_bytes(b"no picture")
    return folder


def training(cls: type[Training], pictures: Path, **more: Any) -> Training:
    fields = {"steps": 2, "batch": 1, "out": str(pictures.parent / "out"), **more}
    if cls is TrainText2Image:
        fields = {"base": BASE, **fields}
    return cls(data=PictureFolder(path=str(pictures), side=SIDE), **fields)


def steps_of(node: Training, session: Session) -> list[Stepped]:
    steps: list[Stepped] = []

    def listen(event: Event) -> None:
        if isinstance(event, Stepped):
            steps.append(event)

    run(node, session=session, on_event=listen)
    return steps


@pytest.mark.parametrize("cls", [TrainText2Image, TrainVae])
def test_a_picture_that_cannot_be_read_is_counted_and_named_at_the_end(
    cls: type[Training], pictures: Path, session: Session
) -> None:
    *steps, last = steps_of(training(cls, pictures), session)
    assert [step.step for step in steps] == [1, 2]
    assert all(step.note is None and step.loss is not None for step in steps)
    assert (last.step, last.total, last.loss) == (2, 2, None)
    kept = pictures.parent / "out" / "training" / "skipped.txt"
    assert last.note == (
        f"1 of 4 pictures could not be read and were left out: 2.png (why: {kept})"
    )
    assert kept.read_text() == "2.png: a file that is not a picture\n"


def test_where_all_can_be_read_nothing_is_said(pictures: Path, session: Session) -> None:
    (pictures / "2.png").unlink()
    assert all(step.note is None for step in steps_of(training(TrainText2Image, pictures), session))
    assert not (pictures.parent / "out" / "training" / "skipped.txt").exists()


def test_many_are_not_all_named_in_the_line(pictures: Path, session: Session) -> None:
    for name in "abcde":
        (pictures / f"{name}.png").write_bytes(b"")
        (pictures / f"{name}.txt").write_text("a red star")
    note = str(steps_of(training(TrainVae, pictures), session)[-1].note)
    assert note.startswith("6 of 9 pictures could not be read")
    assert "left out: 2.png, a.png, b.png, … (why: " in note


def failing(node: Training, session: Session) -> BaseException:
    with pytest.raises(NodeFailedError) as failed:
        run(node, session=session)
    assert failed.value.__cause__ is not None
    return failed.value.__cause__


def test_a_caption_of_unknown_words_is_reported_before_a_step(
    pictures: Path, session: Session
) -> None:
    (pictures / "1.txt").write_text("a lighthouse on a navy background")
    with pytest.raises(InvalidWorkflowError) as caught:
        run(training(TrainText2Image, pictures), session=session)
    assert "does not know: lighthouse\n" in str(caught.value)
    assert not (pictures.parent / "out").exists()


def nan_from_call(number: int, loss: Callable[..., Any]) -> Callable[..., Any]:
    """A loss that is no number from its `number`th call on."""
    calls = iter(range(1, 1000))
    return lambda *arguments: loss(*arguments) * (float("nan") if next(calls) >= number else 1.0)


def test_a_loss_that_is_no_number_stops_and_what_was_reached_is_kept(
    pictures: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = training(TrainText2Image, pictures, steps=3)
    often = node.settings()
    with monkeypatch.context() as patched:
        patched.setattr(TextToImageTrainee, "loss", nan_from_call(3, TextToImageTrainee.loss))
        patched.setattr(Training, "settings", lambda _, **__: replace(often, save_every=2))
        error = failing(node, session)
    assert isinstance(error, TrainingStoppedError)
    assert "the loss became nan at step 3; the state of step 2 is kept" in str(error)
    assert [step.step for step in steps_of(node, session) if step.note is None] == [3]


def test_a_full_disk_at_the_checkpoint_keeps_the_state(
    pictures: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    node = training(TrainText2Image, pictures)
    with monkeypatch.context() as patched:
        patched.setattr("sdgraph.nodes.training.saving.write_weights", full)
        error = failing(node, session)
    assert isinstance(error, MediaError)
    assert "No space left on device" in str(error)
    assert "the training's state is kept: make room and run again" in str(error)
    out = pictures.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == ["training"]
    assert (out / "training" / STATE_FILE).is_file()
    assert [step.step for step in steps_of(node, session)] == [2]  # the note alone: no step again
    assert (out / "checkpoint" / "model_index.json").is_file()


def test_a_full_disk_at_the_list_of_pictures_is_reported(
    pictures: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text = Path.write_text

    def full(path: Path, *arguments: Any, **named: Any) -> int:
        if "skipped" in path.name:
            raise OSError(28, "No space left on device")
        return write_text(path, *arguments, **named)

    monkeypatch.setattr(Path, "write_text", full)
    error = failing(training(TrainVae, pictures), session)
    assert isinstance(error, MediaError)
    assert "skipped.txt\n  found:  it cannot be written" in str(error)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"steps": 3}, "steps was 2, is 3"),
        ({"learning_rate": 0.1}, "learning_rate was"),
        ({"seed": 1}, "seed was 0, is 1"),
        ({"batch": 2}, "batch was 1, is 2"),
    ],
)
def test_a_run_does_not_go_on_with_other_settings(
    other: dict[str, Any], message: str, pictures: Path, session: Session
) -> None:
    run(training(TrainText2Image, pictures), session=session)
    assert message in str(failing(training(TrainText2Image, pictures, **other), session))


def test_the_reported_loss_is_the_mean_of_the_last_hundred(tmp_path: Path) -> None:
    import json

    losses: list[float] = []

    def progress(step: int, total: int, *, loss: float | None = None, **_: Any) -> None:
        assert loss is not None
        losses.append(loss)

    train_toy(Line, tmp_path, progress, steps=SMOOTH + 30, save_every=1000, sample_every=1000)
    curve = json.loads((tmp_path / "curve.json").read_text())
    assert losses[0] == pytest.approx(curve[0], abs=1e-6)
    assert losses[9] == pytest.approx(sum(curve[:10]) / 10, abs=1e-6)
    assert losses[-1] == pytest.approx(sum(curve[-SMOOTH:]) / SMOOTH, abs=1e-6)
