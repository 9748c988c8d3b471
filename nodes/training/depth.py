"""Depth: an estimator trained on true depth, and a U-Net that is shown the depth of a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries, resolve
from sdgraph.values import Checkpoint

from .assembly import fresh_model, save_model, save_pipeline, taken_from, widened_parts
from .data import Dataset
from .inpaint import KEPT, WideTrainee, pipeline_of
from .kinds import channel_problems, estimator_problems
from .loop import Settings, generator_for
from .placement import move_modules, to_device
from .procedure import Denoising, Training
from .samples import rows

__all__ = ["TrainDepth", "TrainDepthToImage"]

SCALES = 4
"""How many times the map is halved for the gradients' term, with the whole one."""

_MODES = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}
"""Pillow's filters by number, under torch's names."""


class Preparation:
    """What an image processor does to square pictures, for a whole batch at once in torch.

    The processor's own numbers: torch resizes uint8 as Pillow does (made smaller, a pixel in some
    hundreds is off by one grey level). A test holds the two together.
    """

    def __init__(self, like: Checkpoint) -> None:
        told = dict(resolve(like).config(name="preprocessor_config.json") or {})
        size = told.get("size", {"height": 384, "width": 384})
        step = told.get("ensure_multiple_of", 1)
        self.size = tuple(round(size[name] / step) * step for name in ("height", "width"))
        self.mode = _MODES.get(told.get("resample", 3), "")
        if self.size[0] != self.size[1] or not self.mode or told.get("do_pad"):
            found = (
                f"a processor of size {size}, resample {told.get('resample')}, "
                f"do_pad {told.get('do_pad', False)}"
            )
            wanted = "a square size, resample 0, 2 or 3, and no padding"
            raise InvalidValueError(Problem(like.source, found, wanted))
        self._resizes = told.get("do_resize", True)
        self._scale = told.get("rescale_factor", 1 / 255) if told.get("do_rescale", True) else 1.0
        plain = not told.get("do_normalize", True)
        self._mean = [0.0] * 3 if plain else told.get("image_mean", [0.5] * 3)
        self._deviation = [1.0] * 3 if plain else told.get("image_std", [0.5] * 3)

    def __call__(self, pictures: Any) -> Any:
        """uint8 count × side × side × 3 as the estimator's input, float32 count × 3 × size."""
        import torch
        from torch.nn.functional import interpolate

        made = pictures.permute(0, 3, 1, 2)
        if self._resizes and made.shape[-2:] != torch.Size(self.size):
            smooth = {} if self.mode == "nearest-exact" else {"antialias": True}
            made = interpolate(made, size=self.size, mode=self.mode, **smooth)
        mean, deviation = (
            torch.tensor(each)[:, None, None] for each in (self._mean, self._deviation)
        )
        return ((made.float() * self._scale - mean) / deviation).contiguous()


def normalize_depth(depth: Any) -> Any:
    """Depth without its unknown shift and scale: less the median, over the mean deviation from it.

    count × height × width (Ranftl et al. 2020, equation 5).
    """
    flat = depth.flatten(1)
    less = flat - flat.median(dim=1, keepdim=True).values
    spread = less.abs().mean(dim=1, keepdim=True).clamp_min(1e-4)
    return (less / spread).view_as(depth)


def depth_loss(predicted: Any, true: Any) -> Any:
    """How far two depths are apart, whatever their shift and scale, and how far their slopes.

    Both count × height × width; L1 and a gradient-matching term at four scales, with the weights
    of Ranftl et al. 2020 (equations 6, 11 and 12; nothing is trimmed, for the truth is exact).
    """
    apart = normalize_depth(predicted) - normalize_depth(true)
    slopes = 0.0
    for scale in range(SCALES):
        coarse = apart[:, :: 2**scale, :: 2**scale]
        across = (coarse[:, :, 1:] - coarse[:, :, :-1]).abs().mean()
        slopes = slopes + across + (coarse[:, 1:] - coarse[:, :-1]).abs().mean()
    return apart.abs().mean() / 2 + slopes / 2


class DepthTrainee:
    """Predicts the depth of pictures, up to shift and scale, from pictures and their true depth."""

    def __init__(self, model: Any, prepare: Preparation, data: Dataset, settings: Settings) -> None:
        import torch

        move_modules([model])
        self.model = model
        self.modules: Mapping[str, Any] = {"model": model}
        self.identity = {"data": data.content}
        self._prepare = prepare
        self._data = data
        self._settings = settings
        self._pictures = torch.from_numpy(data.pictures)

    def loss(self, step: int) -> Any:
        import torch

        random = generator_for(self._settings.seed, step)
        places = torch.randint(len(self._pictures), (self._settings.batch,), generator=random)
        where = self.model.device
        true = to_device(torch.from_numpy(self._data.depths(places.tolist())), where)
        made = self.model(to_device(self._prepare(self._pictures[places]), where)).predicted_depth
        return depth_loss(made, _sized(true, made.shape[-1], "bilinear"))

    def model_inputs(self, count: int) -> Any:
        """The first so many pictures as the model is shown them."""
        return to_device(self._prepare(self._pictures[:count]), self.model.device)

    def sample(self) -> Any:
        """Pictures, their true depth, and what is predicted, each from its least to its most."""
        import numpy as np
        import torch

        shown = self._data.examples(8)
        count = min(8, len(shown))
        pictures = shown.pictures[:count]
        with torch.no_grad():
            seen = to_device(self._prepare(torch.from_numpy(pictures)), self.model.device)
            made = self.model(seen).predicted_depth.cpu()
        made = _sized(made, shown.side, "bicubic")
        true = torch.from_numpy(shown.depths(range(count)))
        grey = [(_spread(each) * 255).round().byte().numpy() for each in (true, made)]
        drawn = [np.repeat(each[..., None], 3, axis=3) for each in grey]
        return rows(np.concatenate([pictures, *drawn]), count)


def _sized(depth: Any, side: int, mode: str) -> Any:
    """Depth maps, count × height × width, at another side."""
    from torch.nn.functional import interpolate

    return interpolate(depth[:, None], size=(side, side), mode=mode, align_corners=False)[:, 0]


def _spread(depth: Any) -> Any:
    """Each map from its least, 0, to its most, 1."""
    low, high = depth.amin(dim=(1, 2), keepdim=True), depth.amax(dim=(1, 2), keepdim=True)
    return (depth - low) / (high - low).clamp_min(1e-12)


class TrainDepth(Training):
    """A monocular depth estimator trained from nothing (DPT, Ranftl et al. 2021)."""

    data: In[Dataset] = Field(description="pictures whose true depth is known")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/depth-estimator"), description="whose architecture is taken"
    )

    def check(self) -> Iterator[Problem]:
        yield from estimator_problems("like", self.like)

    @quiet_libraries()
    def run(self, data: Dataset, like: Checkpoint, progress: Progress) -> Checkpoint:
        data.depths([0])  # refuses data without truth before anything is made
        model = alive(fresh_model(like, self.seed))
        settings = self.settings()
        trainee = DepthTrainee(model, Preparation(like), data, settings)
        self.fit(trainee, data, settings, progress)
        scale_last_layer(model, trainee.model_inputs(CALIBRATION))
        return save_model(model, like, self.folder / "checkpoint")


def alive(model: Any) -> Any:
    """The estimator with its last bias set to 1.

    It ends in a ReLU: if the first prediction were below zero everywhere, it would learn nothing.
    """
    import torch

    with torch.no_grad():
        model.head.head[-2].bias.fill_(1.0)
    return model


CALIBRATION = 64
"""Pictures by which the last layer of a trained estimator is scaled."""


def scale_last_layer(model: Any, seen: Any) -> None:
    """Scales an estimator's last layer so that the depths of some pictures lie between 0.1 and 1.1.

    The loss leaves shift and scale open, so all depths may come to lie between 1.01 and 1.03, say,
    where half precision cannot tell them apart. A hundredth at either end is left out of count.
    """
    import torch

    with torch.no_grad():
        depth = model(seen).predicted_depth.flatten()
        ends = depth[torch.randperm(len(depth), generator=generator_for(0, 0))[:1_000_000]]
        low, high = torch.quantile(ends, torch.tensor([0.01, 0.99], device=ends.device)).tolist()
        last, factor = model.head.head[-2], 1 / max(high - low, 1e-6)
        last.weight.mul_(factor)
        last.bias.sub_(low).mul_(factor).add_(0.1)


class DepthToImageTrainee(WideTrainee):
    """Shown the true depth as StableDiffusionDepth2ImgPipeline.prepare_depth_map makes it."""

    def __init__(self, parts: Mapping[str, Any], data: Dataset, settings: Settings) -> None:
        import torch

        super().__init__(parts, data, settings)
        side = self.latents.shape[-1]
        made = [
            _sized(
                torch.from_numpy(data.depths(range(first, min(first + 64, len(data))))),
                side,
                "bicubic",
            )
            for first in range(0, len(data), 64)
        ]
        self._depths = 2 * _spread(torch.cat(made)) - 1

    def further(self, places: Any, random: Any) -> Any:
        del random
        return to_device(self._depths[places][:, None], self.device)

    def sample(self) -> Any:
        """Pictures, their depth, and what is made anew over it from noise and the caption."""
        import numpy as np
        import torch
        from diffusers import StableDiffusionDepth2ImgPipeline
        from PIL.Image import fromarray

        shown = self.data.examples(8)
        count = min(8, len(shown))
        pictures, true = shown.pictures[:count], torch.from_numpy(shown.depths(range(count)))
        pipe = pipeline_of(
            StableDiffusionDepth2ImgPipeline,
            self.parts,
            depth_estimator=None,
            feature_extractor=None,
        )
        made = pipe(
            list(shown.captions[:count]),
            image=[fromarray(each) for each in pictures],
            depth_map=true,
            strength=1.0,
            num_inference_steps=20,
            guidance_scale=3.0,
            output_type="np",
            generator=torch.Generator("cpu").manual_seed(0),
        ).images
        grey = np.repeat((_spread(true) * 255).round().byte().numpy()[..., None], 3, axis=3)
        return rows(np.concatenate([pictures, grey, (made * 255).round().astype("uint8")]), count)


class TrainDepthToImage(Denoising):
    """A depth-guided checkpoint made from a text-to-image one, with an estimator beside it.

    Its U-Net has five channels: latents and depth (as Stable Diffusion 2 depth was made); the new
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

    def check(self) -> Iterator[Problem]:
        yield from channel_problems(base=(self.base, 4), like=(self.like, 5))
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
        data.depths([0])  # refuses data without truth before anything is made
        parts = widened_parts(base, like, self.seed)
        settings = self.settings()
        self.fit(DepthToImageTrainee(parts, data, settings), data, settings, progress)
        kept = {**taken_from(base, KEPT), **_estimator_from(depth)}
        return save_pipeline({"unet": parts["unet"]}, like, self.folder / "checkpoint", taken=kept)


def _estimator_from(depth: Checkpoint) -> dict[str, dict[str, Path]]:
    """The files of an estimator as those of the two parts of a pipeline that they make."""
    files = taken_from(depth, ("",))[""]
    processor = files.pop("preprocessor_config.json")
    model = {name: path for name, path in files.items() if name == "config.json" or ".safe" in name}
    return {"depth_estimator": model, "feature_extractor": {processor.name: processor}}
