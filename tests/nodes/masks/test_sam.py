"""Masks by SAM: as transformers' own classes make them, and refused where they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.nodes import MaskBySam
from sdgraph.values import Image, Mask
from tests.support import mask_models
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, photo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mask_models.sam(tmp_path_factory.mktemp("sam"))


def by_transformers(
    folder: Path, image: Image, points: Any, labels: Any, box: Any, multimask: bool
) -> Any:
    """The mask by SamModel and SamProcessor, as their documentation shows."""
    import torch
    import transformers

    model = transformers.SamModel.from_pretrained(folder)
    processor = transformers.SamProcessor(transformers.SamImageProcessorPil.from_pretrained(folder))
    inputs = processor(
        image.rgb,
        input_data_format="channels_last",
        return_tensors="pt",
        input_points=[[points]] if points else None,
        input_labels=[[labels or [1] * len(points)]] if points else None,
        input_boxes=[[box]] if box else None,
    )
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    inputs = {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in inputs.items()
    }
    with torch.no_grad():
        outputs = model(**inputs, multimask_output=multimask)
    masks = processor.post_process_masks(outputs.pred_masks, *sizes)[0][0]
    return np.where(masks[outputs.iou_scores[0, 0].argmax()].numpy(), 255, 0)


@pytest.mark.torch
@pytest.mark.parametrize("size", [(64, 64), (75, 53), (50, 3), (3, 90), (1, 1)])
@pytest.mark.parametrize(
    ("points", "labels", "box"),
    [
        ([[0, 0]], None, None),
        ([[0, 0], [0, 0]], [1, 0], None),
        (None, None, [0, 0, 1, 1]),
        ([[0, 0]], [0], [-4, -4, 2, 2]),
    ],
)
def test_it_is_the_mask_of_transformers_of_the_pictures_size(
    session: Session, folder: Path, size: tuple[int, int], points: Any, labels: Any, box: Any
) -> None:
    image = photo(*size)
    moved = [[size[0] * 2 // 3, size[1] // 2], *points[1:]] if points else None
    node = MaskBySam(
        image=image, points=moved, labels=labels, box=box, checkpoint=Checkpoint(folder)
    )
    cut = (
        [max(0, box[0]), max(0, box[1]), min(size[0], box[2]), min(size[1], box[3])]
        if box
        else None
    )
    alone = box is None and len(moved or ()) == 1
    expected = by_transformers(folder, image, moved, labels, cut, alone)
    if expected.any():
        result = run(node, session=session)
        assert type(result) is Mask and result.size == size
        assert (result.numpy == expected).all()
    else:
        assert "SAM\n  found:  it marks nothing" in str(failure(node, session))


@pytest.mark.torch
def test_where_the_points_are_makes_a_difference(session: Session, folder: Path) -> None:
    node = MaskBySam(image=photo(75, 53), points=[[10, 10]], checkpoint=Checkpoint(folder))
    first, second = (
        run(node.replace(points=[point]), session=session).numpy for point in ([10, 10], [70, 40])
    )
    assert (first != second).any()
    assert {0, 255} == set(np.unique(first))


@pytest.mark.torch
def test_alpha_is_ignored(session: Session, folder: Path) -> None:
    clear = clear_photo(60, 50)
    node = MaskBySam(image=clear, points=[[30, 20]], checkpoint=Checkpoint(folder))
    assert run(node, session=session) == run(
        node.replace(image=Image(clear.numpy[..., :3])), session=session
    )


@pytest.mark.torch
def test_in_bfloat16_it_is_about_the_same(session: Session, folder: Path) -> None:
    node = MaskBySam(image=photo(75, 53), points=[[30, 20]], checkpoint=Checkpoint(folder))
    half = node.replace(checkpoint=Checkpoint(folder, dtype="bfloat16"))
    masks = [run(variant, session=session).numpy for variant in (node, half)]
    assert (masks[0] == masks[1]).mean() > 0.8


@pytest.mark.torch
@pytest.mark.parametrize("point", [[75, 0], [0, 53], [-1, 5], [5, -1], [9999, 9999]])
def test_a_point_outside_the_picture_is_refused(
    session: Session, folder: Path, point: list[int]
) -> None:
    node = MaskBySam(image=photo(75, 53), points=[[1, 1], point], checkpoint=Checkpoint(folder))
    text = str(failure(node, session))
    assert f"{point}, which lies outside the picture of 75×53\n  wanted: x of 0 to 74" in text


@pytest.mark.torch
def test_a_box_outside_the_picture_is_refused(session: Session, folder: Path) -> None:
    node = MaskBySam(image=photo(75, 53), box=[75, 0, 90, 9], checkpoint=Checkpoint(folder))
    assert "[75, 0, 90, 9], which lies outside the picture of 75×53" in str(failure(node, session))


@pytest.mark.torch
def test_a_picture_too_narrow_to_see_is_refused(session: Session, folder: Path) -> None:
    image = Image(np.zeros((1, 16_000, 3), np.uint8))
    node = MaskBySam(image=image, points=[[1, 0]], checkpoint=Checkpoint(folder))
    text = str(failure(node, session))
    assert "16000×1, less than a pixel wide after scaling to 64 pixels" in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ["MaskBySam.points", "neither points nor a box"]),
        ({"points": []}, ["MaskBySam.points", "at least 1"]),
        ({"points": [[1]]}, ["MaskBySam.points.0", "at least 2 items"]),
        ({"points": [[1, 1]], "labels": [1, 0]}, ["MaskBySam.labels", "2 labels for 1 points"]),
        ({"box": [0, 0, 1, 1], "labels": [1]}, ["MaskBySam.labels", "1 labels for 0 points"]),
        ({"points": [[1, 1]], "labels": [2]}, ["MaskBySam.labels.0", "at most 1"]),
        ({"box": [3, 3, 3, 4]}, ["MaskBySam.box", "holds no pixel"]),
    ],
)
def test_what_tells_no_place_is_refused(fields: dict[str, Any], words: list[str]) -> None:
    text = refused_at_construction(MaskBySam, image=photo(8, 8), **fields)
    for word in words:
        assert word in text


@pytest.mark.torch
def test_a_checkpoint_of_another_kind_is_refused_before_it_is_loaded(folder: Path) -> None:
    node = MaskBySam(
        image=photo(8, 8), points=[[1, 1]], checkpoint=Checkpoint("tiny/depth-estimator")
    )
    text = refused_before_load(node)
    assert "mask_by_sam.checkpoint" in text
    assert "tiny/depth-estimator, a DPTForDepthEstimation" in text and "a SamModel" in text


def test_the_default_checkpoint_is_named_where_it_is_not_here(no_hub: Path) -> None:
    text = refused_before_load(MaskBySam(image=photo(8, 8), points=[[1, 1]]))
    assert "facebook/sam-vit-base: not in the hub's cache" in text
