"""Inpainting: a base whose U-Net is shown, beside the noise, what stands outside a mask."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries
from sdgraph.nodes.diffusion.families import STABLE_DIFFUSION
from sdgraph.values import Checkpoint

from .assembly import save_pipeline, taken_from, widened_parts
from .data import Dataset
from .diffusion import DiffusionTrainee
from .frozen import hash_of
from .kinds import channel_problems
from .latents import to_tensor
from .loop import Settings
from .placement import to_device
from .procedure import Denoising
from .samples import rows

__all__ = ["TrainInpaint"]

KEPT = STABLE_DIFFUSION.other_components
"""What a procedure that trains a U-Net alone hands on from its base, to the bit."""


class WideTrainee(DiffusionTrainee):
    """A U-Net that reads further channels beside the noised latents; the text encoder is frozen."""

    def __init__(self, parts: Mapping[str, Any], data: Dataset, settings: Settings) -> None:
        super().__init__(parts, data, settings)
        self.modules = {"unet": parts["unet"]}
        self.identity = {"data": data.content, "base": hash_of(parts["unet"])}

    def words(self, places: Any) -> Any:
        import torch

        with torch.no_grad():
            return super().words(places)

    def predict(self, noised: Any, times: Any, words: Any, places: Any, random: Any) -> Any:
        import torch

        seen = torch.cat([noised, self.further(places, random)], dim=1)
        return self.parts["unet"](seen, times, words).sample

    def further(self, places: Any, random: Any) -> Any:
        """The further channels: count × channels × height × width of the latents."""
        raise NotImplementedError


class InpaintTrainee(WideTrainee):
    """Shown the mask and the latents of the picture without what the mask marks."""

    def further(self, places: Any, random: Any) -> Any:
        import torch

        pictures = to_device(to_tensor(self.data.pictures[places.numpy()]), self.device)
        masks = to_device(self.masks(places, random), self.device)
        # As StableDiffusionInpaintPipeline.prepare_mask_latents: gray (0) where it is masked, the
        # mask at the latents' size by nearest neighbour, the latents drawn and not their mean.
        vae = self.parts["vae"]
        with torch.no_grad():
            found = vae.encode(pictures * (masks < 0.5)).latent_dist.sample(generator=random)
        small = torch.nn.functional.interpolate(masks, size=found.shape[-2:])
        return torch.cat([small, found * vae.config.scaling_factor], dim=1)

    def masks(self, places: Any, random: Any) -> Any:
        """A mask for each picture: float32, count × 1 × side × side, 1 where to paint."""
        import numpy as np
        import torch

        from .masks import draw

        dice = np.random.default_rng(int(torch.randint(2**62, (1,), generator=random)))
        things = self.data.masks(places.tolist())
        made = np.stack([draw(dice, self.data.side, each) for each in things])
        return torch.from_numpy(made)[:, None].float() / 255

    def sample(self) -> Any:
        """What the network is shown, what it makes of it, and what was there."""
        import numpy as np
        import torch
        from PIL.Image import fromarray

        shown = self.data.examples(8)
        count, side = min(8, len(shown)), shown.side
        pictures = shown.pictures[:count]
        masks = self._masks_to_show(shown, count)
        made = self._pipe()(
            list(shown.captions[:count]),
            image=[fromarray(each) for each in pictures],
            mask_image=[fromarray(each) for each in masks],
            height=side,
            width=side,
            num_inference_steps=20,
            guidance_scale=3.0,
            output_type="np",
            generator=torch.Generator("cpu").manual_seed(0),
        ).images
        hidden = np.where(masks[..., None] > 127, 127, pictures).astype(np.uint8)
        painted = (made * 255).round().astype(np.uint8)
        return rows(np.concatenate([hidden, painted, pictures]), count)

    def _masks_to_show(self, shown: Dataset, count: int) -> Any:
        import numpy as np

        from .masks import draw

        dice = np.random.default_rng(0)
        kinds = ["object" if each else "box" for each in shown.masks(range(count))]
        things = shown.masks(range(count))
        drawn = [draw(dice, shown.side, *each) for each in zip(things, kinds, strict=True)]
        return np.stack(drawn)

    def _pipe(self) -> Any:
        from diffusers import StableDiffusionInpaintPipeline

        return pipeline_of(
            StableDiffusionInpaintPipeline,
            self.parts,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )


def pipeline_of(cls: Any, parts: Mapping[str, Any], **more: Any) -> Any:
    """A quiet pipeline of the modules as they are, with a scheduler of its own."""
    scheduler = type(parts["scheduler"]).from_config(parts["scheduler"].config)
    used = {name: parts[name] for name in STABLE_DIFFUSION.components}
    pipe = cls(**used, scheduler=scheduler, **more)
    pipe.set_progress_bar_config(disable=True)
    return pipe


class TrainInpaint(Denoising):
    """An inpainting checkpoint made from a text-to-image one (Rombach et al. 2022).

    Its U-Net has nine channels: latents, mask, masked latents; the five new ones start at zero.
    """

    data: In[Dataset] = Field(description="captioned pictures; objects' masks are used if known")
    base: In[Checkpoint] = Field(description="the text-to-image checkpoint to start from")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/inpaint"), description="whose architecture is taken"
    )

    def check(self) -> Iterator[Problem]:
        yield from channel_problems(base=(self.base, 4), like=(self.like, 9))

    @quiet_libraries()
    def run(
        self, data: Dataset, base: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        parts = widened_parts(base, like, self.seed)
        settings = self.settings()
        self.fit(InpaintTrainee(parts, data, settings), data, settings, progress)
        kept = taken_from(base, KEPT)
        return save_pipeline({"unet": parts["unet"]}, like, self.folder / "checkpoint", taken=kept)
