"""Settings of speed and memory: each works, is part of the key, and leaves no trace."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, NodeFailedError, Session, run, to_yaml
from sdgraph.errors import CheckpointError, InvalidValueError
from sdgraph.events import Event, Stepped
from sdgraph.language import node_schema, workflow_from_yaml
from sdgraph.models import Models, resolve_part
from sdgraph.models.checkpoint import part_checks
from sdgraph.models.loading.loader import load_quietly
from sdgraph.models.loading.quantization import refuse_device
from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.families import STABLE_DIFFUSION
from sdgraph.nodes.diffusion.tuning import performance as knobs
from sdgraph.nodes.diffusion.tuning.performance import apply_tuning
from sdgraph.values import Part
from tests.nodes.diffusion.adapters.test_lora import fresh, network_states
from tests.nodes.diffusion.test_node import SYSTEMS, every_system
from tests.support.bare_scripts import pipeline
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.lora_files import lora

BASE = "tiny/text-to-image"
REVERSIBLE: dict[str, Any] = {
    "sliced": {"vae": "sliced"},
    "tiled": {"vae": "tiled"},
    "native": {"attention": "native"},
    "math": {"attention": "_native_math"},
    "flash": {"attention": "_native_flash"},
    "heads": {"attention": "sliced"},
    "channels_last": {"channels_last": True},
    "all": {"vae": "both", "attention": "sliced", "channels_last": True},
}
every_knob = pytest.mark.parametrize("knob", REVERSIBLE)


def node(tuning: Any = None, **more: Any) -> Text2Image:
    fields: dict[str, Any] = {"steps": 2, "width": 64, "height": 64, **more}
    return Text2Image(prompt="a red star", **{**fields, "tuning": tuning or {}})


def strides(session: Session) -> dict[str, list[Any]]:
    return {
        component.name: [(w.data_ptr() == 0, w.stride()) for w in component.module.parameters()]
        for component in session.models.loaded()
        if hasattr(component.module, "parameters")
    }


def max_difference(one: Any, other: Any) -> int:
    return int(np.abs(one.numpy.astype(int) - other.numpy.astype(int)).max())


@every_knob
def test_afterwards_the_networks_are_what_they_were_and_make_the_same(knob: str) -> None:
    session = fresh()
    before = run(node(), session=session)
    before_state, laid = network_states(session), strides(session)
    result = run(node(REVERSIBLE[knob]), session=session)
    assert max_difference(result, before) <= 2
    assert network_states(session) == before_state and strides(session) == laid
    assert run(node(), session=session) == before


@every_knob
def test_stopped_within_it_turns_them_back(knob: str) -> None:
    session = fresh()
    run(node(), session=session)
    before_state, laid = network_states(session), strides(session)

    def listen(event: Event) -> None:
        if isinstance(event, Stepped):
            raise RuntimeError("enough")

    with pytest.raises(NodeFailedError):
        run(node(REVERSIBLE[knob]), session=session, on_event=listen)
    assert network_states(session) == before_state and strides(session) == laid


@every_system
def test_every_system_takes_them_all(session: Session, name: str) -> None:
    plain: Any = SYSTEMS[name]
    before = run(plain, session=session)
    result = run(plain.replace(tuning=REVERSIBLE["all"]), session=session)
    assert result.size == before.size
    assert run(plain, session=session) == before


def test_within_they_are_what_diffusers_calls_so() -> None:
    import torch

    pipe = pipeline("StableDiffusionPipeline", BASE)
    processor = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.processor
    with apply_tuning(pipe, REVERSIBLE["all"], "cpu", STABLE_DIFFUSION):
        assert pipe.vae.use_slicing and pipe.vae.use_tiling
        assert pipe.unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last)
        within = pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.processor
        assert type(within).__name__ == "SlicedAttnProcessor"
    assert not pipe.vae.use_slicing and not pipe.vae.use_tiling
    assert pipe.unet.conv_in.weight.is_contiguous()
    assert pipe.unet.mid_block.attentions[0].transformer_blocks[0].attn1.processor is processor
    with apply_tuning(pipe, {"attention": "_native_math"}, "cpu", STABLE_DIFFUSION):
        assert (
            torch.backends.cuda.math_sdp_enabled() and not torch.backends.cuda.flash_sdp_enabled()
        )
    assert torch.backends.cuda.flash_sdp_enabled()


def test_a_picture_larger_than_a_tile_is_made_by_tiles(session: Session) -> None:
    large = {"width": 160, "height": 160}
    untiled, tiled = (run(node(t, **large), session=session) for t in (None, {"vae": "tiled"}))
    assert tiled.size == untiled.size and tiled != untiled
    assert np.abs(tiled.numpy.astype(int) - untiled.numpy.astype(int)).mean() < 40


def test_a_knob_is_part_of_the_result() -> None:
    session = Session(device="cpu")
    ran = 0

    def listen(event: Event) -> None:
        nonlocal ran
        ran += isinstance(event, Stepped)

    for tuning in ({}, {"vae": "sliced"}, {"vae": "sliced"}, {"compile": False}):
        run(node(tuning), session=session, on_event=listen)
    assert ran == 4
    assert node({"compile": False}) == node() != node({"vae": "sliced"})


def test_a_workflow_writes_them_and_reads_them() -> None:
    text = "nodes: {a: {type: Text2Image, prompt: a, tuning: {vae: tiled, channels_last: true}}}"
    (target,) = workflow_from_yaml(text).graph().targets
    assert target == Text2Image(prompt="a", tuning={"channels_last": True, "vae": "tiled"})
    assert workflow_from_yaml(to_yaml(target)).graph().targets == (target,)
    assert "tuning" not in to_yaml(Text2Image(prompt="a"))
    assert pickle.loads(pickle.dumps(target)) == target


def test_they_are_frozen_like_their_node() -> None:
    tiled = node({"vae": "tiled"})
    with pytest.raises(TypeError, match="frozen"):
        tiled.tuning["vae"] = "sliced"
    with pytest.raises(TypeError, match="frozen"):
        tiled.tuning.update({"vae": "sliced"})


def test_the_schema_names_every_knob_and_its_choices() -> None:
    written = node_schema(Text2Image)["properties"]["tuning"]
    assert set(written["properties"]) == set(knobs.KNOBS)
    assert all(knob["description"] and knob["enum"] for knob in written["properties"].values())
    assert written["additionalProperties"] is False


@pytest.mark.parametrize(
    ("tuning", "words"),
    [
        ({"vea": "tiled"}, "did you mean 'vae'"),
        ({"vae": "tile"}, "did you mean 'tiled'"),
        ({"channels_last": 1}, "one of true, false"),
        ({"channels_last": "true"}, "one of true, false"),
        ({"attention": "flash"}, "_native_flash"),
        ({"layerwise_casting": "float8"}, "float8_e4m3fn"),
        ("tiled", "a map with any of"),
    ],
)
def test_a_wrong_value_is_reported(tuning: Any, words: str) -> None:
    text = refused_at_construction(Text2Image, prompt="a", tuning=tuning)
    assert "Text2Image.tuning" in text and words in text


def test_compiling_without_a_compiler_or_with_offload_is_refused_before_anything_loads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "one of the two" in refused_before_load(node({"compile": True}, offload="model"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    text = refused_before_load(node({"compile": True}))
    assert "text2_image.tuning" in text and "no C++ compiler" in text


def test_what_lacks_its_package_is_refused_before_anything_loads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(knobs, "find_spec", lambda _: None)
    monkeypatch.setattr(part_checks, "find_spec", lambda _: None)
    text = refused_before_load(node({"attention": "xformers"}))
    assert "text2_image.tuning" in text and "pip install xformers" in text
    for name, package in (("nf4", "bitsandbytes"), ("int8wo", "torchao")):
        text = refused_before_load(node(checkpoint=Checkpoint(BASE, quantization=name)))
        assert "text2_image.checkpoint" in text and f"pip install {package}" in text


@pytest.mark.parametrize("backend", ["_native_efficient", "_native_cudnn", "xformers"])
def test_a_kernel_of_cuda_is_refused_on_a_cpu(backend: Any) -> None:
    with (
        pytest.raises(InvalidValueError, match=f"{backend} on cpu"),
        apply_tuning(None, {"attention": backend}, "cpu", STABLE_DIFFUSION),
    ):
        pass


def test_xformers_is_asked_of_diffusers_and_taken_back() -> None:
    class Attention:
        processor = "own"

        def set_processor(self, processor: str) -> None:
            self.processor = processor

    class Network:
        attention = Attention()

        def modules(self) -> list[Any]:
            return [self, self.attention]

    class Pipe:
        unet, vae = Network(), Network()

        def enable_xformers_memory_efficient_attention(self) -> None:
            self.unet.attention.set_processor("xformers")

    pipe = Pipe()
    with apply_tuning(pipe, {"attention": "xformers"}, "cuda:0", STABLE_DIFFUSION):
        assert pipe.unet.attention.processor == "xformers"
    assert pipe.unet.attention.processor == "own"


def test_a_vae_that_has_no_tiles_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied(BASE)
    config = folder / "vae" / "config.json"
    config.write_text(config.read_text().replace("AutoencoderKL", "ConsistencyDecoderVAE"))
    tiled = node({"vae": "tiled"}, checkpoint=Checkpoint(folder))
    assert "ConsistencyDecoderVAE" in refused_before_load(tiled)


def test_layers_kept_in_another_dtype_are_another_component() -> None:
    import torch

    session = fresh()
    before = run(node(), session=session)
    before_state = network_states(session)
    cast = node({"layerwise_casting": "float8_e4m3fn"})
    result = run(cast, session=session)
    assert result != before and np.abs(result.numpy.astype(int) - before.numpy).mean() < 40
    networks = [
        component for component in session.models.loaded() if component.name.endswith("/unet")
    ]
    assert len(networks) == 2 and networks[1].bytes < networks[0].bytes / 2
    dtypes = {weight.dtype for weight in networks[1].module.parameters()}
    assert dtypes == {torch.float8_e4m3fn, torch.float32}
    now = network_states(session)
    assert {name: now[name] for name in before_state if "unet" not in name} == {
        name: value for name, value in before_state.items() if "unet" not in name
    }
    assert run(node(), session=session) == before
    assert run(cast, session=session) == result == run(cast, session=fresh())


def test_adapters_over_layers_kept_in_another_dtype_are_refused(tmp_path: Path) -> None:
    cast = node({"layerwise_casting": "float8_e4m3fn"}, loras=[lora(tmp_path, BASE)])
    text = refused_before_load(cast)
    assert "text2_image.tuning" in text and "layerwise_casting with loras" in text


def test_layers_kept_in_another_dtype_and_quantized_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(part_checks, "find_spec", lambda _: True)
    checkpoint = Checkpoint(BASE, quantization="int8wo")
    cast = node({"layerwise_casting": "float8_e5m2"}, checkpoint=checkpoint)
    assert "quantized to int8wo" in refused_before_load(cast)


def test_the_identity_of_a_network_depends_on_what_cannot_be_undone() -> None:
    plain, nf4 = Checkpoint(BASE), Checkpoint(BASE, quantization="nf4")
    unets = [
        Part(plain, "unet"),
        Part(plain, "unet", casting="float8_e4m3fn"),
        Part(plain, "unet", casting="float8_e5m2"),
        Part(nf4, "unet", quantized=True),
    ]
    assert len({resolve_part(part).fingerprint for part in unets}) == 4
    assert (
        resolve_part(Part(plain, "vae")).fingerprint == resolve_part(Part(nf4, "vae")).fingerprint
    )


@pytest.mark.parametrize("name", ["int8", "nf4", "fp4"])
def test_bitsandbytes_is_refused_where_there_is_no_cuda(name: str) -> None:
    part = Part(Checkpoint(BASE, quantization=name), "unet", quantized=True)
    with pytest.raises(CheckpointError, match="cuda"):
        load_quietly(resolve_part(part), "float32", "cpu")
    refuse_device(resolve_part(part), "cuda:1")
    refuse_device(resolve_part(Part(part.checkpoint, "vae")), "cpu")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("int8", {"load_in_8bit": True}),
        ("nf4", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}),
        ("fp4", {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}),
    ],
)
def test_quantizing_is_asked_of_diffusers(
    monkeypatch: pytest.MonkeyPatch, name: str, expected: dict[str, Any]
) -> None:
    import diffusers

    passed: dict[str, Any] = {}
    monkeypatch.setattr(part_checks, "find_spec", lambda _: True)
    monkeypatch.setattr(diffusers, "BitsAndBytesConfig", lambda **options_: options_)

    class Network:
        def to(self, device: str) -> Any:
            raise AssertionError("what bitsandbytes quantized cannot be moved")

        def eval(self) -> Any:
            return self

        def requires_grad_(self, _: bool) -> Any:
            return self

    def from_pretrained(folder: Path, **options: Any) -> tuple[Any, dict[str, Any]]:
        passed.update(options)
        return Network(), {}

    monkeypatch.setattr(diffusers.UNet2DConditionModel, "from_pretrained", from_pretrained)
    load_quietly(
        resolve_part(Part(Checkpoint(BASE, quantization=name), "unet", quantized=True)),
        "float16",
        "cuda",
    )
    assert expected.items() <= passed["quantization_config"].items()


@pytest.mark.parametrize("steps", [2, 0])
def test_in_groups_it_computes_the_same_and_leaves_no_hook(steps: int) -> None:
    import torch

    session = fresh()
    before = run(node(), session=session)
    before_state = network_states(session)
    grouped = node(offload="group")
    loaded = {
        component.name.rpartition("/")[2]: component.module for component in session.models.loaded()
    }
    models = Models(loaded, "cpu:0", "float32")
    pipe = grouped.assemble(models, Checkpoint(BASE))
    output = None
    try:
        with grouped.offload_modules(pipe, models):
            assert any(hasattr(module, "_diffusers_hook") for module in pipe.unet.modules())
            output = pipe(
                "a red star",
                num_inference_steps=steps,
                width=64,
                height=64,
                generator=torch.Generator("cpu").manual_seed(0),
            )
    except Exception:
        assert steps == 0
    assert (output is None) == (steps == 0)
    if output is not None:
        assert (np.asarray(output.images[0]) == before.numpy).all()
    assert network_states(session) == before_state
    assert not any("_diffusers_hook" in vars(module) for module in pipe.unet.modules())


def test_knobs_of_a_bad_checkpoint_do_not_hide_what_is_wrong_with_it(tmp_path: Path) -> None:
    tiled = node({"vae": "tiled"}, checkpoint=Checkpoint(tmp_path))
    assert "text2_image.checkpoint" in refused_before_load(tiled)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_compiled_it_draws_the_same_picture_and_leaves_the_network_as_it_was() -> None:
    session = fresh()
    before = run(node(), session=session)
    before_state = network_states(session)
    result = run(node({"compile": True}), session=session)
    assert max_difference(result, before) <= 8
    assert network_states(session) == before_state
    assert run(node(), session=session) == before


def test_a_failing_kernel_is_reported_with_the_nodes_name() -> None:
    text = str(failure(node({"attention": "_native_cudnn"}), fresh()))
    assert "attention: _native_cudnn on cpu" in text and "text2_image" in text
