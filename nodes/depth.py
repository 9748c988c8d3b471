"""Depth from a picture, and pictures that keep a depth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field

from sdgraph.checkpoints import Part, config
from sdgraph.errors import Problem, ValueRefused
from sdgraph.models import Models
from sdgraph.node import In, Node, Progress
from sdgraph.values import Checkpoint, DepthMap, Image

from .diffusion import Diffusion
from .families import multiple_of
from .fit import Fit, same_size
from .working import estimating

_METRIC = ("glpn", "zoedepth", "depth_pro", "prompt_depth_anything")
"""Model types that predict distance, so that larger is farther."""


class DepthEstimate(Node[DepthMap]):
    """The relative depth of a picture by a monocular estimator (DPT, Ranftl et al. 2021)."""

    category: ClassVar[str] = "control"

    image: In[Image] = Field(description="a picture of any size")
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/depth-estimator"),
        description="DPT, Depth Anything, ZoeDepth, GLPN",
    )

    def parts(self) -> Mapping[str, Part]:
        checkpoint = self.checkpoint
        assert isinstance(checkpoint, Checkpoint), "a checkpoint from a node is put in before"
        return {"model": Part(checkpoint), "processor": Part(checkpoint, processor=True)}

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        checkpoint = self.checkpoint
        assert isinstance(checkpoint, Checkpoint), "a checkpoint from a node is put in before"
        return estimating(config(checkpoint) or {}, checkpoint.dtype or dtype)

    def check(self) -> Iterator[Problem]:
        if not isinstance(self.checkpoint, Checkpoint):
            return
        own = config(self.checkpoint)
        named = (own or {}).get("architectures") or ["nothing"]
        if own is not None and "DepthEstimation" not in named[0] and named[0] != "DepthProModel":
            found = f"{self.checkpoint.source}, a {own.get('_class_name', named[0])}"
            yield Problem("checkpoint", found, "a depth estimator (…ForDepthEstimation)")
        else:
            # Raises where it is missing.
            config(self.checkpoint, name="preprocessor_config.json")

    def run(self, image: Image, checkpoint: Checkpoint, models: Models) -> DepthMap:
        import torch

        made = predict_depth(models["model"], models["processor"], image.rgb, models.device)
        width, height = image.size
        resized = torch.nn.functional.interpolate(
            made[:, None].float(), size=(height, width), mode="bicubic", align_corners=False
        )
        own = config(checkpoint) or {}
        metric = own.get("model_type") in _METRIC or own.get("depth_estimation_type") == "metric"
        depth = resized[0, 0].cpu().numpy()
        return DepthMap(-depth if metric else depth)


class DepthToImage(Diffusion[Image]):
    """The picture painted anew with its depth kept: structure stays, surfaces and ground change.

    Takes depth-guided checkpoints (5-channel U-Net: latents and depth; Stable Diffusion 2 depth).
    The depth is the given map, or is estimated by the checkpoint's own estimator.
    """

    families = ("sd",)
    channels = (5,)

    image: In[Image] = Field(description="the picture to start from")
    depth: In[DepthMap] | None = Field(
        default=None, description="the depth to keep; estimated if unset"
    )
    strength: float = Field(
        default=0.8, ge=0, le=1, description="how much changes: 0 nothing, 1 all but the depth"
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/depth"), description="a depth-guided checkpoint"
    )

    def check(self) -> Iterator[Problem]:
        problems = list(super().check())
        yield from problems
        if not problems and self.depth is None and isinstance(self.checkpoint, Checkpoint):
            # Raises where it is missing.
            config(self.checkpoint, "feature_extractor", "preprocessor_config.json")

    def parts(self) -> Mapping[str, Part]:
        parts = dict(super().parts())
        if self.depth is None:
            checkpoint = parts["unet"].checkpoint
            parts["depth_estimator"] = self.part(checkpoint, "depth_estimator")
            parts["feature_extractor"] = self.part(checkpoint, "feature_extractor")
        return parts

    def run(
        self,
        image: Image,
        depth: DepthMap | None,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Image:
        import torch

        fit = Fit.of(image.size, multiple_of(checkpoint))
        picture = fit.pad(image.rgb)
        given: Any = None
        estimator: dict[str, Any] = {}
        if depth is None:
            given = predict_depth(
                models["depth_estimator"], models["feature_extractor"], picture, models.device
            )
        else:
            same_size(image.size, depth.size, ("image", "depth map"))
            given = torch.from_numpy(fit.pad_array(depth.depth).copy())[None]
            estimator = {"depth_estimator": None, "feature_extractor": None}
        pipe = self.assemble("StableDiffusionDepth2ImgPipeline", models, checkpoint, **estimator)
        made = self.generate(
            pipe,
            models,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            image=picture,
            depth_map=given,
            strength=self.strength,
        )
        return Image(fit.cut(made))


def predict_depth(model: Any, processor: Any, picture: Any, device: str) -> Any:
    """The estimator's raw map, 1 × height × width, larger as it predicts; refused where flat.

    Half precision runs under autocast, as the depth pipeline does: DPT's batch norms need it.
    """
    import torch

    home, dtype = model.device, model.dtype
    try:
        pixels = processor(images=[picture], return_tensors="pt").pixel_values
    except ValueError as error:
        # Depth Anything's keeps the proportions, and makes of a narrow picture one of no width.
        raise ValueRefused(
            f"the estimator cannot see a picture of {picture.width}×{picture.height} ({error}); "
            "wanted one of other proportions, such as a part of it"
        ) from None
    half = dtype in (torch.float16, torch.bfloat16)
    try:
        model.to(device)
        with torch.no_grad(), torch.autocast(device.partition(":")[0], dtype=dtype, enabled=half):
            made = model(pixels.to(device=device, dtype=dtype)).predicted_depth
    finally:
        # A model that is kept in host memory goes back there.
        model.to(home)
    if not torch.isfinite(made).all() or made.max() == made.min():
        found = f"the same depth {made.flatten()[0].item():g} everywhere, or NaN"
        raise ValueRefused(
            f"the depth estimator found {found}; wanted a picture with near and far in it (a "
            "picture of one colour has none)"
        )
    return made
