"""The training loop: the same weights from one seed, however often a run was interrupted."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as how_often
from hypothesis import strategies as st
from PIL import Image

from sdgraph.errors import MediaError
from sdgraph.nodes.training.averaging import use_averaged_weights
from sdgraph.nodes.training.loop import TrainingStoppedError, generator_for, train
from tests.support.toy_training import STEPS, Duel, Line, Toy, equal, settings, train_toy

BOTH = pytest.mark.parametrize("toy", [Line, Duel])


class StoppedError(Exception):
    """The user pressed Ctrl-C."""


class Killed(BaseException):
    """The process was killed."""


def stopping_at(stop: int) -> Any:
    def progress(step: int, total: int, **_: Any) -> None:
        assert total == STEPS
        if step == stop:
            raise StoppedError

    return progress


def trainee_killed_at(toy: Toy, stop: int) -> Toy:
    """The toy, in a process that dies in the middle of a step."""

    def make_trainee(chosen: Any) -> Line:
        trainee = toy(chosen)
        original = trainee.loss

        def loss(step: int) -> Any:
            if step == stop:
                raise Killed
            return original(step)

        trainee.loss = loss  # type: ignore[method-assign]
        return trainee

    return make_trainee


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[Toy, Any]:
    return {toy: train_toy(toy, tmp_path_factory.mktemp("whole")) for toy in (Line, Duel)}


@BOTH
def test_two_runs_with_one_seed_make_the_same_weights(
    toy: Toy, uninterrupted: dict[Toy, Any], tmp_path: Path
) -> None:
    averages, ends = train_toy(toy, tmp_path)
    assert equal(averages, uninterrupted[toy][0])
    assert equal(ends, uninterrupted[toy][1])
    assert not equal(averages, train_toy(toy, tmp_path / "other", seed=1)[0])


@BOTH
@given(
    stops=st.lists(st.tuples(st.booleans(), st.integers(1, STEPS)), min_size=1, max_size=3),
    save_every=st.integers(1, STEPS + 1),
)
@how_often(max_examples=20, deadline=None)
def test_an_interrupted_run_makes_the_same_weights(
    toy: Toy, uninterrupted: dict[Toy, Any], stops: list[tuple[bool, int]], save_every: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for politely, stop in stops:
            try:
                if politely:
                    train_toy(toy, folder, stopping_at(stop), save_every=save_every)
                else:
                    train_toy(trainee_killed_at(toy, stop), folder, save_every=save_every)
            except (StoppedError, Killed):
                continue
        averages, ends = train_toy(toy, folder, save_every=save_every)
        curve = json.loads((folder / "curve.json").read_text())
    assert equal(averages, uninterrupted[toy][0])
    assert equal(ends, uninterrupted[toy][1])
    assert len(curve) == STEPS


def test_a_stopped_run_loses_no_step(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train_toy(Line, tmp_path, stopping_at(7), save_every=100)
    steps: list[int] = []
    train_toy(Line, tmp_path, lambda step, _, **__: steps.append(step))
    assert steps == list(range(8, STEPS + 1))


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, _ = train_toy(Duel, tmp_path)
    steps: list[int] = []
    again, _ = train_toy(Duel, tmp_path, lambda step, _, **__: steps.append(step))
    assert equal(first, again)
    assert steps == []


def test_what_others_draw_changes_nothing_and_is_not_changed(
    uninterrupted: dict[Toy, Any], tmp_path: Path
) -> None:
    import torch

    torch.manual_seed(77)
    before = torch.random.get_rng_state()
    averages, _ = train_toy(Line, tmp_path, lambda *_, **__: torch.rand(3))
    assert equal(averages, uninterrupted[Line][0])
    assert torch.equal(torch.random.get_rng_state(), before)


@BOTH
def test_the_loss_falls(toy: Toy, tmp_path: Path) -> None:
    train_toy(toy, tmp_path, steps=150, warmup=0, save_every=150, sample_every=150)
    curve = json.loads((tmp_path / "curve.json").read_text())
    assert np.mean(curve[-20:]) < 0.8 * np.mean(curve[:20])


def test_a_loss_that_is_no_number_stops_with_the_last_good_state(tmp_path: Path) -> None:
    import torch

    chosen = settings()
    toy = Line(chosen, wrong_at=10)
    with pytest.raises(TrainingStoppedError) as stopped:
        train(toy, chosen, tmp_path)
    assert "the loss became nan at step 11; the state of step 8 is kept" in str(stopped.value)
    assert all(torch.isfinite(value).all() for value in toy.net.state_dict().values())
    steps: list[int] = []
    train(Line(chosen), chosen, tmp_path, lambda step, _, **__: steps.append(step))
    assert steps[0] == 9


def test_a_gradient_that_is_no_number_never_reaches_the_weights(tmp_path: Path) -> None:
    import torch

    class Steep(Line):
        def loss(self, step: int) -> Any:
            loss = super().loss(step)
            # A root of 0 is 0, and infinitely steep there.
            return loss + (self.net[2].bias[0] * 0).sqrt() if step == 3 else loss

    toy = Steep(settings(save_every=1))
    with pytest.raises(
        TrainingStoppedError, match=r"the gradient became nan at step 4; .* step 3 is"
    ):
        train(toy, toy.settings, tmp_path)
    assert all(torch.isfinite(value).all() for value in toy.net.state_dict().values())


def test_nothing_saved_yet_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingStoppedError, match="no state was kept yet"):
        train(Line(settings(), wrong_at=0), settings(), tmp_path)


def test_an_adversary_that_goes_astray_stops_it_too(tmp_path: Path) -> None:
    toy = Duel(settings())
    toy.adversary.learning_rate = 1e38
    with pytest.raises(TrainingStoppedError):
        train(toy, toy.settings, tmp_path)


def test_the_curve_and_samples_are_drawn(tmp_path: Path) -> None:
    train_toy(Line, tmp_path)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "000006.png",
        "000012.png",
    ]
    with Image.open(tmp_path / "curve.png") as curve:
        assert curve.size == (640, 320)


def test_samples_are_made_with_the_average_and_leave_the_weights() -> None:
    import torch

    value = torch.tensor([1.0, 2.0])
    with use_averaged_weights({"a": value}, {"a": torch.tensor([5.0, 6.0])}):
        assert value.tolist() == [5.0, 6.0]
    assert value.tolist() == [1.0, 2.0]


def test_a_full_disk_while_stopping_does_not_hide_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(StoppedError) as stopped:
        train_toy(Line, tmp_path, stopping_at(2))
    assert "No space left" in "".join(stopped.value.__notes__)


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="cannot be made"):
        train_toy(Line, tmp_path / "file" / "training")


def test_the_rate_rises_then_falls_to_a_fiftieth() -> None:
    chosen = settings(steps=1000, warmup=10, learning_rate=1.0)
    rates = [chosen.rate_at(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9]
    assert rates[-1] == pytest.approx(0.02)


def test_no_two_steps_draw_alike() -> None:
    import torch

    numbers = {
        torch.rand(1, generator=generator_for(seed, step, stream)).item()
        for seed in range(3)
        for step in range(20)
        for stream in (0, 1, 100)
    }
    assert len(numbers) == 180
