"""The command that rebuilds every shipped checkpoint, with so few steps that it takes minutes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sdgraph import load_workflow
from sdgraph.models.shipped import shipped_folder, shipped_names
from sdgraph.workflows.training.__main__ import quick_inputs
from tests.scores.__main__ import SYSTEMS, score
from tests.scores.generation import CheckpointRunner, GenerationSettings

NAMES = [name.removeprefix("tiny/") for name in shipped_names()]


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a quick run of the command leaves."""
    folder = tmp_path_factory.mktemp("family")
    command = [sys.executable, "-m", "sdgraph.workflows.training", "--quick", "--out", str(folder)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / "out" / "training"


def test_a_quick_run_makes_every_input_small() -> None:
    inputs = dict(assignment.split("=") for assignment in quick_inputs())

    assert inputs.keys() == load_workflow("training/family").inputs.keys()
    assert max(map(int, inputs.values())) < 100


@pytest.mark.torch
@pytest.mark.timeout(1500)
def test_every_shipped_checkpoint_is_made_and_fits_plain_diffusers(family: Path) -> None:
    import diffusers
    import transformers

    for name in NAMES:
        folder = family / name / "checkpoint"
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
def test_its_layout_is_that_of_the_one_that_ships(name: str, family: Path) -> None:
    trained, ships = family / name / "checkpoint", shipped_folder(f"tiny/{name}")

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
def test_each_procedure_leaves_its_curve_and_those_from_nothing_learn(family: Path) -> None:
    for name in [*NAMES, "vae", "first", "second", "sdxl-first", "image-encoder"]:
        folder = family / name / "training"
        losses = json.loads((folder / "curve.json").read_text("utf-8"))
        assert len(losses) == 10
        assert (folder / "curve.png").is_file()
        if name in ("vae", "first"):
            assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.torch
@pytest.mark.timeout(1500)
def test_every_system_can_be_scored_from_what_it_leaves(family: Path, tmp_path: Path) -> None:
    settings = GenerationSettings(steps=1, teacher_steps=1, frames=4, rounds=1)

    rows = score(list(SYSTEMS), 1, tmp_path, CheckpointRunner(family, settings))

    assert {row.system for row in rows} == set(SYSTEMS)
