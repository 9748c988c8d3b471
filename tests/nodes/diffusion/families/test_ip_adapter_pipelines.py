"""IP-Adapters of transformers give the bits of diffusers' own pipelines, and leave no trace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, plan, run
from sdgraph.execution import Step
from sdgraph.nodes import ControlNet, Inpaint, Text2Image
from sdgraph.nodes.diffusion.inpaint import paste_masked
from sdgraph.nodes.diffusion.node import Diffusion
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.values import Image, Lora
from tests.support.failing_runs import problems_of
from tests.support.ip_adapter_files import FILE, encoder, write

from .test_controlnet_pipelines import EDGES, MASK, PHOTO, SIZE, folders

__all__ = ["folders"]

SUBJECT = Image(np.random.default_rng(4).integers(0, 256, (40, 50, 3), np.uint8))
OTHER = Image(np.random.default_rng(5).integers(0, 256, (90, 70, 3), np.uint8))
PROMPT = "a red star"


def filled(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    return {name: draw.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}


def flux_shapes(width: int = 32, text: int = 32) -> dict[str, tuple[int, ...]]:
    """The tensors of an adapter in the names of XLabs, for a transformer with one double block."""
    shapes: dict[str, tuple[int, ...]] = {
        "ip_adapter_proj_model.proj.weight": (4 * text, 24),
        "ip_adapter_proj_model.proj.bias": (4 * text,),
        "ip_adapter_proj_model.norm.weight": (text,),
        "ip_adapter_proj_model.norm.bias": (text,),
    }
    for key in ("k", "v"):
        name = f"double_blocks.0.processor.ip_adapter_double_stream_{key}_proj"
        shapes |= {f"{name}.weight": (width, text), f"{name}.bias": (width,)}
    return shapes


def sd3_shapes(width: int = 32, layers: int = 2) -> dict[str, tuple[int, ...]]:
    """The tensors of an adapter for a transformer of Stable Diffusion 3 with heads of 8."""
    import diffusers.models.attention_processor
    import diffusers.models.embeddings

    projection = diffusers.models.embeddings.IPAdapterTimeImageProjection(
        embed_dim=16, output_dim=width, hidden_dim=64, heads=1, num_queries=4
    )
    layer = diffusers.models.attention_processor.SD3IPAdapterJointAttnProcessor2_0(
        hidden_size=width, ip_hidden_states_dim=width, head_dim=8, timesteps_emb_dim=64
    )
    shapes = {f"image_proj.{name}": tuple(v.shape) for name, v in projection.state_dict().items()}
    for number in range(layers):
        for name, value in layer.state_dict().items():
            shapes[f"ip_adapter.{number}.{name}"] = tuple(value.shape)
    return shapes


@pytest.fixture(scope="module")
def siglip(folders: Any) -> Checkpoint:
    return Checkpoint(folders("flux-redux"), subfolder="image_encoder")


@pytest.fixture(scope="module")
def flux_fields(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("flux")
    write(folder / FILE, filled(flux_shapes()))
    clip = encoder(folder / "image_encoder")
    return {"ip_adapter": Lora(folder, file=FILE, scale=0.7), "image_encoder": clip}


@pytest.fixture(scope="module")
def sd3_fields(tmp_path_factory: pytest.TempPathFactory, siglip: Checkpoint) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sd3")
    write(folder / FILE, filled(sd3_shapes()))
    return {"ip_adapter": Lora(folder, file=FILE, scale=0.7), "image_encoder": siglip}


def by_diffusers(folder: Path, cls: str, node: Diffusion[Image], **call: Any) -> Any:
    """The pixels of a pipeline that diffusers loads itself, with the adapter of a node."""
    import diffusers
    import torch
    import transformers

    adapter, seen = node.ip_adapter, Path(node.image_encoder.source)  # type: ignore[attr-defined]
    is_flux = cls.startswith("Flux")
    part = "CLIPVisionModelWithProjection" if is_flux else "SiglipVisionModel"
    subfolder = "" if is_flux else "image_encoder"
    vision = getattr(transformers, part).from_pretrained(seen, subfolder=subfolder)
    side = {"height": vision.config.image_size, "width": vision.config.image_size}
    processor = (
        transformers.CLIPImageProcessorPil(size=side["width"], crop_size=side["width"])
        if is_flux
        else transformers.SiglipImageProcessorPil(size=side)
    )
    more = {"controlnet": call.pop("controlnet")} if "controlnet" in call else {}
    pipe = getattr(diffusers, cls).from_pretrained(
        folder, image_encoder=vision, feature_extractor=processor, dtype=torch.float32, **more
    )
    pipe.set_progress_bar_config(disable=True)
    for module in pipe.components.values():
        if isinstance(module, torch.nn.Module):
            module.requires_grad_(False)
    pipe.load_ip_adapter(adapter.source, weight_name=FILE, subfolder="")
    pipe.transformer.requires_grad_(False)
    pipe.set_ip_adapter_scale(adapter.scale)
    images = pipe(
        prompt=PROMPT,
        **SIZE,
        num_inference_steps=2,
        guidance_scale=node.chosen_guidance,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
        **call,
    ).images
    return to_pixels(images[0])


def text(folder: Path, fields: dict[str, Any], **more: Any) -> Text2Image:
    common: dict[str, Any] = {"prompt": PROMPT, "steps": 2, "seed": 5, "reference": SUBJECT, **SIZE}
    return Text2Image(checkpoint=Checkpoint(folder), **{**common, **fields, **more})


def test_flux_makes_what_diffusers_makes_from_one_and_from_two_pictures(
    folders: Any, flux_fields: dict[str, Any]
) -> None:
    folder, session = folders("flux"), Session(device="cpu", store=None)
    for pictures in ([SUBJECT], [SUBJECT, OTHER]):
        node = text(folder, flux_fields, reference=pictures)
        seen = [[picture.rgb for picture in pictures]]
        expected = by_diffusers(folder, "FluxPipeline", node, ip_adapter_image=seen)
        assert (run(node, session=session).numpy == expected).all()


def test_stable_diffusion_3_makes_what_diffusers_makes(
    folders: Any, sd3_fields: dict[str, Any]
) -> None:
    folder = folders("stable-diffusion-3")
    node = text(folder, sd3_fields)
    picture = SUBJECT.rgb
    expected = by_diffusers(folder, "StableDiffusion3Pipeline", node, ip_adapter_image=picture)
    assert (run(node, session=Session(device="cpu", store=None)).numpy == expected).all()


def test_inpainting_and_a_controlnet_take_references_too(
    folders: Any, flux_fields: dict[str, Any]
) -> None:
    import diffusers

    folder, session = folders("flux"), Session(device="cpu", store=None)
    common: dict[str, Any] = {"prompt": PROMPT, "steps": 2, "seed": 5, **flux_fields}
    common |= {"checkpoint": Checkpoint(folder), "reference": SUBJECT}
    seen = [[SUBJECT.rgb]]
    node = Inpaint(image=PHOTO, mask=MASK, strength=1.0, **common)
    pictures = {"image": PHOTO.rgb, "mask_image": MASK.pil, "strength": 1.0}
    painted = by_diffusers(folder, "FluxInpaintPipeline", node, ip_adapter_image=seen, **pictures)
    expected = paste_masked(PHOTO, painted, MASK).numpy
    assert (run(node, session=session).numpy == expected).all()

    network = folders("flux-controlnet")
    controlled = ControlNet(control=EDGES, controlnet=Checkpoint(network), **common)
    expected = by_diffusers(
        folder,
        "FluxControlNetPipeline",
        controlled,
        controlnet=diffusers.FluxControlNetModel.from_pretrained(network),
        control_image=EDGES.rgb,
        controlnet_conditioning_scale=1.0,
        ip_adapter_image=seen,
    )
    assert (run(controlled, session=session).numpy == expected).all()


@pytest.mark.parametrize("base", ["flux", "stable-diffusion-3"])
def test_nothing_of_it_is_left_in_the_transformer(
    folders: Any, flux_fields: dict[str, Any], sd3_fields: dict[str, Any], base: str
) -> None:
    fields = flux_fields if base == "flux" else sd3_fields
    session = Session(device="cpu", store=None)
    styled = text(folders(base), fields)
    plain = styled.replace(reference=None, ip_adapter=None, image_encoder=None)
    before = run(plain, session=session)
    (network,) = (
        component.module
        for component in session.models.loaded()
        if component.name.endswith("/transformer")
    )
    names, processors = {*network.state_dict()}, dict(network.attn_processors)
    attributes, settings = {*vars(network)}, {*vars(network.config)}
    assert run(styled, session=session) != before
    assert {*network.state_dict()} == names and network.attn_processors == processors
    assert {*vars(network)} == attributes and {*vars(network.config)} == settings
    assert getattr(network, "image_proj", None) is None
    assert run(plain.replace(seed=5), session=session) == before


def test_the_plan_counts_what_reads_the_reference(folders: Any, sd3_fields: dict[str, Any]) -> None:
    (step,) = plan(text(folders("stable-diffusion-3"), sd3_fields)).steps
    assert {"image_encoder", "ip_adapter"} <= {use.name for use in step.uses}
    path = Path(sd3_fields["ip_adapter"].source) / FILE
    plain = text(folders("stable-diffusion-3"), {}, reference=None, image_encoder=None)
    (bare,) = plan(plain).steps

    def working_bytes(step: Step) -> int:
        """Those of denoising alone; embedding the prompt may take more."""
        sizes = {use.name: use.component.bytes for use in step.uses}
        return step.node.working_memory(sizes, "float32")

    assert working_bytes(step) - working_bytes(bare) == path.stat().st_size


@pytest.mark.parametrize(
    ("base", "shapes", "words"),
    [
        ("flux", lambda: flux_shapes(width=64), "made for layers 64 wide, here they are 32"),
        ("flux", lambda: flux_shapes(text=16), "made for features of 16, here there are 32"),
        ("flux", sd3_shapes, "made for Stable Diffusion 3"),
        ("stable-diffusion-3", flux_shapes, "made for FLUX.1"),
        ("stable-diffusion-3", lambda: sd3_shapes(layers=3), "made for 3 layers of attention"),
        ("stable-diffusion-3", lambda: sd3_shapes(width=64), "made for layers 64 wide"),
        ("stable-diffusion-3", lambda: {"a.weight": (2, 2)}, "which holds no IP-Adapter"),
    ],
)
def test_one_for_another_base_is_refused_before_any_load(
    folders: Any,
    tmp_path: Path,
    siglip: Checkpoint,
    base: str,
    shapes: Callable[[], dict[str, tuple[int, ...]]],
    words: str,
) -> None:
    write(tmp_path / FILE, filled(shapes()))
    fields = {"ip_adapter": Lora(tmp_path, file=FILE), "image_encoder": siglip}
    message = problems_of(text(folders(base), fields))
    assert words in message and message.count("found:") == 1


def test_another_image_encoder_is_refused_before_any_load(
    folders: Any, flux_fields: dict[str, Any], sd3_fields: dict[str, Any], siglip: Checkpoint
) -> None:
    message = problems_of(text(folders("flux"), {**flux_fields, "image_encoder": siglip}))
    assert "a SiglipVisionModel" in message and "a CLIPVisionModelWithProjection" in message
    clip = flux_fields["image_encoder"]
    message = problems_of(
        text(folders("stable-diffusion-3"), {**sd3_fields, "image_encoder": clip})
    )
    assert "a CLIPVisionModelWithProjection" in message and "a SiglipVisionModel" in message


def test_what_its_pipelines_do_not_take_is_refused_before_any_load(
    folders: Any, flux_fields: dict[str, Any], sd3_fields: dict[str, Any]
) -> None:
    several = text(folders("stable-diffusion-3"), sd3_fields, reference=[SUBJECT, OTHER])
    assert "2 pictures for Stable Diffusion 3" in problems_of(several)
    started = ControlNet(
        control=EDGES,
        image=PHOTO,
        prompt=PROMPT,
        reference=SUBJECT,
        checkpoint=Checkpoint(folders("flux")),
        controlnet=Checkpoint(folders("flux-controlnet")),
        **flux_fields,
    )
    assert "one for controlnet-image by FLUX.1" in problems_of(started)
    chroma = text(folders("chroma"), flux_fields)
    assert "IP-Adapters for Chroma are not supported" in problems_of(chroma)
