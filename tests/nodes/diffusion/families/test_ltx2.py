"""LTX-2 makes the bits of diffusers' own pipelines, with and without guidance."""

from __future__ import annotations

from collections.abc import Callable
from json import dumps, loads
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Checkpoint, Session, Store, run
from sdgraph.events import Event, Loaded, Stepped
from sdgraph.nodes import Image2Video, Text2Video, VideoControl
from sdgraph.nodes.diffusion.families import Task, family_of
from sdgraph.nodes.diffusion.families.ltx2 import LTX2
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from tests.support.failing_runs import problems_of

from .test_video_pipelines import CLIP, picture


def node_for(folder: Path, task: Task, **fields: Any) -> Any:
    settings: dict[str, Any] = {
        "prompt": "a red star",
        "negative_prompt": "a blue ring",
        "frames": 9,
        "width": 64,
        "height": 64,
        "steps": 2,
        "seed": 5,
        "checkpoint": Checkpoint(folder),
    }
    if task == "text-to-video":
        return Text2Video(**{**settings, **fields})
    if task == "video-control":
        del settings["frames"], settings["width"], settings["height"]
        return VideoControl(**{**settings, "control": CLIP, "scale": 0.8, **fields})
    settings["image"] = picture(0)
    if task == "frames-to-video":
        settings |= {"frames": 17, "between": [picture(2)], "at": [4], "last": picture(1)}
    return Image2Video(**{**settings, **fields})


def by_diffusers(folder: Path, task: Task, **arguments: Any) -> Any:
    """The frames and the sound of a pipeline that diffusers loads itself."""
    import diffusers
    import torch
    from diffusers.pipelines.ltx2 import LTX2VideoCondition
    from diffusers.pipelines.ltx2.pipeline_ltx2_ic_lora import LTX2ReferenceCondition

    family = family_of(Checkpoint(folder))
    assert family is not None
    pipe = getattr(diffusers, family.pipelines[task]).from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    more: dict[str, Any] = {"num_frames": 9}
    if task == "image-to-video":
        more["image"] = picture(0).rgb
    if task == "frames-to-video":
        places = {0: 0, 1: 2, -1: 1}.items()  # counted in frames of latents
        conditions = [LTX2VideoCondition(picture(n).rgb, index) for index, n in places]
        more = {"num_frames": 17, "conditions": conditions}
    if task == "video-control":
        pictures = [PIL.Image.fromarray(frame) for frame in CLIP.frames[:9]]
        more["reference_conditions"] = [LTX2ReferenceCondition(pictures, strength=0.8)]
        more["frame_rate"] = CLIP.fps
    output = pipe(
        prompt="a red star",
        negative_prompt="a blue ring",
        width=64,
        height=64,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
        **more,
        **arguments,
    )
    return to_pixels(np.asarray(output.frames)[0]), output.audio[0].numpy().T


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("ltx-2", "text-to-video"),
        ("ltx-2", "image-to-video"),
        ("ltx-2", "frames-to-video"),
        ("ltx-2", "video-control"),
    ],
)
def test_it_makes_what_diffusers_makes(
    random_folder: Callable[[str], Path], name: str, task: Task
) -> None:
    folder = random_folder(name)
    node = node_for(folder, task)
    assert not problems_of(node)
    seen: list[Event] = []
    made = run(node, session=Session(device="cpu", store=None), on_event=seen.append)
    assert made.fps == (CLIP.fps if task == "video-control" else 24)
    assert len(made) == node.batch_size()
    frames, sound = by_diffusers(folder, task)
    assert made.frames.std() > 10 and (made.frames == frames).all()
    assert (made.sound == sound).all() and sound.shape[1] == 2 and made.sound_rate == 24000
    assert [event.step for event in seen if isinstance(event, Stepped)][-1] == 2


def test_without_guidance_a_step_is_one_pass(random_folder: Callable[[str], Path]) -> None:
    folder = random_folder("ltx-2")
    plain = {"stg_scale": 0.0, "modality_scale": 1.0, "guidance_rescale": 0.0}
    sound = {f"audio_{name}": value for name, value in plain.items()}
    scales = {"guidance_scale": 1.0, "audio_guidance_scale": 1.0, **plain, **sound}
    node = node_for(folder, "text-to-video", guidance=1.0, negative_prompt="")
    made = run(node, session=Session(device="cpu", store=None))
    frames, sound = by_diffusers(folder, "text-to-video", **scales)
    assert (made.frames == frames).all() and (made.sound == sound).all()


def test_a_remembered_embedding_gives_the_same_bits_without_a_text_encoder(
    random_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    node = node_for(random_folder("ltx-2"), "image-to-video", steps=1)
    expected = run(node, session=Session(device="cpu", store=None))
    run(node.replace(seed=6), session=Session(device="cpu", store=Store(folder=tmp_path)))
    seen: list[Event] = []
    session = Session(device="cpu", store=Store(folder=tmp_path))
    assert run(node, session=session, on_event=seen.append) == expected
    loaded = [event.component for event in seen if isinstance(event, Loaded)]
    assert loaded and not [e for e in loaded if "text_encoder" in e or "tokenizer" in e]


def test_embeddings_are_remembered_without_their_padding() -> None:
    import torch

    encoding = LTX2.prompt_encoding
    tensors: dict[str, Any] = {}
    for prefix, count in (("", 3), ("negative_", 5)):
        mask = torch.zeros(1, 1024, dtype=torch.int64)
        mask[:, -count:] = 1
        embeddings = torch.rand(1, 1024, 4) * mask[..., None]
        tensors |= {f"{prefix}prompt_embeds": embeddings, f"{prefix}prompt_attention_mask": mask}
    short = encoding.without_padding(tensors)
    assert [tensor.shape[1] for tensor in short.values()] == [3, 3, 5, 5]
    padded = encoding.as_arguments(short)
    assert padded.keys() == tensors.keys()
    assert all(torch.equal(padded[name], tensors[name]) for name in tensors)


def test_pictures_for_one_place_are_refused(random_folder: Callable[[str], Path]) -> None:
    folder = random_folder("ltx-2")
    two = [picture(2), picture(3)]
    text = problems_of(node_for(folder, "frames-to-video", between=two, at=[3, 8]))
    assert "frames 3 and 8 for LTX-2" in text and "take 9 or more after 3" in text
    text = problems_of(node_for(folder, "frames-to-video", at=[10]))
    assert "frames 10 and 16" in text and "at most one picture in frames 9 to 16" in text
    assert "8, plus 1" in problems_of(node_for(folder, "text-to-video", frames=10))
    assert "a multiple of 32" in problems_of(node_for(folder, "text-to-video", width=80))


def test_a_checkpoint_without_one_of_its_parts_is_refused(
    random_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = copytree(random_folder("ltx-2"), tmp_path / "ltx-2")
    index = loads((folder / "model_index.json").read_text())
    del index["vocoder"]
    (folder / "model_index.json").write_text(dumps(index))
    text = problems_of(node_for(folder, "text-to-video"))
    assert "without the part vocoder" in text and "one with it: LTX2Vocoder or" in text


def test_the_text_encoder_decides_how_pictures_are_compressed(
    random_folder: Callable[[str], Path],
) -> None:
    family = family_of(Checkpoint(random_folder("ltx-2")))
    assert family is not None and family.video is not None and family.video.by_config is not None
    newer = {"text_encoder": ["transformers", "Gemma4UnifiedForConditionalGeneration"]}
    older = {"text_encoder": ["transformers", "Gemma3ForConditionalGeneration"]}
    options = [family.video.by_config(index, {})["first_options"] for index in (newer, older)]
    assert options == [{"image_crf": 18}, {"image_crf": 33}]


def test_a_video_is_followed_by_a_lora(random_folder: Callable[[str], Path]) -> None:
    node = node_for(random_folder("ltx-2"), "video-control")
    assert "which follows no video by itself" in "".join(map(str, node.warnings()))
    assert "at most 1" in problems_of(node.replace(scale=2.0))
    assert "`control` alone" in problems_of(node.replace(reference=picture(1)))
    assert node.reference_area() == 64 * 64
