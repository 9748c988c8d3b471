"""Draws the poses of people, from joints or from a picture of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node, refuse
from sdgraph.models import Models, resolve
from sdgraph.nodes.vision.inference import as_checkpoint, check_model, infer, preprocess
from sdgraph.nodes.vision.memory import recognition_memory
from sdgraph.values import Checkpoint, Image, Part, PoseMap

from .skeleton import COCO, Joint, Person, default_thickness, draw_people

__all__ = ["PoseDraw", "PoseEstimate"]

Place = Annotated[list[float], Field(min_length=2, max_length=2)]

_THICKNESS = "the thickness of limbs in pixels; if not given, 8 for a shorter side of 512"


class PoseDraw(Node[PoseMap]):
    """Draws people from their joints in OpenPose's colours, as ControlNets for poses expect.

    A joint that is not given is not drawn, and neither are its limbs; only a neck that is not given
    is placed between the shoulders.
    """

    category = "control"

    people: list[Annotated[dict[Joint, Place], Field(min_length=1)]] = Field(
        min_length=1,
        description="each person's joints by name, [x, y] in pixels; left is the person's left",
        examples=[[{"nose": [256, 80], "neck": [256, 160], "right_wrist": [80, 160]}]],
    )
    width: int = Field(default=512, ge=1, le=16_384, description="of the map, in pixels")
    height: int = Field(default=512, ge=1, le=16_384, description="of the map, in pixels")
    thickness: float | None = Field(default=None, ge=1, le=1024, description=_THICKNESS)

    @model_validator(mode="after")
    def _joints_are_inside(self) -> Self:
        for person in self.people:
            for joint, (x, y) in person.items():
                if not _is_inside((x, y), (self.width, self.height)):
                    found = f"{joint} at [{x:g}, {y:g}], outside {self.width}×{self.height}"
                    raise refuse(
                        "people",
                        found=found,
                        wanted="joints inside the picture",
                        fix="leave out what cannot be seen",
                    )
        return self

    def size_source(self) -> object:
        return self.width, self.height

    def run(self) -> PoseMap:
        size = (self.width, self.height)
        return PoseMap(draw_people(self.people, size, self.thickness or default_thickness(size)))


class PoseEstimate(Node[PoseMap]):
    """Finds the people in a picture and draws their poses as OpenPose does.

    RT-DETR (Zhao et al. 2024) finds the people, ViTPose (Xu et al. 2022) the joints of each.
    """

    category = "control"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    count: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="the number of people that must be there; any number if not given",
    )
    threshold: float = Field(
        default=0.5, ge=0, lt=1, description="people with a score above this are used"
    )
    joint_threshold: float = Field(
        default=0.3, ge=0, lt=1, description="joints with a score above this are drawn"
    )
    thickness: float | None = Field(default=None, ge=1, le=1024, description=_THICKNESS)
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("usyd-community/vitpose-base-simple"),
        description="a ViTPose checkpoint for COCO's 17 joints",
    )
    detector: In[Checkpoint] = Field(
        default=Checkpoint("PekingU/rtdetr_r50vd_coco_o365"),
        description="an RT-DETR checkpoint with a class for persons",
    )

    def check(self) -> Iterator[Problem]:
        problems = list(check_model("checkpoint", self.checkpoint, "VitPoseForPoseEstimation"))
        yield from problems or _label_problems("checkpoint", self.checkpoint, joints=len(COCO))
        problems = list(check_model("detector", self.detector, "RTDetrForObjectDetection"))
        yield from problems or _label_problems("detector", self.detector)

    def parts(self) -> Mapping[str, Part]:
        estimator, detector = as_checkpoint(self.checkpoint), as_checkpoint(self.detector)
        return {
            "model": Part(estimator, partial=True),
            "processor": Part(estimator, processor=True),
            "detector": Part(detector, partial=True),
            "detector_processor": Part(detector, processor=True),
        }

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        return recognition_memory(dtype, self.checkpoint, self.detector)

    def size_source(self) -> object:
        return self.image

    def run(
        self, image: Image, checkpoint: Checkpoint, detector: Checkpoint, models: Models
    ) -> PoseMap:
        boxes = self._find_people(image, models)
        # One by one: many people at once would not fit into memory.
        people = [self._find_joints(image, box, models) for box in boxes]
        if not any(people):
            found = f"no visible joint of the people in it ({len(boxes)})"
            wanted = f"one with a score above {self.joint_threshold:g}"
            raise InvalidValueError(Problem("image", found, wanted, "lower joint_threshold"))
        return PoseMap(
            draw_people(people, image.size, self.thickness or default_thickness(image.size))
        )

    def _find_people(self, image: Image, models: Models) -> list[list[float]]:
        """Left, top, width and height in pixels of each person; raises if their number is wrong."""
        import torch

        model, processor = models["detector"], models["detector_processor"]
        outputs = infer(model, models.device, preprocess(processor, image.rgb))
        scores = outputs.logits[0].float().sigmoid()[:, _person_class(model.config.id2label)]
        people = outputs.pred_boxes[0].float()[scores > self.threshold]
        count = f"{len(people)} people" if len(people) != 1 else "one person"
        if not len(people):
            size = f"{image.width}×{image.height}"
            found = f"no person in the picture of {size}: the best score is {scores.max():.3f}"
            fix = "another picture, or a lower threshold"
            raise InvalidValueError(Problem("image", found, f"one above {self.threshold:g}", fix))
        if self.count not in (None, len(people)):
            fix = "crop it, move the threshold, or leave count unset"
            wanted = f"{self.count} people" if self.count != 1 else "one person"
            raise InvalidValueError(Problem("image", f"{count} in the picture", wanted, fix))
        middle, extent = people.chunk(2, dim=-1)
        corners = torch.cat([middle - extent / 2, middle + extent / 2], dim=-1).clamp(0, 1)
        edges = corners * corners.new_tensor(image.size * 2)
        sides = (edges[:, 2:] - edges[:, :2]).clamp(min=1)
        boxes: list[list[float]] = torch.cat([edges[:, :2], sides], dim=-1).tolist()
        return boxes

    def _find_joints(self, image: Image, box: list[float], models: Models) -> Person:
        """The visible joints of the person in a box, by name."""
        import numpy as np
        import torch

        model, processor = models["model"], models["processor"]
        # The processor would read a picture of three rows as one with the channels first. It treats
        # everything outside the picture as black anyway.
        missing_rows = max(0, 4 - image.height)
        pixels = np.pad(image.numpy[..., :3], ((0, missing_rows), (0, 0), (0, 0)))
        inputs = dict(
            processor(pixels, boxes=[[box]], input_data_format="channels_last", return_tensors="pt")
        )
        if model.config.backbone_config.num_experts > 1:
            # ViTPose+ has an expert for each data set of its training; the first is COCO.
            inputs["dataset_index"] = torch.zeros(1, dtype=torch.long)
        outputs = infer(model, models.device, inputs)
        outputs.heatmaps = outputs.heatmaps.float()
        ((pose,),) = processor.post_process_pose_estimation(outputs, boxes=[[box]])
        scored = zip(COCO, pose["keypoints"].tolist(), pose["scores"].tolist(), strict=True)
        return {
            joint: place
            for joint, place, score in scored
            if score > self.joint_threshold and _is_inside(place, image.size)
        }


def _is_inside(place: Any, size: tuple[int, int]) -> bool:
    return bool(0 <= place[0] <= size[0] and 0 <= place[1] <= size[1])


def _person_class(names: Mapping[Any, str]) -> int:
    """The number of the class of persons; raises StopIteration if there is none."""
    return next(int(number) for number, name in names.items() if name.lower() == "person")


def _label_problems(field: str, checkpoint: object, joints: int = 0) -> Iterator[Problem]:
    """The problem of a checkpoint with other joints, or without a class for persons."""
    config = resolve(checkpoint).config() if isinstance(checkpoint, Checkpoint) else None
    if config is None:
        return
    names = config.get("id2label") or {}
    source = as_checkpoint(checkpoint).source
    if joints and len(names) != joints:
        yield Problem(field, f"{source}, for {len(names)} joints", f"one for COCO's {joints}")
    if not joints and "person" not in {name.lower() for name in names.values()}:
        yield Problem(field, f"{source}, which knows no people", "a detector of persons")
