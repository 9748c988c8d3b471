"""Text-to-video by a 3-D U-Net (ModelScope, Wang et al. 2023)."""

from __future__ import annotations

from .family_settings import Guidance, VideoSettings
from .model_family import ModelFamily
from .networks import UNET_3D

TEXT_TO_VIDEO = ModelFamily(
    label="text-to-video",
    class_names=("TextToVideoSD",),
    pipelines={"text-to-video": "TextToVideoSDPipeline"},
    purposes={4: "text-to-video"},
    denoiser=UNET_3D,
    guidance=Guidance(scale=9.0),
    steps=25,
    video=VideoSettings(),
    # diffusers' pipeline cannot load a LoRA into this network.
    adapters=("textual-inversion",),
)
