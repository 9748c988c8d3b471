"""Lists what diffusers can do with each model family, and what of it sdgraph does.

`python -m tests.support.family_tasks` prints a Markdown table. The pipelines come from diffusers'
own packages, what sdgraph runs from its families, and what is compared bit for bit from the tests
that do it, which have parameters "name" (of a checkpoint), "task" and, if it is not the usual one
for the task, "pipeline".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import isclass
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any

from sdgraph.models import quiet_libraries
from sdgraph.nodes.diffusion.families import FAMILIES, ModelFamily, family_of
from sdgraph.nodes.diffusion.random_checkpoints import PIPELINES
from sdgraph.values import Checkpoint

TESTS = Path(__file__).parents[1] / "nodes/diffusion"

PACKAGES = {
    "flux": "FLUX.1",
    "flux2": "FLUX.2",
    "qwenimage": "Qwen-Image",
    "z_image": "Z-Image",
    "stable_diffusion_3": "Stable Diffusion 3",
    "controlnet_sd3": "Stable Diffusion 3",
    "chroma": "Chroma",
    "sana": "SANA",
    "lumina2": "Lumina 2",
    "kolors": "Kolors",
    "hidream_image": "HiDream",
    "pixart_alpha": "PixArt",
    "stable_diffusion": "Stable Diffusion",
    "stable_diffusion_xl": "SDXL",
    "controlnet": "Stable Diffusion and SDXL",
    "t2i_adapter": "Stable Diffusion and SDXL",
    "latent_consistency_models": "Latent Consistency",
    "wan": "Wan",
    "ltx": "LTX-Video",
    "ltx2": "LTX-2",
    "hunyuan_video": "HunyuanVideo",
    "hunyuan_video1_5": "HunyuanVideo",
    "cogvideo": "CogVideoX",
    "animatediff": "AnimateDiff",
    "stable_video_diffusion": "Stable Video Diffusion",
}
"""The packages in `diffusers.pipelines`, each with the family that its pipelines are of."""

_OF_VIDEOS = {"wan", "ltx", "ltx2", "hunyuan_video", "hunyuan_video1_5", "cogvideo", "animatediff"}

_TASKS = {
    "Upsample|LatentUpscale": "latent upscale",
    "Upscale": "upscale",
    "Adapter": "controlnet",
    "Redux|ImageVariation|UnCLIPImg2Img": "variation",
    "UnCLIP": "from image embeddings",
    "WanAnimate": "animate",
    "VACE|FunControl|ICLora|HDR|InContext": "video-control",
    "VideoToVideo": "video-to-video",
    "Condition": "frames-to-video",
    "ImageToVideo|Image2Video|StableVideoDiffusion|Framepack": "image-to-video",
    "AnimateDiff.*Control": "video-control",
    "Control.*(Img2Img|ImageToImage|Image2Image)": "controlnet-image",
    "Control.*Inpaint": "controlnet-inpaint",
    "Control": "controlnet",
    "Depth2Img": "depth-to-image",
    "Inpaint|Fill": "inpaint",
    "Edit|Kontext|Pix2Pix": "edit",
    "Img2Img": "image-to-image",
    "Layered": "layers",
}
"""What a pipeline does, by a pattern that is found in its name; the first that fits."""

_PRECEDED_BY = {("FluxPipeline", "variation"): "FluxPriorReduxPipeline"}
"""The pipelines that come before those that make the picture of a task, and are listed for it."""

_FRAMES_OF_MAPS = "its ControlNets are those of pictures, which VideoControl does not take"

_REASONS = {
    "LTX2HDRPipeline": "makes pictures of high dynamic range, which no port carries",
    "LTX2VideoDiffusionDecodePipeline": "works on latents, which no port carries",
    "LTX2DFRPipeline": "hands latents from one stage to the next, which no port carries",
    "LTX2DFRTemporalRefinePipeline": "works on latents, which no port carries",
    "LTXI2VLongMultiPromptPipeline": "needs a prompt for each part of a video, which no node takes",
    "HunyuanVideoFramepackPipeline": "not built yet; its videos have whole sections of frames",
    "KolorsPipeline": "its tokenizer needs sentencepiece, which sdgraph does not require",
    "KolorsImg2ImgPipeline": "its tokenizer needs sentencepiece, which sdgraph does not require",
    "latent upscale": "works on latents, which no port carries",
    "from image embeddings": "needs a prior that no family has",
    "ZImageOmniPipeline": "it encodes pictures in bfloat16, whatever the dtype of its VAE is",
    "layers": "makes several pictures with transparency, which no node gives",
    "AnimateDiffControlNetPipeline": _FRAMES_OF_MAPS,
    "AnimateDiffVideoToVideoControlNetPipeline": _FRAMES_OF_MAPS,
    "AnimateDiffSparseControlNetPipeline": "no node takes maps for some of the frames",
}
"""Why a task is not done, where it is not only that no family has the pipeline yet."""


@dataclass(frozen=True)
class Pair:
    """A pipeline of diffusers with one of its tasks, and what sdgraph does with it."""

    family: str
    pipeline: str
    task: str
    state: str


def pairs() -> Iterator[Pair]:
    """All pipelines of the packages, with the tasks for which sdgraph has them or might."""
    ours = [
        (family, task, name)
        for family in FAMILIES
        for task, usual in family.pipelines.items()
        for name in (usual, *_other_pipelines(family, task, usual))
    ]
    for package, label in PACKAGES.items():
        for name in _pipelines_in(package):
            own = [
                (family, task, other)
                for family, task, other in ours
                if name == _PRECEDED_BY.get((other, task), other)
            ]
            for family, task, other in own:
                where = comparison(family, task, other)
                yield Pair(family.label, name, task, f"equal bits: {where}" if where else "runs")
            if not own:
                likely = _task_by_name(name, package)
                reason = _REASONS.get(name) or _REASONS.get(likely, "not built yet")
                yield Pair(label, name, likely, f"not: {reason}")


def _other_pipelines(family: ModelFamily, task: str, usual: str) -> Iterator[str]:
    """The pipelines for ControlNets for several kinds of maps and for T2I-Adapters, if others.

    Args:
        family: The family.
        task: What the pipelines do.
        usual: The pipeline that takes other ControlNets.
    """
    union, map_adapters = family.control.union, family.control.map_adapters
    if union is not None and usual in union.pipelines:
        yield union.pipelines[usual]
    if map_adapters is not None and task == "controlnet":
        yield map_adapters.pipeline


def comparison(family: ModelFamily, task: str, pipeline: str = "") -> str:
    """The test that compares a family's task with diffusers bit for bit; "" if none does.

    Args:
        family: The family.
        task: One of its tasks.
        pipeline: The pipeline that does it, if not the family's usual one.
    """
    usual = family.pipelines[task]  # type: ignore[index]  # a task of the family
    return _compared().get((family.label, task, pipeline or usual), "")


_PHRASE = "makes_what_diffusers_makes"
"""What the names of the tests have in them that compare pixels with those of diffusers."""


@cache
def _compared() -> Mapping[tuple[str, str, str], str]:
    """The tests that compare pixels, by the label of the family, the task, and the pipeline."""
    compared: dict[tuple[str, str, str], str] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        if _PHRASE in path.read_text():
            parts = path.relative_to(TESTS.parents[2]).with_suffix("").parts
            for name, task, pipeline in _parameters(import_module(".".join(parts))):
                family = family_of_checkpoint(name)
                usual = family.pipelines.get(task)  # type: ignore[call-overload]  # any text
                if usual is not None:  # else it is given a motion adapter: another family
                    compared.setdefault((family.label, task, pipeline or usual), path.name)
    return compared


def _parameters(module: ModuleType) -> Iterator[tuple[str, str, str]]:
    """The names, tasks and pipelines with which the tests that compare pixels are run.

    The pipeline is "" for the usual one of the checkpoint's family.
    """
    for name, function in vars(module).items():
        if _PHRASE not in name:
            continue
        for mark in getattr(function, "pytestmark", ()):
            names = tuple(mark.args[0]) if mark.name == "parametrize" else ()
            if "task" in names:
                # The first is the name of the checkpoint; others may be those of networks.
                for values in mark.args[1]:
                    pipeline = values[names.index("pipeline")] if "pipeline" in names else ""
                    yield values[0], values[names.index("task")], pipeline


@cache
def family_of_checkpoint(name: str) -> ModelFamily:
    """The family of a checkpoint that ships with sdgraph, or of one with random weights."""
    import torch

    if name.startswith("tiny/"):
        shipped = family_of(Checkpoint(name))
        assert shipped is not None
        return shipped

    with torch.random.fork_rng(), quiet_libraries():
        class_name = type(PIPELINES[name]()).__name__
    return max(FAMILIES, key=lambda family: family.matches(class_name))


def _pipelines_in(package: str) -> list[str]:
    """The names of the pipelines that a package of diffusers defines, in order."""
    import diffusers

    root = import_module(f"diffusers.pipelines.{package}")
    modules = (
        import_module(f"{root.__name__}.{info.name}")
        for info in iter_modules(root.__path__)
        if info.name.startswith("pipeline_") and "onnx" not in info.name
    )
    classes: Iterable[Any] = (
        value
        for module in modules
        for value in vars(module).values()
        if isclass(value) and value.__module__ == module.__name__
    )
    names = {
        value.__name__
        for value in classes
        if issubclass(value, diffusers.DiffusionPipeline) and hasattr(diffusers, value.__name__)
    }
    return sorted(names)


def _task_by_name(name: str, package: str) -> str:
    for pattern, task in _TASKS.items():
        if re.search(pattern, name):
            return task
    return "text-to-video" if package in _OF_VIDEOS else "text-to-image"


def table(found: Iterable[Pair]) -> str:
    """The pairs as a Markdown table, and how many are in each state."""
    lines = ["| family | task | pipeline | state |", "|---|---|---|---|"]
    counts = {"equal bits": 0, "runs": 0, "not": 0}
    for pair in found:
        lines.append(f"| {pair.family} | {pair.task} | {pair.pipeline} | {pair.state} |")
        counts[pair.state.partition(":")[0]] += 1
    summary = ", ".join(f"{state}: {count}" for state, count in counts.items())
    return "\n".join([*lines, "", summary])


if __name__ == "__main__":
    print(table(pairs()))
