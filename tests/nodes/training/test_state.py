"""The state on disk: whole or not at all, and only for the run it belongs to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sdgraph.errors import MediaError
from sdgraph.nodes.training.loop import train
from sdgraph.nodes.training.state import STATE_FILE, ResumeError, draw_curve
from tests.support.toy_training import STEPS, Duel, Line, equal, settings, train_toy


class Killed(BaseException):
    """The process was killed."""


def fail_at(number: int, error: BaseException, original: Any) -> Any:
    """A function that does its work until it is called for the `number`th time."""
    calls = iter(range(1, 1000))

    def called(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            raise error
        return original(*arguments, **named)

    return called


FULL = OSError(28, "No space left on device")


@pytest.mark.parametrize("where", ["os.fsync", "safetensors.torch.save_file"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_run_killed_while_it_writes_goes_on_from_the_state_before(
    where: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = train_toy(Duel, tmp_path / "whole")
    library, name = where.rsplit(".", 1)
    with monkeypatch.context() as patched:
        original = getattr(__import__(library, fromlist=[name]), name)
        patched.setattr(where, fail_at(number, Killed(), original))
        with pytest.raises(Killed):
            train_toy(Duel, tmp_path / "cut")
    steps: list[int] = []
    weights, _ = train_toy(Duel, tmp_path / "cut", lambda step, _, **__: steps.append(step))
    assert steps[0] == 4 * (number - 1) + 1
    assert equal(weights, expected)


@pytest.mark.parametrize("where", ["write_text", "draw_curve", "save_sample"])
def test_a_run_killed_between_its_files_goes_on(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = train_toy(Line, tmp_path / "whole")
    place = "loop" if where == "save_sample" else "state"
    with monkeypatch.context() as patched:
        patched.setattr(f"sdgraph.nodes.training.{place}.{where}", fail_at(1, Killed(), None))
        with pytest.raises(Killed):
            train_toy(Line, tmp_path / "cut")
    weights, _ = train_toy(Line, tmp_path / "cut")
    assert equal(weights, expected)
    for name in ("curve.json", STATE_FILE):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_a_killed_run_left_half_written_disturbs_no_later_run(tmp_path: Path) -> None:
    (tmp_path / f".{STATE_FILE}.new").write_bytes(b"half")
    train_toy(Line, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "curve.json",
        "curve.png",
        "samples",
        STATE_FILE,
    ]


@pytest.mark.parametrize(
    "where",
    [
        "safetensors.torch.save_file",
        "sdgraph.nodes.training.state.write_text",
        "PIL.Image.Image.save",
    ],
)
def test_a_full_disk_is_said_and_loses_no_state(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    expected, _ = train_toy(Line, tmp_path / "whole", save_every=2)
    original = save_file if where.endswith("save_file") else lambda *_, **__: None
    with monkeypatch.context() as patched:
        patched.setattr(where, fail_at(3, FULL, original))
        with pytest.raises(MediaError) as failed:
            train_toy(Line, tmp_path / "full", save_every=2)
    text = str(failed.value)
    assert "cannot be written" in text
    assert "No space left on device" in text
    assert "make room and run again" in text
    assert f"the state of step {4 if where.endswith('save_file') else 6} is kept" in text
    assert [p for p in (tmp_path / "full").iterdir() if p.name.startswith(".")] == []
    weights, _ = train_toy(Line, tmp_path / "full", save_every=2)
    assert equal(weights, expected)


def test_a_full_disk_at_the_first_state_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError

    full = fail_at(1, SafetensorError("I/O error: No space left on device"), None)
    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(MediaError, match=r"step 4\n.* cannot be written .*; no state was kept"):
        train_toy(Line, tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1),
        ("steps", 13),
        ("batch", 6),
        ("learning_rate", 0.01),
        ("betas", (0.5, 0.9)),
        ("weight_decay", 0.1),
        ("ema", 0.5),
        ("clip", 2.0),
        ("warmup", 4),
    ],
)
def test_other_settings_are_refused_and_the_state_stays(
    name: str, value: Any, tmp_path: Path
) -> None:
    train_toy(Line, tmp_path)
    before = (tmp_path / STATE_FILE).read_bytes()
    with pytest.raises(ResumeError, match=rf"{name} was .*, is (.|\n)*choose another folder"):
        train_toy(Line, tmp_path, **{name: value})
    assert (tmp_path / STATE_FILE).read_bytes() == before


def test_how_often_it_is_saved_may_change(tmp_path: Path) -> None:
    train_toy(Line, tmp_path)
    train_toy(Line, tmp_path, save_every=5, sample_every=5)


def test_other_data_is_refused(tmp_path: Path) -> None:
    train_toy(Line, tmp_path)
    other = Line(settings())
    other.identity = {"data": "a circle"}
    with pytest.raises(ResumeError, match="data was a line, is a circle"):
        train(other, other.settings, tmp_path)


def edit_settings(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrites what a state says of its settings."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, "pt") as file:
        note = json.loads(file.metadata()["sdgraph"])
    change(note["settings"])
    save_file(load_file(path), path, metadata={"sdgraph": json.dumps(note)})


def test_a_setting_that_a_run_does_not_record_had_its_default(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_toy(Line, tmp_path, fail_at(6, KeyboardInterrupt(), lambda *_, **__: None))
    edit_settings(tmp_path / STATE_FILE, lambda settings: settings.pop("timestep_bias"))
    with pytest.raises(ResumeError, match=r"timestep_bias was 1\.0, is 1\.5"):
        train_toy(Line, tmp_path, timestep_bias=1.5)
    weights, _ = train_toy(Line, tmp_path)
    assert equal(weights, train_toy(Line, tmp_path / "whole")[0])


def test_a_setting_that_only_one_of_two_runs_records_is_a_difference(tmp_path: Path) -> None:
    train_toy(Line, tmp_path)
    based = Line(settings())
    based.identity = {"data": "a line", "base": "another line"}
    with pytest.raises(ResumeError, match="base was None, is another line"):
        train(based, based.settings, tmp_path)
    edit_settings(tmp_path / STATE_FILE, lambda settings: settings.update(base="another line"))
    with pytest.raises(ResumeError, match="base was another line, is None"):
        train_toy(Line, tmp_path)


@pytest.mark.parametrize("name", ["curve", "counts"])
def test_a_state_that_lacks_a_part_is_refused(name: str, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    train_toy(Line, tmp_path)
    with safe_open(tmp_path / STATE_FILE, "pt") as file:
        note = file.metadata()
    tensors = load_file(tmp_path / STATE_FILE)
    del tensors[name]
    save_file(tensors, tmp_path / STATE_FILE, metadata=note)
    with pytest.raises(ResumeError, match=rf"no {name}(.|\n)*delete it to begin again"):
        train_toy(Line, tmp_path)


@pytest.mark.parametrize(("first", "second"), [(Line, Duel), (Duel, Line)])
def test_another_network_is_refused(first: Any, second: Any, tmp_path: Path) -> None:
    train_toy(first, tmp_path)
    with pytest.raises(ResumeError, match="another network"):
        train_toy(second, tmp_path)


def test_a_network_of_other_shapes_is_refused_with_both(tmp_path: Path) -> None:
    import torch

    train_toy(Line, tmp_path)
    other = Line(settings())
    other.net[2] = torch.nn.Linear(6, 1)
    with pytest.raises(ResumeError, match=r"net\.2\.bias: \(3,\), not \(1,\)"):
        train(other, other.settings, tmp_path)


@pytest.mark.parametrize("damage", [b"", b"nothing of the kind", None])
def test_a_damaged_state_is_refused(damage: bytes | None, tmp_path: Path) -> None:
    train_toy(Line, tmp_path)
    path = tmp_path / STATE_FILE
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    with pytest.raises(ResumeError, match="delete it to begin again"):
        train_toy(Line, tmp_path)


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, tmp_path / STATE_FILE)
    with pytest.raises(ResumeError, match="wanted: the state of a training"):
        train_toy(Line, tmp_path)


def test_the_curve_on_disk_is_for_people_alone(tmp_path: Path) -> None:
    train_toy(Line, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_toy(Line, tmp_path / "cut", fail_at(6, KeyboardInterrupt(), lambda *_, **__: None))
    (tmp_path / "cut" / "curve.json").write_text("spoilt")
    train_toy(Line, tmp_path / "cut")
    data = json.loads((tmp_path / "cut" / "curve.json").read_text())
    assert len(data) == STEPS
    assert data == json.loads((tmp_path / "whole" / "curve.json").read_text())


@pytest.mark.parametrize("curve", [[], [0.5], [0.0, 0.0], [1.0, 0.1, 0.01] * 200])
def test_any_curve_can_be_drawn(curve: list[float], tmp_path: Path) -> None:
    draw_curve(curve, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.size == (640, 320)
