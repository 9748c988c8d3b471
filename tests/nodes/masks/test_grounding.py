"""Masks by Grounding DINO and SAM: the boxes of transformers' own classes, cut out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models import resolve_part
from sdgraph.nodes import MaskByGrounding, MaskBySam
from sdgraph.values import Image, Mask
from tests.support import mask_models
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import photo


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("grounding")
    return {
        "checkpoint": Checkpoint(mask_models.grounding_dino(root / "dino")),
        "segmenter": Checkpoint(mask_models.sam(root / "sam")),
    }


def detect_with_transformers(
    folder: str, image: Image, words: str, threshold: float
) -> tuple[Any, Any]:
    """Boxes and scores by GroundingDinoProcessor, as its documentation shows."""
    import torch
    import transformers

    model = transformers.GroundingDinoForObjectDetection.from_pretrained(folder)
    processor = transformers.GroundingDinoProcessor(
        transformers.GroundingDinoImageProcessorPil.from_pretrained(folder),
        transformers.AutoTokenizer.from_pretrained(folder),
    )
    inputs = processor(images=image.rgb, text=words, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    (detections,) = processor.post_process_grounded_object_detection(
        outputs, inputs.input_ids, threshold=threshold, target_sizes=[image.size[::-1]]
    )
    return detections["boxes"].numpy(), detections["scores"].numpy()


@pytest.mark.torch
@pytest.mark.parametrize("size", [(64, 64), (75, 53), (90, 8)])
def test_it_is_what_sam_finds_in_the_boxes_of_transformers(
    session: Session,
    folders: dict[str, Any],
    size: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from sdgraph.nodes.masks import sam

    image, boxes_seen = photo(*size), []
    plain = sam.segment_with_sam

    def watched(*arguments: Any, boxes: Any, **more: Any) -> Any:
        boxes_seen.append(boxes)
        return plain(*arguments, boxes=boxes, **more)

    monkeypatch.setattr(sam, "segment_with_sam", watched)
    _, scores = detect_with_transformers(folders["checkpoint"].source, image, "a cat. a dog.", 0)
    threshold = float(np.median(scores)) - 1e-4
    boxes, scores = detect_with_transformers(
        folders["checkpoint"].source, image, "a cat. a dog.", threshold
    )
    node = MaskByGrounding(image=image, words=" A cat. a Dog ", threshold=threshold, **folders)
    result = run(node, session=session)
    assert type(result) is Mask and result.size == size
    within = boxes.clip(0, [*size, *size])
    assert len(scores) and np.allclose(boxes_seen[0], within, atol=0.01)


@pytest.mark.torch
def test_the_mask_is_the_union_of_those_of_the_boxes(
    session: Session, folders: dict[str, Any]
) -> None:
    image = photo(75, 53)
    from sdgraph.models.loading.loader import load_part
    from sdgraph.nodes.masks.sam import _BOXES, segment_with_sam
    from sdgraph.values import Part

    sam = folders["segmenter"]
    model, processor = (
        load_part(resolve_part(Part(sam, processor=processor)), "float32", "cpu")
        for processor in (False, True)
    )
    boxes = [[5 + n, 5, 30 + n, 30 + n % 5] for n in range(0, 40, 4)]  # more than at once
    every = segment_with_sam(model, processor, image, "cpu", boxes=boxes)
    alone = [
        run(MaskBySam(image=image, box=box, checkpoint=sam), session=session).numpy for box in boxes
    ]
    assert len(boxes) > _BOXES and (every == np.maximum.reduce(alone)).all()


@pytest.mark.torch
def test_words_that_match_nothing_are_refused(session: Session, folders: dict[str, Any]) -> None:
    node = MaskByGrounding(image=photo(64, 64), words="a cat", threshold=0.99999, **folders)
    text = str(failure(node, session))
    assert "'a cat', which matches nothing in the picture: the best box has a score of 0." in text


@pytest.mark.torch
def test_too_many_words_are_refused(session: Session, folders: dict[str, Any]) -> None:
    node = MaskByGrounding(image=photo(64, 64), words="x y " * 12, **folders)
    assert "tokens\n  wanted: at most 24" in str(failure(node, session))


@pytest.mark.torch
def test_a_picture_too_narrow_to_see_is_refused(session: Session, folders: dict[str, Any]) -> None:
    image = Image(np.zeros((16_000, 1, 3), np.uint8))
    text = str(failure(MaskByGrounding(image=image, words="a", **folders), session))
    assert "1×16000, less than a pixel wide" in text


def test_blank_words_are_refused() -> None:
    text = refused_at_construction(MaskByGrounding, image=photo(8, 8), words="")
    assert "MaskByGrounding.words" in text


@pytest.mark.torch
@pytest.mark.parametrize(
    ("field", "expected"),
    [("checkpoint", "a GroundingDinoForObjectDetection"), ("segmenter", "a SamModel")],
)
def test_checkpoints_of_another_kind_are_refused_before_they_are_loaded(
    folders: dict[str, Any], field: str, expected: str
) -> None:
    fields: dict[str, Any] = {**folders, field: Checkpoint("tiny/depth-estimator")}
    text = refused_before_load(MaskByGrounding(image=photo(8, 8), words="a", **fields))
    assert f"mask_by_grounding.{field}" in text and expected in text
