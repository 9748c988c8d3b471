"""A small model for tests of training, with everything that makes resuming hard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdgraph.graph import Progress
from sdgraph.nodes.training.loop import Settings, generator_for, train

STEPS = 12
THAWED = 5
"""From which step on the toy's first layer is trained."""


class Line:
    """Two layers, dropout between; the first is frozen for some steps."""

    def __init__(self, settings: Settings, wrong_at: int | None = None) -> None:
        import torch

        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            first, last = torch.nn.Linear(4, 6), torch.nn.Linear(6, 3)
        self.net = torch.nn.Sequential(first, torch.nn.Dropout(0.5), last)
        self.modules = {"net": self.net}
        self.settings = settings
        self.wrong_at = wrong_at
        self.identity = {"data": "a line"}

    def batch(self, step: int) -> Any:
        import torch

        return torch.randn(5, 4, generator=generator_for(self.settings.seed, step))

    def loss(self, step: int) -> Any:
        self.net[0].requires_grad_(step >= THAWED)
        batch = self.batch(step)
        loss = (self.net(batch) - batch[:, :3]).square().mean()
        return loss * float("nan") if step == self.wrong_at else loss

    def sample(self) -> Any:
        from PIL import Image

        assert not self.net.training
        return Image.new(
            "RGB", (4, 4), (round(128 + 20 * float(self.net[0].weight[0, 0].detach())),) * 3
        )


class Duel(Line):
    """The same model with an adversarial loss."""

    def __init__(self, settings: Settings, wrong_at: int | None = None) -> None:
        super().__init__(settings, wrong_at)
        self.adversary = LineAdversary(self)

    def loss(self, step: int) -> Any:
        assert not self.adversary.judge.weight.requires_grad
        return super().loss(step) - self.adversary.judge(self.net(self.batch(step))).mean()


class LineAdversary:
    """A linear layer that scores what the line makes."""

    learning_rate = 0.05
    betas = (0.0, 0.9)

    def __init__(self, line: Line) -> None:
        import torch

        self.line = line
        self.judge: Any = torch.nn.Linear(3, 1, bias=False)
        with torch.no_grad():
            self.judge.weight.fill_(0.1)
        self.modules = {"judge": self.judge}

    def loss(self, step: int) -> Any:
        import torch

        batch = self.line.batch(step)
        generated = self.line.net(batch).detach()
        return (
            torch.relu(1 + self.judge(generated)).mean()
            + torch.relu(1 - self.judge(batch[:, :3])).mean()
        )


def settings(**more: Any) -> Settings:
    """Settings of a short run."""
    values: dict[str, Any] = {"steps": STEPS, "batch": 5, "learning_rate": 0.05, "warmup": 3}
    return Settings(**{**values, "save_every": 4, "sample_every": 6, **more})


Toy = Callable[..., Line]


def train_toy(
    toy: Toy, folder: Path, progress: Progress | None = None, **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What training a toy returns, and what its net and its adversary's are in the end."""
    chosen = settings(**more)
    trainee = toy(chosen)
    weights = train(trainee, chosen, folder, progress)
    ends = dict(trainee.net.state_dict())
    if isinstance(trainee, Duel):
        ends["judge"] = trainee.adversary.judge.weight
    return weights["net"], {name: value.detach().clone() for name, value in ends.items()}


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two sets of tensors are equal bit for bit."""
    import torch

    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
