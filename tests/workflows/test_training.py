"""The command that rebuilds every shipped checkpoint, with so few steps that it takes minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdgraph import load_workflow
from sdgraph.models.sources.shipped import shipped_folder, shipped_names
from sdgraph.nodes.training import samples
from sdgraph.workflows.training.__main__ import FAMILY, main, quick_inputs
from tests.scores.__main__ import SYSTEMS, score
from tests.scores.generation import CheckpointRunner, GenerationSettings

NAMES = [name.removeprefix("tiny/") for name in shipped_names()]

FROM_NOTHING = {"vae": "vae_steps", "first": "first_steps"}
"""Procedures that start from random weights, and the inputs that hold their steps."""


BRIEF = {"scenes": 32, "clips": 4, "steps": 1}
"""What an input counts, by the end of its name, in a run that is not the slow one."""


@dataclass(frozen=True)
class Family:
    """What a run of the command left."""

    folder: Path
    steps: int
    """How many each procedure took, but ten of those that start from random weights."""


@pytest.fixture(scope="module", params=["brief", pytest.param("quick", marks=pytest.mark.slow)])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """A run with one step of most procedures and brief samples; where slow, `--quick` as it is."""
    folder = tmp_path_factory.mktemp("family")
    arguments = ["--quick", "--out", str(folder)]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SDGRAPH_HOME", str(tmp_path_factory.mktemp("home")))
        if request.param == "quick":
            command = [sys.executable, "-m", "sdgraph.workflows.training", *arguments]
            subprocess.run(command, check=True, capture_output=True, text=True)
            return Family(folder / "out" / "training", 10)
        patched.setattr(samples, "SAMPLE_STEPS", 1)
        for name in sorted(set(load_workflow(FAMILY).inputs) - set(FROM_NOTHING.values())):
            arguments.append(f"{name}={BRIEF[name.rpartition('_')[2]]}")
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code
    return Family(folder / "out" / "training", 1)


def test_a_quick_run_makes_every_input_small() -> None:
    inputs = dict(assignment.split("=") for assignment in quick_inputs())

    assert inputs.keys() == load_workflow(FAMILY).inputs.keys()
    assert max(map(int, inputs.values())) < 100


@pytest.mark.torch
@pytest.mark.timeout(1500)
def test_every_shipped_checkpoint_is_made_and_fits_plain_diffusers(family: Family) -> None:
    import diffusers
    import transformers

    for name in NAMES:
        folder = family.folder / name / "checkpoint"
        if name == "depth-estimator":
            transformers.DPTForDepthEstimation.from_pretrained(folder)
        elif name == "ip-adapter":
            transformers.CLIPVisionModelWithProjection.from_pretrained(folder / "image_encoder")
        elif name.startswith("controlnet"):
            diffusers.ControlNetModel.from_pretrained(folder)
        else:
            diffusers.DiffusionPipeline.from_pretrained(folder)


@pytest.mark.torch
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", NAMES)
def test_its_layout_is_that_of_the_one_that_ships(name: str, family: Family) -> None:
    trained, ships = family.folder / name / "checkpoint", shipped_folder(f"tiny/{name}")

    def shapes(folder: Path) -> dict[str, dict[str, tuple[int, ...]]]:
        from safetensors import safe_open

        by_file = {}
        for path in sorted(folder.rglob("*.safetensors")):
            with safe_open(path, "np") as held:
                by_file[path.relative_to(folder).as_posix()] = {
                    key: tuple(held.get_slice(key).get_shape())
                    for key in held.keys()  # noqa: SIM118  a file of tensors is no mapping
                }
        return by_file

    assert shapes(trained) == shapes(ships)


@pytest.mark.torch
@pytest.mark.timeout(1500)
def test_each_procedure_leaves_its_curve_and_those_from_nothing_learn(family: Family) -> None:
    for name in [*NAMES, "vae", "first", "second", "sdxl-first", "image-encoder"]:
        folder = family.folder / name / "training"
        losses = json.loads((folder / "curve.json").read_text("utf-8"))
        assert len(losses) == (10 if name in FROM_NOTHING else family.steps)
        assert (folder / "curve.png").is_file()
        if name in FROM_NOTHING:
            assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.torch
@pytest.mark.timeout(1500)
def test_every_system_can_be_scored_from_what_it_leaves(family: Family, tmp_path: Path) -> None:
    settings = GenerationSettings(steps=1, teacher_steps=1, frames=4, rounds=1)

    rows = score(list(SYSTEMS), 1, tmp_path, CheckpointRunner(family.folder, settings))

    assert {row.system for row in rows} == set(SYSTEMS)
