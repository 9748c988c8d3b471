"""The state of a training run on disk: one file with all of it, and a drawing of the curve.

The file appears whole or not at all, so a run that is killed at any moment goes on from the last
one. What is next to it (`curve.json`, `curve.png`, `samples/`) is for people and is never read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

from sdgraph.errors import MediaError, Problem, SdgraphError
from sdgraph.files import flush_to_disk, refuse_outside

STATE_FILE = "state.safetensors"

CHANGEABLE = ("save_every", "sample_every")
"""Settings that may change when a run goes on, because the weights do not depend on them."""


class ResumeError(SdgraphError):
    """The state in the folder is damaged, or belongs to a run with other settings."""


@dataclass
class Learner:
    """Parameters by name, and the optimizer (AdamW) that trains them, in the same order."""

    parameters: dict[str, Any]
    optimizer: Any


@dataclass
class State:
    """How far a run is.

    Args:
        student: The trainee's parameters and their optimizer.
        average: The averaged parameters, by name.
        adversary: The adversary's parameters and their optimizer.
        step: How many steps are done.
        saved: The step whose state is on disk, 0 for none.
        curve: The loss of each step.
    """

    student: Learner
    average: dict[str, Any]
    adversary: Learner | None = None
    step: int = 0
    saved: int = 0
    curve: list[float] = field(default_factory=list)

    @property
    def learners(self) -> dict[str, Learner]:
        """The learners, by what the names of their tensors begin with in the file."""
        return {"": self.student} | ({"adversary.": self.adversary} if self.adversary else {})


def load_state(
    folder: Path,
    settings: Mapping[str, Any],
    student: Learner,
    adversary: Learner | None = None,
    *,
    defaults: Mapping[str, Any],
) -> State:
    """Puts the state in a folder into the parameters and optimizers, or begins a new one.

    Args:
        folder: The folder, which is made where there is none.
        settings: The settings of this run, which must be those of the saved one.
        student: The trainee's parameters and their optimizer, which are changed.
        adversary: The adversary's, if there is one.
        defaults: The settings of saved runs whose files do not name them.

    Raises:
        ResumeError: The file cannot be read, or the saved run had other settings or other
            parameters; nothing is changed then.
        MediaError: The folder cannot be made.
    """
    _make_folder(folder)
    average = {name: value.detach().clone() for name, value in student.parameters.items()}
    state = State(student, average, adversary)
    path = folder / STATE_FILE
    if not path.is_file():
        return state
    tensors, note = _read(path)
    before, now = ({**defaults, **each} for each in (note["settings"], settings))
    _check_settings(folder, *(json.loads(json.dumps(each)) for each in (before, now)))
    _check_shapes(folder, tensors, state)
    for prefix, learner in state.learners.items():
        _restore(learner, tensors, prefix)
    for name, value in average.items():
        value.copy_(tensors[f"average/{name}"])
    state.step = state.saved = note["step"]
    state.curve = tensors["curve"].tolist()
    return state


def _make_folder(folder: Path) -> None:
    refuse_outside(folder)
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
    names = [name for name in (now | before) if name not in CHANGEABLE]
    changed = [name for name in names if before.get(name) != now.get(name)]
    if changed:
        changes = (f"{name} was {before.get(name)}, is {now.get(name)}" for name in changed)
        fix = "set them back, or choose another folder"
        found = f"a run with other settings ({', '.join(changes)})"
        raise ResumeError(Problem(str(folder), found, "the same settings to go on", fix))


def _check_shapes(folder: Path, tensors: Mapping[str, Any], state: State) -> None:
    wanted = {
        f"{prefix}now/{name}": tuple(value.shape)
        for prefix, learner in state.learners.items()
        for name, value in learner.parameters.items()
    }
    found = {name: tuple(value.shape) for name, value in tensors.items() if "now/" in name}
    names = wanted.keys() | found.keys()
    if differing := sorted(name for name in names if wanted.get(name) != found.get(name)):
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
    """Puts saved values into a learner.

    The optimizer's moments get the memory layout of their parameter, as the optimizer makes them.
    Each parameter has its own count of steps: one that was frozen at first has taken fewer.
    """
    import torch

    counts = tensors[f"{prefix}counts"].tolist()
    with torch.no_grad():
        for index, (name, value) in enumerate(learner.parameters.items()):
            value.copy_(tensors[f"{prefix}now/{name}"])
            if f"{prefix}first/{index}" not in tensors:
                continue
            learner.optimizer.state[value] = {
                "step": torch.tensor(counts[index], device=value.device),
                "exp_avg": torch.empty_like(value).copy_(tensors[f"{prefix}first/{index}"]),
                "exp_avg_sq": torch.empty_like(value).copy_(tensors[f"{prefix}second/{index}"]),
            }


def save_state(folder: Path, settings: Mapping[str, Any], state: State) -> None:
    """Writes the state whole or not at all, and the curve.

    Raises:
        MediaError: The disk does not take it.
    """
    import torch
    from safetensors.torch import save_file

    tensors = {"curve": torch.tensor(state.curve, dtype=torch.float64)}
    for name, value in state.average.items():
        tensors[f"average/{name}"] = value.contiguous()
    for prefix, learner in state.learners.items():
        tensors |= _tensors_of(learner, prefix)
    note = {"sdgraph": json.dumps({"settings": dict(settings), "step": state.step})}
    with (
        _write_errors(f"{folder}: the state of step {state.step}", state),
        _whole_file(folder / STATE_FILE, durable=True) as new,
    ):
        save_file(tensors, new, metadata=note)
    state.saved = state.step
    with _write_errors(f"{folder}: the curve", state):
        write_text(folder / "curve.json", json.dumps([round(value, 6) for value in state.curve]))
        draw_curve(state.curve, folder / "curve.png")


def _tensors_of(learner: Learner, prefix: str) -> dict[str, Any]:
    import torch

    tensors, counts = {}, torch.zeros(len(learner.parameters))
    for index, (name, value) in enumerate(learner.parameters.items()):
        tensors[f"{prefix}now/{name}"] = value.detach().contiguous()
        moments = learner.optimizer.state.get(value)
        if moments:  # the last layer of an encoder has none where the one before it is read
            counts[index] = float(moments["step"])
            tensors[f"{prefix}first/{index}"] = moments["exp_avg"].contiguous()
            tensors[f"{prefix}second/{index}"] = moments["exp_avg_sq"].contiguous()
    return {**tensors, f"{prefix}counts": counts}


def save_skipped(folder: Path, skipped: Mapping[str, str]) -> None:
    """Writes skipped.txt: a line for each picture that could not be read, and why.

    Raises:
        MediaError: The disk does not take it.
    """
    path = folder / "skipped.txt"
    try:
        write_text(path, "".join(f"{name}: {why}\n" for name, why in skipped.items()))
    except OSError as error:
        found = f"it cannot be written ({error})"
        fix = "the training's state is kept: make room and run again"
        raise MediaError(Problem(str(path), found, "a disk with room for it", fix)) from error


def save_sample(folder: Path, picture: Any, state: State) -> None:
    """Writes a sample of the current step.

    Raises:
        MediaError: The disk does not take it.
    """
    with _write_errors(f"{folder}: the sample of step {state.step}", state):
        path = folder / "samples" / f"{state.step:06d}.png"
        refuse_outside(path)
        path.parent.mkdir(exist_ok=True)
        _write_picture(path, picture)


@contextmanager
def _write_errors(subject: str, state: State) -> Iterator[None]:
    """Turns errors of the disk into MediaErrors about a subject, which say what is on disk."""
    from safetensors import SafetensorError  # raised where the disk is full

    try:
        yield
    except (OSError, SafetensorError) as error:
        kept = f"the state of step {state.saved} is kept" if state.saved else "no state was kept"
        found = f"it cannot be written ({error}); {kept}"
        fix = "make room and run again"
        raise MediaError(Problem(subject, found, "a disk with room for it", fix)) from error


def write_text(path: Path, text: str) -> None:
    """Writes a text whole or not at all."""
    with _whole_file(path) as new:
        new.write_text(text, encoding="utf-8")


def _write_picture(path: Path, picture: Any) -> None:
    """Writes a PNG whole or not at all."""
    # Pillow does not notice when a full disk cuts a write short, so it encodes in memory.
    picture.save(encoded := BytesIO(), "PNG")
    with _whole_file(path) as new:
        new.write_bytes(encoded.getbuffer())


@contextmanager
def _whole_file(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary path next to a file: renamed to it at the end, or removed after an exception.

    With `durable` the content is on the disk before the rename; only the state needs to be.
    """
    new = path.with_name(f".{path.name}.new")
    refuse_outside(new)
    try:
        yield new
        if durable:
            flush_to_disk(new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


def draw_curve(curve: list[float], path: Path, size: tuple[int, int] = (640, 320)) -> None:
    """Draws the loss over the steps, smoothed, with its highest, lowest and last value.

    Args:
        curve: The loss of each step.
        path: The picture to write.
        size: Its width and height in pixels.
    """
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
    _write_picture(path, picture)
