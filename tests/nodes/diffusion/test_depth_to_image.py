"""Depth estimated from pictures, and new pictures painted over that depth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models import ModelCache
from sdgraph.models.loading.loader import load_part
from sdgraph.nodes import DepthEstimate, DepthToImage
from sdgraph.nodes.tiny_world import random_scene, render_scene
from sdgraph.values import DepthMap, Image
from tests.nodes.diffusion.sampling.test_schedulers import CLASSES
from tests.support.bare_scripts import same, script
from tests.support.effort import each_nth
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.map_models import depth_anything
from tests.support.photos import clear_photo, photo, picture


class FakeEstimator:
    """Predicts the red of each pixel, or one depth everywhere."""

    def __init__(self, flat: float | None = None) -> None:
        import torch

        self.flat = flat
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self.moved: list[str] = []

    def to(self, device: Any) -> FakeEstimator:
        self.moved.append(str(device))
        return self

    def __call__(self, pixels: Any) -> Any:
        depth = pixels[:, 0]
        if self.flat is not None:
            depth = depth * 0 + self.flat
        return SimpleNamespace(predicted_depth=depth)


def with_estimator(fake: FakeEstimator) -> Session:
    """A session whose depth estimators are fakes."""

    def load(part: Any, dtype: str, device: str) -> Any:
        is_model = part.part.folder == "depth_estimator" or not (
            part.part.folder or part.part.processor
        )
        return fake if is_model else load_part(part, dtype, device)

    return Session(device="cpu", store=None, models=ModelCache(load=load))


@pytest.fixture
def ramp() -> Image:
    """Black at the left, red at the right."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, 60)
    return Image(pixels)


@pytest.fixture
def estimator(copied: Callable[[str], Path]) -> Callable[..., Path]:
    """A folder of a depth estimator whose config says other things."""

    def make(**changes: Any) -> Path:
        folder = copied("tiny/depth-estimator")
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
        return folder

    return make


def estimated(image: Image, dtype: str = "float32") -> Any:
    """The depth by transformers' own classes, resized as its documentation shows."""
    import torch
    import transformers

    from tests.support.bare_scripts import folder

    path = folder("tiny/depth-estimator")
    model = transformers.DPTForDepthEstimation.from_pretrained(path, dtype=getattr(torch, dtype))
    processor = transformers.DPTImageProcessorPil.from_pretrained(path)
    pixels = processor(images=image.rgb, return_tensors="pt").pixel_values
    with torch.no_grad():
        depth = model(pixels.to(model.dtype)).predicted_depth
    size = (image.height, image.width)
    return torch.nn.functional.interpolate(
        depth[None].float(), size=size, mode="bicubic", align_corners=False
    )[0, 0].numpy()


@pytest.mark.parametrize("size", [(64, 64), (75, 53), (130, 7), (500, 3), (2, 2)])
def test_an_estimate_equals_transformers_and_has_the_pictures_size(
    session: Session, size: tuple[int, int]
) -> None:
    result = run(DepthEstimate(image=photo(*size)), session=session)
    assert result.size == size
    assert (result.depth == estimated(photo(*size))).all()


def test_depth_anything_is_an_estimator_too(session: Session, tmp_path: Path) -> None:
    import torch
    import transformers

    folder = depth_anything(tmp_path)
    image = photo(75, 53)
    result = run(DepthEstimate(image=image, checkpoint=Checkpoint(folder)), session=session)
    model = transformers.AutoModelForDepthEstimation.from_pretrained(folder)
    processor = transformers.DPTImageProcessorPil.from_pretrained(folder)
    with torch.no_grad():
        outputs = model(**processor(images=image.rgb, return_tensors="pt"))
    sizes = [image.size[::-1]]
    (expected,) = processor.post_process_depth_estimation(outputs, target_sizes=sizes)
    assert type(model).__name__ == "DepthAnythingForDepthEstimation"
    assert (result.depth == expected["predicted_depth"].numpy()).all()


def test_depth_anything_refuses_what_is_too_narrow(session: Session, tmp_path: Path) -> None:
    checkpoint = Checkpoint(depth_anything(tmp_path))
    text = str(failure(DepthEstimate(image=photo(2, 64), checkpoint=checkpoint), session))
    assert "2×64, too narrow for the estimator" in text
    assert "wanted: a picture of other proportions" in text


def test_an_estimate_does_not_see_alpha(session: Session) -> None:
    clear = clear_photo(64, 48)
    assert (run(DepthEstimate(image=clear), session=session).depth == estimated(clear)).all()


def test_an_estimate_in_bfloat16_is_near_the_one_in_float32(session: Session) -> None:
    checkpoint = Checkpoint("tiny/depth-estimator", dtype="bfloat16")
    image = Image(render_scene(random_scene(3), 64))
    result = run(DepthEstimate(image=image, checkpoint=checkpoint), session=session)
    expected = estimated(image)
    assert result.depth.dtype == np.float32
    assert np.corrcoef(result.depth.ravel(), expected.ravel())[0, 1] > 0.95
    assert (result.depth != expected).any()


@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ({}, 1),
        ({"model_type": "depth_anything", "depth_estimation_type": "relative"}, 1),
        ({"model_type": "depth_anything", "depth_estimation_type": "metric"}, -1),
        ({"model_type": "glpn", "architectures": ["GLPNForDepthEstimation"]}, -1),
        ({"model_type": "zoedepth", "architectures": ["ZoeDepthForDepthEstimation"]}, -1),
        ({"model_type": "depth_pro", "architectures": ["DepthProForDepthEstimation"]}, -1),
    ],
)
def test_larger_is_nearer_whatever_the_model_predicts(
    estimator: Callable[..., Path], ramp: Image, changes: dict[str, Any], sign: int
) -> None:
    session = with_estimator(FakeEstimator())
    node = DepthEstimate(image=ramp, checkpoint=Checkpoint(estimator(**changes)))
    depth = run(node, session=session).depth
    rising = np.diff(depth[20]) * sign
    assert (rising >= -1e-6).all()
    assert rising.max() > 0


@pytest.mark.parametrize("flat", [0.0, 3.5, float("nan"), float("inf")])
def test_a_flat_or_broken_estimate_is_refused(
    estimator: Callable[..., Path], ramp: Image, flat: float
) -> None:
    for node in (
        DepthEstimate(image=ramp, checkpoint=Checkpoint(estimator())),
        DepthToImage(prompt="a", image=ramp, steps=2),
    ):
        text = str(failure(node, with_estimator(FakeEstimator(flat))))
        assert "the estimated depth" in text
        assert "near and far" in text


def test_one_pixel_has_no_near_and_far(session: Session) -> None:
    text = str(failure(DepthEstimate(image=photo(1, 1)), session))
    assert "depth" in text
    assert "near and far" in text


@pytest.mark.parametrize(
    "fields",
    each_nth(
        [
            {"steps": 3},
            {"steps": 4, "strength": 0.7, "seed": 8, "negative_prompt": "rain", "guidance": 9.0},
            {"steps": 2, "strength": 1.0, "guidance": 1.0, "scheduler": "ddim"},
            {"steps": 4, "strength": 0.5, "scheduler": "dpm++"},
        ],
        2,
    ),
)
@pytest.mark.parametrize("depth_given", [True, False])
def test_it_equals_the_script_with_given_and_with_estimated_depth(
    session: Session, fields: dict[str, Any], depth_given: bool
) -> None:
    import torch

    image = photo(96, 72)
    depth = run(DepthEstimate(image=image), session=session) if depth_given else None
    node = DepthToImage(prompt="lime juice", image=image, depth=depth, **fields)
    expected = script(
        "StableDiffusionDepth2ImgPipeline",
        "tiny/depth",
        prompt="lime juice",
        image=picture(96, 72),
        steps=fields["steps"],
        strength=fields.get("strength", 0.8),
        seed=fields.get("seed", 0),
        guidance_scale=fields.get("guidance", 7.5),
        negative_prompt=fields.get("negative_prompt"),
        scheduler=CLASSES[fields["scheduler"]] if "scheduler" in fields else None,
        depth_map=None if depth is None else torch.from_numpy(depth.depth.copy())[None],
    )
    assert same(run(node, session=session).numpy, expected)


def test_with_a_given_depth_no_estimator_is_loaded() -> None:
    image = photo(64, 64)
    without = DepthToImage(prompt="a", image=image)
    node = DepthToImage(prompt="a", image=image, depth=DepthEstimate(image=image))
    assert {"depth_estimator", "feature_extractor"} <= set(without.parts())
    assert set(node.parts()) == {"vae", "unet", "text_encoder", "tokenizer"}
    literal = DepthMap(np.arange(64 * 64, dtype=np.float32).reshape(64, 64))
    session = Session(device="cpu", store=None)
    run(DepthToImage(prompt="a", image=image, depth=literal, steps=2), session=session)
    assert not [
        component.name for component in session.models.loaded() if "estimator" in component.name
    ]


@pytest.mark.parametrize("size", [(1, 1), (75, 53), (120, 3)])
@pytest.mark.parametrize("depth_given", [True, False])
def test_the_result_has_the_pictures_size(
    session: Session, size: tuple[int, int], depth_given: bool
) -> None:
    width, height = size
    depth = (
        DepthMap(np.arange(width * height, dtype=np.float32).reshape(height, width))
        if (depth_given and width * height > 1)
        else None
    )
    node = DepthToImage(prompt="a", image=clear_photo(*size), depth=depth, steps=2)
    assert run(node, session=session).size == size


def test_what_is_near_matters(session: Session) -> None:
    image = photo(64, 64)
    depth = run(DepthEstimate(image=image), session=session)
    turned = DepthMap(depth.depth[:, ::-1].copy())
    node = DepthToImage(prompt="a", image=image, depth=depth, steps=2)
    assert run(node, session=session) != run(node.replace(depth=turned), session=session)


def test_a_depth_of_another_size_is_refused(session: Session) -> None:
    depth = run(DepthEstimate(image=photo(72, 64)), session=session)
    text = refused_before_load(DepthToImage(prompt="a", image=photo(64, 64), depth=depth))
    assert ".depth\n  found:  the depth map is 72×64, and the image is 64×64" in text


def test_strength_that_leaves_no_step_is_refused() -> None:
    text = refused_at_construction(
        DepthToImage, prompt="a", image=photo(64, 64), strength=0.1, steps=9
    )
    assert "raise strength to 0.12 or more" in text


def test_an_estimator_kept_in_host_memory_goes_back_there(ramp: Image) -> None:
    fake = FakeEstimator(flat=1.0)
    failure(DepthToImage(prompt="a", image=ramp, steps=2), with_estimator(fake))
    assert fake.moved == ["cpu", "cpu"]
