"""The state of a training run on disk: weights, averages, optimizer moments, step and curve."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdgraph.errors import MediaError, SdgraphError

NAME = "state.safetensors"


class ResumeRefused(SdgraphError):
    """The state in the folder belongs to a run with other settings."""


@dataclass
class State:
    """Where a run stands."""

    parameters: dict[str, Any]
    average: dict[str, Any]
    step: int = 0
    saved: int = 0
    curve: list[float] = field(default_factory=list)


def load_state(
    folder: Path, settings: Mapping[str, Any], parameters: dict[str, Any], optimizer: Any
) -> State:
    """The state in a folder put into the parameters and the optimizer, or a fresh one.

    Raises ResumeRefused where the saved run had other settings or other parameters.
    """
    average = {name: value.detach().clone() for name, value in parameters.items()}
    state = State(parameters, average)
    path = folder / NAME
    if not path.is_file():
        return state
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        note = json.loads(file.metadata()["sdgraph"])
        keys = set(file.keys())
        _check(folder, note["settings"], dict(settings), keys, parameters)
        import torch

        with torch.no_grad():
            for place, (name, value) in enumerate(parameters.items()):
                value.copy_(file.get_tensor(f"now/{name}"))
                average[name].copy_(file.get_tensor(f"average/{name}"))
                if f"first/{place}" in keys:
                    optimizer.state[value] = {
                        "step": torch.tensor(float(note["step"])),
                        "exp_avg": file.get_tensor(f"first/{place}").to(value.device),
                        "exp_avg_sq": file.get_tensor(f"second/{place}").to(value.device),
                    }
    state.step = state.saved = note["step"]
    state.curve = json.loads((folder / "curve.json").read_text())[: state.step]
    return state


def _check(
    folder: Path,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    keys: set[str],
    parameters: Mapping[str, Any],
) -> None:
    now = json.loads(json.dumps(now))
    for name in ("save_every", "sample_every"):
        before, now = ({k: v for k, v in each.items() if k != name} for each in (before, now))
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        told = ", ".join(f"{name} was {before.get(name)}, is {now[name]}" for name in changed)
        raise ResumeRefused(
            f"{folder}: found a run with other settings ({told}); wanted the same to go on: set "
            "them back, or choose another folder"
        )
    if {f"now/{name}" for name in parameters} - keys:
        raise ResumeRefused(
            f"{folder}: found the state of another network; wanted the one that is to be trained: "
            "choose another folder"
        )


def save_state(folder: Path, settings: Mapping[str, Any], state: State, optimizer: Any) -> None:
    """Writes the state whole or not at all; raises MediaError where the disk will not take it."""
    from safetensors.torch import save_file

    tensors = {}
    for place, (name, value) in enumerate(state.parameters.items()):
        tensors[f"now/{name}"] = value.detach().contiguous()
        tensors[f"average/{name}"] = state.average[name].contiguous()
        moments = optimizer.state.get(value)
        if moments:  # SDXL reads an encoder's last but one layer, so its last has no gradient
            tensors[f"first/{place}"] = moments["exp_avg"].contiguous()
            tensors[f"second/{place}"] = moments["exp_avg_sq"].contiguous()
    note = {"sdgraph": json.dumps({"settings": dict(settings), "step": state.step})}
    beside = folder / f".{NAME}.{os.getpid()}"
    try:
        save_file(tensors, beside, metadata=note)
        write_text(folder / "curve.json", json.dumps([round(value, 6) for value in state.curve]))
        beside.replace(folder / NAME)
    except Exception as error:
        # safetensors raises its own kind for a full disk.
        beside.unlink(missing_ok=True)
        raise MediaError(
            f"{folder}: the state of step {state.step} cannot be written ({error}); that of step "
            f"{state.saved} is kept: make room and run again"
        ) from error
    state.saved = state.step
    draw_curve(state.curve, folder / "curve.png")


def write_text(path: Path, text: str) -> None:
    """Writes a text whole or not at all."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
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
    values = np.asarray(curve, dtype=np.float64)
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
        (50, height - 18), f"loss (log), {len(values)} steps, last {smooth[-1]:.4g}", fill="black"
    )
    picture.save(path)
