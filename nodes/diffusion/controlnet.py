"""Generates pictures that follow control maps (ControlNet, Zhang et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph import values
from sdgraph.errors import CheckpointError, Problem
from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models
from sdgraph.nodes.image.known_size import size_problems
from sdgraph.nodes.image.padding import Padding, check_same_size
from sdgraph.values import Checkpoint, ControlMap, Image, Part

from .controlnet_defaults import default_controlnet
from .controlnet_problems import network_problems
from .crop_region import CropRegion
from .families import CONTROLNET, Purpose, Task, family_of
from .inpaint import paste_masked, refuse_unusable_mask
from .reference_images import ReferenceGuided, reference_arguments

__all__ = ["ControlNet"]

_PART_PREFIX = f"{CONTROLNET}_"
"""What the ControlNets' names among the node's parts begin with; their number follows."""


class ControlNet(ReferenceGuided[Image]):
    """A picture from a prompt that follows one or several control maps.

    The ControlNet is chosen by the map's kind and the checkpoint, unless `controlnet` names one.
    With `image` it starts from that picture; with `mask` too, only what the mask marks is
    repainted.
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
        default=0.0, description="the share of the steps, 0..1, after which each control starts"
    )
    end: float | Sequence[float] = Field(
        default=1.0, description="the share of the steps, 0..1, after which each control ends"
    )
    image: In[Image] | None = Field(
        default=None, description="start from this picture instead of noise"
    )
    mask: In[values.Mask] | None = Field(
        default=None, description="with image: repaint only here; elsewhere it stays bit for bit"
    )
    strength: float = Field(default=0.8, ge=0, le=1, description="with image: how much changes")
    padding_mask_crop: int | None = Field(
        default=None,
        ge=0,
        le=4096,
        description="with mask: repaint only the box of the mask, enlarged by these pixels, at the "
        "checkpoint's native size; the whole picture if not given",
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/text-to-image"), description="the base: Stable Diffusion or SDXL"
    )
    controlnet: In[Checkpoint] | Sequence[In[Checkpoint]] | None = Field(
        default=None,
        description="a ControlNet for each control; chosen by the controls' kinds if not given",
    )

    @model_validator(mode="after")
    def _controls_fit_together(self) -> Self:
        count = len(self._controls())
        if not count:
            raise refuse("control", found="an empty list", wanted="at least one control map")
        for name in ("scale", "start", "end", "controlnet"):
            items = getattr(self, name)
            if isinstance(items, list | tuple) and len(items) != count:
                found = f"{len(items)} values for {count} controls"
                raise refuse(name, found=found, wanted="one each, or a single one for all")
        for scale in self._per_control("scale"):
            if scale < 0:
                raise refuse("scale", found=f"{scale:g}", wanted="at least 0")
        for start, end in zip(self._per_control("start"), self._per_control("end"), strict=True):
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
        """The size of the pipeline's picture; None, the native size, for the mask's box alone."""
        return super().planned_size() if self.padding_mask_crop is None else None

    def size_source(self) -> object:
        return self._controls()[0]

    def _controls(self) -> Sequence[Any]:
        return self.control if isinstance(self.control, list | tuple) else (self.control,)

    def _per_control(self, name: str) -> list[Any]:
        """The values of a field, one for each control; a single value is repeated."""
        value = getattr(self, name)
        if isinstance(value, list | tuple):
            return list(value)
        return [value] * len(self._controls())

    def controlnets(self) -> list[Checkpoint]:
        """The ControlNet checkpoint of each control; raises CheckpointError if none is known."""
        if self.controlnet is not None:
            return self._per_control("controlnet")
        kinds = [getattr(control, "output", type(control)) for control in self._controls()]
        return [default_controlnet(self.checkpoint, kind) for kind in kinds]

    def parts(self) -> Mapping[str, Part]:
        parts = dict(super().parts())
        dtype = self.known_checkpoint.dtype
        for number, network in enumerate(self.controlnets()):
            # The denoiser adds its results to its own, so both are in one dtype.
            parts[_part_name(number)] = self.make_part(network.in_dtype(dtype))
        return parts

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        maps = enumerate(self._controls(), 1)
        yield from size_problems(
            ("image", "image", self.image),
            *(("control", f"control map {number}", control) for number, control in maps),
            ("mask", "mask", self.mask),
        )
        base = self.checkpoint
        if not isinstance(base, Checkpoint):
            return
        family = family_of(base)
        if family is not None and self.mask is None and family.purpose_of(base) == "inpainting":
            takes = f"{family.denoiser.label} takes {family.input_channels(base)} channels"
            found = f"{base.source}, whose {takes} (inpainting), and no mask"
            wanted = f"{min(family.purposes)} (text-to-image), or an image and a mask"
            yield Problem("checkpoint", found, wanted)
        try:
            for network in self.controlnets():
                if isinstance(network, Checkpoint):
                    yield from network_problems(network, base, family)
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
            refuse_unusable_mask(image, mask)
            region = CropRegion.around_mask(mask, self.padding_mask_crop, checkpoint, self.family)
        padding = Padding.of(region.working_size, self.family.size_multiple(checkpoint))
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
            **self._pictures(region, padding, maps, image, mask),
            **self._conditioning(),
            **reference_arguments(reference),
        )
        painted = padding.cut(pixels)
        if image is None or mask is None:
            return Image(painted)
        return paste_masked(image, region.paste(image, painted), mask)

    def _pictures(
        self,
        region: CropRegion,
        padding: Padding,
        maps: Sequence[ControlMap],
        image: Image | None,
        mask: values.Mask | None,
    ) -> dict[str, Any]:
        """The pictures as arguments of the pipeline; the three pipelines name them differently."""
        controls: Any = [padding.pad(region.crop(control_map.rgb)) for control_map in maps]
        controls = controls if len(maps) > 1 else controls[0]
        size = {"width": padding.padded[0], "height": padding.padded[1]}
        if image is None:
            return {"image": controls, **size}
        start = {"image": padding.pad(region.crop(image.rgb)), "control_image": controls}
        if mask is not None:
            start["mask_image"] = padding.pad(region.crop_mask(mask))
        return {**start, "strength": self.strength, **size}

    def _conditioning(self) -> dict[str, Any]:
        """How strongly and in which steps each map is followed, as arguments of the pipeline."""
        names = {
            "controlnet_conditioning_scale": "scale",
            "control_guidance_start": "start",
            "control_guidance_end": "end",
        }
        arguments = {
            argument: [float(value) for value in self._per_control(field)]
            for argument, field in names.items()
        }
        if len(self._controls()) == 1:
            return {argument: numbers[0] for argument, numbers in arguments.items()}
        return arguments


def _part_name(number: int) -> str:
    return f"{_PART_PREFIX}{number}"
