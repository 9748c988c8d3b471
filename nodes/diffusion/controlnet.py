"""Generates pictures that follow control maps (ControlNet, Zhang et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph import values
from sdgraph.errors import CheckpointError, Problem
from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models, resolve
from sdgraph.nodes.diffusion.control.control_maps import (
    Control,
    conditioning_arguments,
    kinds_of,
    map_argument,
    picture_arguments,
    shares_network,
    union_of,
)
from sdgraph.nodes.diffusion.control.controlnet_defaults import (
    default_controlnet,
    default_repainting_controlnet,
)
from sdgraph.nodes.diffusion.control.controlnet_modules import arrange_networks, seed_encoding
from sdgraph.nodes.diffusion.control.controlnet_problems import (
    built_in_problems,
    control_problems,
    control_warnings,
)
from sdgraph.nodes.diffusion.control.map_adapters import (
    MAP_ADAPTER,
    arrange_map_adapters,
    map_adapter_arguments,
    map_adapter_reference_problems,
    map_as_read,
    map_multiple,
    takes_map_adapters,
)
from sdgraph.nodes.diffusion.pipelines.crop_region import CropRegion
from sdgraph.nodes.image.known_size import size_problems
from sdgraph.nodes.image.padding import Padding, check_same_size
from sdgraph.values import Checkpoint, ControlMap, Image, Part

from .families import CONTROLNET, Config, Purpose, Task, family_of
from .inpaint import paste_masked, refuse_unusable_mask
from .node_batches import PictureCall
from .reference_images import ReferenceGuided

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["ControlNet"]

_PART_PREFIX = f"{CONTROLNET}_"
"""What the ControlNets' names among the node's parts begin with; their number follows."""


class ControlNet(ReferenceGuided[Image]):
    """A picture from a prompt that follows one or several control maps.

    The ControlNet is chosen by the map's kind and the checkpoint, unless `controlnet` names one;
    a T2I-Adapter may stand in its place. FLUX.1 Canny and Depth read the map without one.
    With `image` it starts from that picture; with `mask` too, only what the mask marks is
    repainted.
    """

    batch_fields = frozenset({"control", "image", "mask", "prompt", "negative_prompt", "seed"})
    purposes: ClassVar[tuple[Purpose, ...]] = ("text-to-image", "inpainting")
    wire_advice: ClassVar[Mapping[str, tuple[type, str]]] = {
        "control": (
            Image,
            (
                "make one of it (Canny, SoftEdges, DepthEstimate, PoseEstimate …), or read a "
                "finished one (EdgesFromFile, DepthFromFile, PoseFromFile …)"
            ),
        )
    }

    control: In[ControlMap] | Sequence[In[ControlMap]] | None = Field(
        default=None,
        description="what to follow: an EdgeMap, a DepthMap …; several of one size; none for a "
        "ControlNet that reads the image and the mask alone (Qwen-Image, Stable Diffusion 3)",
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
        default=Checkpoint("tiny/text-to-image"),
        description="the base: Stable Diffusion, SDXL, FLUX.1, Qwen-Image, Z-Image …",
    )
    controlnet: In[Checkpoint] | Sequence[In[Checkpoint]] | None = Field(
        default=None,
        description="a ControlNet or a T2I-Adapter for each control; chosen by the controls' kinds "
        "if not given",
    )

    @model_validator(mode="after")
    def _controls_fit_together(self) -> Self:
        count = len(self._maps())
        if self.control is None and self.mask is None:
            fix = "make one (Canny, DepthEstimate …); or give an image and a mask"
            raise refuse("control", found="none", wanted="at least one control map", fix=fix)
        if not count and self.control is not None:
            raise refuse("control", found="an empty list", wanted="at least one control map")
        for name in ("scale", "start", "end", "controlnet"):
            items = getattr(self, name)
            if isinstance(items, list | tuple) and len(items) != max(count, 1):
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
        return self.image if self.control is None else self._maps()[0]

    def _maps(self) -> Sequence[Any]:
        if self.control is None:
            return ()
        return self.control if isinstance(self.control, list | tuple) else (self.control,)

    def _per_control(self, name: str) -> list[Any]:
        """The values of a field, one for each control; a single value is repeated."""
        value = getattr(self, name)
        if isinstance(value, list | tuple):
            return list(value)
        return [value] * max(len(self._maps()), 1)

    def controlnets(self) -> list[Checkpoint]:
        """The ControlNet checkpoint of each control; raises CheckpointError if none is known.

        There is none for a checkpoint that reads maps itself.
        """
        if self._reads_maps_itself():
            return []
        if self.controlnet is not None:
            return self._per_control("controlnet")
        if self.control is None:
            return [default_repainting_controlnet(self.checkpoint)]
        return [default_controlnet(self.checkpoint, kind) for kind in kinds_of(self._maps())]

    def controls(self) -> list[Control]:
        """The control maps, each with its ControlNet; one without a map if there is none."""
        columns = (self._per_control(name) for name in ("scale", "start", "end"))
        kinds = kinds_of(self._maps()) or [type(None)]
        networks: list[Any] = self.controlnets() or [None] * len(kinds)
        return [
            Control(kind=kind, network=network, scale=scale, start=start, end=end)
            for kind, network, scale, start, end in zip(kinds, networks, *columns, strict=True)
        ]

    def parts(self) -> Mapping[str, Part]:
        parts = dict(super().parts())
        dtype = self.known_checkpoint.dtype
        for number, network in enumerate(self.controlnets()):
            # The denoiser adds its results to its own, so both are in one dtype.
            parts[_part_name(number)] = self.make_part(network.in_dtype(dtype))
        return parts

    def control_configs(self) -> Sequence[Config]:
        return [resolve(network).config() or {} for network in self.controlnets()]

    def pipeline_class(self) -> str:
        name, map_adapters = super().pipeline_class(), self.family.control.map_adapters
        if map_adapters is not None and self._has_map_adapters():
            return map_adapters.pipeline
        union = union_of(self.controls()[0].checkpoint, self.family)
        return name if union is None else union.pipelines.get(name, name)

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        maps = enumerate(self._maps(), 1)
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
        if family is not None and self.task() not in family.pipelines:
            return
        try:
            controls = self.controls()
            if family is not None:
                scales = [control.scale for control in controls]
                yield from built_in_problems(family, base, self.controlnet, scales)
            yield from control_problems(controls, base, family, self.task())
            if family is not None and self.reference is not None:
                yield from map_adapter_reference_problems(controls, family)
        except CheckpointError as error:
            yield from error.as_problems_of(
                "controlnet", "a ControlNet for this kind of control map"
            )

    def warnings(self) -> Iterator[Problem]:
        yield from super().warnings()
        family = family_of(self.checkpoint) if isinstance(self.checkpoint, Checkpoint) else None
        if family is not None and "strength" in self.model_fields_set:
            yield from control_warnings(family, self.task(), self.strength)

    def run(
        self,
        control: ControlMap | tuple[ControlMap, ...] | None,
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
        pictures = {"control": control, "image": image, "mask": mask, "reference": reference}
        call = self.picture_call({**pictures, "checkpoint": checkpoint})
        pipe = self.pipeline(models, checkpoint)
        prompts: Any = {"prompt": prompt, "negative_prompt": negative_prompt}
        return call.finish(self.generate(pipe, models, progress, **prompts, **call.arguments))

    def picture_call(self, arguments: Mapping[str, Any]) -> PictureCall:
        control, image, mask = (arguments[name] for name in ("control", "image", "mask"))
        checkpoint = arguments["checkpoint"]
        maps = control if isinstance(control, tuple) else (control,) if control else ()
        size = _common_size(maps, image)
        region = CropRegion((0, 0, *size), size)
        if image is not None and mask is not None:
            refuse_unusable_mask(image, mask)
            region = CropRegion.around_mask(mask, self.padding_mask_crop, checkpoint, self.family)
        padding = Padding.of(region.working_size, self._multiple(checkpoint))
        call = {
            **self._pictures(region, padding, maps, image, mask),
            **self._conditioning(),
            **self.reference_call(arguments["reference"]),
        }

        def finish(pixels: npt.NDArray[np.uint8]) -> Image:
            painted = padding.cut(pixels)
            if image is None or mask is None:
                return Image(painted)
            return paste_masked(image, region.paste(image, painted), mask)

        return PictureCall(call, finish)

    def can_batch(self) -> bool:
        """Whether it has one ControlNet, of Stable Diffusion or SDXL, which reads one map."""
        if not super().can_batch() or len(self._maps()) != 1:
            return False
        return not self._has_map_adapters() and self.pipeline_class() == super().pipeline_class()

    def _reads_maps_itself(self) -> bool:
        """Whether its checkpoint takes control maps without a ControlNet."""
        return isinstance(self.checkpoint, Checkpoint) and self.family.control.built_in

    def _has_map_adapters(self) -> bool:
        """Whether its networks are T2I-Adapters, which have a pipeline of their own."""
        return takes_map_adapters(self.controls(), self.family)

    def _multiple(self, checkpoint: Checkpoint) -> int:
        """What the sides of the pipeline's picture must be a multiple of."""
        multiple = self.family.size_multiple(checkpoint)
        return map_multiple(self.controls(), multiple) if self._has_map_adapters() else multiple

    def _conditioning(self) -> dict[str, Any]:
        """How strongly and when each map is followed, as arguments of the pipeline."""
        if self._reads_maps_itself():
            return {}
        arguments = map_adapter_arguments if self._has_map_adapters() else conditioning_arguments
        return arguments(self.controls(), self.family)

    def pipeline(self, models: Models, checkpoint: Checkpoint) -> Any:
        """The pipeline with the ControlNets as it takes them."""
        controls, family = self.controls(), self.family
        if self._reads_maps_itself():
            return self.assemble(models, checkpoint)
        networks = [models[_part_name(number)] for number in range(len(controls))]
        if self._has_map_adapters():
            adapter = {MAP_ADAPTER: arrange_map_adapters(networks)}
            return self.assemble(models.without(_PART_PREFIX), checkpoint, **adapter)
        shared = shares_network(controls, family)
        arranged = arrange_networks(networks, family, shared=shared)
        more = {CONTROLNET: arranged}
        if family.control.samples_unseeded:
            decoder = family.decoder.name
            more[decoder] = seed_encoding(models[decoder], self.seed)
        return self.assemble(models.without(_PART_PREFIX), checkpoint, **more)

    def _pictures(
        self,
        region: CropRegion,
        padding: Padding,
        maps: Sequence[ControlMap],
        image: Image | None,
        mask: values.Mask | None,
    ) -> dict[str, Any]:
        """The pictures as arguments of the pipeline."""
        controls: Any = [padding.pad(region.crop(control_map.rgb)) for control_map in maps]
        width, height = padding.padded
        if self._has_map_adapters():
            adapters = [control.checkpoint for control in self.controls()]
            controls = [map_as_read(*pair) for pair in zip(controls, adapters, strict=True)]
        return picture_arguments(
            map_argument(self.controls()[0], self.family),
            self.family.control,
            controls if len(maps) > 1 else next(iter(controls), None),
            None if image is None else padding.pad(region.crop(image.rgb)),
            None if mask is None else padding.pad(region.crop_mask(mask)),
            strength=self.strength,
            size={"width": width, "height": height},
        )


def _part_name(number: int) -> str:
    return f"{_PART_PREFIX}{number}"


def _common_size(maps: Sequence[ControlMap], image: Image | None) -> tuple[int, int]:
    """The size of the maps and of the picture; raises InvalidValueError if they differ."""
    for other in maps[1:]:
        check_same_size(maps[0].size, other.size, ("first control map", "next control map"))
    if image is None:
        return maps[0].size
    if maps:
        check_same_size(image.size, maps[0].size, ("image", "control map"))
    return image.size
