"""Pictures that follow control maps (ControlNet, Zhang et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph import values
from sdgraph.errors import CheckpointError, Problem
from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models, resolve
from sdgraph.nodes.image.padding import Padding, check_same_size
from sdgraph.values import Checkpoint, ControlMap, Image, Part

from .controlnet_defaults import default_controlnet
from .crop_region import CropRegion
from .families import CONTROLNET, Purpose, Task, family_of, text_width
from .inpaint import paste_masked, refuse_unusable
from .reference_images import ReferenceGuided, reference_arguments

__all__ = ["ControlNet"]

_PART_PREFIX = f"{CONTROLNET}_"
"""What the names of the ControlNets begin with among the node's parts; their number follows."""


class ControlNet(ReferenceGuided[Image]):
    """A picture from a prompt that follows one or several control maps.

    The map's kind picks the network that fits the checkpoint, unless `controlnet` names it. With
    `image` it starts from that picture; with `mask` too, only what the mask marks is painted.
    """

    purposes: ClassVar[tuple[Purpose, ...]] = ("text-to-image", "inpainting")
    controlled: ClassVar[bool] = True
    wire_advice: ClassVar[Mapping[str, tuple[type, str]]] = {
        "control": (
            Image,
            (
                "make one of it (Canny, SoftEdges, DepthEstimate, PoseEstimate …), or read a "
                "finished one (EdgesFromFile, DepthFromFile, PoseFromFile …)"
            ),
        )
    }

    control: In[ControlMap] | Sequence[In[ControlMap]] = Field(
        description="what to follow: an EdgeMap, a DepthMap …; several of one size"
    )
    scale: float | Sequence[float] = Field(
        default=1.0,
        description="how strongly each control is followed (conditioning scale), from 0",
    )
    start: float | Sequence[float] = Field(
        default=0.0, description="the share of the steps, 0..1, after which each control sets in"
    )
    end: float | Sequence[float] = Field(
        default=1.0, description="the share of the steps, 0..1, after which each control ends"
    )
    image: In[Image] | None = Field(
        default=None, description="start from this picture instead of noise"
    )
    mask: In[values.Mask] | None = Field(
        default=None, description="with image: paint only here; elsewhere it stays bit for bit"
    )
    strength: float = Field(default=0.8, ge=0, le=1, description="with image: how much changes")
    padding_mask_crop: int | None = Field(
        default=None,
        ge=0,
        le=4096,
        description="with mask: works on its box alone, wider by these pixels, at the checkpoint's "
        "own size, and pastes it back; unset works on the whole picture",
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/text-to-image"), description="the base: Stable Diffusion or SDXL"
    )
    controlnet: In[Checkpoint] | Sequence[In[Checkpoint]] | None = Field(
        default=None, description="the networks, one a control; by the controls' kinds if unset"
    )

    @model_validator(mode="after")
    def _controls_fit_together(self) -> Self:
        count = len(self._controls())
        if not count:
            raise refuse("control", found="an empty list", wanted="at least one control map")
        for name in ("scale", "start", "end", "controlnet"):
            values = getattr(self, name)
            if isinstance(values, list | tuple) and len(values) != count:
                found = f"{len(values)} values for {count} controls"
                raise refuse(name, found=found, wanted="one each, or a single one for all")
        for scale in self._each("scale"):
            if scale < 0:
                raise refuse("scale", found=f"{scale:g}", wanted="at least 0")
        for start, end in zip(self._each("start"), self._each("end"), strict=True):
            if not 0 <= start < end <= 1:
                raise refuse(
                    "start", found=f"start {start:g}, end {end:g}", wanted="0 ≤ start < end ≤ 1"
                )
        if self.mask is not None and self.image is None:
            raise refuse(
                "mask",
                found="a mask without an image",
                wanted="both, or neither",
                fix="add `image:`, the picture whose masked part is painted",
            )
        if self.padding_mask_crop is not None and self.mask is None:
            raise refuse(
                "padding_mask_crop",
                found="no mask to work around",
                wanted="an image and a mask, or nothing",
            )
        return self

    def task(self) -> Task:
        if self.image is None:
            return "controlnet"
        return "controlnet-image" if self.mask is None else "controlnet-inpaint"

    def denoising_share(self) -> float | None:
        return None if self.image is None else self.strength

    def planned_size(self) -> tuple[int, int] | None:
        """The size it works at; the checkpoint's own where only the mask's box is worked on."""
        return super().planned_size() if self.padding_mask_crop is None else None

    def _controls(self) -> Sequence[Any]:
        return self.control if isinstance(self.control, list | tuple) else (self.control,)

    def _each(self, name: str) -> list[Any]:
        """A field's values, one for each control: a single value counts for all."""
        value = getattr(self, name)
        many = isinstance(value, list | tuple)
        return list(value) if many else [value] * len(self._controls())

    def networks(self) -> list[Checkpoint]:
        """The ControlNet checkpoint of each control; raises CheckpointError where none is known."""
        if self.controlnet is not None:
            return self._each("controlnet")
        kinds = [getattr(control, "output", type(control)) for control in self._controls()]
        return [default_controlnet(self.checkpoint, kind) for kind in kinds]

    def parts(self) -> Mapping[str, Part]:
        parts = dict(super().parts())
        dtype = self.known_checkpoint.dtype
        for number, network in enumerate(self.networks()):
            # It computes together with the denoiser, so both are in one dtype.
            parts[_part_name(number)] = self.make_part(network.in_dtype(dtype))
        return parts

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        base = self.checkpoint
        if not isinstance(base, Checkpoint):
            return
        family = family_of(base)
        settings = {} if family is None else family.denoiser_config(base)
        if family is not None and self.mask is None and family.purpose_of(base) == "inpainting":
            takes = f"{family.denoiser.label} takes {family.input_channels(base)} channels"
            found = f"{base.source}, whose {takes} (inpainting), and no mask"
            wanted = f"{min(family.purposes)} (text-to-image), or an image and a mask"
            yield Problem("checkpoint", found, wanted)
        try:
            for network in self.networks():
                if isinstance(network, Checkpoint):
                    yield from _network_problems(network, base, settings)
        except CheckpointError as error:
            yield from error.as_problems_of(
                "controlnet", "a ControlNet for this kind of control map"
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
        reference: Image | tuple[Image, ...] | None,
        image_encoder: Checkpoint | None,
        models: Models,
        progress: Progress,
    ) -> Image:
        maps = control if isinstance(control, tuple) else (control,)
        for other in maps[1:]:
            check_same_size(maps[0].size, other.size, ("first control map", "next control map"))
        if image is not None:
            check_same_size(image.size, maps[0].size, ("image", "control map"))
        region = CropRegion((0, 0, *maps[0].size), maps[0].size)
        if image is not None and mask is not None:
            refuse_unusable(image, mask)
            region = CropRegion.around_mask(mask, self.padding_mask_crop, checkpoint, self.family)
        fit = Padding.of(region.working_size, self.family.size_multiple(checkpoint))
        networks = [models[_part_name(number)] for number in range(len(maps))]
        pipe = self.assemble(
            models.without(_PART_PREFIX),
            checkpoint,
            **{CONTROLNET: networks if len(networks) > 1 else networks[0]},
        )
        pixels = self.generate(
            pipe,
            models,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            **self._pictures(region, fit, maps, image, mask),
            **self._conditioning(),
            **reference_arguments(reference),
        )
        painted = fit.cut(pixels)
        if image is None or mask is None:
            return Image(painted)
        return paste_masked(image, region.paste(image, painted), mask)

    def _pictures(
        self,
        region: CropRegion,
        fit: Padding,
        maps: Sequence[ControlMap],
        image: Image | None,
        mask: values.Mask | None,
    ) -> dict[str, Any]:
        """The pictures as arguments, which the three pipelines name differently."""
        controls: Any = [fit.pad(region.crop(each.rgb)) for each in maps]
        controls = controls if len(maps) > 1 else controls[0]
        size = {"width": fit.padded[0], "height": fit.padded[1]}
        if image is None:
            return {"image": controls, **size}
        start = {"image": fit.pad(region.crop(image.rgb)), "control_image": controls}
        if mask is not None:
            start["mask_image"] = fit.pad(region.crop_mask(mask))
        return {**start, "strength": self.strength, **size}

    def _conditioning(self) -> dict[str, Any]:
        """How strongly and in which steps each map is followed, as arguments."""
        names = {
            "controlnet_conditioning_scale": "scale",
            "control_guidance_start": "start",
            "control_guidance_end": "end",
        }
        each = {to: [float(v) for v in self._each(name)] for to, name in names.items()}
        if len(self._controls()) == 1:
            return {to: values[0] for to, values in each.items()}
        return each


def _part_name(number: int) -> str:
    return f"{_PART_PREFIX}{number}"


def _network_problems(
    network: Checkpoint, base: Checkpoint, settings: Mapping[str, Any]
) -> Iterator[Problem]:
    """Why a ControlNet does not fit a base with that config of its denoiser, if both are here."""
    if network.dtype not in (None, base.dtype):
        over = f"{base.source} in {base.dtype or 'what the device prefers'}"
        found = f"{network.source} in {network.dtype} over {over}"
        yield Problem("controlnet", found, "one dtype", "set the dtype of the checkpoint alone")
    own = resolve(network).config()
    if own is None:
        return
    class_name = str(own.get("_class_name") or (own.get("architectures") or ["nothing"])[0])
    if "ControlNet" not in class_name:
        yield Problem("controlnet", f"{network.source}, a {class_name}", "a ControlNet checkpoint")
    elif settings and text_width(own) != text_width(settings):
        yield Problem(
            "controlnet",
            f"{network.source}, for text features of {text_width(own)}",
            f"one for {base.source} ({text_width(settings)})",
            "use a ControlNet trained for this base",
        )
