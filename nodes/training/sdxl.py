"""The base in SDXL's layout: two text encoders, and a U-Net told of sizes (Podell et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from sdgraph.errors import Problem

from .data import Dataset
from .diffusion import DiffusionTrainee
from .kinds import sdxl_problems
from .latents import tokens_of
from .loop import Settings
from .placement import to_device
from .samples import sheet
from .text_to_image import TrainFromText

__all__ = ["TrainSdxl"]


class SdxlTrainee(DiffusionTrainee):
    """Captions to pictures through both text encoders, as SDXL's pipeline reads them."""

    def __init__(self, parts: Mapping[str, Any], data: Dataset, settings: Settings) -> None:
        super().__init__(parts, data, settings)
        self.tokens_2 = tokens_of(parts["tokenizer_2"], data.captions)

    def words(self, places: Any) -> Any:
        """Both encoders' last but one states side by side, and the second one's summary.

        An empty caption is all zeros, as `force_zeros_for_empty_prompt` makes it in use.
        """
        import torch

        tokens, tokens_2 = (
            to_device(each[places], self.device) for each in (self.tokens, self.tokens_2)
        )
        first = self.parts["text_encoder"](tokens, output_hidden_states=True)
        second = self.parts["text_encoder_2"](tokens_2, output_hidden_states=True)
        words = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
        told = to_device((places != len(self.tokens) - 1).to(words.dtype), self.device)
        return words * told[:, None, None], second.text_embeds * told[:, None]

    def predict(self, noised: Any, times: Any, words: Any, places: Any, random: Any) -> Any:
        del places, random
        features, summary = words
        told = self.added_conditions(summary)
        return self.parts["unet"](noised, times, features, added_cond_kwargs=told).sample

    def added_conditions(self, summary: Any) -> dict[str, Any]:
        """What the U-Net hears beside the captions' features: their summary, and the sizes."""
        import torch

        side = self.data.side
        sizes = torch.tensor([[side, side, 0, 0, side, side]], dtype=summary.dtype)
        sizes = to_device(sizes.repeat(len(summary), 1), summary.device)
        return {"text_embeds": summary, "time_ids": sizes}

    def sample(self) -> Any:
        return sheet(self.parts, self.data.side)


class TrainSdxl(TrainFromText):
    """A checkpoint in SDXL's layout, trained from nothing or from another (Podell et al. 2023).

    With a rank, only LoRA adapters of the U-Net are trained (Hu et al. 2021): `out`/lora holds
    them, and the checkpoint has them fused.
    """

    learned: ClassVar[tuple[str, ...]] = ("text_encoder", "text_encoder_2", "unet")
    plain: ClassVar[str] = "tiny/sdxl"
    pipeline: ClassVar[str] = "StableDiffusionXLPipeline"
    trainee: ClassVar[type[DiffusionTrainee]] = SdxlTrainee

    def kind_problems(self) -> Iterator[Problem]:
        yield from sdxl_problems(base=self.base, like=self.like)
