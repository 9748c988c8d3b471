"""The names of what nodes ask of families: tasks, purposes, settings and adapters."""

from __future__ import annotations

from typing import Literal

Task = Literal[
    "text-to-image",
    "image-to-image",
    "inpaint",
    "controlnet",
    "controlnet-image",
    "controlnet-inpaint",
    "depth-to-image",
    "edit",
    "upscale",
    "variation",
    "text-to-video",
    "image-to-video",
    "frames-to-video",
    "video-to-video",
    "video-control",
    "animate",
]
"""What a node asks a pipeline to do.

"frames-to-video" is given further frames than the first, "video-control" a video to follow.
"""

Purpose = Literal[
    "text-to-image",
    "depth-guided",
    "inpainting",
    "edit",
    "upscaling",
    "text-to-video",
    "image-to-video",
]
"""What a checkpoint was trained for; its denoiser takes other channels for each."""

Knob = Literal["vae", "attention", "channels_last", "compile", "layerwise_casting"]
"""A setting of speed or memory, as in a node's `tuning`."""

Adapter = Literal["lora", "textual-inversion", "ip-adapter", "controlnet"]
"""A kind of adapter that can be added to a family's weights."""
