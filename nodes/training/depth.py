"""A depth estimator, trained on pictures whose true depth is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Progress
from sdgraph.models import quiet_libraries, resolve
from sdgraph.values import Checkpoint

from .checkpoint_problems import estimator_problems
from .data import Dataset
from .data_problems import Need
from .loading import untrained_model
from .loop import Settings, generator_for
from .placement import move_modules, to_device
from .procedure import Training
from .samples import arrange_in_rows
from .saving import save_model

__all__ = ["TrainDepth"]

SCALES = 4
"""How many times the map is halved for the gradients' term, with the whole one."""

CALIBRATION = 64
"""How many pictures the last layer of a trained estimator is scaled by."""

PROCESSOR_FILE = "preprocessor_config.json"
"""The file with the settings of an estimator's image processor."""

_MODES = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}
"""Pillow's filters by number, under torch's names."""


class Preparation:
    """What an image processor does to square pictures, for a whole batch at once in torch.

    It takes the processor's own numbers. torch resizes uint8 as Pillow does, but when it makes
    pictures smaller, a pixel in some hundreds is off by one grey level; a test compares the two.

    Args:
        like: The estimator whose processor is read.

    Raises:
        InvalidValueError: The processor pads, is not square, or resizes in another way.
    """

    def __init__(self, like: Checkpoint) -> None:
        config = dict(resolve(like).config(name=PROCESSOR_FILE) or {})
        size = config.get("size", {"height": 384, "width": 384})
        step = config.get("ensure_multiple_of", 1)
        self.size = tuple(round(size[name] / step) * step for name in ("height", "width"))
        self.mode = _MODES.get(config.get("resample", 3), "")
        if self.size[0] != self.size[1] or not self.mode or config.get("do_pad"):
            found = (
                f"a processor of size {size}, resample {config.get('resample')}, "
                f"do_pad {config.get('do_pad', False)}"
            )
            wanted = "a square size, resample 0, 2 or 3, and no padding"
            raise InvalidValueError(Problem(like.source, found, wanted))
        self._resizes = config.get("do_resize", True)
        rescales, normalizes = config.get("do_rescale", True), config.get("do_normalize", True)
        self._scale = config.get("rescale_factor", 1 / 255) if rescales else 1.0
        self._mean = config.get("image_mean", [0.5] * 3) if normalizes else [0.0] * 3
        self._deviation = config.get("image_std", [0.5] * 3) if normalizes else [1.0] * 3

    def __call__(self, pictures: Any) -> Any:
        """uint8 count × side × side × 3 as the estimator's input, float32 count × 3 × size."""
        import torch
        from torch.nn.functional import interpolate

        pixels = pictures.permute(0, 3, 1, 2)
        if self._resizes and pixels.shape[-2:] != torch.Size(self.size):
            smooth = {} if self.mode == "nearest-exact" else {"antialias": True}
            pixels = interpolate(pixels, size=self.size, mode=self.mode, **smooth)
        mean, deviation = (
            torch.tensor(each)[:, None, None] for each in (self._mean, self._deviation)
        )
        return ((pixels.float() * self._scale - mean) / deviation).contiguous()


def normalize_depth(depth: Any) -> Any:
    """Depth without its unknown shift and scale: less the median, over the mean deviation from it.

    count × height × width (Ranftl et al. 2020, equation 5).
    """
    flat = depth.flatten(1)
    centred = flat - flat.median(dim=1, keepdim=True).values
    spread = centred.abs().mean(dim=1, keepdim=True).clamp_min(1e-4)
    return (centred / spread).view_as(depth)


def depth_loss(prediction: Any, truth: Any) -> Any:
    """How far two depths are apart, whatever their shift and scale, and how far their slopes.

    L1 and a gradient-matching term at four scales, with the weights of Ranftl et al. 2020
    (equations 6, 11 and 12; nothing is trimmed, for the truth is exact).

    Args:
        prediction: Depths, count × height × width.
        truth: The true ones, of the same shape.
    """
    difference = normalize_depth(prediction) - normalize_depth(truth)
    slopes = 0.0
    for scale in range(SCALES):
        coarse = difference[:, :: 2**scale, :: 2**scale]
        across = (coarse[:, :, 1:] - coarse[:, :, :-1]).abs().mean()
        slopes = slopes + across + (coarse[:, 1:] - coarse[:, :-1]).abs().mean()
    return difference.abs().mean() / 2 + slopes / 2


class DepthTrainee:
    """Predicts the depth of pictures, up to shift and scale, from their true depth.

    Args:
        model: The estimator to train.
        prepare: What its image processor does.
        data: Pictures whose true depth is known.
        settings: The loop's settings.
    """

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
        indices = torch.randint(len(self._pictures), (self._settings.batch,), generator=random)
        device = self.model.device
        truth = to_device(torch.from_numpy(self._data.depths(indices.tolist())), device)
        pixels = to_device(self._prepare(self._pictures[indices]), device)
        prediction = self.model(pixels).predicted_depth
        return depth_loss(prediction, resize_depths(truth, prediction.shape[-1], "bilinear"))

    def model_inputs(self, count: int) -> Any:
        """The first so many pictures as the model takes them."""
        return to_device(self._prepare(self._pictures[:count]), self.model.device)

    def sample(self) -> Any:
        """Pictures, their true depth, and what is predicted, each from its least to its most."""
        import numpy as np
        import torch

        examples = self._data.examples(8)
        count = min(8, len(examples))
        pictures = examples.pictures[:count]
        with torch.no_grad():
            pixels = to_device(self._prepare(torch.from_numpy(pictures)), self.model.device)
            prediction = self.model(pixels).predicted_depth.cpu()
        prediction = resize_depths(prediction, examples.side, "bicubic")
        truth = torch.from_numpy(examples.depths(range(count)))
        maps = [depths_to_grey(truth), depths_to_grey(prediction)]
        return arrange_in_rows(np.concatenate([pictures, *maps]), count)


def resize_depths(depth: Any, side: int, mode: str) -> Any:
    """Depth maps, count × height × width, at another side."""
    from torch.nn.functional import interpolate

    return interpolate(depth[:, None], size=(side, side), mode=mode, align_corners=False)[:, 0]


def min_max_normalize(depth: Any) -> Any:
    """Each map from its least, 0, to its most, 1."""
    low, high = depth.amin(dim=(1, 2), keepdim=True), depth.amax(dim=(1, 2), keepdim=True)
    return (depth - low) / (high - low).clamp_min(1e-12)


def depths_to_grey(depth: Any) -> Any:
    """Depth maps as grey pictures: uint8, count × height × width × 3."""
    import numpy as np

    grey = (min_max_normalize(depth) * 255).round().byte().numpy()
    return np.repeat(grey[..., None], 3, axis=3)


class TrainDepth(Training):
    """A monocular depth estimator trained from nothing (DPT, Ranftl et al. 2021)."""

    data: In[Dataset] = Field(description="pictures whose true depth is known")
    like: In[Checkpoint] = Field(
        default=Checkpoint("tiny/depth-estimator"), description="whose architecture is taken"
    )

    def data_needs(self) -> tuple[Need, ...]:
        return ("depth",)

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        yield from estimator_problems("like", self.like)

    @quiet_libraries()
    def run(self, data: Dataset, like: Checkpoint, progress: Progress) -> Checkpoint:
        data.depths([0])  # refuses data without true depth before anything is made
        model = untrained_model(like, self.seed)
        set_positive_output(model)
        settings = self.settings()
        trainee = DepthTrainee(model, Preparation(like), data, settings)
        self.fit(trainee, data, settings, progress)
        scale_last_layer(model, trainee.model_inputs(CALIBRATION))
        return save_model(model, like, self.folder / "checkpoint")


def set_positive_output(model: Any) -> None:
    """Sets the last bias of an estimator to 1.

    It ends in a ReLU: if the first prediction were below zero everywhere, it would learn nothing.
    """
    import torch

    with torch.no_grad():
        model.head.head[-2].bias.fill_(1.0)


def scale_last_layer(model: Any, pixels: Any) -> None:
    """Scales an estimator's last layer so that depths are between 0.1 and 1.1.

    The loss leaves shift and scale open, so all depths may come to be between 1.01 and 1.03, say,
    where half precision cannot tell them apart.

    Args:
        model: The estimator, which is changed.
        pixels: The pictures whose depths are measured, as the model takes them. A hundredth of
            their depths at either end is not counted.
    """
    import torch

    with torch.no_grad():
        depth = model(pixels).predicted_depth.flatten()
        drawn = depth[torch.randperm(len(depth), generator=generator_for(0, 0))[:1_000_000]]
        ends = torch.tensor([0.01, 0.99], device=drawn.device)
        low, high = torch.quantile(drawn, ends).tolist()
        last, factor = model.head.head[-2], 1 / max(high - low, 1e-6)
        last.weight.mul_(factor)
        last.bias.sub_(low).mul_(factor).add_(0.1)
