"""Each family of video makes the bits of diffusers' own pipeline, for each of its tasks."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Checkpoint, NodeFailedError, Session, Store, run
from sdgraph.events import Event, Loaded, Stepped
from sdgraph.nodes import Image2Video, Text2Video, Video2Video
from sdgraph.nodes.diffusion.families import Task, VideoSettings, family_of
from sdgraph.nodes.diffusion.image_to_video import size_like
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import video_pipelines
from sdgraph.nodes.diffusion.video_node import VideoDiffusion
from sdgraph.values import Image, Video
from tests.support import toys
from tests.support.failing_runs import problems_of

pytestmark = pytest.mark.usefixtures("ftfy")

FRAMES = {"cogvideox": 9, "cogvideox-i2v": 9, "ltx-video": 9}
"""The number of frames to make with a checkpoint, if it is not 5: that of the clip is 9."""

PAIRS: dict[str, tuple[Task, ...]] = {
    "cogvideox": ("text-to-video", "video-to-video"),
    "cogvideox-i2v": ("image-to-video",),
    "hunyuan-video": ("text-to-video",),
    "hunyuan-video-1.5": ("text-to-video",),
    "hunyuan-video-1.5-i2v": ("image-to-video",),
    "hunyuan-video-i2v": ("image-to-video",),
    "hunyuan-video-i2v-33ch": ("image-to-video",),
    "ltx-video": ("text-to-video", "image-to-video", "frames-to-video", "video-to-video"),
    "skyreels": ("image-to-video",),
    "wan": ("text-to-video", "video-to-video"),
    "wan-flf2v": ("frames-to-video",),
    "wan-i2v": ("image-to-video",),
    "wan-vace": ("text-to-video",),
    "wan2.2": ("text-to-video",),
    "wan2.2-i2v": ("image-to-video", "frames-to-video"),
    "wan2.2-ti2v": ("text-to-video", "image-to-video"),
}
"""The tasks of each checkpoint with random weights."""

CASES = [(name, task) for name, tasks in PAIRS.items() for task in tasks]


def picture(number: int) -> Image:
    return Image(np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8))


CLIP = Video(np.stack([picture(number).numpy for number in range(10)]), 12)


def node_for(folder: Path, task: Task, **fields: Any) -> Any:
    settings = {
        "prompt": "a red star",
        "negative_prompt": "a blue ring",
        "frames": FRAMES.get(folder.name, 5),
        "width": 64,
        "height": 64,
        "steps": 3,
        "seed": 5,
        "checkpoint": Checkpoint(folder),
    }
    if task == "video-to-video":
        return Video2Video(
            **{**{n: v for n, v in settings.items() if n != "frames"}, "video": CLIP, **fields}
        )
    if task != "text-to-video":
        settings["image"] = picture(0)
    if task == "frames-to-video":
        settings["last"] = picture(1)
        if folder.name == "ltx-video":
            settings |= {"between": [picture(2)], "at": [4]}
    cls = Text2Video if task == "text-to-video" else Image2Video
    return cls(**{**settings, **fields})


def by_diffusers(folder: Path, task: Task, **arguments: Any) -> Any:
    """The frames of a pipeline that diffusers loads itself."""
    import diffusers
    import torch
    from diffusers.pipelines.ltx.pipeline_ltx_condition import LTXVideoCondition

    family = family_of(Checkpoint(folder))
    assert family is not None
    cls = getattr(diffusers, family.pipelines[task])
    pipe = cls.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    first, last, between = (picture(number).rgb for number in range(3))
    more: dict[str, Any] = {"num_frames": FRAMES.get(folder.name, 5)}
    if folder.name == "hunyuan-video-i2v-33ch":
        more["num_frames"] += 4  # of which the first four are left out
    if task == "video-to-video":
        frames = [PIL.Image.fromarray(frame) for frame in CLIP.frames[:9]]
        more = {"video": frames, "strength": 0.8}
    if task == "video-to-video" and "Condition" in cls.__name__:
        condition = LTXVideoCondition(video=frames, strength=0.2)
        more = {"conditions": [condition], "num_frames": 9, "frame_rate": CLIP.fps}
        more["max_sequence_length"] = 128
    elif task not in ("text-to-video", "video-to-video"):
        more["image"] = first
    if task == "frames-to-video" and "Condition" in cls.__name__:
        places = {0: first, 4: between, 8: last}.items()
        conditions = [LTXVideoCondition(image=image, frame_index=n) for n, image in places]
        del more["image"]
        more |= {"conditions": conditions, "max_sequence_length": 128}
    elif task == "frames-to-video":
        more["last_image"] = last
    if hasattr(pipe, "guider"):
        pipe.guider = type(pipe.guider)(arguments.pop("guidance_scale"))
    accepted = signature(pipe.__call__).parameters
    more |= {"width": 64, "height": 64} if "width" in accepted else {}
    frames = pipe(
        prompt="a red star",
        negative_prompt="a blue ring",
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
        **more,
        **arguments,
    ).frames
    return to_pixels(np.asarray(frames)[0])


def test_every_checkpoint_is_tried() -> None:
    others = {"cogvideox-fun", "wan-animate"}  # test_video_control.py, test_animate_character.py
    assert {*PAIRS, *others} == set(video_pipelines.PIPELINES)


@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_makes_what_diffusers_makes(
    random_folder: Callable[[str], Path], name: str, task: Task
) -> None:
    folder = random_folder(name)
    node = node_for(folder, task)
    assert not problems_of(node)
    scale = node.family.guidance.argument or "guidance_scale"
    expected = by_diffusers(folder, task, **{scale: node.chosen_guidance})
    seen: list[Event] = []
    made = run(node, session=Session(device="cpu", store=None), on_event=seen.append)
    steps = [(event.step, event.total) for event in seen if isinstance(event, Stepped)]
    count = 2 if task == "video-to-video" and name != "ltx-video" else 3
    fps = CLIP.fps if task == "video-to-video" else node.chosen_fps
    frames = 9 if task == "video-to-video" else FRAMES.get(name, 5)
    assert made.fps == fps and len(made) == frames == node.batch_size()
    assert made.frames.std() > 10 and (made.frames == expected).all()
    assert steps[-1] == (count, count)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("cogvideox", "video-to-video"),
        ("hunyuan-video", "text-to-video"),
        ("hunyuan-video-1.5-i2v", "image-to-video"),
        ("hunyuan-video-i2v", "image-to-video"),
        ("ltx-video", "frames-to-video"),
        ("wan2.2-i2v", "image-to-video"),
    ],
)
def test_a_remembered_embedding_gives_the_same_bits_without_a_text_encoder(
    random_folder: Callable[[str], Path], tmp_path: Path, name: str, task: Task
) -> None:
    node = node_for(random_folder(name), task)
    expected = run(node, session=Session(device="cpu", store=None))
    run(node.replace(seed=6), session=Session(device="cpu", store=Store(folder=tmp_path)))
    seen: list[Event] = []
    session = Session(device="cpu", store=Store(folder=tmp_path))
    assert run(node, session=session, on_event=seen.append) == expected
    loads = [event.component for event in seen if isinstance(event, Loaded)]
    assert loads and not [each for each in loads if "text_encoder" in each or "tokenizer" in each]


def test_the_second_denoiser_has_a_guidance_of_its_own(
    random_folder: Callable[[str], Path],
) -> None:
    folder = random_folder("wan2.2")
    node = node_for(folder, "text-to-video", guidance=4.0, guidance_2=2.0)
    assert {"transformer", "transformer_2"} <= node.parts().keys()
    expected = by_diffusers(folder, "text-to-video", guidance_scale=4.0, guidance_scale_2=2.0)
    session = Session(device="cpu", store=None)
    made = run(node, session=session)
    assert (made.frames == expected).all()
    assert made != run(node.replace(guidance_2=None), session=session)
    one = node_for(random_folder("wan"), "text-to-video", guidance_2=2.0)
    assert "which has one denoiser" in problems_of(one)
    (warning,) = (each for each in node.replace(guidance=1.0).warnings() if each.subject[-1] == "2")
    assert "2 with guidance 1, so without effect" in str(warning)
    assert not [each for each in node.warnings() if each.subject == "guidance_2"]


def test_the_number_of_frames_is_checked_before_any_load(
    random_folder: Callable[[str], Path],
) -> None:
    for name, count in (("wan", 5), ("ltx-video", 9)):
        node = node_for(random_folder(name), "text-to-video")
        text = problems_of(node.replace(frames=count + 1))
        assert f"{count + 1} frames" in text and f"for example {count}" in text
        assert "a multiple of" in problems_of(node.replace(width=72))
    small = node_for(random_folder("wan2.2-ti2v"), "image-to-video", width=80)
    assert "a multiple of 32" in problems_of(small)


def test_seconds_become_a_number_of_frames_that_it_can_make(
    random_folder: Callable[[str], Path],
) -> None:
    for name in ("wan", "ltx-video", "wan2.2-ti2v"):
        node = node_for(random_folder(name), "text-to-video", frames=None, seconds=1.0)
        assert not problems_of(node)
        assert abs(node.batch_size() - node.chosen_fps) <= 8
        assert node.chosen_fields()["fps"] in (16.0, 24.0, 25.0)


@pytest.mark.parametrize("name", ["wan", "ltx-video"])
def test_a_named_scheduler_of_flow_matching_runs(
    random_folder: Callable[[str], Path], name: str
) -> None:
    node = node_for(random_folder(name), "text-to-video", scheduler="flow-euler")
    assert run(node, session=Session(device="cpu", store=None)).frames.std() > 10


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("wan", "image-to-video", "Wan checkpoint for Text2Video"),
        ("wan-i2v", "text-to-video", "one for Text2Video"),
        ("wan-i2v", "frames-to-video", "one for Image2Video with `last`"),
        ("wan-flf2v", "image-to-video", "checkpoint for Image2Video with `last`"),
        ("wan2.2-ti2v", "frames-to-video", "checkpoint for Text2Video and Image2Video"),
    ],
)
def test_a_checkpoint_for_another_task_is_refused_with_what_can_do_it(
    random_folder: Callable[[str], Path], name: str, task: Task, words: str
) -> None:
    text = problems_of(node_for(random_folder(name), task))
    assert words in text and "for example Wan-AI/Wan2.1-" in text


def test_pictures_in_between_are_for_families_that_take_them(
    random_folder: Callable[[str], Path],
) -> None:
    more = {"between": [picture(2)], "at": [2]}
    wan = node_for(random_folder("wan2.2-i2v"), "frames-to-video", **more)
    assert "at most `image` and `last`" in problems_of(wan)
    ltx = node_for(random_folder("ltx-video"), "frames-to-video", at=[8])
    assert "frame 8 of 9, of which `last` is the last one" in problems_of(ltx)
    assert "cannot be the first and the last" in problems_of(
        node_for(random_folder("wan2.2-i2v"), "frames-to-video", frames=1)
    )
    assert "one of flow-euler" in problems_of(ltx.replace(at=[4], scheduler="flow-lcm"))


def test_a_clip_keeps_as_many_frames_as_the_checkpoint_can_make(
    random_folder: Callable[[str], Path],
) -> None:
    node = node_for(random_folder("wan"), "video-to-video")
    assert node.frame_range() == (9, 9)
    (warning,) = node.warnings()
    assert "10 frames, of which the last 1 are left out" in str(warning)
    two = node_for(random_folder("wan2.2"), "video-to-video")
    assert "Wan checkpoint for Text2Video" in problems_of(two)


def test_a_video_has_the_shape_of_its_picture(random_folder: Callable[[str], Path]) -> None:
    wide = Image(np.zeros((50, 100, 3), np.uint8))
    node = node_for(random_folder("wan-i2v"), "image-to-video", image=wide, width=None, height=None)
    assert node.chosen_size() == (896, 448)
    assert {"width": 896, "height": 448}.items() <= node.chosen_fields().items()
    assert node.replace(width=64).chosen_size() == (64, 32)
    assert size_like((1, 9000), 64 * 64, 16) == (16, 6064)


def test_what_a_checkpoint_of_flow_matching_predicts_cannot_be_set(
    random_folder: Callable[[str], Path],
) -> None:
    checkpoint = Checkpoint(random_folder("wan"), prediction_type="epsilon")  # by UniPC
    text = problems_of(node_for(random_folder("wan"), "text-to-video", checkpoint=checkpoint))
    assert "prediction_type epsilon for Wan" in text and "it predicts a flow" in text


def test_a_picture_whose_size_a_run_alone_can_tell_is_refused_by_the_run(
    random_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_one = VideoSettings(frames=9, frame_step=8, only_size=True)
    monkeypatch.setattr(VideoDiffusion, "settings", only_one)
    node = node_for(random_folder("cogvideox-i2v"), "image-to-video")
    node = node.replace(width=32, height=None, image=toys.Square())
    assert not problems_of(node)
    with pytest.raises(NodeFailedError, match="the only size that it can make"):
        run(node, session=Session(device="cpu", store=None))


def test_a_missing_package_is_told_before_any_load(
    random_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sdgraph.nodes.diffusion.pipelines import compatibility

    monkeypatch.setattr(compatibility, "find_spec", lambda name: None)
    text = problems_of(node_for(random_folder("wan-i2v"), "image-to-video"))
    assert "no package ftfy here" in text and "pip install ftfy" in text
    assert not problems_of(node_for(random_folder("wan"), "text-to-video"))
