"""The working memory that recognition nodes declare, compared with torch's peak."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from sdgraph import Checkpoint, plan
from sdgraph.nodes import MaskByGrounding, MaskBySam, MaskByWords, PoseEstimate, Segment
from sdgraph.nodes.vision.memory import recognition_memory, text_attention_memory
from tests.support import mask_models as masks
from tests.support import toys
from tests.support.memory_peaks import empty, meta_module, peak
from tests.support.memory_peaks import (
    use_attention_without_matrix as _without_matrix,  # noqa: F401
)
from tests.support.photos import photo


def declared_memory(config: Any, folder: Path, dtype: str = "float16") -> int:
    """The memory that is declared for a model with that config."""
    folder.mkdir(exist_ok=True)
    name = type(config).__name__.removesuffix("Config")
    architecture = {
        "Sam": "SamModel",
        "VitPose": "VitPoseForPoseEstimation",
        "Segformer": "SegformerForSemanticSegmentation",
        "RTDetr": "RTDetrForObjectDetection",
        "UperNet": "UperNetForSemanticSegmentation",
        "CLIPSeg": "CLIPSegForImageSegmentation",
    }[name]
    contents = {**config.to_dict(), "architectures": [architecture]}
    (folder / "config.json").write_text(json.dumps(contents, default=str))
    return recognition_memory(dtype, Checkpoint(folder, dtype=dtype))


@pytest.mark.parametrize(("width", "layers"), [(768, 12), (1024, 24)])
def test_sam(width: int, layers: int, tmp_path: Path) -> None:
    import transformers

    config = transformers.SamConfig(
        vision_config=transformers.SamVisionConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            global_attn_indexes=[2, 5],
        )
    )
    model = meta_module(transformers.SamModel, config, torch.float16)
    points = empty(1, 1, 1, 2)
    measured = peak(model, lambda: model(pixel_values=empty(1, 3, 1024, 1024), input_points=points))
    assert declared_memory(config, tmp_path) == pytest.approx(measured, rel=0.05)


@pytest.mark.slow
def test_grounding_dino_by_the_length_of_the_text(tmp_path: Path) -> None:
    import transformers

    swin = transformers.SwinConfig(
        embed_dim=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        out_features=["stage2", "stage3", "stage4"],
    )
    config = transformers.GroundingDinoConfig(backbone_config=swin)
    model = transformers.GroundingDinoForObjectDetection(config).eval()
    name = "GroundingDinoForObjectDetection"
    contents = {**config.to_dict(), "architectures": [name]}
    (tmp_path / "config.json").write_text(json.dumps(contents, default=str))
    checkpoint = Checkpoint(tmp_path)
    for tokens in (16, 128, 256):
        words = torch.tensor([[101, *[7592, 1012] * ((tokens - 2) // 2), 102]])
        inputs = {
            "pixel_values": torch.zeros(1, 3, 800, 1333),
            "pixel_mask": torch.ones(1, 800, 1333, dtype=torch.long),
            "input_ids": words,
            "attention_mask": torch.ones_like(words),
            "token_type_ids": torch.zeros_like(words),
        }
        measured = peak(model, partial(model, **inputs))
        text = "ab" * (tokens - 2)
        law = recognition_memory("float32", checkpoint) + text_attention_memory(
            "float32", checkpoint, text
        )
        assert law == pytest.approx(measured, rel=0.05)


def test_words_that_are_not_known_yet_may_be_as_long_as_they_can(tmp_path: Path) -> None:
    dino = Checkpoint(masks.grounding_dino(tmp_path / "dino"))
    most = json.loads((tmp_path / "dino" / "config.json").read_text())["max_text_len"]
    late = text_attention_memory("float32", dino, toys.Text(text="a"))
    assert (
        late
        == text_attention_memory("float32", dino, "a" * 2 * most)
        > text_attention_memory("float32", dino, "a")
        == 0
    )


def test_looking_into_boxes_takes_less_than_seeing_the_picture(tmp_path: Path) -> None:
    import transformers

    from sdgraph.nodes.masks import sam

    config = transformers.SamConfig()
    model = meta_module(transformers.SamModel, config, torch.float16)
    boxes, image_embeddings = empty(1, sam._BOXES, 4), empty(1, 256, 64, 64)
    measured = peak(model, lambda: model(image_embeddings=image_embeddings, input_boxes=boxes))
    assert 0 < measured < declared_memory(config, tmp_path) / 2


@pytest.mark.parametrize("width", [384, 768])
def test_vitpose(width: int, tmp_path: Path) -> None:
    import transformers

    backbone = transformers.VitPoseBackboneConfig(
        image_size=[256, 192], patch_size=[16, 16], hidden_size=width, num_attention_heads=12
    )
    config = transformers.VitPoseConfig(backbone_config=backbone, use_simple_decoder=True)
    model = meta_module(transformers.VitPoseForPoseEstimation, config, torch.float16)
    measured = peak(model, lambda: model(pixel_values=empty(1, 3, 256, 192)))
    assert declared_memory(config, tmp_path) == pytest.approx(measured, rel=0.1)


@pytest.mark.parametrize("widths", [(32, 64, 160, 256), (64, 128, 320, 512)])
def test_segformer(widths: tuple[int, ...], tmp_path: Path) -> None:
    import transformers

    decoder = 256 if widths[0] == 32 else 768
    config = transformers.SegformerConfig(
        hidden_sizes=list(widths), decoder_hidden_size=decoder, num_labels=150
    )
    model = meta_module(transformers.SegformerForSemanticSegmentation, config, torch.float16)
    measured = peak(model, lambda: model(pixel_values=empty(1, 3, 512, 512)))
    assert declared_memory(config, tmp_path) == pytest.approx(measured, rel=0.05)


def test_upernet_and_rt_detr(tmp_path: Path) -> None:
    import transformers

    widths = [96, 192, 384, 768]
    stages = [f"stage{n}" for n in range(1, 5)]
    config = transformers.UperNetConfig(
        backbone_config=transformers.ConvNextConfig(hidden_sizes=widths, out_features=stages),
        num_labels=150,
        auxiliary_in_channels=384,
    )
    model = meta_module(transformers.UperNetForSemanticSegmentation, config, torch.float16)
    measured = peak(model, lambda: model(pixel_values=empty(1, 3, 512, 512)))
    assert declared_memory(config, tmp_path / "upernet") == pytest.approx(measured, rel=0.05)

    config = transformers.RTDetrConfig()
    model = meta_module(transformers.RTDetrForObjectDetection, config, torch.float16)
    measured = peak(model, lambda: model(pixel_values=empty(1, 3, 640, 640)))
    assert declared_memory(config, tmp_path / "rt_detr") == pytest.approx(measured, rel=0.1)


def test_clipseg(tmp_path: Path) -> None:
    import transformers

    config = transformers.CLIPSegConfig(
        text_config={"num_hidden_layers": 1},
        vision_config={
            "image_size": 352,
            "patch_size": 16,
            "hidden_size": 384,
            "num_hidden_layers": 10,
            "num_attention_heads": 6,
            "intermediate_size": 1536,
        },
        extract_layers=[3, 6, 9],
    )
    model = transformers.CLIPSegForImageSegmentation(config).eval()
    words = torch.ones(1, 5, dtype=torch.long)
    pixels = torch.zeros(1, 3, 352, 352)
    measured = peak(
        model, lambda: model(input_ids=words, pixel_values=pixels, attention_mask=words)
    )
    assert measured <= declared_memory(config, tmp_path, "float32") < 1.25 * measured


def test_nodes_take_the_hungriest_of_their_models(tmp_path: Path) -> None:
    from tests.support import map_models as maps

    image = photo(32, 32)
    sam = Checkpoint(masks.sam(tmp_path / "sam"))
    words = Checkpoint(masks.clipseg(tmp_path / "clipseg"))
    dino = Checkpoint(masks.grounding_dino(tmp_path / "dino"))
    pose, people = (
        Checkpoint(make(tmp_path / make.__name__)) for make in (maps.vitpose, maps.rt_detr)
    )
    regions = Checkpoint(maps.upernet(tmp_path / "upernet"))
    both: Any = {"checkpoint": dino, "segmenter": sam}
    nodes: list[Any] = [
        MaskBySam(image=image, points=[[1, 1]], checkpoint=sam),
        MaskByWords(image=image, words="a", checkpoint=words),
        MaskByGrounding(image=image, words="a", **both),
        PoseEstimate(image=image, checkpoint=pose, detector=people),
        Segment(image=image, checkpoint=regions),
    ]
    for node in nodes:
        (step,) = plan(node).steps
        assert step.working_bytes > 0
    assert recognition_memory("float32", dino, sam) == max(
        recognition_memory("float32", dino), recognition_memory("float32", sam)
    )
    assert recognition_memory("float32", Checkpoint("someone/unknown")) == 0
