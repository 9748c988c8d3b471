"""PixArt, SANA, Lumina 2, AuraFlow: what is special about the pipelines of each."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, InvalidWorkflowError, NodeFailedError, Session, Store, run
from sdgraph.events import Event, Stepped
from sdgraph.nodes import Image2Image, Inpaint, Text2Image
from sdgraph.nodes.diffusion.random_checkpoints import make_checkpoint
from sdgraph.values import Image, Lora, Mask
from tests.support.failing_runs import problems_of

NAMES = ["aura-flow", "lumina2", "pixart-alpha", "pixart-sigma", "sana", "sana-sprint"]


@pytest.fixture(scope="module", params=NAMES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / str(request.param)
    make_checkpoint(str(request.param), folder)
    return folder


def made(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / name
    make_checkpoint(name, folder)
    return folder


@pytest.fixture(scope="module")
def pixart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("pixart-sigma", tmp_path_factory)


@pytest.fixture(scope="module")
def sana(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("sana", tmp_path_factory)


@pytest.fixture(scope="module")
def sprint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("sana-sprint", tmp_path_factory)


def node_for(folder: Path, **fields: Any) -> Text2Image:
    settings = {"prompt": "a red star", "width": 64, "height": 64, "steps": 2}
    return Text2Image(checkpoint=Checkpoint(folder), **{**settings, **fields})


def warnings_of(node: Any) -> str:
    return "\n".join(problem.as_line() for problem in node.warnings())


def without_store() -> Session:
    return Session(device="cpu", store=None)


def test_embeddings_that_are_remembered_make_the_same_bits(
    checkpoint: Path, tmp_path: Path
) -> None:
    node = node_for(checkpoint, negative_prompt="a blue ring")
    events: list[list[Event]] = [[], []]
    for seed, seen in enumerate(events):
        session = Session(device="cpu", store=Store(folder=tmp_path / "store"))
        made = run(node.replace(seed=seed), session=session, on_event=seen.append)
    assert made == run(node.replace(seed=1), session=without_store())
    loads = [[event for event in seen if "text_encoder" in str(event)] for seen in events]
    assert loads[0] and not loads[1], "the text encoder is not loaded again"


def test_every_step_is_reported(checkpoint: Path) -> None:
    seen: list[Event] = []
    run(node_for(checkpoint, steps=3), session=without_store(), on_event=seen.append)
    steps = [(event.step, event.total) for event in seen if isinstance(event, Stepped)]
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_a_run_can_be_cancelled_between_steps(checkpoint: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, Stepped):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(node_for(checkpoint, steps=3), session=without_store(), on_event=stop)


def test_sides_are_checked_before_any_load(checkpoint: Path) -> None:
    multiple = {"sana": 32, "sana-sprint": 32}.get(checkpoint.name, 16)
    text = problems_of(node_for(checkpoint, height=multiple * 10 + 4))
    assert f"a multiple of {multiple}" in text
    assert not problems_of(node_for(checkpoint, height=multiple * 10))


USUAL = {
    "aura-flow": (50, 3.5, 1024),
    "lumina2": (30, 4.0, 64),
    "pixart-alpha": (20, 4.5, 1024),
    "pixart-sigma": (20, 4.5, 64),
    "sana": (20, 4.5, 256),
    "sana-sprint": (2, 4.5, 256),
}


def test_what_is_not_given_is_what_suits_the_family(checkpoint: Path) -> None:
    node = node_for(checkpoint, steps=None, width=None, height=None)
    steps, guidance, side = USUAL[checkpoint.name]
    usual = {"steps": steps, "guidance": guidance, "width": side, "height": side}
    assert node.chosen_fields() == usual
    assert node_for(checkpoint, guidance=2.0).chosen_fields() == {}


def test_a_side_that_is_not_given_is_the_usual_one(checkpoint: Path) -> None:
    image = run(node_for(checkpoint, width=None), session=without_store())
    assert image.size == (USUAL[checkpoint.name][2], 64)


def test_a_prompt_that_would_be_cut_is_refused(checkpoint: Path) -> None:
    node = node_for(checkpoint, prompt="a red star " * 40)
    with pytest.raises(NodeFailedError, match="tokens for"):
        run(node, session=without_store())


def test_the_longest_prompt_is_read_to_its_end(sana: Path) -> None:
    # A token for each letter, and one before the first.
    words = run(node_for(sana, prompt="a" * 297 + "b"), session=without_store())
    assert words != run(node_for(sana, prompt="a" * 298), session=without_store())
    with pytest.raises(NodeFailedError, match="a text of 300 tokens for SANA"):
        run(node_for(sana, prompt="a" * 299), session=without_store())


def test_pixart_under_its_older_class_name_is_the_same(pixart: Path, tmp_path: Path) -> None:
    older = Path(shutil.copytree(pixart, tmp_path / "older"))
    for path, keys in (("model_index.json", "transformer"), ("transformer/config.json", "")):
        content = json.loads((older / path).read_text())
        if keys:
            content[keys] = ["diffusers", "Transformer2DModel"]
        else:
            content["_class_name"] = "Transformer2DModel"
        (older / path).write_text(json.dumps(content))
    assert run(node_for(older), session=without_store()) == run(
        node_for(pixart), session=without_store()
    )


def test_pixart_takes_the_schedulers_of_noise(pixart: Path) -> None:
    for scheduler in ("euler", "dpm++-karras", "unipc"):
        node = node_for(pixart, scheduler=scheduler)
        assert not problems_of(node)
        assert run(node, session=without_store()).numpy.std() > 5
    assert "flow-euler for" in problems_of(node_for(pixart, scheduler="flow-euler"))


def test_pixart_alpha_makes_a_single_step_by_some_schedulers(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    node = node_for(made("pixart-alpha", tmp_path_factory), steps=1)
    assert "1 step by DPMSolverMultistepScheduler for PixArt-Alpha" in problems_of(node)
    assert "at least 2" in problems_of(node.replace(scheduler="unipc"))
    assert not problems_of(node.replace(scheduler="lcm"))
    assert run(node.replace(scheduler="lcm"), session=without_store()).numpy.std() > 5


def test_pixart_takes_no_lora(pixart: Path) -> None:
    node = node_for(pixart, loras=[Lora("someone/style")])
    assert "none: diffusers puts no adapters on a transformer" in problems_of(node)


def test_sana_sprint_has_no_negative_prompt_and_no_other_scheduler(sprint: Path) -> None:
    node = node_for(sprint, negative_prompt="a blue ring")
    assert "negative_prompt" in warnings_of(node) and "which has no effect" in warnings_of(node)
    text = problems_of(node_for(sprint, scheduler="flow-euler"))
    assert "flow-euler for" in text and "the checkpoint's own alone" in text


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_sana_sprint_takes_one_to_four_steps(sprint: Path, steps: int) -> None:
    assert run(node_for(sprint, steps=steps), session=without_store()).numpy.std() > 5


def test_sana_sprint_changes_a_picture_of_any_size(sprint: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 83, 3), np.uint8)
    node = Image2Image(
        prompt="a red star", image=Image(pixels), strength=0.5, checkpoint=Checkpoint(sprint)
    )
    assert node.chosen_fields()["steps"] == 2
    assert run(node, session=without_store()).size == (83, 50)
    with pytest.raises(InvalidWorkflowError, match="which leaves none"):
        run(node.replace(strength=0.4), session=without_store())


def test_decoding_by_tiles_and_slices_is_taken(sana: Path) -> None:
    node = node_for(sana, tuning={"vae": "both"})
    assert not problems_of(node)
    assert run(node, session=without_store()) == run(node_for(sana), session=without_store())


def test_the_setting_that_chroma_lacks_is_not_written_to_its_files(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = made("chroma", tmp_path_factory)
    before = (folder / "transformer" / "config.json").read_text()
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    mask = Mask(np.pad(np.full((32, 32), 255, np.uint8), 16))
    node = Inpaint(
        prompt="a star", image=Image(pixels), mask=mask, steps=2, checkpoint=Checkpoint(folder)
    )
    session = without_store()
    plain = run(node_for(folder), session=session)
    run(node, session=session)
    assert run(node_for(folder, steps=2), session=session) == plain
    assert (folder / "transformer" / "config.json").read_text() == before
