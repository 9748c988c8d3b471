"""The training loop that every procedure shares: schedule, averaging, resuming, curve, samples.

`train` works like this:

1. The modules are moved to the device and get an optimizer; a state on disk is put into them.
2. Each step trains the adversary, if there is one, then the trainee, then moves the average.
3. Every `save_every` steps the state is written, every `sample_every` steps a sample is made.

The random numbers of a step depend on the seed and the step's number alone, so a run that is
killed and resumed makes the same weights as one that was not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

from sdgraph.errors import MediaError, Problem, SdgraphError
from sdgraph.graph import Progress

from .averaging import update_average, use_averaged_weights
from .state import Learner, State, load_state, save_sample, save_state

SMOOTH = 100
"""How many of the last steps the loss is averaged over before it is shown."""


class TrainingStoppedError(SdgraphError):
    """Training cannot go on; the last good state is kept."""


@dataclass(frozen=True)
class Settings:
    """How a run trains. The learning rate warms up, then decays linearly to a fiftieth.

    Args:
        steps: Optimizer steps.
        batch: Pictures a step.
        learning_rate: AdamW's, at its highest.
        seed: What all random numbers follow from.
        warmup: Steps in which the learning rate rises.
        weight_decay: AdamW's.
        betas: AdamW's.
        clip: The norm to which gradients are clipped.
        ema: The share of the averaged weights that stays at each step; 0 averages nothing.
        save_every: Steps between states on disk.
        sample_every: Steps between samples.
        timestep_bias: Above 1, diffusion draws noisy times more often; 1 draws all alike.
    """

    steps: int
    batch: int
    learning_rate: float
    seed: int = 0
    warmup: int = 100
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    ema: float = 0.999
    save_every: int = 500
    sample_every: int = 1_000
    timestep_bias: float = 1.0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warmup = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.learning_rate * warmup * max(0.02, 1 - step / self.steps)

    def ema_at(self, step: int) -> float:
        """The average's decay at a step, which is smaller in the first steps."""
        return min(self.ema, (1 + step) / (10 + step))


class Trainee(Protocol):
    """One procedure: the modules that it trains, and its loss on a batch.

    It may also have an `adversary` (Adversary), and an `identity`: a mapping of what else the
    weights depend on (its data, its own settings), which must be the same for a run to go on.
    """

    @property
    def modules(self) -> Mapping[str, Any]:
        """The modules by name, of which parameters are trained that require a gradient."""

    def loss(self, step: int) -> Any:
        """The loss on the batch of a step, a scalar tensor."""

    def sample(self) -> Any:
        """A Pillow picture that shows what the weights in `modules` make; None for no picture."""


class Adversary(Protocol):
    """What is trained against a trainee, by a step of its own before each of the trainee's.

    Its parameters are frozen while the trainee takes a step.
    """

    @property
    def modules(self) -> Mapping[str, Any]:
        """The modules that are trained, by name."""

    @property
    def learning_rate(self) -> float:
        """AdamW's at its highest; it rises and falls as the trainee's does."""

    @property
    def betas(self) -> tuple[float, float]:
        """AdamW's."""

    def loss(self, step: int) -> Any:
        """The adversary's loss on the batch of a step, a scalar tensor."""


def train(
    trainee: Trainee, settings: Settings, folder: Path, progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """Trains to the end, from the state in `folder` if there is one.

    Writes the state, `curve.png`, `curve.json` and `samples/` into the folder.

    Args:
        trainee: What is trained.
        settings: How it is trained.
        folder: Where the state is.
        progress: Called after each step; where it raises, the state is written first.

    Returns:
        The averaged weights, by module and by parameter.

    Raises:
        TrainingStoppedError: A loss or gradient is no longer finite; the last good state stays.
        ResumeError: The state in the folder is damaged or of another run.
        MediaError: The disk does not take the state or a sample.
    """
    import torch

    run = _Run.prepare(trainee, settings, folder)
    state = run.state
    run.set_dropout(on=True)
    with torch.random.fork_rng(devices=()):
        for step in range(state.step, settings.steps):
            torch.manual_seed(_mix_seed(settings.seed, step, _DROPOUT))
            run.step(step)
            last = step + 1 == settings.steps
            if last or (step + 1) % settings.save_every == 0:
                run.save()
            if last or (step + 1) % settings.sample_every == 0:
                run.sample()
            if progress is not None:
                run.report(progress)
    run.set_dropout(on=False)
    return _by_module(state.average)


@dataclass
class _Run:
    """A run in progress."""

    trainee: Trainee
    adversary: Adversary | None
    settings: Settings
    folder: Path
    identity: Mapping[str, Any]
    state: State
    backward: Callable[[Any], None]

    @classmethod
    def prepare(cls, trainee: Trainee, settings: Settings, folder: Path) -> _Run:
        """The run with its optimizers, and with the state in the folder put in."""
        import torch
        from accelerate import Accelerator

        accelerator = Accelerator(cpu=not torch.accelerator.is_available())
        learner = partial(_make_learner, accelerator, settings)
        adversary: Adversary | None = getattr(trainee, "adversary", None)
        student = learner(trainee.modules, settings.betas)
        opponent = learner(adversary.modules, adversary.betas) if adversary else None
        identity = {**asdict(settings), **getattr(trainee, "identity", {})}
        state = load_state(folder, identity, student, opponent, defaults=_DEFAULTS)
        return cls(trainee, adversary, settings, folder, identity, state, accelerator.backward)

    def step(self, step: int) -> None:
        """Trains the adversary, then the trainee, then moves the average."""
        state, settings = self.state, self.settings
        rate = settings.rate_at(step)
        if self.adversary is not None and state.adversary is not None:
            ratio = self.adversary.learning_rate / settings.learning_rate
            self._descend(state.adversary, self.adversary.loss, step, rate * ratio)
        with freeze(state.adversary.parameters if state.adversary else {}):
            value = self._descend(state.student, self.trainee.loss, step, rate)
        update_average(state, settings.ema_at(step) if settings.ema else 0.0)
        state.step = step + 1
        state.curve.append(value)

    def _descend(
        self, learner: Learner, loss_of: Callable[[int], Any], step: int, rate: float
    ) -> float:
        """Takes one optimizer step at a learning rate; returns the loss before it."""
        import torch

        loss = loss_of(step)
        value = float(loss.detach())
        if not math.isfinite(value):
            self._stop("loss", value, step)
        learner.optimizer.zero_grad(set_to_none=True)
        self.backward(loss)
        parameters = list(learner.parameters.values())
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip))
        if not math.isfinite(norm):
            self._stop("gradient", norm, step)
        for group in learner.optimizer.param_groups:
            group["lr"] = rate
        learner.optimizer.step()
        return value

    def _stop(self, what: str, value: float, step: int) -> NoReturn:
        saved = self.state.saved
        kept = f"the state of step {saved} is kept" if saved else "no state was kept yet"
        found = f"the {what} became {value} at step {step + 1}; {kept}"
        fix = "lower the learning rate and train in another folder"
        raise TrainingStoppedError(Problem(str(self.folder), found, "a finite number", fix))

    def save(self) -> None:
        """Writes the state, unless it is on disk already."""
        if self.state.saved != self.state.step:
            save_state(self.folder, self.identity, self.state)

    def sample(self) -> None:
        """Writes a picture made with the averaged weights, if the trainee makes one."""
        self.set_dropout(on=False)
        with use_averaged_weights(self.state.student.parameters, self.state.average):
            picture = self.trainee.sample()
        self.set_dropout(on=True)
        if picture is not None:
            save_sample(self.folder, picture, self.state)

    def report(self, progress: Progress) -> None:
        """Calls `progress`; where that raises, the state is written before the run ends."""
        last = self.state.curve[-SMOOTH:]
        try:
            progress(self.state.step, self.settings.steps, loss=sum(last) / len(last))
        except BaseException as stop:
            try:
                self.save()
            except MediaError as error:
                stop.add_note(str(error))
            raise

    def set_dropout(self, *, on: bool) -> None:
        """Puts the modules into training mode, in which dropout is on, or into evaluation mode."""
        for module in self.trainee.modules.values():
            module.train(on)


_DEFAULTS = {each.name: each.default for each in fields(Settings) if each.default is not MISSING}
"""The settings of runs that were saved before these settings existed."""


def _make_learner(
    accelerator: Any, settings: Settings, modules: Mapping[str, Any], betas: tuple[float, float]
) -> Learner:
    import torch

    prepared = {name: accelerator.prepare_model(each) for name, each in modules.items()}
    parameters = {
        f"{name}.{key}": value
        for name, module in prepared.items()
        for key, value in module.named_parameters()
        if value.requires_grad
    }
    optimizer = torch.optim.AdamW(
        list(parameters.values()),
        lr=settings.learning_rate,
        betas=betas,
        weight_decay=settings.weight_decay,
        fused=True,  # a quarter of the time where there are hundreds of small tensors
    )
    return Learner(parameters, optimizer)


@contextmanager
def freeze(parameters: Mapping[str, Any]) -> Iterator[None]:
    """Parameters need no gradient within this context, and do again after it."""
    for value in parameters.values():
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in parameters.values():
            value.requires_grad_(True)


def _by_module(weights: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Weights by module and by the rest of their name."""
    modules: dict[str, dict[str, Any]] = {}
    for name, value in weights.items():
        module, _, key = name.partition(".")
        modules.setdefault(module, {})[key] = value
    return modules


_DROPOUT = 100
"""The stream of random numbers of torch's global generator."""


def generator_for(seed: int, step: int, stream: int = 0) -> Any:
    """A torch generator for a step, so that no step depends on those before it.

    Args:
        seed: The run's.
        step: The step's number.
        stream: Another number gives other random numbers in the same step.
    """
    import torch

    return torch.Generator("cpu").manual_seed(_mix_seed(seed, step, stream))


def _mix_seed(seed: int, step: int, stream: int) -> int:
    return ((seed * 1_000_003 + step) * 101 + stream) % 2**63
