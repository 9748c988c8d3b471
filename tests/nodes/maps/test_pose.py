"""Poses: drawn from joints, and found as transformers' own classes find them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models import ModelCache
from sdgraph.models.loading.loader import load_part
from sdgraph.nodes import PoseDraw, PoseEstimate
from sdgraph.nodes.maps.skeleton import COCO, COLORS, JOINTS, default_thickness, draw_people
from sdgraph.values import Image, PoseMap
from tests.support import map_models
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, photo

from .test_skeleton import SIZE, STANDING

PERSON: Any = {joint: list(place) for joint, place in STANDING.items()}


def test_it_draws_the_people_it_is_given(session: Session) -> None:
    node = PoseDraw(people=[PERSON], width=SIZE[0], height=SIZE[1])
    result = run(node, session=session)
    assert type(result) is PoseMap and result.size == SIZE
    assert (result.numpy == draw_people([PERSON], SIZE, default_thickness(SIZE))).all()
    thick = run(node.replace(thickness=20.0), session=session).numpy
    assert (thick == draw_people([PERSON], SIZE, 20.0)).all() and (thick != result.numpy).any()


def test_an_unknown_joint_is_reported_by_its_name() -> None:
    people: Any = [{"nose": [3.0, 3.0], "left_wrist": ["a", 3.0]}]
    assert "people.0.left_wrist.0" in refused_at_construction(
        PoseDraw, people=people, width=8, height=8
    )


@pytest.mark.parametrize("place", [[-1, 5], [5, -0.5], [65, 5], [5, 49], [1e9, 1e9]])
def test_a_joint_outside_is_refused(place: list[float]) -> None:
    people = [{"nose": [3.0, 3.0]}, {"left_ear": place}]
    text = refused_at_construction(PoseDraw, people=people, width=64, height=48)
    assert "PoseDraw.people" in text and "left_ear at [" in text and "outside 64×48" in text
    assert "leave out what cannot be seen" in text


@pytest.mark.parametrize(
    ("people", "words"),
    [
        ([], ["PoseDraw.people", "at least 1"]),
        ([{}], ["PoseDraw.people.0", "at least 1"]),
        ([{"tail": [1, 1]}], ["PoseDraw.people.0", "tail"]),
        ([{"nose": [1]}], ["PoseDraw.people.0", "at least 2 items"]),
        ([{"nose": [float("nan"), 1]}], ["PoseDraw.people.0", "nan", "a finite number"]),
    ],
)
def test_what_is_no_person_is_refused(people: Any, words: list[str]) -> None:
    text = refused_at_construction(PoseDraw, people=people)
    for word in words:
        assert word in text, text


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("poses")
    return {
        "checkpoint": Checkpoint(map_models.vitpose(root / "vitpose")),
        "detector": Checkpoint(map_models.rt_detr(root / "rt_detr")),
    }


def by_transformers(
    image: Image, checkpoint: Checkpoint, detector: Checkpoint, threshold: float
) -> list[dict[str, Any]]:
    """Joints and their scores of each person, as the documentation of ViTPose shows."""
    import torch
    import transformers

    finder = transformers.RTDetrForObjectDetection.from_pretrained(detector.source)
    prepare = transformers.RTDetrImageProcessorPil.from_pretrained(detector.source)
    model = transformers.VitPoseForPoseEstimation.from_pretrained(checkpoint.source)
    crop = transformers.VitPoseImageProcessorPil.from_pretrained(checkpoint.source)
    with torch.no_grad():
        outputs = finder(**prepare(images=image.rgb, return_tensors="pt"))
    scores = outputs.logits[0].sigmoid()[:, 0]
    corners = torch.stack(
        [torch.cat([b[:2] - b[2:] / 2, b[:2] + b[2:] / 2]) for b in outputs.pred_boxes[0]]
    ).clamp(0, 1)
    boxes = (corners * torch.tensor(image.size * 2))[scores > threshold].numpy()
    boxes[:, 2:] -= boxes[:, :2]
    inputs = crop(image.rgb, boxes=[boxes], return_tensors="pt")
    with torch.no_grad():
        heat = model(**inputs)
    people: list[dict[str, Any]] = crop.post_process_pose_estimation(heat, boxes=[boxes])[0]
    return people


@pytest.mark.torch
@pytest.mark.parametrize("size", [(64, 64), (75, 53), (130, 40)])
@pytest.mark.parametrize(("threshold", "joint_threshold"), [(0.0, 0.1), (0.4, 0.5)])
def test_the_joints_are_those_of_transformers(
    session: Session,
    folders: dict[str, Any],
    size: tuple[int, int],
    threshold: float,
    joint_threshold: float,
) -> None:
    image = photo(*size)
    node = PoseEstimate(
        image=image, threshold=threshold, joint_threshold=joint_threshold, **folders
    )
    result = run(node, session=session)
    people = [
        {
            joint: tuple(place)
            for joint, place, score in zip(
                COCO, transformer["keypoints"].tolist(), transformer["scores"], strict=True
            )
            if score > joint_threshold and 0 <= place[0] <= size[0] and 0 <= place[1] <= size[1]
        }
        for transformer in by_transformers(image, **folders, threshold=threshold)
    ]
    assert people and any(people)
    assert type(result) is PoseMap and result.size == size
    expected = draw_people(people, size, default_thickness(size))
    # Crops one by one or together differ in the last bit, which may move a pixel.
    assert (result.numpy == expected).all(axis=2).mean() > 0.99


class Finder:
    """ "Finds" people in given boxes: left, top, right, bottom, as shares of the picture."""

    config = SimpleNamespace(id2label={0: "bicycle", 1: "person"})

    def __init__(self, *boxes: tuple[float, float, float, float]) -> None:
        import torch

        self.boxes = boxes
        self.dtype = torch.float32

    def __call__(self, **inputs: Any) -> Any:
        import torch

        corners = torch.tensor([*self.boxes, (0.1, 0.1, 0.9, 0.9)])
        middle, extent = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
        # The last is a bicycle for sure.
        scores = torch.tensor([[-9.0, 4.0]] * len(self.boxes) + [[9.0, -3.0]])
        boxes = torch.cat([middle, extent], dim=1)
        return SimpleNamespace(logits=scores[None], pred_boxes=boxes[None])


class Looker:
    """Finds a joint where the picture has the colour in which OpenPose draws it."""

    config = SimpleNamespace(backbone_config=SimpleNamespace(num_experts=1))

    def __init__(self) -> None:
        import torch

        self.dtype = torch.float32

    def __call__(self, pixel_values: Any) -> Any:
        import torch

        colors = [COLORS[JOINTS.index(joint)] for joint in COCO]
        away = pixel_values[0][None] * 255 - torch.tensor(colors)[:, :, None, None].float()
        heat = torch.exp(-away.square().sum(1) / 400)[None]
        for _ in range(3):
            heat = torch.nn.functional.avg_pool2d(heat, 7, stride=1, padding=3)
        return SimpleNamespace(heatmaps=heat)


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Any]:
    """Checkpoints for the two above: their processors leave colours as they are."""
    import transformers

    pose = map_models.vitpose(tmp_path / "vitpose")
    size = {"height": 256, "width": 192}
    transformers.VitPoseImageProcessorPil(size=size, do_normalize=False).save_pretrained(pose)
    finder = map_models.rt_detr(tmp_path / "rt_detr")
    return {"checkpoint": Checkpoint(pose), "detector": Checkpoint(finder)}


def with_models(finder: Finder) -> Session:
    def load(part: Any, dtype: str, device: str) -> Any:
        if part.part.processor:
            return load_part(part, dtype, device)
        return finder if "rt_detr" in part.part.checkpoint.source else Looker()

    return Session(device="cpu", store=None, models=ModelCache(load=load))


WHOLE = (0.0, 0.0, 1.0, 1.0)


@pytest.mark.torch
def test_a_pose_that_is_seen_is_drawn_again(models: dict[str, Any]) -> None:
    pose = PoseMap(draw_people([PERSON], SIZE, 12))
    node = PoseEstimate(image=pose, thickness=6.0, **models)
    result = run(node, session=with_models(Finder(WHOLE)))
    for joint, (x, y) in STANDING.items():
        at = tuple(result.numpy[round(y), round(x)].tolist())
        assert at == COLORS[JOINTS.index(joint)], joint
    same = (result.numpy.any(axis=2) == draw_people([PERSON], SIZE, 6.0).any(axis=2)).mean()
    assert same > 0.98


@pytest.mark.torch
def test_each_person_is_found_in_its_own_box(models: dict[str, Any]) -> None:
    people: list[Any] = [
        {joint: (x / 2 + shift, y / 2) for joint, (x, y) in STANDING.items()} for shift in (0, 120)
    ]
    pose = PoseMap(draw_people(people, SIZE, 6))
    session = with_models(Finder((0.0, 0.0, 0.5, 0.5), (0.5, 0.0, 1.0, 0.5)))
    node = PoseEstimate(image=pose, thickness=6.0, **models)
    result = run(node, session=session).numpy
    for person in people:
        for joint in ("nose", "left_wrist", "right_wrist", "left_ankle", "right_ankle"):
            x, y = person[joint]
            assert tuple(result[round(y), round(x)].tolist()) == COLORS[JOINTS.index(joint)]
    assert run(node.replace(count=2), session=session).numpy.any()


@pytest.mark.torch
def test_a_joint_that_is_not_seen_is_hidden(models: dict[str, Any]) -> None:
    hidden = {"left_wrist", "right_knee"}
    person: Any = {joint: place for joint, place in STANDING.items() if joint not in hidden}
    node = PoseEstimate(image=PoseMap(draw_people([person], SIZE, 12)), thickness=6.0, **models)
    result = run(node, session=with_models(Finder(WHOLE)))
    colors = {tuple(pixel) for pixel in result.numpy.reshape(-1, 3).tolist()}
    for joint in STANDING:
        assert (COLORS[JOINTS.index(joint)] in colors) == (joint not in hidden), joint


@pytest.mark.torch
def test_two_people_where_one_is_asked_are_refused(models: dict[str, Any]) -> None:
    node = PoseEstimate(image=photo(60, 40), count=1, **models)
    text = str(failure(node, with_models(Finder(WHOLE, (0.5, 0.0, 1.0, 1.0)))))
    assert "2 people in the picture\n  wanted: one person\n  fix:    crop it" in text
    text = str(failure(node.replace(count=3), with_models(Finder(WHOLE))))
    assert "one person in the picture\n  wanted: 3 people" in text


@pytest.mark.torch
def test_no_person_in_the_picture_is_refused(models: dict[str, Any]) -> None:
    text = str(failure(PoseEstimate(image=photo(60, 40), **models), with_models(Finder())))
    assert "no person in the picture of 60×40: the best score is 0.047\n  wanted: one" in text


@pytest.mark.torch
def test_a_person_without_a_joint_is_refused(models: dict[str, Any]) -> None:
    black = Image(np.zeros((64, 64, 3), np.uint8))
    text = str(failure(PoseEstimate(image=black, **models), with_models(Finder(WHOLE))))
    assert "no visible joint of the people in it (1)" in text and "joint_threshold" in text


@pytest.mark.torch
def test_alpha_is_ignored(session: Session, folders: dict[str, Any]) -> None:
    clear = clear_photo(60, 50)
    node = PoseEstimate(image=clear, threshold=0.0, joint_threshold=0.0, **folders)
    opaque = node.replace(image=Image(clear.numpy[..., :3]))
    assert run(node, session=session) == run(opaque, session=session)


@pytest.mark.torch
@pytest.mark.parametrize("size", [(1, 1), (64, 1), (64, 2), (64, 3), (3, 64), (64, 4)])
def test_a_picture_of_few_rows_is_taken(
    session: Session, folders: dict[str, Any], size: tuple[int, int]
) -> None:
    node = PoseEstimate(image=photo(*size), threshold=0.0, joint_threshold=0.0, **folders)
    assert run(node, session=session).size == size


@pytest.mark.torch
def test_a_vitpose_of_several_experts_asks_that_of_coco(
    session: Session, folders: dict[str, Any], tmp_path: Path
) -> None:
    plus = {**folders, "checkpoint": Checkpoint(map_models.vitpose(tmp_path, experts=3))}
    node = PoseEstimate(image=photo(64, 64), threshold=0.0, joint_threshold=0.0, **plus)
    assert run(node, session=session).numpy.any()


@pytest.mark.torch
def test_in_bfloat16_it_runs(session: Session, folders: dict[str, Any]) -> None:
    half: dict[str, Any] = {
        name: Checkpoint(folder.source, dtype="bfloat16") for name, folder in folders.items()
    }
    node = PoseEstimate(image=photo(64, 64), threshold=0.0, joint_threshold=0.0, **half)
    assert run(node, session=session).numpy.any()


@pytest.mark.torch
@pytest.mark.parametrize(
    ("field", "expected"),
    [("checkpoint", "a VitPoseForPoseEstimation"), ("detector", "a RTDetrForObjectDetection")],
)
def test_checkpoints_of_another_kind_are_refused_before_they_are_loaded(
    folders: dict[str, Any], field: str, expected: str
) -> None:
    fields: Any = {**folders, field: Checkpoint("tiny/depth-estimator")}
    text = refused_before_load(PoseEstimate(image=photo(8, 8), **fields))
    assert f"pose_estimate.{field}" in text and expected in text


@pytest.mark.torch
def test_models_of_other_joints_or_things_are_refused_before_they_are_loaded(
    folders: dict[str, Any], tmp_path: Path
) -> None:
    hands = Checkpoint(map_models.vitpose(tmp_path / "hands", joints=21))
    text = refused_before_load(PoseEstimate(image=photo(8, 8), **{**folders, "checkpoint": hands}))
    assert "for 21 joints" in text and "one for COCO's 17" in text
    cars = Checkpoint(map_models.rt_detr(tmp_path / "cars", id2label={0: "car", 1: "bus"}))
    text = refused_before_load(PoseEstimate(image=photo(8, 8), **{**folders, "detector": cars}))
    assert "knows no people" in text


def test_the_order_of_joints_does_not_count() -> None:
    turned = dict(reversed(PERSON.items()))
    node, other = (PoseDraw(people=[person], width=240, height=320) for person in (PERSON, turned))
    assert node == other and node.identity == other.identity
    assert node.run() == other.run()
