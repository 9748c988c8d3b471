"""The discriminator of a distillation: small heads over the features of a frozen U-Net.

Adversarial diffusion distillation puts its heads over a frozen picture network (Sauer et al.
2023). Over the teacher's own encoder, on noised latents, nothing has to be decoded and the
features depend on the caption (Sauer et al. 2024). Imports torch, so procedures import it late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from .unet import feature_channels

if TYPE_CHECKING:
    from .loop import Settings
    from .pipeline_parts import PipelineParts


class Head(nn.Module):  # type: ignore[misc]  # torch is Any to the checker
    """A score for each position of a feature map: how real it is, and how well it fits the caption.

    The caption's part is its summary projected (Miyato & Koyama 2018).
    """

    def __init__(self, channels: int, summary: int, width: int) -> None:
        super().__init__()
        self.look = nn.Sequential(
            nn.GroupNorm(1, channels, affine=False),
            nn.Conv2d(channels, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.truth = nn.Conv2d(width, 1, 1)
        self.words = nn.Linear(summary, width)

    def forward(self, features: Any, summary: Any) -> Any:
        hidden = self.look(features)
        projected = self.words(summary)[:, :, None, None]
        fit = (hidden * projected).sum(1, keepdim=True) / hidden.shape[1] ** 0.5
        return self.truth(hidden) + fit


class Discriminator(nn.Module):  # type: ignore[misc]
    """A head over each feature map; scores are count × positions, of all heads side by side."""

    def __init__(self, channels: Sequence[int], summary: int, width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(each, summary, width) for each in channels)

    def forward(self, features: Sequence[Any], summary: Any) -> Any:
        pairs = zip(self.heads, features, strict=True)
        return torch.cat([head(each, summary).flatten(1) for head, each in pairs], dim=1)


def hinge_loss(real: Any, generated: Any) -> Any:
    """The discriminator's loss: real scores to 1 and above, generated ones to -1 and below."""
    return torch.relu(1 - real).mean() + torch.relu(1 + generated).mean()


def r1_penalty(scores: Any, features: Sequence[Any]) -> Any:
    """The R1 penalty, averaged over pictures (Mescheder et al. 2018).

    That is the squared gradient of the real pictures' mean scores with respect to the features.
    """
    mean = scores.mean(dim=1).sum()
    gradients = torch.autograd.grad(mean, list(features), create_graph=True)
    squares = [gradient.square().flatten(1).sum(dim=1) for gradient in gradients]
    return torch.stack(squares).sum(dim=0).mean()


class StudentBatch(Protocol):
    """What the discriminator compares on a batch: features of real and of generated latents."""

    @property
    def summary(self) -> Any:
        """The captions' summaries: count × width."""

    @property
    def real_features(self) -> list[Any]:
        """The teacher's features of the pictures' latents, one map a level."""

    @property
    def student_features(self) -> list[Any]:
        """The teacher's features of the student's latents, one map a level."""


class Student(Protocol):
    """A student that is trained against the discriminator, with its frozen teacher."""

    parts: PipelineParts
    settings: Settings
    teacher: Any

    def batch(self, step: int) -> StudentBatch:
        """The batch of a step, the same for both losses."""


class DiscriminatorTrainee:
    """Trains a discriminator against a student: hinge loss, and R1 on real pictures."""

    betas = (0.5, 0.99)

    def __init__(self, student: Student, learning_rate: float, r1_weight: float) -> None:
        self._student = student
        self._r1_weight = r1_weight
        self.learning_rate = learning_rate
        summary = student.parts.text_encoders[-1].config.projection_dim
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(student.settings.seed)
            self.discriminator: Any = Discriminator(feature_channels(student.teacher), summary)
        self.modules: Mapping[str, Any] = {"discriminator": self.discriminator}

    def loss(self, step: int) -> Any:
        """The hinge loss on the batch of a step, and the weighted R1 penalty there."""
        batch = self._student.batch(step)
        features = [each.detach().requires_grad_() for each in batch.real_features]
        real = self.discriminator(features, batch.summary)
        generated = self.discriminator(
            [each.detach() for each in batch.student_features], batch.summary
        )
        return hinge_loss(real, generated) + self._r1_weight * r1_penalty(real, features)
