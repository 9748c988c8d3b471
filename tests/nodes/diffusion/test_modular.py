"""A modular pipeline of diffusers makes the same bits by the node; code is never run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, InvalidNodeError, Node, NodeFailedError, Session, run
from sdgraph.events import Event, Stepped
from sdgraph.nodes import Modular, Text2Image
from sdgraph.nodes.diffusion.pipelines.modular_inputs import declared_inputs
from sdgraph.nodes.diffusion.random_checkpoints import make_checkpoint
from sdgraph.values import Image

INPUTS: dict[str, Any] = {"num_inference_steps": 2, "width": 64, "height": 64}
PHOTO = Image(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def standard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in diffusers' usual layout."""
    folder = tmp_path_factory.mktemp("standard") / "flux"
    make_checkpoint("flux", folder)
    return folder


@pytest.fixture(scope="module")
def modular(standard: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a modular pipeline, which lists its components in an index of its own."""
    folder = Path(shutil.copytree(standard, tmp_path_factory.mktemp("modular") / "flux"))
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").unlink()
    entries: dict[str, Any] = {
        "_class_name": "FluxModularPipeline",
        "_blocks_class_name": "FluxAutoBlocks",
        "_diffusers_version": index["_diffusers_version"],
    }
    for name, entry in index.items():
        if isinstance(entry, list) and entry[0] is not None:
            # As diffusers writes them; the place on the hub does not matter for what is here.
            place = {"pretrained_model_name_or_path": "someone/flux", "subfolder": name}
            entries[name] = [*entry, {**place, "type_hint": entry}]
    (folder / "modular_model_index.json").write_text(json.dumps(entries))
    return folder


def node_for(folder: Path, **fields: Any) -> Modular:
    return Modular(
        **{"checkpoint": Checkpoint(folder), "prompt": "a star", "inputs": INPUTS, **fields}
    )


def without_store() -> Session:
    return Session(device="cpu", store=None)


def by_diffusers(folder: Path, **arguments: Any) -> Any:
    import diffusers
    import torch

    pipe = diffusers.ModularPipeline.from_pretrained(str(folder))
    pipe.load_components(dtype=torch.float32)
    generator = torch.Generator().manual_seed(3)
    state = pipe(prompt="a star", generator=generator, **{**INPUTS, **arguments})
    return np.asarray(state.get("images")[0])


def test_it_makes_what_diffusers_makes(standard: Path, modular: Path) -> None:
    expected = by_diffusers(standard)
    for folder in (standard, modular):
        made = run(node_for(folder, seed=3), session=without_store())
        assert made.numpy.std() > 5 and (made.numpy == expected).all()


def test_a_picture_is_given_to_the_pipelines_own_input(modular: Path, standard: Path) -> None:
    made = run(node_for(modular, seed=3, image=PHOTO), session=without_store())
    assert (made.numpy == by_diffusers(standard, image=PHOTO.rgb)).all()


def test_every_step_is_reported(modular: Path) -> None:
    seen: list[Event] = []
    run(node_for(modular), session=without_store(), on_event=seen.append)
    steps = [(event.step, event.total) for event in seen if isinstance(event, Stepped)]
    assert steps == [(1, 2), (2, 2)]


def failure_of(node: Modular) -> str:
    with pytest.raises(NodeFailedError) as caught:
        run(node, session=without_store())
    return str(caught.value)


def test_an_input_that_no_block_has_is_refused_before_any_load(
    modular: Path, standard: Path
) -> None:
    for folder in (modular, standard):
        text = problems_of(node_for(folder, inputs={**INPUTS, "guidance_sale": 3.0}))
        assert "guidance_sale, an input that no block of FluxModularPipeline has" in text
        assert "did you mean 'guidance_scale'" in text and "joint_attention_kwargs" in text
        assert problems_of(node_for(folder)) == ""


def test_the_names_in_diffusers_files_are_all_that_its_pipelines_take() -> None:
    import diffusers

    for name in ("Flux", "QwenImage", "Wan", "LTX", "StableDiffusionXL", "HunyuanVideo15"):
        cls = getattr(diffusers, f"{name}ModularPipeline")
        blocks = getattr(diffusers, cls.default_blocks_name)()
        taken = {each.name for each in blocks.inputs if each.name}
        assert taken and taken <= declared_inputs(cls.__name__)
    assert not declared_inputs("OtherModularPipeline") and not declared_inputs("Flux.*")


def test_its_memory_is_planned_by_the_law_of_its_family(modular: Path, tmp_path: Path) -> None:
    flux = Text2Image(prompt="a star", checkpoint=Checkpoint("random/flux"), width=64, height=64)
    expected = flux.replace(checkpoint=Checkpoint(modular.parent / "usual"))
    shutil.copytree(modular, modular.parent / "usual")
    index = json.loads((modular / "modular_model_index.json").read_text())
    usual = {key: each[:2] if isinstance(each, list) else each for key, each in index.items()}
    path = modular.parent / "usual" / "model_index.json"
    path.write_text(json.dumps({**usual, "_class_name": "FluxPipeline"}))
    node = node_for(modular)
    assert node.working_memory({}, "float32") == expected.working_memory({}, "float32") > 0
    large = node.replace(inputs={**INPUTS, "width": 512, "height": 512})
    assert large.working_memory({}, "float32") > node.working_memory({}, "float32")
    entry = ["diffusers", "OtherTransformer2DModel", {"subfolder": "transformer"}]
    names = {"_class_name": "OtherModularPipeline", "transformer": entry}
    other = node_for(changed(modular, tmp_path / "other", **names))
    assert other.working_memory({"a": 400, "b": 100}, "float32") == 100


def test_what_the_pipeline_does_not_take_is_refused_with_what_it_takes(modular: Path) -> None:
    text = failure_of(node_for(modular, inputs={**INPUTS, "guidance": 3.0}))
    assert "inputs: guidance" in text and "guidance_scale" in text and "joint_attention" in text
    text = failure_of(node_for(modular, inputs={"max_sequence_length": "long"}))
    assert "'long'" in text and "a value of type int" in text


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("prompt", "set `prompt`"),
        ("mask_image", "set `mask`"),
        ("generator", "set `seed`"),
        ("output_type", "leave it out"),
    ],
)
def test_inputs_that_the_node_gives_itself_are_refused(name: str, fix: str) -> None:
    with pytest.raises(InvalidNodeError) as caught:
        Modular(checkpoint=Checkpoint("random/flux"), inputs={name: "x"})
    assert name in str(caught.value) and fix in str(caught.value)


def test_settings_of_a_checkpoint_apply_or_are_refused(modular: Path) -> None:
    node = node_for(modular)
    checkpoint = Checkpoint(modular, text_quantization="int8wo")
    quantized = [
        name
        for name, part in node.replace(checkpoint=checkpoint).parts().items()
        if part.quantization
    ]
    assert quantized == ["text_encoder", "text_encoder_2"]
    text = problems_of(node.replace(checkpoint=Checkpoint(modular, clip_skip=1)))
    assert "clip_skip 1 for" in text and "leave clip_skip out" in text


def problems_of(node: Node[Any]) -> str:
    try:
        return "\n".join(str(problem) for problem in node.check())
    except Exception as error:
        return str(error)


def changed(folder: Path, target: Path, **entries: Any) -> Path:
    copy = Path(shutil.copytree(folder, target))
    path = copy / "modular_model_index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
    return copy


def test_code_in_a_checkpoint_is_refused_before_any_load(modular: Path, tmp_path: Path) -> None:
    assert problems_of(node_for(modular)) == ""
    own = Path(shutil.copytree(modular, tmp_path / "own"))
    blocks = {"auto_map": {"ModularPipelineBlocks": "block.OwnBlocks"}}
    (own / "modular_config.json").write_text(json.dumps(blocks))
    (own / "block.py").write_text("raise SystemExit('run')")
    assert "which is code" in problems_of(node_for(own))
    remote = changed(modular, tmp_path / "remote", auto_map={"x": "block.OwnBlocks"})
    assert "which is code" in problems_of(node_for(remote))
    hint = ["os", "system"]
    hidden = changed(
        modular,
        tmp_path / "hidden",
        vae=["diffusers", "AutoencoderKL", {"subfolder": "vae", "type_hint": hint}],
    )
    assert "whose vae is a os.system" in problems_of(node_for(hidden))


def test_a_component_that_is_not_here_is_told(modular: Path, tmp_path: Path) -> None:
    index = json.loads((modular / "modular_model_index.json").read_text())
    nowhere = [*index["vae"][:2], {**index["vae"][2], "pretrained_model_name_or_path": None}]
    folder = changed(modular, tmp_path / "without", vae=nowhere)
    shutil.rmtree(folder / "vae")
    assert "which has no folder vae" in problems_of(node_for(folder))


def test_components_are_taken_from_where_the_index_says(
    modular: Path, standard: Path, tmp_path: Path
) -> None:
    index = json.loads((modular / "modular_model_index.json").read_text())
    for entry in index.values():
        if isinstance(entry, list):
            entry[2]["pretrained_model_name_or_path"] = str(standard)
    folder = changed(modular, tmp_path / "split", **index)
    for name in ("vae", "text_encoder", "tokenizer", "scheduler"):
        shutil.rmtree(folder / name)
    node = node_for(folder, seed=3)
    assert problems_of(node) == ""
    assert (run(node, session=without_store()).numpy == by_diffusers(standard)).all()


def test_a_pipeline_that_diffusers_does_not_have_is_told(modular: Path, tmp_path: Path) -> None:
    newer = changed(modular, tmp_path / "newer", _class_name="Flux9ModularPipeline")
    text = failure_of(node_for(newer))
    assert "Flux9ModularPipeline" in text and "a modular pipeline of diffusers" in text


def test_other_nodes_name_the_node_that_takes_it(modular: Path) -> None:
    text = problems_of(Text2Image(prompt="a star", checkpoint=Checkpoint(modular)))
    assert "a checkpoint for FluxModularPipeline" in text
    assert "the node Modular makes pictures by it" in text
