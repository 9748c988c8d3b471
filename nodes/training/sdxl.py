"""The base in SDXL's layout: two text encoders, and a U-Net told of sizes (Podell et al. 2023)."""

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
from .latents import tokens_of
from .loop import Progress, Settings, train
from .samples import sheet


class SdxlTrainee(DiffusionTrainee):
    """Captions to pictures through both text encoders, as SDXL's pipeline reads them."""

    def __init__(self, parts: Mapping[str, Any], data: Dataset, settings: Settings) -> None:
        super().__init__(parts, data, settings)
        self.tokens_2 = tokens_of(parts["tokenizer_2"], data.captions)
        self.modules = {name: parts[name] for name in ("unet", "text_encoder", "text_encoder_2")}

    def words(self, places: Any) -> Any:
        """Both encoders' last but one states side by side, and the second one's summary.

        An empty caption is all zeros, as `force_zeros_for_empty_prompt` makes it in use.
        """
        import torch

        first = self.parts["text_encoder"](self.tokens[places], output_hidden_states=True)
        second = self.parts["text_encoder_2"](self.tokens_2[places], output_hidden_states=True)
        words = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        told = (places != len(self.tokens) - 1).to(words.dtype)
        return words * told[:, None, None], second.text_embeds * told[:, None]

    def predict(self, noised: Any, times: Any, words: Any, places: Any, random: Any) -> Any:
        import torch

        del random
        features, summary = words
        side = self.data.side
        sizes = torch.tensor([[side, side, 0, 0, side, side]], dtype=features.dtype)
        told = {"text_embeds": summary, "time_ids": sizes.repeat(len(places), 1)}
        return self.parts["unet"](noised, times, features, added_cond_kwargs=told).sample

    @property
    def identity(self) -> Mapping[str, Any]:
        """What must be the same for a run to go on."""
        return {"data": self.data.content}

    def sample(self) -> Any:
        return sheet(self.parts, self.data.side)


class TrainSdxl(Node[Checkpoint]):
    """A text-to-image checkpoint in SDXL's layout, trained from nothing."""

    category: ClassVar[str] = "train"

    data: In[Dataset] = Field(description="captioned pictures")
    vae: In[Checkpoint] = Field(description="the autoencoder, trained before")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/sdxl"), description="whose architecture is taken"
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
        parts = fresh_parts(like, ("text_encoder", "text_encoder_2", "unet"), self.seed)
        parts["vae"] = load_vae(vae)
        settings = Settings(
            self.steps, self.batch, self.learning_rate, seed=self.seed, weight_decay=0.01
        )
        trainee = SdxlTrainee(parts, data, settings)
        weights = train(trainee, settings, folder / "training", progress)
        for name, state in weights.items():
            parts[name].load_state_dict(state, strict=False)
        return save_pipeline(parts, like, folder / "checkpoint")
