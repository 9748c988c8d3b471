"""Videos that follow others, are painted by masks or show pictures: the bits of diffusers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Checkpoint, Node, NodeFailedError, Session, Store, run
from sdgraph.events import Event, Loaded, Stepped
from sdgraph.nodes import Canny, Frames, Image2Video, VideoControl, VideoFromFrames
from sdgraph.nodes.diffusion.families import Task, family_of
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.pipelines.video_conditions import with_sound_of
from sdgraph.values import Mask, Video
from tests.support.failing_runs import problems_of

from .test_video_pipelines import CLIP, picture

pytestmark = pytest.mark.usefixtures("ftfy")

WAYS = ("control", "mask", "both", "reference")
"""What is given: a video to follow, a video with a mask, all three, or a picture of the subject."""

SCENE = Video(CLIP.frames[:6], CLIP.fps)
EDGES = Video(255 - SCENE.frames[:, ::-1], CLIP.fps)
LEFT = Mask(np.arange(64) < np.full((64, 1), 32))
MASKS = Video(np.repeat(np.repeat(LEFT.numpy[None, ..., None], 6, 0), 3, 3), CLIP.fps)


class ShortMasks(Node[Video]):
    """Three masks, which only its run tells."""

    def run(self) -> Video:
        return Video(MASKS.frames[:3], 12)


def node_for(folder: Path, way: str, **fields: Any) -> VideoControl:
    given: dict[str, dict[str, Any]] = {
        "control": {"control": EDGES},
        "mask": {"video": SCENE, "mask": LEFT},
        "both": {"video": SCENE, "mask": MASKS, "control": EDGES, "reference": picture(3)},
        "reference": {"reference": [picture(3), picture(4)], "frames": 5},
    }
    settings = {
        "prompt": "a red star",
        "negative_prompt": "a blue ring",
        "steps": 2,
        "seed": 5,
        "checkpoint": Checkpoint(folder),
    }
    if way == "reference":
        settings |= {"width": 64, "height": 64}
    return VideoControl(**{**settings, **given[way], **fields})


def arguments_for(way: str, count: int) -> dict[str, Any]:
    """The arguments of Wan VACE that a user of diffusers writes."""
    mask = PIL.Image.fromarray(LEFT.numpy)
    grey = PIL.Image.new("RGB", (64, 64), (128, 128, 128))
    frames = [PIL.Image.fromarray(frame) for frame in SCENE.frames[:count]]
    edges = [PIL.Image.fromarray(frame) for frame in EDGES.frames[:count]]
    if way == "control":
        return {"video": edges}
    if way == "reference":
        return {"reference_images": [picture(3).rgb, picture(4).rgb]}
    fillings = [grey] * count if way == "mask" else edges
    pairs = zip(fillings, frames, strict=True)
    painted = [PIL.Image.composite(filling, frame, mask) for filling, frame in pairs]
    more = {} if way == "mask" else {"reference_images": [picture(3).rgb]}
    return {"video": painted, "mask": [mask] * count, **more}


@pytest.mark.parametrize(
    ("name", "task", "way"),
    [
        ("cogvideox-fun", "video-control", "control"),
        *(("wan-vace", "video-control", way) for way in WAYS),
    ],
)
def test_it_makes_what_diffusers_makes(
    random_folder: Callable[[str], Path], name: str, task: Task, way: str
) -> None:
    import diffusers
    import torch

    folder = random_folder(name)
    node = node_for(folder, way)
    count = 5
    if name == "cogvideox-fun":
        node, count = node.replace(control=CLIP), 9
    assert not problems_of(node) and node.task() == task
    cls = diffusers.WanVACEPipeline if name == "wan-vace" else diffusers.CogVideoXFunControlPipeline
    pipe = cls.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    arguments = {"num_frames": count, **arguments_for(way, count)}
    if name == "cogvideox-fun":
        arguments = {"control_video": [PIL.Image.fromarray(each) for each in CLIP.frames[:9]]}
    expected = pipe(
        prompt="a red star",
        negative_prompt="a blue ring",
        width=64,
        height=64,
        num_inference_steps=2,
        guidance_scale=node.chosen_guidance,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
        **arguments,
    ).frames
    seen: list[Event] = []
    made = run(node, session=Session(device="cpu", store=None), on_event=seen.append)
    assert len(made) == count == node.batch_size()
    assert made.fps == (16.0 if way == "reference" else CLIP.fps)
    assert made.frames.std() > 10 and (made.frames == to_pixels(np.asarray(expected)[0])).all()
    assert [event.step for event in seen if isinstance(event, Stepped)][-1] == 2


@pytest.mark.parametrize(
    ("name", "task"), [("wan-vace", "image-to-video"), ("wan-vace", "frames-to-video")]
)
def test_it_makes_what_diffusers_makes_of_pictures(
    random_folder: Callable[[str], Path], name: str, task: Task
) -> None:
    import diffusers
    import torch

    folder = random_folder(name)
    more: dict[str, Any] = {"between": [picture(2)], "at": [2], "last": picture(1)}
    node = Image2Video(
        image=picture(0),
        prompt="a red star",
        frames=5,
        width=64,
        height=64,
        steps=2,
        guidance=1.0,
        seed=5,
        checkpoint=Checkpoint(folder),
        **(more if task == "frames-to-video" else {}),
    )
    assert not problems_of(node) and node.task() == task
    known = {0: 0, 2: 2, 4: 1} if task == "frames-to-video" else {0: 0}
    grey = PIL.Image.new("RGB", (64, 64), (128, 128, 128))
    pipe = diffusers.WanVACEPipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    expected = pipe(
        video=[picture(known[n]).rgb if n in known else grey for n in range(5)],
        mask=[PIL.Image.new("L", (64, 64), 0 if n in known else 255) for n in range(5)],
        prompt="a red star",
        width=64,
        height=64,
        num_frames=5,
        num_inference_steps=2,
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
    ).frames
    made = run(node, session=Session(device="cpu", store=None))
    assert made.frames.std() > 10 and (made.frames == to_pixels(np.asarray(expected)[0])).all()


def test_the_scale_of_the_control_has_an_effect(random_folder: Callable[[str], Path]) -> None:
    node = node_for(random_folder("wan-vace"), "control", steps=1, guidance=1.0)
    session = Session(device="cpu", store=None)
    assert run(node, session=session) != run(node.replace(scale=0.0), session=session)


def test_a_remembered_embedding_gives_the_same_bits_without_a_text_encoder(
    random_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    node = node_for(random_folder("wan-vace"), "control", steps=1)
    expected = run(node, session=Session(device="cpu", store=None))
    run(node.replace(seed=6), session=Session(device="cpu", store=Store(folder=tmp_path)))
    seen: list[Event] = []
    session = Session(device="cpu", store=Store(folder=tmp_path))
    assert run(node, session=session, on_event=seen.append) == expected
    loads = [event.component for event in seen if isinstance(event, Loaded)]
    assert loads and not [each for each in loads if "text_encoder" in each or "tokenizer" in each]


def test_the_edges_of_each_frame_are_followed(random_folder: Callable[[str], Path]) -> None:
    frame = Frames(video=SCENE)
    edges = VideoFromFrames(frames=Canny(image=frame))
    node = node_for(random_folder("wan-vace"), "control", control=edges, steps=1, guidance=1.0)
    assert not problems_of(node) and node.frame_range() is None
    made = run(node, session=Session(device="cpu", store=None))
    assert len(made) == 5 and made.fps == 12 and made.size == (64, 64)


def test_masks_become_a_video_in_black_and_white() -> None:
    video = run(VideoFromFrames(frames=[LEFT, LEFT, picture(0)]))
    assert (video.frames[:2] == MASKS.frames[:2]).all()
    assert (video.frames[2] == picture(0).numpy).all()


def test_a_video_of_another_size_is_stretched_to_the_nearest_one(
    random_folder: Callable[[str], Path],
) -> None:
    wide = Video(np.zeros((5, 60, 100, 3), np.uint8), 8)
    node = node_for(random_folder("wan-vace"), "control", control=wide)
    assert node.chosen_size() == node.planned_size() == (96, 64)
    assert node.replace(width=64).chosen_size() == (64, 64)
    assert not {"fps", "frames"} & node.chosen_fields().keys()


def test_each_picture_of_a_subject_is_planned_as_a_further_frame(
    random_folder: Callable[[str], Path],
) -> None:
    node = node_for(random_folder("wan-vace"), "reference", frames=1601, width=512, height=512)
    more = node.replace(reference=[picture(3), picture(4), picture(5)])
    assert node.reference_area() == 2 * 512 * 512 // 401
    assert more.working_memory({}, "float32") > node.working_memory({}, "float32")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"control": None}, "a video to follow, a video and a mask"),
        ({"video": CLIP}, "add `mask:`"),
        ({"mask": LEFT}, "add `video:`"),
        ({"frames": 9}, "LoadVideo cuts a video by `seconds`"),
        ({"reference": []}, "at least one picture"),
        ({"control": EDGES[0]}, "a Video"),
    ],
)
def test_what_cannot_be_followed_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        node_for(Path("x"), "control", **fields)


def test_videos_of_different_shapes_are_refused(random_folder: Callable[[str], Path]) -> None:
    folder = random_folder("wan-vace")
    short = Video(EDGES.frames[:5], 12)
    node = node_for(folder, "both", control=short)
    assert "5 frames, and video has 6 frames" in problems_of(node)
    small = Mask(np.ones((32, 32), bool))
    assert "resize the mask" in problems_of(node_for(folder, "mask", mask=small))
    with pytest.raises(NodeFailedError, match="3 frames, and video has 6"):
        node = node_for(folder, "mask", mask=ShortMasks())
        run(node, session=Session(device="cpu", store=None))
    with pytest.raises(NodeFailedError, match="a mask that marks nothing"):
        node = node_for(folder, "mask", mask=Mask(np.zeros((64, 64), bool)))
        run(node, session=Session(device="cpu", store=None))


def test_a_checkpoint_that_follows_no_video_is_refused_with_those_that_do(
    random_folder: Callable[[str], Path],
) -> None:
    text = problems_of(node_for(random_folder("wan"), "control"))
    assert "one for VideoControl (Wan VACE" in text
    family = family_of(Checkpoint(random_folder("wan-vace")))
    assert family is not None and family.label == "Wan VACE"


def test_a_family_that_follows_a_control_alone_refuses_the_rest(
    random_folder: Callable[[str], Path],
) -> None:
    node = node_for(random_folder("cogvideox-fun"), "both", scale=0.5)
    text = problems_of(node)
    for field in ("video\n", "mask\n", "reference\n", "scale\n  found:  0.5"):
        assert field in text
    assert "for CogVideoX Fun" in text and "or take Wan VACE" in text
    alone = node_for(random_folder("cogvideox-fun"), "reference", frames=9)
    assert "none for CogVideoX Fun" in problems_of(alone)


def test_frames_that_are_left_out_are_a_warning(random_folder: Callable[[str], Path]) -> None:
    (warning,) = node_for(random_folder("wan-vace"), "control").warnings()
    assert "6 frames, of which the last 1 are left out" in str(warning)


def test_a_mask_for_each_frame_has_as_many_as_the_video(
    random_folder: Callable[[str], Path],
) -> None:
    folder = random_folder("wan-vace")
    short = Video(MASKS.frames[:5], CLIP.fps)
    text = problems_of(node_for(folder, "mask", mask=short))
    assert "mask" in text and "5 frames, and video has 6 frames" in text
    assert not problems_of(node_for(folder, "mask", mask=MASKS))


def test_a_length_is_that_of_the_video_that_is_followed(
    random_folder: Callable[[str], Path],
) -> None:
    folder = random_folder("wan-vace")
    assert node_for(folder, "control").length_field() == "control"
    assert node_for(folder, "both").length_field() == "video"
    assert node_for(folder, "reference").length_field() == "frames"


SOUND = np.linspace(-1, 1, 6 * 8000 // 12, dtype=np.float32)[:, None]
HEARD = Video(SCENE.frames, CLIP.fps, SOUND, 8000)


def test_what_is_made_of_a_video_has_its_sound_as_long_as_it_is() -> None:
    made = Video(HEARD.frames[:5], 3)
    result = with_sound_of(HEARD, made, CLIP.fps)
    assert result.sound is not None and result.sound_rate == 8000
    assert (result.sound == SOUND[: round(5 / CLIP.fps * 8000)]).all()
    assert not with_sound_of(HEARD, made, 2 * CLIP.fps).has_sound
    assert not with_sound_of(SCENE, made, CLIP.fps).has_sound
    own = Video(made.frames, 3, SOUND[:100], 4000)
    assert with_sound_of(HEARD, own, CLIP.fps).sound_rate == 4000


def test_a_video_that_follows_another_has_its_sound(random_folder: Callable[[str], Path]) -> None:
    session = Session(device="cpu", store=None)
    node = node_for(random_folder("wan-vace"), "mask", video=HEARD, steps=1)
    made, silent = run(node, session=session), run(node.replace(video=SCENE), session=session)
    assert made.has_sound and not silent.has_sound
    assert (made.frames == silent.frames).all()
