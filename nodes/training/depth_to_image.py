"""Depth to image: a base whose denoiser also reads the depth of a picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries
from sdgraph.nodes.diffusion.families import DEPTH_ESTIMATOR, FEATURE_EXTRACTOR
from sdgraph.values import Checkpoint

from . import samples
from .checkpoint_problems import estimator_problems, purpose_problems
from .data import Dataset
from .data_problems import Need
from .depth import PROCESSOR_FILE, depths_to_grey, min_max_normalize, resize_depths
from .inpaint import WideTrainee
from .loop import Settings
from .pipeline_parts import PipelineParts, make_pipeline
from .placement import to_device
from .procedure import Denoising
from .samples import arrange_in_rows, to_uint8
from .saving import component_files, save_pipeline
from .starting_weights import load_widened_parts

__all__ = ["TrainDepthToImage"]


class DepthToImageTrainee(WideTrainee):
    """Reads the true depth as StableDiffusionDepth2ImgPipeline.prepare_depth_map makes it."""

    def __init__(self, parts: PipelineParts, data: Dataset, settings: Settings) -> None:
        import torch

        super().__init__(parts, data, settings)
        side = self.latents.shape[-1]
        starts = range(0, len(data), 64)
        batches = (data.depths(range(start, min(start + 64, len(data)))) for start in starts)
        maps = [resize_depths(torch.from_numpy(batch), side, "bicubic") for batch in batches]
        self._depths = 2 * min_max_normalize(torch.cat(maps)) - 1

    def extra_channels(self, indices: Any, random: Any) -> Any:
        del random
        return to_device(self._depths[indices][:, None], self.device)

    def sample(self) -> Any:
        """Pictures, their depth, and what is made over it from noise and the caption."""
        import numpy as np
        import torch
        from PIL.Image import fromarray

        examples = self.data.examples(8)
        count = min(8, len(examples))
        pictures = examples.pictures[:count]
        truth = torch.from_numpy(examples.depths(range(count)))
        output = make_pipeline(self.parts, "depth-to-image")(
            list(examples.captions[:count]),
            image=[fromarray(each) for each in pictures],
            depth_map=truth,
            strength=1.0,
            num_inference_steps=samples.SAMPLE_STEPS,
            guidance_scale=3.0,
            output_type="np",
            generator=torch.Generator("cpu").manual_seed(0),
        )
        painted = to_uint8(output.images)
        return arrange_in_rows(np.concatenate([pictures, depths_to_grey(truth), painted]), count)


class TrainDepthToImage(Denoising):
    """A depth-guided checkpoint made from a text-to-image one, with an estimator.

    Its U-Net has five channels: latents and depth, as Stable Diffusion 2 depth has; the new
    one starts at zero.
    """

    data: In[Dataset] = Field(description="captioned pictures whose true depth is known")
    base: In[Checkpoint] = Field(description="the text-to-image checkpoint to start from")
    depth: In[Checkpoint] = Field(
        default=Checkpoint("tiny/depth-estimator"), description="the estimator, trained before"
    )
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/depth"), description="whose architecture is taken"
    )

    def data_needs(self) -> tuple[Need, ...]:
        return ("depth",)

    def text_source(self) -> object:
        return self.base

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        yield from purpose_problems("base", self.base, "text-to-image")
        yield from purpose_problems("like", self.like, "depth-guided")
        yield from estimator_problems("depth", self.depth)

    @quiet_libraries()
    def run(
        self,
        data: Dataset,
        base: Checkpoint,
        depth: Checkpoint,
        like: Checkpoint,
        progress: Progress,
    ) -> Checkpoint:
        data.depths([0])  # refuses data without true depth before anything is made
        parts = load_widened_parts(base, like, self.seed)
        settings = self.settings()
        trainee = DepthToImageTrainee(parts, data, settings)
        self.fit(trainee, data, settings, progress)
        kept = component_files(base, parts.family.components_without(*trainee.modules))
        copied = {**kept, **_estimator_files(depth)}
        return save_pipeline(trainee.modules, like, self.folder / "checkpoint", copied=copied)


def _estimator_files(depth: Checkpoint) -> dict[str, dict[str, Path]]:
    """The files of an estimator as those of the two components that a pipeline has for it."""
    files = component_files(depth, ("",))[""]
    processor = files.pop(PROCESSOR_FILE)
    model = {name: path for name, path in files.items() if name == "config.json" or ".safe" in name}
    return {DEPTH_ESTIMATOR: model, FEATURE_EXTRACTOR: {processor.name: processor}}
