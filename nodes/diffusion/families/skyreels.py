"""SkyReels V1 (Skywork 2025): HunyuanVideo for pictures, guided by two passes."""

from __future__ import annotations

from dataclasses import replace

from .family_settings import FamilyVersion, Guidance, VideoSettings
from .hunyuan_video import HUNYUAN_VIDEO
from .model_family import ModelFamily

SKYREELS: ModelFamily = replace(
    HUNYUAN_VIDEO,
    label="SkyReels V1",
    class_names=("HunyuanSkyreels",),
    pipeline_by_config=None,
    name_hint="skyreels-v1",
    pipelines={"image-to-video": "HunyuanSkyreelsImageToVideoPipeline"},
    guidance=Guidance(argument="true_cfg_scale", scale=6.0, in_turn=True),
    video=VideoSettings(frames=97, frame_step=4, fps=24.0, size=(960, 544)),
    versions=(FamilyVersion(label="SkyReels V1"),),
)
