"""The training loop that every procedure shares: schedule, averaging, resume, curve, samples.

What a step draws depends on the seed and the step's number alone, so a run that is killed and
resumed makes the same weights as one that was not.
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

from .averaging import average, use_averaged_weights
from .state import Learner, State, load_state, save_sample, save_state

SMOOTH = 100
"""Over how many of the last steps the loss is averaged before it is shown."""


class TrainingStoppedError(SdgraphError):
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
    timestep_bias: float = 1.0
    """Above 1, diffusion draws noisy times more often; 1 draws all alike."""

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return self.learning_rate * rising * max(0.02, 1 - step / self.steps)

    def ema_at(self, step: int) -> float:
        """The decay of a step: young averages forget faster."""
        return min(self.ema, (1 + step) / (10 + step))


class Trainee(Protocol):
    """One procedure: what is trained, and how far off it is on a batch.

    It may also have an `adversary` (Adversary), and an `identity`: a mapping of what else decides
    the weights (its data, its own settings), which must be the same for a run to go on.
    """

    @property
    def modules(self) -> Mapping[str, Any]:
        """The modules that are trained, by name; those parameters that require a gradient."""

    def loss(self, step: int) -> Any:
        """The loss on the batch of a step, a scalar tensor."""

    def sample(self) -> Any:
        """A picture of how far it is (Pillow), made with the weights in `modules`; or None."""


class Adversary(Protocol):
    """What is trained against a trainee: a step of its own before each of the trainee's.

    While the trainee's loss is computed and followed, the adversary's parameters are frozen.
    """

    @property
    def modules(self) -> Mapping[str, Any]:
        """The modules that are trained, by name."""

    @property
    def learning_rate(self) -> float:
        """AdamW's, which rises and falls as the trainee's does."""

    @property
    def betas(self) -> tuple[float, float]:
        """AdamW's."""

    def loss(self, step: int) -> Any:
        """Its loss on the batch of a step, a scalar tensor."""


def train(
    trainee: Trainee, settings: Settings, folder: Path, progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """Trains to the end, from the state in `folder` if there is one; returns averaged weights.

    Raises TrainingStoppedError where a loss or gradient is no longer finite; the last good state
    stays. Where `progress` raises, the state is kept first. Writes `curve.png`, `curve.json` and
    `samples/` beside the state.
    """
    import torch

    run = _Run.of(trainee, settings, folder)
    state = run.state
    run.listen(learning=True)
    with torch.random.fork_rng(devices=()):
        for step in range(state.step, settings.steps):
            torch.manual_seed(_mixed(settings.seed, step, _DROPOUT))
            run.step(step)
            last = step + 1 == settings.steps
            if last or (step + 1) % settings.save_every == 0:
                run.save()
            if last or (step + 1) % settings.sample_every == 0:
                run.sample()
            if progress is not None:
                run.tell(progress)
    run.listen(learning=False)
    return _by_module(state.average)


@dataclass
class _Run:
    trainee: Trainee
    adversary: Adversary | None
    settings: Settings
    folder: Path
    identity: Mapping[str, Any]
    state: State
    backward: Callable[[Any], None]

    @classmethod
    def of(cls, trainee: Trainee, settings: Settings, folder: Path) -> _Run:
        import torch
        from accelerate import Accelerator

        accelerator = Accelerator(cpu=not torch.accelerator.is_available())
        learner = partial(_learner, accelerator, settings)
        adversary: Adversary | None = getattr(trainee, "adversary", None)
        student = learner(trainee.modules, settings.betas)
        against = learner(adversary.modules, adversary.betas) if adversary else None
        identity = {**asdict(settings), **getattr(trainee, "identity", {})}
        state = load_state(folder, identity, student, against, unsaid=_UNSAID)
        return cls(trainee, adversary, settings, folder, identity, state, accelerator.backward)

    def step(self, step: int) -> None:
        """The adversary's step, the trainee's, and the average's."""
        state, settings = self.state, self.settings
        rate = settings.rate_at(step)
        if self.adversary is not None and state.adversary is not None:
            share = self.adversary.learning_rate / settings.learning_rate
            self._descend(state.adversary, self.adversary.loss, step, rate * share)
        with frozen(state.adversary.parameters if state.adversary else {}):
            value = self._descend(state.student, self.trainee.loss, step, rate)
        average(state, settings.ema_at(step) if settings.ema else 0.0)
        state.step = step + 1
        state.curve.append(value)

    def _descend(
        self, learner: Learner, loss_of: Callable[[int], Any], step: int, rate: float
    ) -> float:
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
        """Keeps a picture made with the averaged weights, if the trainee makes one."""
        self.listen(learning=False)
        with use_averaged_weights(self.state.student.parameters, self.state.average):
            picture = self.trainee.sample()
        self.listen(learning=True)
        if picture is not None:
            save_sample(self.folder, picture, self.state)

    def tell(self, progress: Progress) -> None:
        """Says how far it is; a listener that raises stops the run, which loses no step."""
        last = self.state.curve[-SMOOTH:]
        try:
            progress(self.state.step, self.settings.steps, loss=sum(last) / len(last))
        except BaseException as stop:
            try:
                self.save()
            except MediaError as error:
                stop.add_note(str(error))
            raise

    def listen(self, *, learning: bool) -> None:
        """Switches dropout on or off."""
        for module in self.trainee.modules.values():
            module.train(learning)


_UNSAID = {each.name: each.default for each in fields(Settings) if each.default is not MISSING}
"""What a setting was in runs of before there was such a setting."""


def _learner(
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
def frozen(parameters: Mapping[str, Any]) -> Iterator[None]:
    """Parameters that need no gradient for a while."""
    for value in parameters.values():
        value.requires_grad_(False)
    try:
        yield
    finally:
        for value in parameters.values():
            value.requires_grad_(True)


def _by_module(weights: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    sorted_out: dict[str, dict[str, Any]] = {}
    for name, value in weights.items():
        module, _, key = name.partition(".")
        sorted_out.setdefault(module, {})[key] = value
    return sorted_out


_DROPOUT = 100
"""The stream of what torch's global generator draws."""


def generator_for(seed: int, step: int, stream: int = 0) -> Any:
    """A torch generator of its own for a step, so that no step depends on those before it."""
    import torch

    return torch.Generator("cpu").manual_seed(_mixed(seed, step, stream))


def _mixed(seed: int, step: int, stream: int) -> int:
    return ((seed * 1_000_003 + step) * 101 + stream) % 2**63
