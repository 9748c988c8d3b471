"""Adapters in use: the same picture as diffusers' own, and no trace of them afterwards."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run, to_yaml
from sdgraph.events import Event, Stepped
from sdgraph.language import node_schema, workflow_from_yaml
from sdgraph.models import resolve_part
from sdgraph.nodes import Text2Image, Turbo
from sdgraph.values import Lora
from tests.nodes.diffusion.test_node import SYSTEMS
from tests.support.bare_scripts import pipeline
from tests.support.failing_runs import failure, refused_before_load
from tests.support.lora_files import NAME, lora, tensors, write

BASES = {"sd": "tiny/text-to-image", "xl": "tiny/sdxl"}
PIPELINES = {"sd": "StableDiffusionPipeline", "xl": "StableDiffusionXLPipeline"}
every_family = pytest.mark.parametrize("family", BASES)


def node(family: str, *loras: Lora, **more: Any) -> Text2Image:
    fields: dict[str, Any] = {"steps": 2, "width": 64, "height": 64, **more}
    checkpoint = Checkpoint(BASES[family])
    return Text2Image(prompt="a red star", checkpoint=checkpoint, loras=loras, **fields)


def fresh() -> Session:
    return Session(device="cpu", store=None)


def script(family: str, *loras: Lora) -> Any:
    """The picture of the bare script that loads the same adapters."""
    import torch

    pipe = pipeline(PIPELINES[family], BASES[family])
    names = [f"number {n}" for n in range(len(loras))]
    for name, adapter in zip(names, loras, strict=True):
        pipe.load_lora_weights(adapter.source, adapter_name=name)
    pipe.set_adapters(names, [lora.scale for lora in loras])
    draw = torch.Generator("cpu").manual_seed(0)
    output = pipe(
        "a red star", num_inference_steps=2, width=64, height=64, guidance_scale=7.5, generator=draw
    )
    return np.asarray(output.images[0])


def weights_hash(module: Any) -> str:
    """A hash of a module's weights, bit for bit, whatever their dtype."""
    import torch

    digest = sha256()
    for name, weight in module.state_dict().items():
        digest.update(f"{name} {weight.dtype}".encode())
        digest.update(weight.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def network_states(session: Session) -> dict[str, tuple[Any, ...]]:
    """The state of a session's networks: weights, classes, and the attributes of each module."""
    states = {}
    for component in session.models.loaded():
        module = component.module
        if hasattr(module, "state_dict"):
            submodules = [
                (
                    name,
                    id(module_),
                    type(module_),
                    module_.training,
                    tuple(module_._forward_hooks),
                    tuple(module_._forward_pre_hooks),
                    "forward" in vars(module_),
                    sorted(key for key in vars(module_) if "peft" in key or "lora" in key),
                )
                for name, module_ in module.named_modules()
            ]
            frozen = [(id(parameter), parameter.requires_grad) for parameter in module.parameters()]
            states[component.name] = (weights_hash(module), submodules, frozen)
    assert states
    return states


@every_family
@pytest.mark.parametrize("scales", [(1.0,), (0.5, -0.3)])
def test_it_equals_the_bare_script(
    tmp_path: Path, session: Session, family: str, scales: tuple[float, ...]
) -> None:
    adapters = [
        Lora(lora(tmp_path / str(seed), BASES[family], seed=seed).source, scale=scale)
        for seed, scale in enumerate(scales)
    ]
    assert (run(node(family, *adapters), session=session).numpy == script(family, *adapters)).all()


@every_family
def test_afterwards_the_shared_networks_are_what_they_were(tmp_path: Path, family: str) -> None:
    session, plain = fresh(), node(family)
    before = run(plain, session=session)
    before_state = network_states(session)
    one = lora(tmp_path / "one", BASES[family])
    two = lora(tmp_path / "two", BASES[family], seed=1)
    assert run(node(family, one), session=session) != before
    assert network_states(session) == before_state
    assert run(node(family, one, two), session=session) != run(node(family, one), session=session)
    assert network_states(session) == before_state
    assert run(plain, session=session) == before


@every_family
def test_one_that_never_had_an_adapter_makes_the_same_after_one_that_did(
    tmp_path: Path, family: str
) -> None:
    session = fresh()
    run(node(family, lora(tmp_path, BASES[family])), session=session)
    assert run(node(family), session=session) == run(node(family), session=fresh())


@every_family
@pytest.mark.parametrize("error", [RuntimeError("enough"), KeyboardInterrupt()])
def test_stopped_or_failing_it_takes_them_off_too(
    tmp_path: Path, family: str, error: BaseException
) -> None:
    session = fresh()
    run(node(family), session=session)
    before_state = network_states(session)

    def listen(event: Event) -> None:
        if isinstance(event, Stepped):
            raise error

    with pytest.raises(BaseException):  # noqa: B017  which one is tested elsewhere
        run(node(family, lora(tmp_path, BASES[family])), session=session, on_event=listen)
    assert network_states(session) == before_state


def test_an_adapter_that_cannot_be_applied_is_reported_and_the_first_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = fresh()
    run(node("sd"), session=session)
    before_state = network_states(session)
    good = lora(tmp_path / "good", BASES["sd"])
    held = {f"unet.nowhere.{key}": value for key, value in tensors(BASES["sd"]).items()}
    (tmp_path / "bad").mkdir()
    write(tmp_path / "bad" / NAME, held)
    both = node("sd", good, Lora(tmp_path / "bad"))
    assert "the unet lacks" in refused_before_load(both)
    monkeypatch.setattr("sdgraph.nodes.diffusion.adapters.lora.lora_problems", lambda *_: ())
    text = str(failure(both, session))
    assert "loras" in text and str(tmp_path / "bad") in text
    assert "whose layers the checkpoint's network has" in text
    assert network_states(session) == before_state


def test_at_scale_0_it_is_the_picture_without_and_nothing_is_loaded(tmp_path: Path) -> None:
    adapter = Lora(lora(tmp_path, BASES["sd"]).source, scale=0)
    session = fresh()
    assert run(node("sd", adapter), session=session) == run(node("sd"), session=fresh())
    assert "lora_0" not in node("sd", adapter).parts()
    assert len(session.models.loaded()) == 4


def test_every_scale_is_a_picture_of_its_own(tmp_path: Path, session: Session) -> None:
    source = lora(tmp_path, BASES["sd"]).source
    images = [
        run(node("sd", Lora(source, scale=scale)), session=session) for scale in (-1, 0, 0.5, 1, 2)
    ]
    assert len({image.content for image in images}) == 5


@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "Text2Video"])
def test_every_system_of_pictures_takes_them(tmp_path: Path, session: Session, name: str) -> None:
    plain: Any = SYSTEMS[name]
    adapted = plain.replace(loras=[lora(tmp_path, plain.checkpoint.source)])
    before = run(plain, session=session)
    assert run(adapted, session=session) != before
    assert run(adapted, session=session) == run(adapted, session=session)
    assert run(plain, session=session) == before


def test_as_kohya_names_the_layers_it_is_the_same_picture(tmp_path: Path, session: Session) -> None:
    one = lora(tmp_path / "one", BASES["sd"])
    other = lora(tmp_path / "other", BASES["sd"], layout="kohya")
    assert run(node("sd", one), session=session) == run(node("sd", other), session=session)


def test_an_adapter_that_training_wrote_can_be_applied(tmp_path: Path, session: Session) -> None:
    import torch

    from sdgraph.nodes.training.loading import load_parts
    from sdgraph.nodes.training.lora import add_lora_layers, save_lora

    parts = load_parts(Checkpoint(BASES["sd"]), ("unet",))
    add_lora_layers(parts, 4, 0)
    with torch.no_grad():
        for name, value in parts.denoiser.named_parameters():
            if "lora_B" in name:
                value.fill_(0.1)
    save_lora(parts, tmp_path / "lora")
    adapted = run(node("sd", Lora(tmp_path / "lora")), session=session)
    assert adapted != run(node("sd"), session=session)
    assert run(node("sd", Lora(tmp_path / "lora" / NAME)), session=session) == adapted


def test_dropout_that_it_was_trained_with_draws_nothing(tmp_path: Path, session: Session) -> None:
    names = sorted({key.split(".lora.")[0].removeprefix("unet.") for key in unet_only()})
    config_read = {"unet.r": 2, "unet.lora_alpha": 2, "unet.lora_dropout": 0.9}
    for folder, config in (("plain", {}), ("dropped", {"unet.lora_dropout": 0.9})):
        (tmp_path / folder).mkdir()
        full_config = {
            **config_read,
            "unet.lora_dropout": 0.0,
            **config,
            "unet.target_modules": names,
        }
        write(tmp_path / folder / NAME, unet_only(), config=full_config)
    plain = run(node("sd", Lora(tmp_path / "plain")), session=session)
    assert plain != run(node("sd"), session=session)
    assert run(node("sd", Lora(tmp_path / "dropped")), session=session) == plain


def unet_only() -> dict[str, Any]:
    return {k: v for k, v in tensors(BASES["sd"]).items() if k.startswith("unet.")}


def test_a_changed_file_is_another_result_and_a_copy_is_the_same(tmp_path: Path) -> None:
    session, ran = Session(device="cpu"), 0

    def listen(event: Event) -> None:
        nonlocal ran
        ran += isinstance(event, Stepped)

    adapter = lora(tmp_path / "one", BASES["sd"])
    before = run(node("sd", adapter), session=session, on_event=listen)
    assert ran == 2
    assert run(node("sd", adapter), session=session, on_event=listen) == before and ran == 2
    write(tmp_path / "one" / NAME, tensors(BASES["sd"], seed=7))
    assert run(node("sd", adapter), session=session, on_event=listen) != before and ran == 4


def test_equal_adapters_are_one_component_at_any_scale(tmp_path: Path) -> None:

    adapter = lora(tmp_path / "one", BASES["sd"])
    copy = Lora(shutil.copytree(tmp_path / "one", tmp_path / "copy"), scale=0.5)
    other = lora(tmp_path / "other", BASES["sd"], seed=1)
    parts = node("sd", adapter, copy, other).parts()
    assert (
        resolve_part(parts["lora_0"]).fingerprint
        == resolve_part(parts["lora_1"]).fingerprint
        != resolve_part(parts["lora_2"]).fingerprint
    )


def test_a_workflow_writes_them_and_reads_them(tmp_path: Path) -> None:
    source = lora(tmp_path, BASES["sd"]).source
    text = f"""
nodes:
  a: {{type: Text2Image, prompt: a, loras: [{source}]}}
  b: {{type: Text2Image, prompt: a, loras: [{{source: {source}, scale: 0.8}}]}}
"""
    a, b = workflow_from_yaml(text).graph().targets
    assert a == Text2Image(prompt="a", loras=[Lora(source)])
    assert b == Text2Image(prompt="a", loras=[Lora(source, scale=0.8)])
    assert len({a, b, Text2Image(prompt="a")}) == 3
    assert set(workflow_from_yaml(to_yaml(a, b)).graph().targets) == {a, b}


def test_the_schema_says_how_they_are_written() -> None:
    (item,) = [node_schema(Turbo)["properties"]["loras"]["items"]]
    assert [option["type"] for option in item["anyOf"]] == ["string", "object"]
    assert set(item["anyOf"][1]["properties"]) == set(Lora.FIELDS)


def test_from_the_hubs_cache_it_is_applied_offline(no_hub: Path, session: Session) -> None:
    folder = no_hub / "models--someone--style" / "snapshots" / ("a" * 40)
    adapter = lora(folder, BASES["sd"])
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text("a" * 40)
    result = run(node("sd", adapter), session=session)
    assert run(node("sd", Lora("someone/style")), session=session) == result
    text = refused_before_load(node("sd", Lora("someone/other")))
    assert "not in the hub's cache" in text and "text2_image.loras" in text


def test_a_relative_path_is_relative_to_the_workflow_file(tmp_path: Path) -> None:
    lora(tmp_path / "styles" / "one", BASES["sd"])
    loras = "[./styles/one, {source: ./styles/one, scale: 0.5}]"
    text = f"nodes: {{a: {{type: Text2Image, prompt: a, loras: {loras}}}}}"
    (target,) = workflow_from_yaml(text, folder=tmp_path).graph().targets
    source = str((tmp_path / "styles" / "one").resolve())
    assert target == Text2Image(prompt="a", loras=[Lora(source), Lora(source, scale=0.5)])
