"""Inpainting: a base whose denoiser also reads the mask and the picture outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries
from sdgraph.values import Checkpoint

from . import samples
from .checkpoint_problems import purpose_problems
from .data import Dataset
from .diffusion import DiffusionTrainee
from .frozen import hash_module
from .latents import to_tensor
from .loop import Settings
from .pipeline_parts import PipelineParts, make_pipeline
from .placement import to_device
from .procedure import Denoising
from .samples import arrange_in_rows, to_uint8
from .saving import component_files, save_pipeline
from .starting_weights import load_widened_parts

__all__ = ["TrainInpaint"]


class WideTrainee(DiffusionTrainee):
    """A denoiser that reads noised latents and further channels; the rest is frozen."""

    def __init__(self, parts: PipelineParts, data: Dataset, settings: Settings) -> None:
        super().__init__(parts, data, settings)
        self.modules = {parts.family.denoiser.name: parts.denoiser}
        self.identity = {"data": data.content, "base": hash_module(parts.denoiser)}

    def read_captions(self, indices: Any) -> Any:
        import torch

        with torch.no_grad():
            return super().read_captions(indices)

    def predict(self, noised: Any, times: Any, words: Any, indices: Any, random: Any) -> Any:
        import torch

        channels = torch.cat([noised, self.extra_channels(indices, random)], dim=1)
        return self.parts.denoiser(channels, times, words).sample

    def extra_channels(self, indices: Any, random: Any) -> Any:
        """The further channels: count × channels × height × width of the latents."""
        raise NotImplementedError


class InpaintTrainee(WideTrainee):
    """Reads the mask, and the latents of the picture without what the mask marks."""

    def extra_channels(self, indices: Any, random: Any) -> Any:
        import torch

        pictures = to_device(to_tensor(self.data.pictures[indices.numpy()]), self.device)
        masks = to_device(self.masks(indices, random), self.device)
        # As StableDiffusionInpaintPipeline.prepare_mask_latents: gray (0) where it is masked, the
        # mask at the latents' size by nearest neighbour, the latents drawn and not their mean.
        vae = self.parts.decoder
        with torch.no_grad():
            latents = vae.encode(pictures * (masks < 0.5)).latent_dist.sample(generator=random)
        small = torch.nn.functional.interpolate(masks, size=latents.shape[-2:])
        return torch.cat([small, latents * vae.config.scaling_factor], dim=1)

    def masks(self, indices: Any, random: Any) -> Any:
        """A mask for each picture: float32, count × 1 × side × side, 1 where to paint."""
        import numpy as np
        import torch

        from .masks import random_mask

        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=random)))
        objects = self.data.masks(indices.tolist())
        masks = np.stack([random_mask(rng, self.data.side, each) for each in objects])
        return torch.from_numpy(masks)[:, None].float() / 255

    def sample(self) -> Any:
        """Held-out pictures with their masks in grey, what is painted there, and the originals."""
        import numpy as np
        import torch
        from PIL.Image import fromarray

        examples = self.data.examples(8)
        count, side = min(8, len(examples)), examples.side
        pictures = examples.pictures[:count]
        masks = _example_masks(examples, count)
        output = make_pipeline(self.parts, "inpaint")(
            list(examples.captions[:count]),
            image=[fromarray(each) for each in pictures],
            mask_image=[fromarray(each) for each in masks],
            height=side,
            width=side,
            num_inference_steps=samples.SAMPLE_STEPS,
            guidance_scale=3.0,
            output_type="np",
            generator=torch.Generator("cpu").manual_seed(0),
        )
        masked = np.where(masks[..., None] > 127, 127, pictures).astype(np.uint8)
        painted = to_uint8(output.images)
        return arrange_in_rows(np.concatenate([masked, painted, pictures]), count)


def _example_masks(examples: Dataset, count: int) -> Any:
    """A mask for each of the first so many pictures: over an object, or a box."""
    import numpy as np

    from .masks import random_mask

    rng = np.random.default_rng(0)
    return np.stack(
        [
            random_mask(rng, examples.side, objects, "object" if objects else "box")
            for objects in examples.masks(range(count))
        ]
    )


class TrainInpaint(Denoising):
    """An inpainting checkpoint made from a text-to-image one (Rombach et al. 2022).

    Its U-Net has nine channels: latents, mask, masked latents; the five new ones start at zero.
    """

    data: In[Dataset] = Field(description="captioned pictures; objects' masks are used if known")
    base: In[Checkpoint] = Field(description="the text-to-image checkpoint to start from")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/inpaint"), description="whose architecture is taken"
    )

    def text_source(self) -> object:
        return self.base

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        yield from purpose_problems("base", self.base, "text-to-image")
        yield from purpose_problems("like", self.like, "inpainting")

    @quiet_libraries()
    def run(
        self, data: Dataset, base: Checkpoint, like: Checkpoint, progress: Progress
    ) -> Checkpoint:
        parts = load_widened_parts(base, like, self.seed)
        settings = self.settings()
        trainee = InpaintTrainee(parts, data, settings)
        self.fit(trainee, data, settings, progress)
        copied = component_files(base, parts.family.components_without(*trainee.modules))
        return save_pipeline(trainee.modules, like, self.folder / "checkpoint", copied=copied)
