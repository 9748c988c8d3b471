"""Pictures that follow control maps (ControlNet, Zhang et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from sdgraph import values
from sdgraph.checkpoints import Part, config
from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import Models
from sdgraph.node import In, refuse
from sdgraph.values import Checkpoint, ControlMap, Image

from .controls import default_network
from .diffusion import Diffusion, Progress, factor_of, family_of
from .fit import Fit, same_size
from .inpaint import paste, refuse_empty

_PIPELINES = {
    ("sd", "text"): "StableDiffusionControlNetPipeline",
    ("sd", "image"): "StableDiffusionControlNetImg2ImgPipeline",
    ("sd", "mask"): "StableDiffusionControlNetInpaintPipeline",
    ("xl", "text"): "StableDiffusionXLControlNetPipeline",
    ("xl", "image"): "StableDiffusionXLControlNetImg2ImgPipeline",
    ("xl", "mask"): "StableDiffusionXLControlNetInpaintPipeline",
}


class ControlNet(Diffusion[Image]):
    """A picture from a prompt that follows one or several control maps.

    The map's kind picks the network that fits the checkpoint, unless `controlnet` names it. With
    `image` it starts from that picture; with `mask` too, only what the mask marks is painted.
    """

    channels = (4, 9)

    control: In[ControlMap] | list[In[ControlMap]] = Field(
        description="what to follow: an EdgeMap, a DepthMap …; several of one size"
    )
    scale: float | list[float] = Field(
        1.0, description="how strongly each control is followed (conditioning scale), from 0"
    )
    start: float | list[float] = Field(
        0.0, description="the share of the steps, 0..1, after which each control sets in"
    )
    end: float | list[float] = Field(
        1.0, description="the share of the steps, 0..1, after which each control ends"
    )
    image: In[Image] | None = Field(None, description="start from this picture instead of noise")
    mask: In[values.Mask] | None = Field(
        None, description="with image: paint only here; elsewhere it stays bit for bit"
    )
    strength: float = Field(0.8, ge=0, le=1, description="with image: how much changes")
    checkpoint: In[Checkpoint] = Field(
        Checkpoint("tiny/text-to-image"), description="the base: Stable Diffusion or SDXL"
    )
    controlnet: In[Checkpoint] | list[In[Checkpoint]] | None = Field(
        None, description="the networks, one a control; by the controls' kinds if unset"
    )

    @model_validator(mode="after")
    def _controls_fit_together(self) -> Self:
        count = len(self._controls())
        if not count:
            raise refuse("control", found="an empty list", wanted="at least one control map")
        for name in ("scale", "start", "end", "controlnet"):
            given = getattr(self, name)
            if isinstance(given, list | tuple) and len(given) != count:
                found = f"{len(given)} values for {count} controls"
                raise refuse(name, found=found, wanted="one each, or a single one for all")
        for scale in self._each("scale"):
            if scale < 0:
                raise refuse("scale", found=f"{scale:g}", wanted="at least 0")
        for start, end in zip(self._each("start"), self._each("end"), strict=True):
            if not 0 <= start < end <= 1:
                raise refuse("start", found=f"start {start:g}, end {end:g}",
                             wanted="0 ≤ start < end ≤ 1")  # fmt: skip
        if self.mask is not None and self.image is None:
            raise refuse("mask", found="a mask without an image", wanted="both, or neither",
                         fix="add `image:`, the picture whose masked part is painted")  # fmt: skip
        return self

    def part_of_steps(self) -> float | None:
        return None if self.image is None else self.strength

    def _controls(self) -> Sequence[Any]:
        return self.control if isinstance(self.control, list | tuple) else (self.control,)

    def _each(self, name: str) -> list[Any]:
        """A field with a value for each control: one given value counts for all."""
        given = getattr(self, name)
        many = isinstance(given, list | tuple)
        return list(given) if many else [given] * len(self._controls())

    def networks(self) -> list[Checkpoint]:
        """The ControlNet checkpoint of each control; raises CheckpointError where none is known."""
        if self.controlnet is not None:
            return self._each("controlnet")
        kinds = [getattr(control, "output", type(control)) for control in self._controls()]
        return [default_network(self.checkpoint, kind) for kind in kinds]

    def parts(self) -> Mapping[str, Part]:
        networks = {f"controlnet_{n}": self.part(each) for n, each in enumerate(self.networks())}
        return {**super().parts(), **networks}

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        if not isinstance(self.checkpoint, Checkpoint):
            return
        try:
            networks = self.networks()
        except CheckpointError as error:
            yield Problem("controlnet", str(error), "a ControlNet for this kind of control map")
            return
        unet = config(self.checkpoint, "unet") or {}
        for network in networks:
            if not isinstance(network, Checkpoint):
                continue
            own = config(network) or unet
            if "ControlNet" not in str(own.get("_class_name", "ControlNet")) and own is not unet:
                found = f"{network.source}, a {own.get('_class_name')}"
                yield Problem("controlnet", found, "a ControlNet checkpoint")
            elif own.get("cross_attention_dim") != unet.get("cross_attention_dim"):
                yield Problem(
                    "controlnet",
                    f"{network.source}, for text features of {own.get('cross_attention_dim')}",
                    f"one for {self.checkpoint.source} ({unet.get('cross_attention_dim')})",
                    "use a ControlNet trained for this base",
                )

    def run(
        self,
        control: ControlMap | tuple[ControlMap, ...],
        image: Image | None,
        mask: values.Mask | None,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        controlnet: Checkpoint | tuple[Checkpoint, ...] | None,
        models: Models,
        progress: Progress,
    ) -> Image:
        maps = control if isinstance(control, tuple) else (control,)
        for other in maps[1:]:
            same_size(maps[0].size, other.size, ("first control", "next one"))
        if image is not None:
            same_size(image.size, maps[0].size, ("image", "control map"))
        fit = Fit.of(maps[0].size, factor_of(checkpoint))
        way = "text" if image is None else "image" if mask is None else "mask"
        nets = [models[f"controlnet_{n}"] for n in range(len(maps))]
        pipe = self.assemble(
            _PIPELINES[family_of(checkpoint) or "sd", way],
            models.without("controlnet_"),
            checkpoint,
            controlnet=nets if len(nets) > 1 else nets[0],
        )
        made = self.generate(
            pipe,
            models,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt or None,
            **self._pictures(fit, maps, image, mask),
            **self._steering(),
        )
        painted = fit.cut(made)
        return Image(painted) if image is None or mask is None else paste(image, painted, mask)

    def _pictures(
        self,
        fit: Fit,
        maps: Sequence[ControlMap],
        image: Image | None,
        mask: values.Mask | None,
    ) -> dict[str, Any]:
        """The pictures under the names that the three pipelines give them."""
        controls: Any = [fit.pad(each.rgb) for each in maps]
        controls = controls if len(maps) > 1 else controls[0]
        size = {"width": fit.padded[0], "height": fit.padded[1]}
        if image is None:
            return {"image": controls, **size}
        start = {"image": fit.pad(image.rgb), "control_image": controls, "strength": self.strength}
        if mask is None:
            return {**start, **size}
        same_size(image.size, mask.size, ("image", "mask"))
        refuse_empty(mask)
        return {**start, "mask_image": fit.pad(mask.pil), **size}

    def _steering(self) -> dict[str, Any]:
        names = {
            "controlnet_conditioning_scale": "scale",
            "control_guidance_start": "start",
            "control_guidance_end": "end",
        }
        each = {to: [float(v) for v in self._each(name)] for to, name in names.items()}
        if len(self._controls()) == 1:
            return {to: values[0] for to, values in each.items()}
        return each
