"""AnimateDiff and Stable Video Diffusion make the bits of diffusers' own pipelines."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Checkpoint, Node, NodeFailedError, Session, Store, run
from sdgraph.events import Event, Loaded, Stepped
from sdgraph.models import resolve, resolve_part
from sdgraph.nodes import Image2Video, Text2Image, Text2Video, Video2Video
from sdgraph.nodes.diffusion.families import Task, family_of
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import animated_pipelines
from sdgraph.values import Image, Video
from tests.support.failing_runs import problems_of, refused_before_load


class LongClip(Node[Video]):
    """A video of 25 frames, which only its run tells."""

    def run(self) -> Video:
        return Video(np.zeros((25, 64, 64, 3), np.uint8), 8)


CASES: tuple[tuple[str, Task], ...] = (
    ("animatediff", "text-to-video"),
    ("animatediff", "video-to-video"),
    ("animatediff-xl", "text-to-video"),
    ("stable-video", "image-to-video"),
)
"""The tasks of each checkpoint with random weights."""

FIELDS = {
    "motion_bucket_id": ("motion_bucket_id", 40),
    "noise_aug_strength": ("noise_aug_strength", 0.5),
    "min_guidance": ("min_guidance_scale", 2.5),
    "decode_chunk_size": ("decode_chunk_size", 2),
    "guidance": ("max_guidance_scale", 1.5),
    "fps": ("fps", 12),
}
"""The fields of Stable Video Diffusion, each with the argument of its pipeline and a value."""

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), np.uint8)
PHOTO, CLIP = Image(PIXELS[0]), Video(PIXELS, 12)
WORDS: dict[str, Any] = {"prompt": "a red star", "negative_prompt": "a blue ring"}


def session() -> Session:
    return Session(device="cpu", store=None)


def node_for(checkpoint: Checkpoint, task: Task, **fields: Any) -> Any:
    settings: dict[str, Any] = {"steps": 3, "seed": 5, "checkpoint": checkpoint}
    settings |= {"width": 64, "height": 64}
    if task == "video-to-video":
        return Video2Video(**{**settings, **WORDS, "video": CLIP, **fields})
    if task == "image-to-video":
        return Image2Video(**{**settings, "image": PHOTO, "frames": 5, **fields})
    return Text2Video(**{**settings, **WORDS, "frames": 5, **fields})


def call(pipe: Any, task: Task, **arguments: Any) -> Any:
    """The frames that a pipeline of diffusers makes."""
    import torch

    pipe.set_progress_bar_config(disable=True)
    more: dict[str, Any] = {"num_frames": 5, **WORDS}
    if task == "image-to-video":
        more = {"image": PHOTO.rgb, "num_frames": 5}
    elif task == "video-to-video":
        more = {**WORDS, "video": [PIL.Image.fromarray(frame) for frame in PIXELS]}
    frames = pipe(
        width=64,
        height=64,
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
        **more,
        **arguments,
    ).frames
    return to_pixels(np.asarray(frames)[0])


def by_diffusers(folder: Path, task: Task, **arguments: Any) -> Any:
    """The frames of a pipeline that diffusers loads itself."""
    import diffusers
    import torch

    family = family_of(Checkpoint(folder))
    assert family is not None
    cls = getattr(diffusers, family.pipelines[task])
    more = {} if task == "image-to-video" else {"motion_adapter": None}
    return call(cls.from_pretrained(folder, dtype=torch.float32, **more), task, **arguments)


def test_every_checkpoint_is_tried() -> None:
    assert {name for name, _ in CASES} == set(animated_pipelines.PIPELINES)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_makes_what_diffusers_makes(
    random_folder: Callable[[str], Path], name: str, task: Task
) -> None:
    folder = random_folder(name)
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 3_000_000
    node = node_for(Checkpoint(folder), task)
    assert not problems_of(node) and not list(node.warnings())
    expected = by_diffusers(folder, task)
    seen: list[Event] = []
    made = run(node, session=session(), on_event=seen.append)
    steps = [(event.step, event.total) for event in seen if isinstance(event, Stepped)]
    count = 2 if task == "video-to-video" else 3
    assert made.frames.std() > 10 and (made.frames == expected).all()
    assert steps[-1] == (count, count)


def test_the_fields_of_stable_video_diffusion_are_arguments_of_its_pipeline(
    random_folder: Callable[[str], Path],
) -> None:
    folder = random_folder("stable-video")
    fields = {field: value for field, (_, value) in FIELDS.items()}
    arguments = dict(FIELDS.values())
    node = node_for(Checkpoint(folder), "image-to-video", **fields)
    expected = by_diffusers(folder, "image-to-video", **arguments)
    assert (run(node, session=session()).frames == expected).all()


def test_other_checkpoints_refuse_the_fields_of_stable_video_diffusion(
    random_folder: Callable[[str], Path],
) -> None:
    node = node_for(Checkpoint(random_folder("wan-i2v")), "image-to-video", prompt="a star")
    assert not problems_of(node)
    text = problems_of(node.replace(motion_bucket_id=9, decode_chunk_size=2))
    assert "motion_bucket_id" in text and "decode_chunk_size" in text
    assert "none: only Stable Video Diffusion reads it" in text


def test_stable_video_diffusion_needs_no_words_and_says_that_it_reads_none(
    random_folder: Callable[[str], Path],
) -> None:
    checkpoint = Checkpoint(random_folder("stable-video"))
    node = Image2Video(image=PHOTO, checkpoint=checkpoint)
    assert not problems_of(node) and not list(node.warnings()) and not list(node.stages())
    assert node.chosen_fields() == {
        "steps": 25,
        "guidance": 3.0,
        "fps": 7.0,
        "frames": 6,
        "width": 768,
        "height": 768,
        "motion_bucket_id": 127,
        "noise_aug_strength": 0.02,
        "min_guidance": 1.0,
    }
    told = "\n".join(map(str, node.replace(**WORDS).warnings()))
    assert "prompt" in told and "negative_prompt" in told and "reads a picture and no words" in told
    assert "a multiple of 64" in problems_of(node.replace(width=96))
    lora = problems_of(node.replace(loras=["./any.safetensors"]))
    assert "diffusers puts no adapters" in lora


def test_decoding_few_frames_at_a_time_takes_less_memory(
    random_folder: Callable[[str], Path],
) -> None:
    node = node_for(Checkpoint(random_folder("stable-video")), "image-to-video")
    node = node.replace(frames=100, guidance=1.0)
    few = node.replace(decode_chunk_size=2)
    assert few.working_memory({}, "float32") < node.working_memory({}, "float32")
    assert next(node.low_memory_variants())[1].decode_chunk_size == 1


OVER: tuple[tuple[str, str, Task], ...] = (
    ("tiny/text-to-image", "AnimateDiffPipeline", "text-to-video"),
    ("tiny/text-to-image", "AnimateDiffVideoToVideoPipeline", "video-to-video"),
    ("tiny/turbo", "AnimateDiffSDXLPipeline", "text-to-video"),
)


def animated_pipeline(source: str, pipeline: str, adapter: Path) -> Any:
    """A pipeline for which diffusers copies a U-Net and a motion adapter itself."""
    import diffusers
    import torch

    root, options = resolve(Checkpoint(source)).root, {"dtype": torch.float32}
    motion = diffusers.MotionAdapter.from_pretrained(adapter, **options)
    cls = getattr(diffusers, pipeline)
    pipe = cls.from_pretrained(root, motion_adapter=motion, **options)
    if "SDXL" in pipeline:  # diffusers 0.42 leaves random numbers in the embedding of sizes
        unet = diffusers.UNet2DConditionModel.from_pretrained(root, subfolder="unet", **options)
        pipe.unet.add_embedding.load_state_dict(unet.add_embedding.state_dict())
    pipe.scheduler = diffusers.DDIMScheduler.from_pretrained(
        root,
        subfolder="scheduler",
        clip_sample=False,
        timestep_spacing="linspace",
        beta_schedule="linear",
        steps_offset=1,
    )
    return pipe


@pytest.mark.parametrize(("source", "pipeline", "task"), OVER)
def test_a_motion_adapter_over_a_checkpoint_for_pictures_makes_what_diffusers_makes(
    random_folder: Callable[[str], Path], source: str, pipeline: str, task: Task
) -> None:
    adapter = random_folder("motion-adapter")
    node = node_for(Checkpoint(source, motion=adapter), task)
    assert not problems_of(node)
    expected = call(animated_pipeline(source, pipeline, adapter), task)
    assert (run(node, session=session()).frames == expected).all()


def test_the_unet_is_shared_with_nodes_for_pictures_and_stays_as_it_is(
    random_folder: Callable[[str], Path],
) -> None:
    base = Checkpoint("tiny/text-to-image")
    picture = Text2Image(prompt="a red star", steps=2, checkpoint=base)
    before = run(picture, session=session())
    same = session()
    video = node_for(Checkpoint(base.source, motion=random_folder("motion-adapter")), OVER[0][2])
    first, seen = run(video, session=same), list[Event]()
    assert run(picture, session=same, on_event=seen.append) == before
    assert not [each for each in seen if isinstance(each, Loaded)]
    assert run(video, session=session()) == first
    held = sum(part.footprint("float32") for part in map(resolve_part, video.parts().values()))
    assert held == sum(component.bytes for component in same.models.loaded())


def test_embeddings_are_those_of_stable_diffusion(
    random_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    base = Checkpoint("tiny/text-to-image")
    picture = Text2Image(**WORDS, steps=1, checkpoint=base)
    video = node_for(Checkpoint(base.source, motion=random_folder("motion-adapter")), OVER[0][2])
    expected = run(video, session=session())
    run(picture, session=Session(device="cpu", store=Store(folder=tmp_path)))
    seen: list[Event] = []
    store = Session(device="cpu", store=Store(folder=tmp_path))
    assert run(video, session=store, on_event=seen.append) == expected
    loads = [event.component for event in seen if isinstance(event, Loaded)]
    assert loads and not [each for each in loads if "text_encoder" in each or "tokenizer" in each]


_FIRST_NAMES = {
    ".attn1.": ".attention_blocks.0.",
    ".attn2.": ".attention_blocks.1.",
    ".norm1.": ".norms.0.",
    ".norm2.": ".norms.1.",
    ".norm3.": ".ff_norm.",
    ".pos_embed.": ".pos_encoder.",
}
"""The names of layers in diffusers, and in the files of AnimateDiff's authors."""


def as_published(names: Any) -> Any:
    """Tensors of motion modules by the names that AnimateDiff's authors give them."""
    renamed = {}
    for name, tensor in names.items():
        first, own, rest = name.partition("motion_modules.")
        number, _, layer = rest.partition(".")
        layer = f".temporal_transformer.{layer}"
        for new, old in _FIRST_NAMES.items():
            layer = layer.replace(new, old)
        renamed[f"{first}{own}{number}{layer}"] = tensor
    return renamed


@pytest.mark.parametrize("begin", ["", "module."])
def test_a_motion_adapter_may_be_one_file_as_its_authors_publish_it(
    random_folder: Callable[[str], Path], tmp_path: Path, begin: str
) -> None:
    from safetensors.torch import load_file, save_file

    folder = random_folder("motion-adapter")
    (weights,) = folder.glob("*.safetensors")
    tensors = {f"{begin}{name}": value for name, value in as_published(load_file(weights)).items()}
    path = tmp_path / "mm_sd_v15.safetensors"
    save_file(tensors, path)
    node = node_for(Checkpoint("tiny/text-to-image", motion=path), "text-to-video")
    assert not problems_of(node)
    in_folder = node.replace(checkpoint=Checkpoint("tiny/text-to-image", motion=folder))
    assert run(node, session=session()) == run(in_folder, session=session())
    text = refused_before_load(node.replace(checkpoint=Checkpoint(path)))
    assert "an AnimateDiff motion adapter" in text and "motion: FILE" in text


def test_more_frames_than_the_adapter_has_positions_for_are_refused(
    random_folder: Callable[[str], Path],
) -> None:
    checkpoint = Checkpoint("tiny/text-to-image", motion=random_folder("motion-adapter"))
    node = node_for(checkpoint, "text-to-video", frames=None)
    assert node.batch_size() == 16 and not problems_of(node)
    wanted = "at most 24, for which the motion adapter has positions"
    assert wanted in problems_of(node.replace(frames=25))
    assert "seconds" in problems_of(node.replace(seconds=4.0))
    assert not problems_of(node.replace(frames=24))
    long = Video(np.zeros((25, 64, 64, 3), np.uint8), 8)
    assert wanted in problems_of(node_for(checkpoint, "video-to-video", video=long))
    own = node_for(Checkpoint(random_folder("animatediff")), "text-to-video", frames=17)
    assert "at most 16" in problems_of(own)


def test_a_clip_that_turns_out_too_long_is_refused_by_the_run(
    random_folder: Callable[[str], Path],
) -> None:
    checkpoint = Checkpoint("tiny/text-to-image", motion=random_folder("motion-adapter"))
    node = node_for(checkpoint, "video-to-video", video=LongClip())
    with pytest.raises(NodeFailedError, match="at most 24"):
        run(node, session=session())


def test_what_does_not_fit_a_motion_adapter_is_refused_before_any_load(
    random_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    wide = shutil.copytree(resolve(Checkpoint("tiny/text-to-image")).root or "", tmp_path / "wide")
    config = wide / "unet" / "config.json"
    config.write_text(config.read_text().replace("[32, 64, 64]", "[32, 64, 96]"))
    adapter, own = random_folder("motion-adapter"), random_folder("animatediff")

    def problems(source: Any, task: Task = "text-to-video", **fields: Any) -> str:
        return problems_of(node_for(Checkpoint(source, motion=adapter, **fields), task))

    flux = node_for(Checkpoint(random_folder("flux"), motion=adapter), OVER[0][2])
    assert "a motion adapter for FLUX.1" in refused_before_load(flux)
    assert "has motion modules of its own" in problems(own)
    assert "for a U-Net of the widths 32, 64, 64" in problems(tmp_path / "wide")
    assert "takes plain weights" in problems("tiny/text-to-image", quantization="int8wo")
    over = Checkpoint("tiny/text-to-image", motion=adapter)
    picture = problems_of(Text2Image(prompt="a red star", checkpoint=over))
    assert "AnimateDiff is for Text2Video and Video2Video" in picture
    turbo = Checkpoint("tiny/turbo", motion=adapter)
    assert "for Video2Video take AnimateDiff" in problems_of(node_for(turbo, "video-to-video"))
    whole = Checkpoint("tiny/text-to-image", motion="tiny/text-to-image")
    text = refused_before_load(node_for(whole, OVER[0][2]))
    assert "a whole pipeline, named as the motion" in text
    net = Checkpoint("tiny/text-to-image", motion="tiny/controlnet-edges")
    assert "a known motion adapter class" in refused_before_load(node_for(net, OVER[0][2]))


def test_a_motion_adapter_that_is_not_here_yet_is_planned() -> None:
    node = node_for(Checkpoint("tiny/text-to-image", motion="someone/motion"), "text-to-video")
    assert "motion" in node.parts()
