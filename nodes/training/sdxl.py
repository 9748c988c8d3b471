"""The base in SDXL's layout, with two text encoders (Podell et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from sdgraph.errors import Problem

from .checkpoint_problems import sdxl_problems
from .data import Dataset
from .diffusion import DiffusionTrainee
from .latents import tokenize
from .loop import Settings
from .pipeline_parts import PipelineParts
from .placement import to_device
from .samples import make_sheet
from .text_to_image import TrainFromText

__all__ = ["TrainSdxl"]


class SdxlTrainee(DiffusionTrainee):
    """Captions to pictures through all text encoders, as SDXL's pipeline reads them."""

    def __init__(self, parts: PipelineParts, data: Dataset, settings: Settings) -> None:
        super().__init__(parts, data, settings)
        further = [tokenize(each, data.captions) for each in parts.tokenizers[1:]]
        self.tokens_by_encoder = [self.tokens, *further]

    def read_captions(self, indices: Any) -> Any:
        """The encoders' last but one states side by side, and the summary of the last encoder.

        An empty caption is all zeros, as `force_zeros_for_empty_prompt` makes it in use.
        """
        import torch

        outputs = [
            encoder(to_device(tokens[indices], self.device), output_hidden_states=True)
            for encoder, tokens in zip(
                self.parts.text_encoders, self.tokens_by_encoder, strict=True
            )
        ]
        layer = self.parts.family.hidden_state
        words = torch.cat([output.hidden_states[layer] for output in outputs], dim=-1)
        summary = outputs[-1].text_embeds
        has_words = to_device((indices != len(self.tokens) - 1).to(words.dtype), self.device)
        return words * has_words[:, None, None], summary * has_words[:, None]

    def predict(self, noised: Any, times: Any, words: Any, indices: Any, random: Any) -> Any:
        del indices, random
        features, summary = words
        return self.run_denoiser(self.parts.denoiser, noised, times, features, summary)

    def run_denoiser(self, denoiser: Any, noised: Any, times: Any, words: Any, summary: Any) -> Any:
        """What a denoiser predicts from noised latents, captions' features and their summaries."""
        conditions = self.added_conditions(summary)
        return denoiser(noised, times, words, added_cond_kwargs=conditions).sample

    def added_conditions(self, summary: Any) -> dict[str, Any]:
        """What the denoiser takes as `added_cond_kwargs`: the captions' summary, and the sizes."""
        import torch

        side = self.data.side
        sizes = torch.tensor([[side, side, 0, 0, side, side]], dtype=summary.dtype)
        sizes = to_device(sizes.repeat(len(summary), 1), summary.device)
        return {"text_embeds": summary, "time_ids": sizes}

    def sample(self) -> Any:
        return make_sheet(self.parts, self.data.side)


class TrainSdxl(TrainFromText):
    """A checkpoint in SDXL's layout, trained from nothing or from another (Podell et al. 2023).

    With a rank, only LoRA adapters of the U-Net are trained (Hu et al. 2021): `out`/lora holds
    them, and the checkpoint has them fused.
    """

    default_like: ClassVar[str] = "tiny/sdxl"
    trainee: ClassVar[type[DiffusionTrainee]] = SdxlTrainee

    def architecture_problems(self) -> Iterator[Problem]:
        yield from sdxl_problems(base=self.base, like=self.like)
