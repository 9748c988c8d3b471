"""Reference images: the same picture as diffusers' IP-Adapter, and no trace of it afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Graph, plan, run, to_yaml
from sdgraph.events import Stepped
from sdgraph.language import workflow_from_yaml
from sdgraph.nodes import Canny, ControlNet, Inpaint, Text2Image
from sdgraph.nodes.diffusion.adapters.ip_adapter import default_adapter, default_encoder
from sdgraph.store import execution_context, result_key
from sdgraph.values import Lora
from tests.nodes.diffusion.adapters.test_lora import fresh, network_states
from tests.support.bare_scripts import Pixels, pipeline, same
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.ip_adapter_files import FILE, KINDS, encoder, ip_adapter, tensors, write
from tests.support.lora_files import NAME, lora
from tests.support.photos import photo, spot

BASES = {"sd": "tiny/text-to-image", "xl": "tiny/sdxl"}
PHOTO, MASK, SUBJECT, OTHER = photo(64, 64), spot(64, 64), photo(50, 40), photo(80, 90)
SIZE = {"width": 64, "height": 64}


def text(adapter: Lora, family: str = "sd", **more: Any) -> Text2Image:
    fields: dict[str, Any] = {"steps": 2, "reference": SUBJECT, **SIZE, **more}
    return Text2Image(
        prompt="a red star", checkpoint=Checkpoint(BASES[family]), ip_adapter=adapter, **fields
    )


def script(adapter: Lora, pipe: Any, pictures: list[Any], **call: Any) -> Pixels:
    """The picture of the bare script that loads the adapter as its documentation says."""
    import torch

    pipe.load_ip_adapter(adapter.source, subfolder="", weight_name=FILE)
    pipe.image_encoder.requires_grad_(False)
    pipe.unet.requires_grad_(False)
    pipe.set_ip_adapter_scale(adapter.scale)
    output = pipe(
        "a red star",
        num_inference_steps=2,
        guidance_scale=7.5,
        generator=torch.Generator("cpu").manual_seed(0),
        ip_adapter_image=[[picture.rgb for picture in pictures]],
        **call,
    )
    return np.asarray(output.images[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", BASES)
def test_a_picture_is_that_of_the_bare_script(kind: str, family: str, tmp_path: Path) -> None:
    adapter = Lora(ip_adapter(tmp_path, BASES[family], kind).source, file=FILE, scale=0.7)
    cls = "StableDiffusionXLPipeline" if family == "xl" else "StableDiffusionPipeline"
    result = run(text(adapter, family), session=fresh())
    expected = script(adapter, pipeline(cls, BASES[family]), [SUBJECT], **SIZE)
    assert same(result.numpy, expected)
    plain = run(text(adapter, family).replace(reference=None, ip_adapter=None), session=fresh())
    assert result != plain


def test_inpainting_and_a_controlnet_take_references_too(tmp_path: Path, networks: Any) -> None:
    adapter = ip_adapter(tmp_path / "a", "tiny/inpaint")
    fields: dict[str, Any] = {"reference": [SUBJECT, OTHER], "ip_adapter": adapter}
    painted = run(
        Inpaint(prompt="a red star", image=PHOTO, mask=MASK, steps=2, **fields), session=fresh()
    )
    pipe = pipeline("StableDiffusionInpaintPipeline", "tiny/inpaint")
    expected = script(
        adapter, pipe, [SUBJECT, OTHER], image=PHOTO.rgb, mask_image=MASK.pil, strength=1.0, **SIZE
    )
    marked = MASK.numpy == 255
    assert np.array_equal(painted.numpy[marked], expected[marked])
    assert np.array_equal(painted.numpy[MASK.numpy == 0], PHOTO.numpy[MASK.numpy == 0])

    edges = run(Canny(image=PHOTO), session=fresh())
    node = ControlNet(prompt="a red star", control=edges, controlnet=networks[0], steps=2, **fields)
    pipe = pipeline(
        "StableDiffusionControlNetPipeline", BASES["sd"], networks=(networks[0].source,)
    )
    expected = script(adapter, pipe, [SUBJECT, OTHER], image=edges.rgb, **SIZE)
    assert same(run(node, session=fresh()).numpy, expected)


def test_nothing_of_it_is_left_in_the_networks(tmp_path: Path) -> None:
    adapter, session = ip_adapter(tmp_path, BASES["sd"]), fresh()
    plain = text(adapter).replace(reference=None, ip_adapter=None)
    before = run(plain, session=session)
    held = network_states(session)
    (unet,) = (
        component.module
        for component in session.models.loaded()
        if component.name.endswith("/unet")
    )
    processors = dict(unet.attn_processors)
    run(text(adapter), session=session)

    def stop(event: Any) -> None:
        if isinstance(event, Stepped):
            raise RuntimeError("stopped in its midst")

    with pytest.raises(Exception, match="stopped"):
        session.run(Graph.of(text(adapter, seed=3)), stop)
    after = network_states(session)
    assert {name: after[name] for name in held} == held
    assert unet.attn_processors == processors and unet.encoder_hid_proj is None
    assert run(plain.replace(seed=0), session=session) == before


def test_it_goes_with_loras_and_offloading(tmp_path: Path) -> None:
    adapter = ip_adapter(tmp_path / "ip", BASES["sd"])
    style = lora(tmp_path / "style", BASES["sd"])
    node = text(adapter)
    plain = run(node, session=fresh())
    assert run(node.replace(offload="group"), session=fresh()) == plain
    styled = run(node.replace(loras=[style]), session=fresh())
    assert styled != plain and styled != run(
        node.replace(loras=[style], reference=None, ip_adapter=None), session=fresh()
    )


def test_the_plan_counts_what_reads_the_reference(tmp_path: Path) -> None:
    adapter = ip_adapter(tmp_path, BASES["sd"])
    (step,) = plan(text(adapter)).steps
    (bare,) = plan(text(adapter).replace(reference=None, ip_adapter=None)).steps
    assert {use.name for use in step.uses} - {use.name for use in bare.uses} == {
        "image_encoder",
        "ip_adapter",
    }
    assert step.working_bytes - bare.working_bytes == (tmp_path / FILE).stat().st_size
    session = fresh()
    run(text(adapter), session=session)
    assert {component.name.rpartition("/")[2] for component in session.models.loaded()} >= {"unet"}


def test_it_survives_being_written_and_its_scale_and_file_count(tmp_path: Path) -> None:
    adapter = ip_adapter(tmp_path / "one", BASES["sd"])
    photo_file = tmp_path / "subject.png"
    SUBJECT.pil.save(photo_file)
    written = f"nodes: {{x: {{type: Text2Image, prompt: a, reference: $y, ip_adapter: {{source: {adapter.source}, file: {FILE}, scale: 0.5}}}}, y: {{type: LoadImage, path: {photo_file}}}}}"  # noqa: E501
    (node,) = workflow_from_yaml(written).graph().targets
    again = workflow_from_yaml(to_yaml(node, name="w")).graph()
    assert node in again.targets
    assert node != node.replace(ip_adapter=Lora(adapter.source, file=FILE))


def error_before_load(adapter: Lora, **more: Any) -> str:
    return refused_before_load(text(adapter, **more))


def test_what_does_not_fit_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    fitting = ip_adapter(tmp_path / "fits", BASES["sd"])
    held = tensors(BASES["sd"])
    wide = {
        n: np.zeros((s.shape[0], 768), np.float32) if "to_" in n else s for n, s in held.items()
    }
    write(tmp_path / "wide.safetensors", wide)
    assert "text features of 768, here there are 64" in error_before_load(
        Lora(tmp_path / "wide.safetensors")
    )

    style = lora(tmp_path / "style", BASES["sd"])
    assert "holds no IP-Adapter" in error_before_load(style)
    write(tmp_path / "flat.safetensors", {n: s.reshape(-1) for n, s in held.items()})
    assert "holds no IP-Adapter" in error_before_load(Lora(tmp_path / "flat.safetensors"))
    face = {
        "image_proj.norm.weight": np.zeros(64, np.float32),
        "image_proj.proj.0.weight": np.zeros((64, 512), np.float32),
        "image_proj.proj.2.weight": np.zeros((64, 64), np.float32),
        **{n: s for n, s in held.items() if n.startswith("ip_")},
    }
    write(tmp_path / "face.safetensors", face)
    assert "insightface" in error_before_load(Lora(tmp_path / "face.safetensors"))

    (tmp_path / "old.bin").write_bytes(b"pickle")
    assert "convert it to safetensors" in error_before_load(Lora(tmp_path / "old.bin"))
    assert "no such file" in error_before_load(Lora(tmp_path / "none.safetensors"))

    other = encoder(tmp_path / "other", projection_dim=48)
    message = error_before_load(fitting, image_encoder=other)
    assert "48 features" in message and "it reads 24" in message
    message = error_before_load(fitting, image_encoder=Checkpoint("tiny/depth-estimator"))
    assert "DPTForDepthEstimation" in message and "CLIPVisionModelWithProjection" in message
    for tuning in ({"attention": "sliced"}, {"layerwise_casting": "float8_e4m3fn"}):
        assert "with a reference" in error_before_load(fitting, tuning=tuning)
    shutil.rmtree(tmp_path / "fits" / "image_encoder")
    assert "subfolder" in error_before_load(fitting)


def test_missing_layers_are_reported_before_a_run_and_when_the_adapter_is_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = ip_adapter(tmp_path, BASES["sd"])
    held = {n: s for n, s in tensors(BASES["sd"]).items() if not n.startswith("ip_adapter.3.")}
    write(tmp_path / FILE, held)
    session = fresh()
    assert "layers of attention, here are" in refused_before_load(text(adapter))
    unchecked = "sdgraph.nodes.diffusion.reference_images.ip_adapter_problems"
    monkeypatch.setattr(unchecked, lambda *_: ())
    error = failure(text(adapter), session)
    assert "ip_adapter" in str(error) and "3.to_k_ip" in str(error)
    plain = text(adapter).replace(reference=None, ip_adapter=None)
    assert run(plain, session=session) == run(plain, session=fresh())


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"reference": []}, "an empty list"), ({"ip_adapter": "some/adapter"}, "ip_adapter is set")],
)
def test_an_adapter_without_a_picture_is_refused(fields: dict[str, Any], message: str) -> None:
    assert message in refused_at_construction(Text2Image, prompt="a", **fields)


@pytest.mark.parametrize(
    ("base", "file", "folder"),
    [
        (
            "stable-diffusion-v1-5/stable-diffusion-v1-5",
            "models/ip-adapter_sd15.safetensors",
            "models/image_encoder",
        ),
        (
            "stabilityai/sdxl-turbo",
            "sdxl_models/ip-adapter_sdxl_vit-h.safetensors",
            "models/image_encoder",
        ),
    ],
)
def test_the_usual_adapter_is_found_by_the_base(
    base: str, file: str, folder: str, no_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    adapter = default_adapter(Checkpoint(base))
    assert (adapter.source, adapter.file) == ("h94/IP-Adapter", file)
    assert default_encoder(adapter) == Checkpoint("h94/IP-Adapter", subfolder=folder)
    of_faces = Lora("h94/IP-Adapter", file="sdxl_models/ip-adapter_sdxl.safetensors")
    assert default_encoder(of_faces).subfolder == "sdxl_models/image_encoder"


def test_an_adapter_in_the_hubs_cache_runs_offline(no_hub: Path, tmp_path: Path) -> None:
    adapter = ip_adapter(tmp_path / "made", BASES["sd"])
    commit = "0123456789abcdef0123456789abcdef01234567"
    root = no_hub / "models--someone--adapter"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    shutil.copytree(adapter.source, root / "snapshots" / commit / "models")
    cached = Lora("someone/adapter", file=f"models/{FILE}")
    assert run(text(cached), session=fresh()) == run(text(adapter), session=fresh())


@pytest.mark.parametrize("name", ["loras", "embeddings", "ip_adapter"])
def test_any_byte_of_an_adapter_changes_the_key(name: str, tmp_path: Path) -> None:
    def key() -> bytes:
        return result_key(node, [], execution_context(node, "cpu", "float32"))

    adapter = lora(tmp_path, BASES["sd"])
    fields: dict[str, Any] = {name: adapter if name == "ip_adapter" else [adapter]}
    if name == "ip_adapter":
        fields |= {"reference": SUBJECT, "image_encoder": Checkpoint("tiny/depth-estimator")}
    node, path = Text2Image(prompt="a", **fields), tmp_path / NAME
    first_key, contents = key(), path.read_bytes()
    path.write_bytes(contents[:-1] + bytes([contents[-1] ^ 1]))
    assert key() != first_key
    path.write_bytes(contents)
    assert key() == first_key
