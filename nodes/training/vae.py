"""The autoencoder: pictures to latents and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries
from sdgraph.values import Checkpoint

from .data import Dataset
from .loading import untrained_autoencoder
from .loop import Settings, generator_for
from .placement import move_modules, to_device
from .procedure import Training
from .training_folders import replace_folder

__all__ = ["TrainVae"]


class VaeTrainee:
    """L1 + 2 MSE + a little KL on batches of pictures (Kingma & Welling 2013).

    Args:
        vae: The autoencoder to train.
        data: The pictures.
        settings: The loop's settings.
    """

    KL = 1e-6

    def __init__(self, vae: Any, data: Dataset, settings: Settings) -> None:
        import torch

        move_modules([vae])
        self.vae = vae
        self.modules: Mapping[str, Any] = {"vae": vae}
        self.identity: Mapping[str, str] = {"data": data.content}
        self._settings = settings
        self._pictures = torch.from_numpy(data.pictures)

    def _batch(self, indices: Any) -> Any:
        import torch

        pictures = self._pictures[indices].permute(0, 3, 1, 2).float() / 127.5 - 1
        return to_device(pictures.contiguous(memory_format=torch.channels_last), self.vae.device)

    def loss(self, step: int) -> Any:
        import torch
        from torch.nn.functional import l1_loss, mse_loss

        random = generator_for(self._settings.seed, step)
        indices = torch.randint(len(self._pictures), (self._settings.batch,), generator=random)
        pictures = self._batch(indices)
        latents = self.vae.encode(pictures).latent_dist
        decoded = self.vae.decode(latents.sample(generator=random)).sample
        distance = l1_loss(decoded, pictures) + 2 * mse_loss(decoded, pictures)
        return distance + self.KL * latents.kl().mean()

    def sample(self) -> Any:
        """Eight pictures, and below them the same encoded and decoded."""
        import numpy as np
        import torch
        from PIL import Image

        with torch.no_grad():
            pictures = self._batch(torch.arange(min(8, len(self._pictures))))
            decoded = self.vae.decode(self.vae.encode(pictures).latent_dist.mode()).sample
        rows = [torch.cat(list(each), dim=2) for each in (pictures, decoded)]
        grid = torch.cat(rows, dim=1).clamp(-1, 1).permute(1, 2, 0).cpu().numpy()
        return Image.fromarray(np.asarray(((grid + 1) * 127.5).round().astype("uint8")))

    def latent_scale(self) -> float:
        """What latents are multiplied by so that their deviation is 1, from up to 256 pictures."""
        import torch

        with torch.no_grad():
            batch = self._batch(torch.arange(min(256, len(self._pictures))))
            return 1 / float(self.vae.encode(batch).latent_dist.mode().std())


class TrainVae(Training):
    """An autoencoder trained from nothing, as a checkpoint with its latents' scale measured."""

    replaced_folders: ClassVar[tuple[str, ...]] = ("vae",)

    data: In[Dataset] = Field(description="the pictures")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/text-to-image"), description="whose VAE's architecture is taken"
    )
    steps: int = Field(default=12_000, ge=1, description="optimizer steps")
    batch: int = Field(default=8, ge=1, description="pictures a step")
    learning_rate: float = Field(default=3e-3, gt=0, description="AdamW, decayed linearly")

    @quiet_libraries()
    def run(self, data: Dataset, like: Checkpoint, progress: Progress) -> Checkpoint:
        import torch

        settings = self.settings(weight_decay=0.0)
        vae = untrained_autoencoder(like, self.seed).to(memory_format=torch.channels_last)
        trainee = VaeTrainee(vae, data, settings)
        self.fit(trainee, data, settings, progress)
        vae.register_to_config(scaling_factor=round(trainee.latent_scale(), 5))
        return save_module(vae, self.folder / "vae")


def save_module(module: Any, folder: Path) -> Checkpoint:
    """Writes a module into a folder of its own, as half-precision safetensors.

    Raises:
        MediaError: The disk does not take it.
    """
    import torch

    with replace_folder(folder) as new:
        module.to(torch.float16).save_pretrained(new, safe_serialization=True)
    return Checkpoint(folder)
