"""ControlNet gives the pictures of the scripts, by the networks that the controls' kinds pick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.nodes import Canny, ControlNet, DepthEstimate, Text2Image
from sdgraph.values import DepthMap, EdgeMap
from tests.nodes.diffusion.sampling.test_schedulers import CLASSES
from tests.support.bare_scripts import same, script
from tests.support.photos import photo, spot

SIZE = (80, 64)
Pair = tuple[Checkpoint, Checkpoint]
EDGES, DEPTH = Checkpoint("tiny/controlnet-edges"), Checkpoint("tiny/controlnet-depth")


@pytest.fixture(scope="module")
def edges(session: Session) -> EdgeMap:
    return run(Canny(image=photo(*SIZE), low=10, high=250), session=session)


@pytest.fixture(scope="module")
def depth(session: Session) -> DepthMap:
    return run(DepthEstimate(image=photo(*SIZE)), session=session)


def bare(way: str = "", **call: Any) -> Any:
    """The script over tiny/text-to-image."""
    width, height = SIZE
    cls = f"StableDiffusionControlNet{way}Pipeline"
    call = {"prompt": "a man", "seed": 0, **call}
    return script(cls, "tiny/text-to-image", width=width, height=height, **call)


@pytest.mark.parametrize(
    ("fields", "call"),
    [
        ({"steps": 2}, {}),
        (
            {
                "steps": 3,
                "seed": 12345,
                "scale": 0.5,
                "negative_prompt": "bad",
                "guidance": 9.0,
                "scheduler": "dpm++",
            },
            {
                "controlnet_conditioning_scale": 0.5,
                "negative_prompt": "bad",
                "guidance_scale": 9.0,
                "seed": 12345,
                "scheduler": CLASSES["dpm++"],
            },
        ),
        (
            {"steps": 4, "start": 0.25, "end": 0.75, "scale": 2.0},
            {
                "control_guidance_start": 0.25,
                "control_guidance_end": 0.75,
                "controlnet_conditioning_scale": 2.0,
            },
        ),
        ({"steps": 2, "guidance": 1.0, "scale": 1}, {"guidance_scale": 1.0}),
    ],
)
def test_from_noise_it_equals_the_script(
    session: Session, edges: EdgeMap, networks: Pair, fields: dict[str, Any], call: dict[str, Any]
) -> None:
    node = ControlNet(prompt="a man", control=edges, controlnet=networks[0], **fields)
    expected = bare(networks=networks[:1], image=edges.pil, steps=fields["steps"], **call)
    assert same(run(node, session=session).numpy, expected)


def test_several_controls_each_with_their_own_scale_start_and_end_equal_the_script(
    session: Session, edges: EdgeMap, depth: DepthMap, networks: Pair
) -> None:
    node = ControlNet(
        prompt="a man",
        control=[edges, depth],
        steps=4,
        scale=[0.5, 1.5],
        start=[0.0, 0.25],
        end=[0.5, 1.0],
        controlnet=list(networks),
    )
    expected = bare(
        networks=networks,
        image=[edges.pil, depth.rgb],
        steps=4,
        controlnet_conditioning_scale=[0.5, 1.5],
        control_guidance_start=[0.0, 0.25],
        control_guidance_end=[0.5, 1.0],
    )
    assert same(run(node, session=session).numpy, expected)


def test_one_scale_counts_for_all_controls(
    session: Session, edges: EdgeMap, depth: DepthMap, networks: Pair
) -> None:
    one = ControlNet(
        prompt="a", control=[edges, depth], steps=2, scale=0.5, end=0.6, controlnet=networks[1]
    )
    separate = one.replace(
        scale=[0.5, 0.5], end=[0.6, 0.6], start=[0.0, 0.0], controlnet=[networks[1]] * 2
    )
    assert run(one, session=session) == run(separate, session=session)


def test_two_controls_share_one_network(session: Session, edges: EdgeMap, networks: Pair) -> None:
    other = run(Canny(image=photo(*SIZE, "cat")), session=session)
    node = ControlNet(prompt="a man", control=[edges, other], steps=2, controlnet=networks[0])
    fresh_session = Session(device="cpu", store=None)
    result = run(node, session=fresh_session)
    assert [component.name for component in fresh_session.models.loaded()].count(
        networks[0].source
    ) == 1
    expected = bare(networks=networks[:1] * 2, image=[edges.pil, other.pil], steps=2)
    assert same(result.numpy, expected)


def test_a_list_of_one_control_is_that_control(
    session: Session, edges: EdgeMap, networks: Pair
) -> None:
    net = networks[0]
    one = ControlNet(prompt="a", control=edges, steps=2, scale=0.7, controlnet=net)
    listed = ControlNet(prompt="a", control=[edges], steps=2, scale=[0.7], controlnet=[net])
    assert run(one, session=session) == run(listed, session=session)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_from_a_picture_it_equals_the_script(
    session: Session, edges: EdgeMap, networks: Pair, strength: float
) -> None:
    start = photo(*SIZE, "coffee")
    node = ControlNet(
        prompt="a man",
        control=edges,
        image=start,
        strength=strength,
        steps=4,
        controlnet=networks[0],
    )
    # This pipeline's own scale is 0.8, the others' 1.
    expected = bare(
        "Img2Img",
        image=start.pil,
        control_image=edges.pil,
        strength=strength,
        steps=4,
        guidance_scale=7.5,
        controlnet_conditioning_scale=1.0,
        networks=networks[:1],
    )
    assert same(run(node, session=session).numpy, expected)


@pytest.mark.parametrize("checkpoint", ["tiny/text-to-image", "tiny/inpaint"])
def test_with_a_mask_it_equals_the_script_inside_and_the_input_outside(
    session: Session, edges: EdgeMap, depth: DepthMap, networks: Pair, checkpoint: str
) -> None:
    start, mask = photo(*SIZE, "coffee"), spot(*SIZE)
    node = ControlNet(
        prompt="a man",
        control=[edges, depth],
        image=start,
        mask=mask,
        steps=3,
        strength=1.0,
        scale=[1.0, 0.5],
        checkpoint=Checkpoint(checkpoint),
        controlnet=list(networks),
    )
    result = run(node, session=session).numpy
    expected = script(
        "StableDiffusionControlNetInpaintPipeline",
        checkpoint,
        prompt="a man",
        seed=0,
        steps=3,
        networks=networks,
        image=start.pil,
        mask_image=mask.pil,
        width=80,
        height=64,
        control_image=[edges.pil, depth.rgb],
        controlnet_conditioning_scale=[1.0, 0.5],
        strength=1.0,
        guidance_scale=7.5,
    )
    marked = mask.numpy == 255
    assert same(result[marked], expected[marked])
    assert same(result[~marked], start.numpy[~marked])


@pytest.mark.parametrize("way", ["", "Img2Img", "Inpaint"])
def test_sdxl_equals_the_script(
    session: Session, edges: EdgeMap, xl_network: Checkpoint, way: str
) -> None:
    start, mask = photo(*SIZE, "coffee"), spot(*SIZE)
    image_fields: dict[str, Any] = {"strength": 0.7} if way else {}
    pictures: dict[str, Any] = {"image": edges.pil}
    if way:
        image_fields["image"] = start
        pictures = {"image": start.pil, "control_image": edges.pil, "strength": 0.7}
    if way == "Inpaint":
        image_fields["mask"], pictures["mask_image"] = mask, mask.pil
    node = ControlNet(
        prompt="a man",
        control=edges,
        checkpoint=Checkpoint("tiny/sdxl"),
        scale=0.8,
        controlnet=xl_network,
        steps=3,
        guidance=5.0,
        **image_fields,
    )
    result = run(node, session=session).numpy
    expected = script(
        f"StableDiffusionXLControlNet{way}Pipeline",
        "tiny/sdxl",
        networks=(xl_network,),
        prompt="a man",
        seed=0,
        steps=3,
        guidance_scale=5.0,
        width=80,
        height=64,
        controlnet_conditioning_scale=0.8,
        **pictures,
    )
    marked = mask.numpy == 255 if way == "Inpaint" else np.ones(mask.numpy.shape, bool)
    assert same(result[marked], expected[marked])


@pytest.mark.parametrize("way", ["", "Img2Img", "Inpaint"])
def test_two_controls_over_sdxl_equal_the_script(
    session: Session, edges: EdgeMap, depth: DepthMap, xl_network: Checkpoint, way: str
) -> None:
    start, mask = photo(*SIZE, "coffee"), spot(*SIZE)
    image_fields: dict[str, Any] = {"strength": 0.7, "image": start} if way else {}
    maps = [edges.pil, depth.rgb]
    pictures: dict[str, Any] = {"image": maps}
    if way:
        pictures = {"image": start.pil, "control_image": maps, "strength": 0.7}
    if way == "Inpaint":
        image_fields["mask"], pictures["mask_image"] = mask, mask.pil
    node = ControlNet(
        prompt="a man",
        control=[edges, depth],
        checkpoint=Checkpoint("tiny/sdxl"),
        controlnet=xl_network,
        scale=[0.8, 0.3],
        start=[0.0, 0.3],
        end=[0.5, 1.0],
        steps=3,
        guidance=5.0,
        **image_fields,
    )
    result = run(node, session=session).numpy
    expected = script(
        f"StableDiffusionXLControlNet{way}Pipeline",
        "tiny/sdxl",
        networks=(xl_network,) * 2,
        prompt="a man",
        seed=0,
        steps=3,
        guidance_scale=5.0,
        width=80,
        height=64,
        controlnet_conditioning_scale=[0.8, 0.3],
        control_guidance_start=[0.0, 0.3],
        control_guidance_end=[0.5, 1.0],
        **pictures,
    )
    marked = mask.numpy == 255 if way == "Inpaint" else np.ones(mask.numpy.shape, bool)
    assert same(result[marked], expected[marked])


def test_scale_zero_is_plain_text_to_image(
    session: Session, edges: EdgeMap, networks: Pair
) -> None:
    node = ControlNet(
        prompt="a star", control=edges, scale=0.0, steps=3, seed=4, controlnet=networks[0]
    )
    plain = Text2Image(prompt="a star", width=80, height=64, steps=3, seed=4)
    assert run(node, session=session) == run(plain, session=session)
    assert run(node.replace(scale=1.0), session=session) != run(plain, session=session)


def test_what_it_follows_and_by_which_network_matters(
    session: Session, edges: EdgeMap, depth: DepthMap, networks: Pair
) -> None:
    node = ControlNet(prompt="a", control=edges, steps=4, controlnet=networks[0])
    changes: list[dict[str, Any]] = [
        {},
        {"control": depth},
        {"controlnet": networks[1]},
        {"scale": 0.5},
        {"start": 0.5},
        {"end": 0.5},
        {"controlnet": None},
    ]
    assert len({run(node.replace(**change), session=session) for change in changes}) == len(changes)
