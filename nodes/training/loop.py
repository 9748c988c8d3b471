"""The training loop that every procedure shares: schedule, averaging, resume, curve, samples.

What a step draws depends on the seed and the step's number alone, so a run that is killed and
resumed makes the same weights as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from sdgraph.errors import SdgraphError

from .state import State, load_state, save_state

Progress = Callable[[int, int], None]


class TrainingStopped(SdgraphError):
    """Training cannot go on; what was reached is kept."""


@dataclass(frozen=True)
class Settings:
    """How long and how fast; the learning rate warms up, then decays linearly to a fiftieth."""

    steps: int
    batch: int
    learning_rate: float
    seed: int = 0
    warmup: int = 100
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    ema: float = 0.999
    """How much of the averaged weights is kept at each step; 0 averages nothing."""
    save_every: int = 500
    sample_every: int = 1_000

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.learning_rate * rising * max(0.02, 1 - step / self.steps)

    def ema_at(self, step: int) -> float:
        """The decay of a step: young averages forget faster."""
        return min(self.ema, (1 + step) / (10 + step))


class Trainee(Protocol):
    """One procedure: what is trained, and how far off it is on a batch."""

    @property
    def modules(self) -> Mapping[str, Any]:
        """The modules that are trained, by name."""

    def loss(self, step: int) -> Any:
        """The loss on the batch of a step, a scalar tensor."""

    def sample(self) -> Any:
        """A picture of how far it is (Pillow), made with the weights in `modules`; or None."""


def train(
    trainee: Trainee, settings: Settings, folder: Path, progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """Trains to the end, from the state in `folder` if there is one; returns averaged weights.

    Raises TrainingStopped where the loss is no longer finite; the last good state stays. Writes
    `curve.png`, `curve.json` and `samples/` beside the state.
    """
    import torch
    from accelerate import Accelerator

    folder.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(cpu=not torch.accelerator.is_available())
    modules = {name: accelerator.prepare_model(each) for name, each in trainee.modules.items()}
    parameters = {
        f"{name}.{key}": value
        for name, module in modules.items()
        for key, value in module.named_parameters()
        if value.requires_grad
    }
    optimizer = torch.optim.AdamW(
        list(parameters.values()),
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
    )
    state = load_state(folder, asdict(settings), parameters, optimizer)
    for step in range(state.step, settings.steps):
        _one_step(trainee, settings, state, optimizer, accelerator, step)
        if progress is not None:
            progress(step + 1, settings.steps)
        last = step + 1 == settings.steps
        if last or (step + 1) % settings.save_every == 0:
            save_state(folder, asdict(settings), state, optimizer)
        if last or (step + 1) % settings.sample_every == 0:
            with averaged(parameters, state.average):
                _keep_sample(trainee, folder, step + 1)
    return _by_module(state.average)


def _one_step(
    trainee: Trainee, settings: Settings, state: State, optimizer: Any, accelerator: Any, step: int
) -> None:
    import torch

    for group in optimizer.param_groups:
        group["lr"] = settings.rate_at(step)
    loss = trainee.loss(step)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingStopped(
            f"the loss became {value} at step {step + 1}; the state of step {state.saved} is kept: "
            "lower the learning rate and go on from there"
        )
    optimizer.zero_grad(set_to_none=True)
    accelerator.backward(loss)
    torch.nn.utils.clip_grad_norm_(list(state.parameters.values()), settings.clip)
    optimizer.step()
    keep = settings.ema_at(step) if settings.ema else 0.0
    with torch.no_grad():
        for name, value_now in state.parameters.items():
            state.average[name].lerp_(value_now.detach(), 1 - keep)
    state.step = step + 1
    state.curve.append(value)


@contextmanager
def averaged(parameters: Mapping[str, Any], average: Mapping[str, Any]) -> Iterator[None]:
    """The modules with their averaged weights in place, and the trained ones back after."""
    import torch

    with torch.no_grad():
        kept = {name: value.detach().clone() for name, value in parameters.items()}
        for name, value in parameters.items():
            value.copy_(average[name])
        try:
            yield
        finally:
            for name, value in parameters.items():
                value.copy_(kept[name])


def _keep_sample(trainee: Trainee, folder: Path, step: int) -> None:
    picture = trainee.sample()
    if picture is not None:
        (folder / "samples").mkdir(exist_ok=True)
        picture.save(folder / "samples" / f"{step:06d}.png")


def _by_module(weights: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    sorted_out: dict[str, dict[str, Any]] = {}
    for name, value in weights.items():
        module, _, key = name.partition(".")
        sorted_out.setdefault(module, {})[key] = value
    return sorted_out


def generator_for(seed: int, step: int, stream: int = 0) -> Any:
    """A torch generator of its own for a step, so that no step depends on those before it."""
    import torch

    mixed = (seed * 1_000_003 + step) * 101 + stream
    return torch.Generator("cpu").manual_seed(mixed % 2**63)
