"""The discriminator of a distillation: small heads on the features of a frozen U-Net.

Adversarial diffusion distillation puts its heads over a frozen picture network (Sauer et al.
2023); over the teacher's own encoder, on noised latents, there is nothing to decode and the
features know the caption (Sauer et al. 2024). Imports torch, so procedures import it late.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

if TYPE_CHECKING:
    from .loop import Settings


def features(unet: Any, noised: Any, times: Any, words: Any, told: Mapping[str, Any]) -> list[Any]:
    """What the down blocks and the middle of a UNet2DConditionModel see, one map a level.

    `told` is `added_cond_kwargs`; the up blocks are not run.
    """
    emb = unet.time_embedding(unet.get_time_embed(sample=noised, timestep=times))
    further = unet.get_aug_embed(emb=emb, encoder_hidden_states=words, added_cond_kwargs=told)
    emb = emb if further is None else emb + further
    hidden, seen = unet.conv_in(noised), []
    for block in unet.down_blocks:
        told_words = {"encoder_hidden_states": words} if hasattr(block, "attentions") else {}
        hidden, each = block(hidden_states=hidden, temb=emb, **told_words)
        seen.append(each[len(block.resnets) - 1])
    return [*seen, unet.mid_block(hidden, emb, encoder_hidden_states=words)]


def channels_of(unet: Any) -> list[int]:
    """How many channels each of the maps of `features` has."""
    widths = list(unet.config.block_out_channels)
    return [*widths, widths[-1]]


class Head(nn.Module):  # type: ignore[misc]  # torch is Any to the checker
    """A score for each place of a feature map: how true it looks, and true to its caption.

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

    def forward(self, seen: Any, summary: Any) -> Any:
        looked = self.look(seen)
        asked = self.words(summary)[:, :, None, None]
        fits = (looked * asked).sum(1, keepdim=True) / looked.shape[1] ** 0.5
        return self.truth(looked) + fits


class Discriminator(nn.Module):  # type: ignore[misc]
    """A head over each feature map; scores are count × places, all heads' side by side."""

    def __init__(self, channels: Sequence[int], summary: int, width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(each, summary, width) for each in channels)

    def forward(self, seen: Sequence[Any], summary: Any) -> Any:
        pairs = zip(self.heads, seen, strict=True)
        return torch.cat([head(each, summary).flatten(1) for head, each in pairs], dim=1)


def hinge(true: Any, made: Any) -> Any:
    """The discriminator's loss: true ones to 1 and above, made ones to -1 and below."""
    return torch.relu(1 - true).mean() + torch.relu(1 + made).mean()


def steepness(scores: Any, seen: Sequence[Any]) -> Any:
    """The R1 penalty, averaged over pictures (Mescheder et al. 2018).

    That is the squared gradient of the true pictures' mean scores with respect to the features.
    """
    mean = scores.mean(dim=1).sum()
    gradients = torch.autograd.grad(mean, list(seen), create_graph=True)
    squares = [gradient.square().flatten(1).sum(dim=1) for gradient in gradients]
    return torch.stack(squares).sum(dim=0).mean()


class JudgedBatch(Protocol):
    """What the discriminator compares on a batch: features of true and of made latents."""

    @property
    def summary(self) -> Any:
        """The captions' summaries: count × width."""

    @property
    def true_seen(self) -> list[Any]:
        """What the teacher sees in true latents, one map a level."""

    @property
    def made_seen(self) -> list[Any]:
        """What the teacher sees in the student's latents, one map a level."""


class Judged(Protocol):
    """A student that is trained against the discriminator, with its frozen teacher."""

    parts: Mapping[str, Any]
    settings: Settings
    teacher: Any

    def batch(self, step: int) -> JudgedBatch:
        """The batch of a step, the same for both losses."""


class Adversary:
    """What a student is trained against: hinge loss, and R1 on true pictures."""

    betas = (0.5, 0.99)

    def __init__(self, trainee: Judged, learning_rate: float, r1_weight: float) -> None:
        self._trainee = trainee
        self._r1_weight = r1_weight
        self.learning_rate = learning_rate
        summary = trainee.parts["text_encoder_2"].config.projection_dim
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(trainee.settings.seed)
            self.judge: Any = Discriminator(channels_of(trainee.teacher), summary)
        self.modules: Mapping[str, Any] = {"discriminator": self.judge}

    def loss(self, step: int) -> Any:
        """The hinge loss on the batch of a step, and the weighted R1 penalty there."""
        batch = self._trainee.batch(step)
        seen = [each.detach().requires_grad_() for each in batch.true_seen]
        true = self.judge(seen, batch.summary)
        made = self.judge([each.detach() for each in batch.made_seen], batch.summary)
        return hinge(true, made) + self._r1_weight * steepness(true, seen)
