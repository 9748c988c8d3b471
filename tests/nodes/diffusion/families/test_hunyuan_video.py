"""HunyuanVideo from pictures, and its later versions: what is special about each pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, NodeFailedError, Session, run
from sdgraph.nodes import Image2Video
from sdgraph.nodes.diffusion.families import family_of
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
