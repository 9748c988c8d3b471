"""HunyuanVideo from pictures, and its later versions: what is special about each pipeline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, InvalidWorkflowError, NodeFailedError, Session, run
from sdgraph.nodes import Image2Video, Text2Video
from sdgraph.nodes.diffusion.families import family_of
from sdgraph.nodes.diffusion.families.hunyuan_video_15 import HUNYUAN_VIDEO_15
from sdgraph.values import Image
from tests.support.failing_runs import problems_of

RandomFolder = Callable[[str], Path]
PICTURE = Image(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))


def image_node(folder: Path, **fields: Any) -> Image2Video:
    settings = {"image": PICTURE, "prompt": "a star", "width": 64, "height": 64, "steps": 2}
    return Image2Video(**{**settings, "frames": 5, "checkpoint": Checkpoint(folder), **fields})


def chosen(node: Any) -> Mapping[str, object]:
    unset = dict.fromkeys(("frames", "steps", "guidance"))
    return dict(node.replace(**unset).chosen_fields())


def test_what_is_not_given_is_what_suits_each_kind_of_checkpoint(
    random_folder: RandomFolder,
) -> None:
    replacing = chosen(image_node(random_folder("hunyuan-video-i2v")))
    assert replacing == {"steps": 50, "guidance": 6.0, "fps": 24.0, "frames": 129}
    concatenating = chosen(image_node(random_folder("hunyuan-video-i2v-33ch")))
    assert concatenating == {"steps": 50, "guidance": 0.0, "fps": 24.0, "frames": 125}


def test_frames_that_the_pipeline_leaves_out_count_for_memory(random_folder: RandomFolder) -> None:
    sizes: dict[str, int] = {}
    node = image_node(random_folder("hunyuan-video-i2v-33ch"), frames=13)
    other = image_node(random_folder("hunyuan-video-i2v"), frames=17)
    assert node.working_memory(sizes, "float16") == other.working_memory(sizes, "float16")


def test_another_picture_gives_another_embedding(random_folder: RandomFolder) -> None:
    node = image_node(random_folder("hunyuan-video-i2v"))
    other = node.replace(image=Image(255 - PICTURE.numpy))
    (stage,), (other_stage,) = node.stages(), other.stages()
    assert stage.reads != other_stage.reads
    (concatenating,) = image_node(random_folder("hunyuan-video-i2v-33ch")).stages()
    assert concatenating.inputs["encoding"] != stage.inputs["encoding"]


def test_words_after_the_prompt_count_among_those_that_are_read(
    random_folder: RandomFolder,
) -> None:
    session = Session(device="cpu", store=None)
    node = image_node(random_folder("hunyuan-video-i2v"), steps=1)
    whole = run(node.replace(prompt="a" * 249 + "b"), session=session)
    assert whole != run(node.replace(prompt="a" * 250), session=session)
    with pytest.raises(NodeFailedError, match="at most 252"):
        run(node.replace(prompt="a" * 251), session=session)


def test_one_for_words_and_one_for_pictures_lead_to_each_other(
    random_folder: RandomFolder,
) -> None:
    text = problems_of(image_node(random_folder("hunyuan-video")))
    assert "for Image2Video take HunyuanVideo I2V" in text
    family = family_of(Checkpoint(random_folder("hunyuan-video-i2v")))
    assert family is not None and family.label == "HunyuanVideo I2V"


def test_a_transformer_of_skyreels_in_hunyuanvideo_begins_with_a_picture(
    random_folder: RandomFolder,
) -> None:
    whole, base = random_folder("skyreels"), random_folder("hunyuan-video")
    own = Checkpoint(base, transformer=whole / "transformer")
    family = family_of(own)
    assert family is not None and family.label == "SkyReels V1"
    node = image_node(whole, negative_prompt="a ring")
    session = Session(device="cpu", store=None)
    assert not problems_of(node.replace(checkpoint=own)) and node.is_guided
    assert run(node.replace(guidance=1.0), session=session) != run(node, session=session)


def text_node(folder: Path, **fields: Any) -> Text2Video:
    settings = {"prompt": "a star", "width": 64, "height": 64, "steps": 1, "frames": 1}
    return Text2Video(**{**settings, "checkpoint": Checkpoint(folder), **fields})


def guider_of(folder: Path, tmp_path: Path, **settings: object) -> Path:
    """A copy of a checkpoint, with other settings of its guider."""
    copy = Path(shutil.copytree(folder, tmp_path / "guided"))
    path = copy / "guider" / "guider_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return copy


def test_guidance_that_is_not_given_is_that_of_the_guider(
    random_folder: RandomFolder, tmp_path: Path
) -> None:
    folder = random_folder("hunyuan-video-1.5")
    node = text_node(folder, negative_prompt="a ring")
    assert node.chosen_guidance == 6.0 and node.is_guided
    distilled = guider_of(folder, tmp_path, guidance_scale=1.0)
    plain = node.replace(checkpoint=Checkpoint(distilled))
    assert plain.chosen_guidance == 1.0 and not plain.is_guided
    (warning,) = plain.warnings()
    assert "which has no effect" in str(warning)


def test_a_guider_takes_the_scale_and_the_rescaling(random_folder: RandomFolder) -> None:
    session = Session(device="cpu", store=None)
    node = text_node(random_folder("hunyuan-video-1.5"), guidance_rescale=0.7)
    assert not problems_of(node)
    makes = [node, node.replace(guidance_rescale=0.0), node.replace(guidance=0.5)]
    first, second, third = (run(each, session=session) for each in makes)
    assert first != second != third != first


def test_another_guider_is_refused(random_folder: RandomFolder, tmp_path: Path) -> None:
    folder = guider_of(random_folder("hunyuan-video-1.5"), tmp_path)
    path = folder / "model_index.json"
    index = json.loads(path.read_text())
    index["guider"] = ["diffusers", "AdaptiveProjectedGuidance"]
    path.write_text(json.dumps(index))
    with pytest.raises(InvalidWorkflowError, match="whose guider is AdaptiveProjectedGuidance"):
        run(text_node(folder), session=Session(device="cpu", store=None))


def test_the_sizes_of_version_15_are_those_of_its_training(random_folder: RandomFolder) -> None:
    video = HUNYUAN_VIDEO_15.video
    assert video is not None and video.by_config is not None
    assert video.by_config({}, {"target_size": 640}) == {"size": (848, 480)}
    assert video.by_config({}, {"target_size": 960}) == {"size": (1280, 720)}
    node = image_node(random_folder("hunyuan-video-1.5-i2v"), width=72)
    assert "a multiple of 16" in problems_of(node)
    assert "a multiple of 4, plus 1" in problems_of(node.replace(width=64, frames=6))


def test_version_15_makes_the_size_that_is_asked_for(random_folder: RandomFolder) -> None:
    node = image_node(
        random_folder("hunyuan-video-1.5-i2v"), width=48, height=96, frames=1, steps=1
    )
    assert run(node, session=Session(device="cpu", store=None)).size == (48, 96)


def test_quoted_words_that_would_be_cut_are_refused(random_folder: RandomFolder) -> None:
    session = Session(device="cpu", store=None)
    node = text_node(random_folder("hunyuan-video-1.5"), guidance=1.0)
    plain, quoted = (run(node.replace(prompt=p), session=session) for p in ("a b", 'a "b"'))
    assert plain != quoted
    with pytest.raises(NodeFailedError, match="the words that text_encoder_2 reads"):
        run(node.replace(prompt='"' + "a" * 300 + '"'), session=session)


def test_a_checkpoint_of_version_15_for_words_makes_no_video_of_a_picture(
    random_folder: RandomFolder,
) -> None:
    text = problems_of(image_node(random_folder("hunyuan-video-1.5")))
    assert "a HunyuanVideo 1.5 checkpoint for Text2Video" in text
    assert "HunyuanVideo-1.5-480p_i2v" in text
