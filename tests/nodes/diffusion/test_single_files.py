"""Checkpoints of one file make the pictures that diffusers' `from_single_file` makes."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from sdgraph import Checkpoint, InvalidWorkflowError, Session, run
from sdgraph.errors import CheckpointError
from sdgraph.models import resolve, resolve_part
from sdgraph.models.checkpoint import single_files
from sdgraph.models.formats import pickles
from sdgraph.models.formats.single_file_kinds import BASES, Base
from sdgraph.models.formats.sizes import bytes_of
from sdgraph.models.formats.weight_keys import empty_module
from sdgraph.models.loading.loader import load_quietly
from sdgraph.models.loading.single_file_loader import refuse_other_tensors
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Image2Image, Inpaint, Save, Text2Image
from sdgraph.nodes.training.checkpoint_problems import purpose_problems
from sdgraph.provenance import read_record
from sdgraph.provenance.verify import checkpoint_states
from sdgraph.values import Part
from tests.support import ldm_layout
from tests.support.bare_scripts import folder, same
from tests.support.ldm_headers import header
from tests.support.photos import photo, picture, spot
from tests.support.published_layouts import shapes_today, write_header

Files = dict[str, tuple[Path, str]]

LAYOUTS = {"1": "text-to-image", "2": "text-to-image", "inpaint": "inpaint"}
"""The shipped checkpoint that a file of each layout is made from."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A file of each layout, and the checkpoint that it was made from."""
    place, made = tmp_path_factory.mktemp("files"), {}
    for layout, name in LAYOUTS.items():
        path = place / f"{layout}.safetensors"
        names = "1" if layout == "inpaint" else layout
        ldm_layout.write_single_file(shipped_folder(f"tiny/{name}"), path, names)
        made[layout] = (path, f"tiny/{name}")
    xl = write_xl(place / "xl")
    made["XL"] = (ldm_layout.write_single_file(xl, place / "XL.safetensors", "XL"), str(xl))
    return made


def write_xl(new: Path) -> Path:
    """Writes a checkpoint of SDXL whose text encoders differ in width, as those published do.

    diffusers tells them apart by their widths; the shipped ones are of one width.
    """
    import diffusers
    import torch
    import transformers

    shutil.copytree(shipped_folder("tiny/sdxl"), new)
    torch.manual_seed(0)
    config = transformers.CLIPTextConfig.from_pretrained(new / "text_encoder")
    config.hidden_size, config.intermediate_size, width = 32, 64, 32 + 64
    transformers.CLIPTextModel(config).save_pretrained(new / "text_encoder")
    settings = diffusers.UNet2DConditionModel.load_config(new / "unet")
    unet = diffusers.UNet2DConditionModel.from_config(settings, cross_attention_dim=width)
    unet.save_pretrained(new / "unet")
    return new


def of_diffusers(kind: str, path: Path, config: str, **call: Any) -> Any:
    """The picture that `from_single_file` of a pipeline's class makes."""
    import diffusers
    import torch

    cls = getattr(diffusers, kind)
    pipe = cls.from_single_file(path, config=str(folder(config)), local_files_only=True)
    for module in pipe.components.values():
        if isinstance(module, torch.nn.Module):
            module.requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator("cpu").manual_seed(0)
    output = pipe(num_inference_steps=3, generator=generator, output_type="pil", **call)
    return np.asarray(output.images[0])


@pytest.mark.parametrize("layout", ["1", "2", "XL"])
def test_text_to_image_equals_diffusers_and_the_folder(
    session: Session, files: Files, layout: str
) -> None:
    path, config = files[layout]
    node = Text2Image(prompt="a red star", steps=3, checkpoint=Checkpoint(path, config=config))
    pixels = run(node, session=session).numpy
    kind = "StableDiffusionXLPipeline" if layout == "XL" else "StableDiffusionPipeline"
    assert same(pixels, of_diffusers(kind, path, config, prompt="a red star", guidance_scale=7.5))
    assert same(pixels, run(node.replace(checkpoint=Checkpoint(config)), session=session).numpy)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_is_allowed_is_the_same_checkpoint(
    session: Session, files: Files, tmp_path: Path, zipped: bool
) -> None:
    import torch
    from safetensors.torch import load_file

    path, config = files["1"]
    pickled, state = tmp_path / "x.ckpt", load_file(path)
    content = {"state_dict": state, "global_step": 1000}
    torch.save(content, pickled, _use_new_zipfile_serialization=zipped)
    node = Text2Image(prompt="a red star", steps=1, checkpoint=Checkpoint(path, config=config))
    expected = run(node, session=session).numpy
    of_pickle = node.replace(checkpoint=Checkpoint(pickled, config=config))
    with pytest.raises(InvalidWorkflowError, match="use --allow-pickle"):
        run(of_pickle, session=session)
    with pickles.allow():
        checkpoints = (Checkpoint(file, config=config) for file in (path, pickled))
        units = (Part(checkpoint, "unet") for checkpoint in checkpoints)
        sizes = {(part.footprint("float32"), part.file_bytes) for part in map(resolve_part, units)}
        assert len(sizes) == 1, "known before it is loaded"
        assert same(expected, run(of_pickle, session=session).numpy)
        marker = tmp_path / "ran"
        torch.save({"state_dict": {**state, "x": Evil(marker)}}, pickled)
        with pytest.raises(InvalidWorkflowError, match="which only code could read"):
            run(of_pickle, session=session)
    assert not marker.exists()


class Evil:
    """An object that makes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def test_image_to_image_equals_diffusers(session: Session, files: Files) -> None:
    path, config = files["1"]
    checkpoint = Checkpoint(path, config=config)
    node = Image2Image(
        prompt="a cat", image=photo(64, 64), steps=3, strength=0.8, checkpoint=checkpoint
    )
    call = {"prompt": "a cat", "image": picture(64, 64), "strength": 0.8}
    expected = of_diffusers("StableDiffusionImg2ImgPipeline", path, config, **call)
    assert same(run(node, session=session).numpy, expected)


def test_inpaint_equals_diffusers_inside_the_mask(session: Session, files: Files) -> None:
    path, config = files["inpaint"]
    checkpoint, mask = Checkpoint(path, config=config), spot(64, 64)
    node = Inpaint(
        prompt="a cat", image=photo(64, 64), mask=mask, steps=3, strength=1.0, checkpoint=checkpoint
    )
    call = {"prompt": "a cat", "image": picture(64, 64), "mask_image": mask.pil, "strength": 1.0}
    expected = of_diffusers(
        "StableDiffusionInpaintPipeline", path, config, width=64, height=64, **call
    )
    inside = mask.numpy == mask.numpy.max()
    assert same(run(node, session=session).numpy[inside], expected[inside])


@pytest.mark.parametrize("base", [b for b in BASES if b.name], ids=lambda base: base.name)
def test_the_tensors_of_each_base_in_its_real_size_are_those_of_its_classes(
    tmp_path: Path, base: Base
) -> None:
    path = tmp_path / "x.safetensors"
    layout = {768: "1", 1024: "2", 2048: "XL"}[base.text_width]
    configs = bases_folder() / base.name
    written = write_published(path, configs, layout)
    checkpoint = Checkpoint(path, prediction_type="epsilon")
    assert resolve(checkpoint).root == configs
    for name in ldm_layout.LAYOUTS[layout]:
        part = cast(Any, resolve_part(Part(checkpoint, name)))
        module = empty_module(class_of(part), part.folder)
        refuse_other_tensors(name, module, [path], part.tensor_prefix)
        assert part.footprint("float16") == bytes_of(module) // 2
    assert written > 1000


def bases_folder() -> Path:
    return Path(single_files.__file__).parent / "bases"


def class_of(part: Any) -> Any:
    library, name = part.library_and_class
    return getattr(import_module(library), name)


def write_published(path: Path, configs: Path, layout: str) -> int:
    """Writes the header of a file as it was published; returns how many tensors it has."""
    import torch

    parts = {}
    for name in ldm_layout.LAYOUTS[layout]:
        config = json.loads((configs / name / "config.json").read_text())
        shapes = shapes_today(config)
        if name == "text_encoder" and layout == "2":  # with the layer that is not computed with
            shapes |= {
                tensor.replace(".22.", ".23."): shape
                for tensor, shape in shapes.items()
                if ".layers.22." in tensor
            }
        parts[name] = {
            tensor: torch.empty(shape, device="meta") for tensor, shape in shapes.items()
        }
    tensors = ldm_layout.convert(parts, configs, layout)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if layout == "2":
        shapes["cond_stage_model.model.text_projection"] = (1024, 1024)
        shapes["cond_stage_model.model.logit_scale"] = ()
    else:
        own = "cond_stage_model" if layout == "1" else "conditioner.embedders.0"
        shapes[f"{own}.transformer.text_model.embeddings.position_ids"] = (1, 77)
    shapes["alphas_cumprod"] = (1000,)
    shapes["model_ema.decay"] = ()
    write_header(path, shapes)
    return len(shapes)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("missing", "weights without conv_in.bias"),
        ("more", "weights with model.diffusion_model.position_net.weight"),
        ("shape", "conv_out.weight of shape"),
        ("integers", "conv_in.weight of dtype int8"),
        ("missing text", "weights without embeddings.token_embedding.weight"),
    ],
)
def test_other_tensors_are_refused_before_any_is_read(
    files: Files, tmp_path: Path, change: str, found: str
) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    path, config = files["1"]
    tensors, unet = load_file(path), "model.diffusion_model."
    if change == "missing":
        del tensors[f"{unet}input_blocks.0.0.bias"]
    elif change == "more":
        tensors[f"{unet}position_net.weight"] = torch.zeros(2)
    elif change == "shape":
        tensors[f"{unet}out.2.weight"] = torch.zeros(4, 32, 1, 1)
    elif change == "integers":
        old = tensors[f"{unet}input_blocks.0.0.weight"]
        tensors[f"{unet}input_blocks.0.0.weight"] = old.to(torch.int8)
    else:
        del tensors["cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"]
    other = tmp_path / "other.safetensors"
    save_file(tensors, other)
    part = Part(Checkpoint(other, config=config), "text_encoder" if "text" in change else "unet")
    with pytest.raises(CheckpointError) as caught:
        load_quietly(resolve_part(part), "float32", "cpu")
    problem = caught.value.problems[0]
    assert found in problem.found and "config:" in problem.fix


def test_a_text_encoder_of_old_names_is_read(files: Files, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path, config = files["1"]
    old = tmp_path / "old.safetensors"
    prefix = "cond_stage_model.transformer."
    tensors = load_file(path).items()
    save_file({n.replace(f"{prefix}text_model.", prefix): tensor for n, tensor in tensors}, old)
    checkpoints = [Checkpoint(file, config=config) for file in (path, old)]
    parts = [resolve_part(Part(checkpoint, "text_encoder")) for checkpoint in checkpoints]
    loaded = [load_quietly(part, "float32", "cpu") for part in parts]
    one, other = (module.state_dict() for module in loaded)
    assert one.keys() == other.keys() and all((one[n] == other[n]).all() for n in one)


def test_weights_are_loaded_in_the_dtype_that_is_computed_in(files: Files) -> None:
    import torch

    path, config = files["XL"]
    part = resolve_part(Part(Checkpoint(path, config=config), "text_encoder_2"))
    module = load_quietly(part, "bfloat16", "cpu")
    assert {tensor.dtype for tensor in module.state_dict().values()} == {torch.bfloat16}
    assert bytes_of(module) == part.footprint("bfloat16") and not module.training


def test_a_tokenizer_is_made_of_a_vocabulary_and_the_settings_of_the_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    write_header(path, header(next(base for base in BASES if base.label == "SDXL")))
    words = shipped_folder("tiny/sdxl") / "tokenizer"
    monkeypatch.setattr("sdgraph.models.checkpoint.resolved.find_vocabulary", lambda: words)
    for name in ("tokenizer", "tokenizer_2"):
        own = load_quietly(resolve_part(Part(Checkpoint(path), name)), "float32", "cpu")
        shipped = load_quietly(resolve_part(Part(Checkpoint("tiny/sdxl"), name)), "float32", "cpu")
        texts = ["a red star!", "Ünïcode 12", ""]
        options = {"padding": "max_length", "truncation": True}
        assert own(texts, **options).input_ids == shipped(texts, **options).input_ids
        assert own.model_max_length == 77


def test_the_record_names_the_file_and_sees_that_it_has_changed(
    session: Session, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, config = files["1"]
    Path("mix.safetensors").write_bytes(path.read_bytes())
    checkpoint = Checkpoint("./mix.safetensors", config=config, prediction_type="epsilon")
    image = Text2Image(prompt="a star", steps=1, checkpoint=checkpoint)
    saved = run(Save(image=image, path="a.png"), session=session)
    record = read_record(Path(saved))
    (entry,) = record.checkpoints
    assert entry["source"] == "./mix.safetensors" and entry["config"] == config
    assert entry["prediction_type"] == "epsilon"
    assert {"mix.safetensors", "unet/config.json", "tokenizer/vocab.json"} <= set(entry["files"])
    assert [state for _, state in checkpoint_states(record, tmp_path)] == ["unchanged"]
    with Path("mix.safetensors").open("ab") as file:
        file.write(b"x")
    assert [state for _, state in checkpoint_states(record, tmp_path)] != ["unchanged"]


@pytest.mark.parametrize(
    ("name", "fields", "warned"),
    [
        ("sdxl_lightning_4step", {}, True),
        ("dreamshaperXL-Turbo", {"steps": 8, "guidance": 2.0}, False),
        ("dreamshaperXL-Turbo", {"steps": 8, "guidance": 7.5}, True),
        ("dreamshaper_8", {}, False),
    ],
)
def test_a_file_named_as_a_distilled_model_is_warned_about(
    files: Files, tmp_path: Path, name: str, fields: dict[str, Any], warned: bool
) -> None:
    path, config = files["XL"]
    own = tmp_path / f"{name}.safetensors"
    own.symlink_to(path)
    node = Text2Image(prompt="a star", checkpoint=Checkpoint(own, config=config), **fields)
    assert any("distilled" in problem.wanted for problem in node.warnings()) is warned


def test_a_training_wants_a_folder(files: Files, tmp_path: Path) -> None:
    path, config = files["1"]
    problems = list(purpose_problems("base", Checkpoint(path, config=config), "text-to-image"))
    assert "one file" in problems[0].found and "save_pretrained" in problems[0].fix
