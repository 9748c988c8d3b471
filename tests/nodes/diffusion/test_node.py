"""What all diffusion nodes share: the same bits anywhere, progress, stopping, offload, dtypes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph import Checkpoint, InvalidNodeError, Node, NodeFailedError, Session, run
from sdgraph.events import Event, Stepped
from sdgraph.models import Models, resolve_part
from sdgraph.models.sources.shipped import shipped_folder, shipped_names
from sdgraph.nodes import (
    Canny,
    ControlNet,
    DepthToImage,
    Image2Image,
    Inpaint,
    Text2Image,
    Text2Video,
    Turbo,
)
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.values import Part
from tests.support.bare_scripts import pipeline, same, script
from tests.support.effort import each_nth
from tests.support.failing_runs import failure, refused_before_load
from tests.support.photos import photo, spot

IMAGE, MASK = photo(72, 64), spot(72, 64)
EDGES = Canny(image=IMAGE)
SYSTEMS: dict[str, Node[Any]] = {
    "Text2Image": Text2Image(prompt="a", steps=2, width=64, height=64),
    "Image2Image": Image2Image(prompt="a", image=IMAGE, steps=3),
    "Inpaint": Inpaint(prompt="a", image=IMAGE, mask=MASK, steps=2),
    "ControlNet": ControlNet(prompt="a", control=EDGES, steps=2),
    "Turbo": Turbo(prompt="a", width=64, height=64, steps=2),
    "DepthToImage": DepthToImage(prompt="a", image=IMAGE, steps=3),
    "Text2Video": Text2Video(prompt="a", frames=2, steps=2, width=32, height=32),
}
with_strength = pytest.mark.parametrize(
    ("cls", "more"),
    [
        (Image2Image, {}),
        (Inpaint, {"mask": MASK}),
        (ControlNet, {"control": EDGES}),
        (DepthToImage, {}),
        (Turbo, {}),
    ],
)
every_system = pytest.mark.parametrize("name", SYSTEMS)


@pytest.fixture(scope="module")
def used_session(session: Session) -> Session:
    """The session of all tests, in which every system has run."""
    for node in SYSTEMS.values():
        run(node, session=session)
    return session


@every_system
def test_alone_after_others_and_again_it_gives_the_same_bits(
    used_session: Session, name: str
) -> None:
    alone = run(SYSTEMS[name], session=Session(device="cpu", store=None))
    assert run(SYSTEMS[name], session=used_session) == alone
    assert run(SYSTEMS[name], session=used_session) == alone


def test_in_another_process_it_gives_the_same_bits(session: Session) -> None:
    code = (
        "from sdgraph import Session, run\n"
        "from tests.nodes.diffusion.test_node import SYSTEMS\n"
        "session = Session(device='cpu', store=None)\n"
        "nodes = list(SYSTEMS.values())[::3]\n"
        "print(*(run(node, session=session).content for node in nodes))"
    )
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    nodes = list(SYSTEMS.values())[::3]
    contents = [run(node, session=session).content for node in nodes]
    assert process.stdout.split() == contents


@every_system
def test_seeds_differ(session: Session, name: str) -> None:
    node = SYSTEMS[name]
    assert run(node, session=session) != run(node.replace(seed=1), session=session)


def test_shipped_checkpoints_share_only_components_of_equal_weights() -> None:
    import safetensors.numpy

    weights: dict[str, dict[str, Any]] = {}
    for name in shipped_names():
        for config in sorted(shipped_folder(name).rglob("config.json")):
            folder = config.parent.relative_to(shipped_folder(name)).as_posix()
            alone = name == "tiny/ip-adapter"  # a folder of single models
            part = Part(
                Checkpoint(name, subfolder=folder if alone else None),
                "" if alone or folder == "." else folder,
            )
            (file,) = config.parent.glob("*.safetensors")
            loaded = safetensors.numpy.load_file(file)
            shared = weights.setdefault(resolve_part(part).fingerprint, loaded)
            assert shared.keys() == loaded.keys(), part
            assert all((shared[key] == loaded[key]).all() for key in shared), part
    assert len(weights) > 8


@pytest.mark.parametrize(
    ("scheduler", "total"), [(None, 4), ("pndm", 5), ("ddim", 4), ("dpm++", 4), ("heun", 7)]
)
@pytest.mark.parametrize("name", ["Text2Image", "Inpaint", "ControlNet"])
def test_progress_counts_up_to_the_real_number_of_steps(
    session: Session, name: str, scheduler: Any, total: int
) -> None:
    node = SYSTEMS[name].replace(steps=4, scheduler=scheduler)
    assert steps_of(node, session) == [(step + 1, total) for step in range(total)]


@pytest.mark.parametrize(("strength", "total"), [(0.5, 2), (1.0, 4), (0.3, 1)])
@pytest.mark.parametrize("name", ["Image2Image", "DepthToImage", "Inpaint"])
def test_progress_counts_only_the_part_that_strength_leaves(
    session: Session, name: str, strength: float, total: int
) -> None:
    node = SYSTEMS[name].replace(steps=4, strength=strength, scheduler="ddim")
    assert steps_of(node, session) == [(step + 1, total) for step in range(total)]


def steps_of(node: Node[Any], session: Session) -> list[tuple[int, int]]:
    steps: list[tuple[int, int]] = []

    def listen(event: Event) -> None:
        if isinstance(event, Stepped):
            steps.append((event.step, event.total))

    run(node, session=session, on_event=listen)
    return steps


@every_system
@pytest.mark.parametrize("error", each_nth([RuntimeError("enough"), KeyboardInterrupt()], 2))
def test_raising_in_progress_stops_within_a_step_and_the_next_run_is_whole(
    session: Session, name: str, error: BaseException
) -> None:
    before = run(SYSTEMS[name], session=session)
    steps_seen = 0

    def listen(event: Event) -> None:
        nonlocal steps_seen
        if isinstance(event, Stepped):
            steps_seen += 1
            raise error

    with pytest.raises((NodeFailedError, KeyboardInterrupt)):
        run(SYSTEMS[name], session=session, on_event=listen)
    assert steps_seen == 1
    assert not any(component.leases for component in session.models.loaded())
    assert run(SYSTEMS[name], session=session) == before


@with_strength
@given(
    steps=st.integers(1, 4),
    strength=st.floats(0.0001, 1, exclude_min=True, allow_nan=False),
)
def test_strength_times_steps_below_one_is_refused_with_a_way_out(
    cls: Any, more: dict[str, Any], steps: int, strength: float
) -> None:
    fields = {"prompt": "a", "image": IMAGE, "steps": steps, "strength": strength, **more}
    if int(steps * strength) >= 1:
        cls(**fields)
        return
    with pytest.raises(InvalidNodeError) as caught:
        cls(**fields)
    (problem,) = caught.value.problems
    assert problem.subject == f"{cls.__name__}.strength"
    cls(**{**fields, "strength": float(problem.fix.split()[3])})


class Recorder:
    """A pipeline that records how it is called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args, **kwargs: self.calls.append((name, *args, *kwargs.items()))


@pytest.mark.parametrize("raising", [False, True])
@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_asks_diffusers_and_takes_the_hooks_away_again(
    offload: Any, raising: bool
) -> None:
    pipe = Recorder()
    node = Text2Image(prompt="a", offload=offload)
    try:
        with node.offload_modules(pipe, Models({}, "cuda:1", "float16")):
            (call,) = pipe.calls
            if raising:
                raise RuntimeError("within")
    except RuntimeError:
        assert raising
    assert call == (f"enable_{offload}_cpu_offload", ("device", "cuda:1"))
    assert [call[0] for call in pipe.calls[1:]] == ["remove_all_hooks", "to"]
    assert pipe.calls[2][1] == "cpu"


@pytest.mark.parametrize(("offload", "device"), [("none", "cuda"), ("model", "cpu")])
def test_without_offload_or_on_a_cpu_the_pipeline_is_left_alone(offload: Any, device: str) -> None:
    pipe = Recorder()
    with Text2Image(prompt="a", offload=offload).offload_modules(
        pipe, Models({}, device, "float32")
    ):
        pass
    assert pipe.calls == []


def hook_all(pipe: Any, device: str) -> None:
    """Offloads as diffusers does by layer, with the CPU in the place of the accelerator."""
    import accelerate

    assert device == "pretended"
    for module in (pipe.unet, pipe.vae, pipe.text_encoder):
        accelerate.cpu_offload(module, "cpu")


@pytest.mark.parametrize("steps", [2, 0])
def test_offloaded_it_computes_the_same_and_shared_weights_are_left_as_they_were(
    steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    pipe = pipeline("StableDiffusionPipeline", "tiny/text-to-image")
    monkeypatch.setattr(type(pipe), "enable_sequential_cpu_offload", hook_all)
    before = {name: weights.clone() for name, weights in pipe.unet.state_dict().items()}
    node = Text2Image(prompt="a", offload="sequential", steps=1)
    output = None
    try:
        with node.offload_modules(pipe, Models({}, "pretended", "float32")):
            assert pipe.unet.conv_in.weight.is_meta
            output = pipe(
                "a",
                num_inference_steps=steps,
                width=64,
                height=64,
                generator=torch.Generator("cpu").manual_seed(0),
            )
    except Exception:
        assert steps == 0
    assert not any(hasattr(module, "_hf_hook") for module in pipe.unet.modules())
    after = pipe.unet.state_dict()
    assert all(torch.equal(after[name], weights) for name, weights in before.items())
    if output is not None:
        expected = script(
            "StableDiffusionPipeline",
            "tiny/text-to-image",
            prompt="a",
            steps=2,
            seed=0,
            width=64,
            height=64,
        )
        assert same(np.asarray(output.images[0]), expected)
    assert (output is None) == (steps == 0)


@every_system
@pytest.mark.parametrize("offload", each_nth(["sequential", "model"], 2))
def test_on_a_cpu_offload_changes_nothing(session: Session, name: str, offload: Any) -> None:
    node = SYSTEMS[name]
    result = run(node.replace(offload=offload), session=session)
    assert result == run(node, session=session)


def test_offloaded_parts_are_kept_in_host_memory() -> None:
    for name, node in SYSTEMS.items():
        assert all(part.on_host for part in node.replace(offload="model").parts().values()), name
        assert not any(part.on_host for part in node.parts().values()), name


@every_system
def test_bfloat16_runs_on_a_cpu_and_differs(session: Session, name: str) -> None:
    node = SYSTEMS[name]
    checkpoint: Any = node.checkpoint  # type: ignore[attr-defined]
    half = node.replace(checkpoint=Checkpoint(checkpoint.source, dtype="bfloat16"))
    result, exact = run(half, session=session), run(node, session=session)
    assert result.size == exact.size
    assert result != exact


def spoil(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Rewrites the weights of a VAE."""
    import safetensors.torch

    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = safetensors.torch.load_file(path)
    change(weights)
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})


def test_nan_from_a_network_says_to_change_the_dtype(
    copied: Callable[[str], Path], session: Session
) -> None:
    folder = copied("tiny/text-to-image")
    spoil(folder, lambda weights: weights["decoder.conv_out.bias"].fill_(float("nan")))
    for node in (
        Text2Image(prompt="a", steps=1, checkpoint=Checkpoint(folder)),
        Inpaint(prompt="a", steps=1, image=IMAGE, mask=MASK, checkpoint=Checkpoint(folder)),
    ):
        text = str(failure(node, session))
        assert "NaN from the network" in text
        assert "bfloat16 or float32" in text


@given(st.lists(st.floats(0, 1, width=32), min_size=1))
def test_floats_become_pixels_as_diffusers_rounds_them(floats: list[float]) -> None:
    from diffusers.image_processor import VaeImageProcessor

    picture = np.array(floats, np.float32).reshape(-1, 1, 1).repeat(3, axis=2)
    (expected,) = VaeImageProcessor.numpy_to_pil(picture)
    assert (to_pixels(picture) == np.asarray(expected)).all()


def test_weights_of_another_vae_change_the_picture(
    copied: Callable[[str], Path], session: Session
) -> None:
    folder = copied("tiny/text-to-image")
    node = Text2Image(prompt="a", steps=1, checkpoint=Checkpoint(folder))
    before = run(node, session=session)
    assert before == run(node.replace(checkpoint="tiny/text-to-image"), session=session)
    spoil(folder, lambda weights: weights["decoder.conv_out.bias"].add_(0.5))
    assert run(node, session=session) != before


def as_variant(folder: Path, variant: str = "fp16") -> Path:
    for path in folder.rglob("*.safetensors"):
        path.rename(path.with_name(f"{path.stem}.{variant}.safetensors"))
    return folder


def test_a_variant_is_loaded_by_its_name(copied: Callable[[str], Path], session: Session) -> None:
    folder = as_variant(copied("tiny/text-to-image"))
    node = SYSTEMS["Text2Image"].replace(checkpoint=Checkpoint(folder, variant="fp16"))
    assert run(node, session=session) == run(SYSTEMS["Text2Image"], session=session)


@pytest.mark.parametrize("variant", [None, "bf16", "fp1"])
def test_another_variant_than_there_is_is_refused_before_loading(
    copied: Callable[[str], Path], variant: str | None
) -> None:
    folder = as_variant(copied("tiny/text-to-image"))
    node = SYSTEMS["Text2Image"].replace(checkpoint=Checkpoint(folder, variant=variant))
    text = refused_before_load(node)
    assert "text2_image.checkpoint" in text
    assert "fp16.safetensors" in text


def test_another_scheduler_config_is_another_result(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(shipped_folder("tiny/text-to-image"), folder)
    node = Text2Image(prompt="a star", steps=2, checkpoint=Checkpoint(folder), width=64, height=64)
    session = Session(device="cpu")
    before = run(node, session=session)

    path = folder / "scheduler" / "scheduler_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "beta_end": 0.02}))

    assert run(node, session=session) != before
