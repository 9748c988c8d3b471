"""FLUX.1 Canny and Depth (Black Forest Labs 2024), which read control maps without a ControlNet."""

from __future__ import annotations

from dataclasses import replace

from .control_settings import ControlSettings
from .family_settings import FamilyVersion, Guidance
from .flux import FLUX

FLUX_CONTROL = replace(
    FLUX,
    label="FLUX.1 Control",
    pipeline_by_config=None,
    adapters=("lora",),
    class_names=("FluxControlPipeline", "FluxControlImg2Img", "FluxControlInpaint"),
    name_hint="flux.1-canny|flux.1-depth|flux-control",
    pipelines={
        "controlnet": "FluxControlPipeline",
        "controlnet-image": "FluxControlImg2ImgPipeline",
        "controlnet-inpaint": "FluxControlInpaintPipeline",
    },
    guidance=Guidance(scale=30.0, embedded=True),
    steps=50,
    control=ControlSettings(built_in=True, several="no", has_timing=False),
    caches={},
    versions=(FamilyVersion(label="FLUX.1 Control"),),
)
