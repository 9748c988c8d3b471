"""The base: a text encoder and a U-Net from nothing, over a trained autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from sdgraph.loading import quiet
from sdgraph.node import In, Node, TargetFile
from sdgraph.values import Checkpoint

from .assembly import fresh_parts, load_vae, save_pipeline
from .data import Dataset
from .diffusion import DiffusionTrainee
from .loop import Progress, Settings, train
from .samples import sheet


class TextToImageTrainee(DiffusionTrainee):
    """Captions to pictures; samples are of captions that training never sees."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What must be the same for a run to go on."""
        return {"data": self.data.content}

    def sample(self) -> Any:
        return sheet(self.parts, self.data.side)


class TrainText2Image(Node[Checkpoint]):
    """A text-to-image checkpoint trained from nothing (latent diffusion, Rombach et al. 2022)."""

    category: ClassVar[str] = "train"

    data: In[Dataset] = Field(description="captioned pictures")
    vae: In[Checkpoint] = Field(description="the autoencoder, trained before")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/text-to-image"), description="whose architecture is taken"
    )
    out: TargetFile = Field(description="the folder for the checkpoint and the training's state")
    steps: int = Field(default=15_000, ge=1, description="optimizer steps")
    batch: int = Field(default=32, ge=1, description="pictures a step")
    learning_rate: float = Field(default=1.5e-3, gt=0, description="AdamW, decayed linearly")
    seed: int = Field(default=0, ge=0, lt=2**31, description="the same seed gives the same weights")

    @quiet()
    def run(
        self, data: Dataset, vae: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        folder = Path(self.out)
        parts = fresh_parts(like, ("text_encoder", "unet"), self.seed)
        parts["vae"] = load_vae(vae)
        settings = Settings(
            self.steps, self.batch, self.learning_rate, seed=self.seed, weight_decay=0.01
        )
        trainee = TextToImageTrainee(parts, data, settings)
        weights = train(trainee, settings, folder / "training", progress)
        for name, state in weights.items():
            parts[name].load_state_dict(state, strict=False)
        return save_pipeline(parts, like, folder / "checkpoint")
