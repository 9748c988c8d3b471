"""The state of a training run on disk: one file that holds all of it, and the curve drawn.

The file appears whole or not at all, so a run that is killed at any moment goes on from the last
one. What lies beside it (`curve.json`, `curve.png`, `samples/`) is for people and is never read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdgraph.errors import MediaError, Problem, SdgraphError

NAME = "state.safetensors"

FREE = ("save_every", "sample_every")
"""Settings that may change when a run goes on: they leave the weights as they are."""


class ResumeError(SdgraphError):
    """The state in the folder is damaged, or belongs to a run with other settings."""


@dataclass
class Learner:
    """Parameters by name, and the optimizer (AdamW) that moves them, in the same order."""

    parameters: dict[str, Any]
    optimizer: Any


@dataclass
class State:
    """Where a run stands: `step` steps are done, those up to `saved` are on disk."""

    student: Learner
    average: dict[str, Any]
    adversary: Learner | None = None
    step: int = 0
    saved: int = 0
    curve: list[float] = field(default_factory=list)

    @property
    def learners(self) -> dict[str, Learner]:
        """Who learns, by what their tensors' names begin with in the file."""
        return {"": self.student} | ({"adversary.": self.adversary} if self.adversary else {})


def load_state(
    folder: Path,
    settings: Mapping[str, Any],
    student: Learner,
    adversary: Learner | None = None,
    *,
    unsaid: Mapping[str, Any],
) -> State:
    """The state in a folder put into the parameters and the optimizers, or a fresh one.

    `unsaid` is what settings were in runs that do not speak of them.
    Raises ResumeError where the file cannot be read, or the saved run had other settings or
    other parameters; nothing is changed then. Makes the folder, or raises MediaError.
    """
    _make(folder)
    average = {name: value.detach().clone() for name, value in student.parameters.items()}
    state = State(student, average, adversary)
    path = folder / NAME
    if not path.is_file():
        return state
    tensors, note = _read(path)
    before, now = ({**unsaid, **each} for each in (note["settings"], settings))
    _check_settings(folder, *(json.loads(json.dumps(each)) for each in (before, now)))
    _check_shapes(folder, tensors, state)
    for prefix, learner in state.learners.items():
        _restore(learner, tensors, prefix)
    for name, value in average.items():
        value.copy_(tensors[f"average/{name}"])
    state.step = state.saved = note["step"]
    state.curve = tensors["curve"].tolist()
    return state


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = Problem(str(folder), f"it cannot be made ({error})", "a folder for the state")
        raise MediaError(problem) from error


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            note = json.loads(file.metadata()["sdgraph"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            missing = {"curve", "counts"} - set(tensors)
            if missing:
                raise ValueError(f"no {' and no '.join(sorted(missing))}")
            return tensors, note
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        found = f"a file that cannot be read ({error})"
        fix = "delete it to begin again, or choose another folder"
        raise ResumeError(Problem(str(path), found, "the state of a training run", fix)) from error


def _check_settings(folder: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    names = [name for name in (now | before) if name not in FREE]
    changed = [name for name in names if before.get(name) != now.get(name)]
    if changed:
        told = ", ".join(f"{name} was {before.get(name)}, is {now.get(name)}" for name in changed)
        fix = "set them back, or choose another folder"
        found = f"a run with other settings ({told})"
        raise ResumeError(Problem(str(folder), found, "the same settings to go on", fix))


def _check_shapes(folder: Path, tensors: Mapping[str, Any], state: State) -> None:
    wanted = {
        f"{prefix}now/{name}": tuple(value.shape)
        for prefix, learner in state.learners.items()
        for name, value in learner.parameters.items()
    }
    found = {name: tuple(value.shape) for name, value in tensors.items() if "now/" in name}
    if differing := sorted(
        k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k)
    ):
        name = differing[0]
        shapes = f"{found.get(name, 'none')}, not {wanted.get(name, 'none')}"
        differs = f"{len(differing)} parameters differ, {name.partition('/')[2]}: {shapes}"
        raise ResumeError(
            Problem(
                str(folder),
                f"the state of another network ({differs})",
                "that of the one to be trained",
                "choose another folder",
            )
        )


def _restore(learner: Learner, tensors: Mapping[str, Any], prefix: str) -> None:
    """Puts saved values in; moments get their parameter's own layout, as the optimizer makes them.

    Each parameter has a count of its own: one that was frozen at first has taken fewer steps.
    """
    import torch

    counts = tensors[f"{prefix}counts"].tolist()
    with torch.no_grad():
        for place, (name, value) in enumerate(learner.parameters.items()):
            value.copy_(tensors[f"{prefix}now/{name}"])
            if f"{prefix}first/{place}" not in tensors:
                continue
            learner.optimizer.state[value] = {
                "step": torch.tensor(counts[place], device=value.device),
                "exp_avg": torch.empty_like(value).copy_(tensors[f"{prefix}first/{place}"]),
                "exp_avg_sq": torch.empty_like(value).copy_(tensors[f"{prefix}second/{place}"]),
            }


def save_state(folder: Path, settings: Mapping[str, Any], state: State) -> None:
    """Writes the state whole or not at all; raises MediaError where the disk will not take it."""
    import torch
    from safetensors.torch import save_file

    tensors = {"curve": torch.tensor(state.curve, dtype=torch.float64)}
    for name, value in state.average.items():
        tensors[f"average/{name}"] = value.contiguous()
    for prefix, learner in state.learners.items():
        tensors |= _tensors_of(learner, prefix)
    note = {"sdgraph": json.dumps({"settings": dict(settings), "step": state.step})}
    beside = folder / f".{NAME}.new"
    with _writing(f"{folder}: the state of step {state.step}", state):
        try:
            save_file(tensors, beside, metadata=note)
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.replace(folder / NAME)
        finally:
            beside.unlink(missing_ok=True)
    state.saved = state.step
    with _writing(f"{folder}: the curve", state):
        write_text(folder / "curve.json", json.dumps([round(value, 6) for value in state.curve]))
        draw_curve(state.curve, folder / "curve.png")


def _tensors_of(learner: Learner, prefix: str) -> dict[str, Any]:
    import torch

    tensors, counts = {}, torch.zeros(len(learner.parameters))
    for place, (name, value) in enumerate(learner.parameters.items()):
        tensors[f"{prefix}now/{name}"] = value.detach().contiguous()
        moments = learner.optimizer.state.get(value)
        if moments:  # SDXL reads an encoder's last but one layer, so its last has no gradient
            counts[place] = float(moments["step"])
            tensors[f"{prefix}first/{place}"] = moments["exp_avg"].contiguous()
            tensors[f"{prefix}second/{place}"] = moments["exp_avg_sq"].contiguous()
    return {**tensors, f"{prefix}counts": counts}


def save_skipped(folder: Path, skipped: Mapping[str, str]) -> None:
    """Writes skipped.txt: a line for each picture that could not be read, and why.

    Raises MediaError where the disk will not take it.
    """
    path = folder / "skipped.txt"
    try:
        write_text(path, "".join(f"{name}: {why}\n" for name, why in skipped.items()))
    except OSError as error:
        found = f"it cannot be written ({error})"
        fix = "the training's state is kept: make room and run again"
        raise MediaError(Problem(str(path), found, "a disk with room for it", fix)) from error


def save_sample(folder: Path, picture: Any, state: State) -> None:
    """Keeps a picture of how far a run is; raises MediaError where the disk will not take it."""
    with _writing(f"{folder}: the sample of step {state.step}", state):
        (folder / "samples").mkdir(exist_ok=True)
        picture.save(folder / "samples" / f"{state.step:06d}.png")


@contextmanager
def _writing(what: str, state: State) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:  # the second is how it tells of a full disk
        kept = f"the state of step {state.saved} is kept" if state.saved else "no state was kept"
        found = f"it cannot be written ({error}); {kept}"
        fix = "make room and run again"
        raise MediaError(Problem(str(what), found, "a disk with room for it", fix)) from error


def write_text(path: Path, text: str) -> None:
    """Writes a text whole or not at all."""
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def draw_curve(curve: list[float], path: Path, size: tuple[int, int] = (640, 320)) -> None:
    """The loss over the steps as a picture, smoothed, with its first and last value."""
    import numpy as np
    from PIL import Image, ImageDraw

    width, height = size
    values = np.asarray(curve or [1.0], dtype=np.float64)
    window = max(1, len(values) // 100)
    smooth = np.convolve(values, np.ones(window) / window, mode="valid")
    logs = np.log10(np.maximum(smooth, 1e-8))
    low, high = float(logs.min()), float(logs.max())
    span = (high - low) or 1.0
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    xs = np.linspace(50, width - 10, len(logs))
    ys = 20 + (high - logs) / span * (height - 50)
    if len(logs) > 1:
        draw.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=(30, 80, 200), width=2)
    draw.text((5, 12), f"{10**high:.3g}", fill="black")
    draw.text((5, height - 35), f"{10**low:.3g}", fill="black")
    draw.text(
        (50, height - 18), f"loss (log), {len(curve)} steps, last {smooth[-1]:.4g}", fill="black"
    )
    picture.save(path)
