"""Weights are compared with the module that they are loaded into, before a tensor is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint
from sdgraph.errors import CheckpointError
from sdgraph.models import part_warnings, resolve_part
from sdgraph.models.checkpoint.part_checks import stored_quantization
from sdgraph.models.checkpoint.weight_marks import mark_problem
from sdgraph.models.formats.weight_keys import KeyComparison, refuse_difference
from sdgraph.models.loading.loader import _check_keys, load_quietly
from sdgraph.values import Part
from tests.support.published_layouts import (
    PUBLISHED,
    Shapes,
    class_of,
    published_shapes,
    shapes_today,
    write_component,
    write_header,
)

NETWORKS = [(name, part) for name, parts in PUBLISHED.items() for part in parts]


@pytest.mark.torch
@pytest.mark.parametrize(("name", "component"), NETWORKS)
def test_the_published_layouts_of_stable_diffusion_pass(
    tmp_path: Path, name: str, component: str
) -> None:
    config = PUBLISHED[name][component]
    shapes = published_shapes(config)
    check_header(tmp_path, config, shapes, component)


@pytest.mark.torch
@pytest.mark.parametrize(("name", "component"), [*NETWORKS[1:3], NETWORKS[-1]])
def test_published_layouts_with_any_tensor_changed_do_not_pass(
    tmp_path: Path, name: str, component: str
) -> None:
    config = PUBLISHED[name][component]
    shapes = published_shapes(config)
    names = [name for name in shapes if "position_ids" not in name]
    first, middle = names[0], names[len(names) // 2]
    without = {name: shape for name, shape in shapes.items() if name != middle}
    wider = {**shapes, first: (shapes[first][0] + 1, *shapes[first][1:])}
    more = {**shapes, "another.weight": (2,)}
    for changed, message in (
        (without, "weights without "),
        (wider, f"of shape \\({shapes[first][0] + 1}, .*\n  wanted: shape \\({shapes[first][0]},"),
        (more, "weights with another.weight"),
    ):
        with pytest.raises(CheckpointError, match=message):
            check_header(tmp_path, config, changed, component)


def check_header(folder: Path, config: Any, shapes: Shapes, component: str) -> None:
    """Checks a component whose weights are a header, as validation and loading do."""
    write_component(folder / component, config, shapes)
    library = "diffusers" if "_class_name" in config else "transformers"
    cls = class_of(config)
    index = {"_class_name": "StableDiffusionPipeline", component: [library, cls.__name__]}
    (folder / "model_index.json").write_text(json.dumps(index))
    part = resolve_part(Part(Checkpoint(folder), component))
    part.check()
    _check_keys(cls, part, folder / component, packed=stored_quantization(part) is not None)


@pytest.mark.torch
@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_weights_that_are_stored_quantized_are_checked_by_their_names(
    tmp_path: Path, component: str
) -> None:
    name = next(name for name, part in NETWORKS if part == component)
    method = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    config = {**PUBLISHED[name][component], "quantization_config": method}
    shapes = dict(shapes_today(PUBLISHED[name][component]))
    packed = [name for name in shapes if name.endswith(("to_k.weight", "k_proj.weight"))]
    for name in packed:
        rows, columns = shapes[name]
        shapes[name] = (rows * columns // 2, 1)
        shapes[f"{name}.absmax"], shapes[f"{name}.quant_map"] = (rows * columns // 64,), (16,)
        shapes[f"{name}.quant_state.bitsandbytes__nf4"] = (90,)
    check_header(tmp_path, config, shapes, component)
    without = {name: shape for name, shape in shapes.items() if name != packed[0]}
    with pytest.raises(CheckpointError, match=f"weights without {packed[0]}"):
        check_header(tmp_path, config, without, component)
    plain = next(name for name in shapes if name.endswith("bias"))
    with pytest.raises(CheckpointError, match="of shape"):
        check_header(tmp_path, config, {**shapes, plain: (3,)}, component)


@pytest.mark.torch
def test_weights_of_an_unknown_quantization_are_said_not_to_be_checked(tmp_path: Path) -> None:
    name = next(name for name, part in NETWORKS if part == "unet")
    config = {**PUBLISHED[name]["unet"], "quantization_config": {"quant_method": "quanto"}}
    shapes = shapes_today(PUBLISHED[name]["unet"])
    check_header(tmp_path, config, shapes, "unet")
    (warning,) = part_warnings([resolve_part(Part(Checkpoint(tmp_path), "unet"))])
    assert "quantized by quanto, not checked" in warning.found


@pytest.mark.torch
def test_gamma_and_beta_of_old_files_are_weight_and_bias(tmp_path: Path) -> None:
    import transformers

    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
    )
    module = transformers.BertModel(config)
    shapes = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tuple(tensor.shape)
        for name, tensor in module.state_dict().items()
    }
    assert any(name.endswith("gamma") for name in shapes)
    written = {**config.to_dict(), "architectures": ["BertModel"]}
    shapes["embeddings.position_ids"] = (1, 512)
    check_header(tmp_path, written, shapes, "text_encoder")


@pytest.mark.torch
def test_tied_and_unused_tensors_of_a_whole_t5_pass_as_its_encoder(tmp_path: Path) -> None:
    import transformers

    config = transformers.T5Config(
        vocab_size=30, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_decoder_layers=1, num_heads=2
    )
    module = transformers.T5ForConditionalGeneration(config)
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for gone in ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"):
        shapes.pop(gone, None)
    written = {**config.to_dict(), "architectures": ["T5EncoderModel"]}
    check_header(tmp_path, written, shapes, "text_encoder_2")
    del shapes["shared.weight"]
    with pytest.raises(CheckpointError, match="weights without"):
        check_header(tmp_path, written, shapes, "text_encoder_2")


@pytest.mark.torch
@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("source", ["tiny/text-to-image"])
def test_no_tensor_is_read_of_weights_that_do_not_fit(
    tmp_path: Path,
    copied_component: Callable[[str, str], Path],
    component: str,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import safetensors.torch
    import torch

    folder = copied_component(source, component)
    (path,) = (folder / component).glob("*.safetensors")
    state = safetensors.torch.load_file(path)
    name = next(name for name in sorted(state) if state[name].dim() > 1)
    state[name] = torch.zeros(3, 5)
    safetensors.torch.save_file(state, path, {"format": "pt"})

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("a file was loaded")

    monkeypatch.setattr(safetensors.torch, "load_file", refuse)
    part = resolve_part(Part(Checkpoint(folder), component))
    cls: Any = class_of(json.loads((folder / component / "config.json").read_text()))
    monkeypatch.setattr(cls, "from_pretrained", refuse)
    with pytest.raises(CheckpointError) as caught:
        load_quietly(part, "float32", "cpu")
    problem = caught.value.problems[0]
    assert problem.found.endswith("of shape (3, 5)") and problem.wanted.startswith("shape (")


@pytest.mark.torch
@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_integers_for_real_numbers_are_refused(
    copied_component: Callable[[str, str], Path], component: str
) -> None:
    import safetensors.torch
    import torch

    folder = copied_component("tiny/text-to-image", component)
    (path,) = (folder / component).glob("*.safetensors")
    state = safetensors.torch.load_file(path)
    name = next(name for name in sorted(state) if state[name].dim() > 1)
    state[name] = state[name].to(torch.int8)
    safetensors.torch.save_file(state, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="of dtype I8"):
        load_quietly(resolve_part(Part(Checkpoint(folder), component)), "float32", "cpu")


@pytest.mark.torch
@pytest.mark.parametrize("component", ["unet", "text_encoder"])
def test_plain_fp8_without_scales_is_cast(
    copied_component: Callable[[str, str], Path], component: str
) -> None:
    import safetensors.torch
    import torch

    folder = copied_component("tiny/text-to-image", component)
    (path,) = (folder / component).glob("*.safetensors")
    state = safetensors.torch.load_file(path)
    narrow = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in state.items()}
    safetensors.torch.save_file(narrow, path, {"format": "pt"})
    module = load_quietly(resolve_part(Part(Checkpoint(folder), component)), "float32", "cpu")
    for name, tensor in module.state_dict().items():
        if name in narrow:
            assert torch.equal(tensor, narrow[name].to(torch.float32))


@pytest.fixture
def copied_component(tmp_path: Path) -> Callable[[str, str], Path]:
    """Copies a shipped checkpoint to a folder that may be spoilt."""
    import shutil

    from sdgraph.models.sources.shipped import shipped_folder

    def copy(source: str, component: str) -> Path:
        return Path(shutil.copytree(shipped_folder(source), tmp_path / "copy"))

    return copy


def test_a_difference_is_told_with_what_was_found_and_wanted() -> None:
    shape = KeyComparison(mismatched=(("a.weight", (1, 2), (3, 4)), ("b.weight", (1,), (2,))))
    for found, message in (
        (shape, "a.weight of shape (1, 2) and 1 more\n  wanted: shape (3, 4), by its config"),
        (KeyComparison(missing=("a", "b", "c")), "weights without a and 2 more"),
        (KeyComparison(unexpected=("x",)), "weights with x\n  wanted: only tensors that a UNet"),
    ):
        with pytest.raises(CheckpointError) as caught:
            refuse_difference("model/unet", "UNet", found)
        assert message in str(caught.value)
    refuse_difference("model", "UNet", KeyComparison())
    refuse_difference("model", "UNet", KeyComparison(missing=("a",)), partial=True)
    with pytest.raises(CheckpointError):
        refuse_difference("model", "UNet", shape, partial=True)


@pytest.mark.torch
@pytest.mark.parametrize(("name", "component"), NETWORKS)
def test_the_names_of_published_weights_show_when_they_are_in_a_wrong_folder(
    name: str, component: str
) -> None:
    shapes = published_shapes(PUBLISHED[name][component])
    own = class_of(PUBLISHED[name][component]).__name__
    others = {
        class_of(config).__name__ for parts in PUBLISHED.values() for config in parts.values()
    }
    for other in others - {own}:
        found = mark_problem(shapes, other)
        same_kind = "CLIPText" in own and "CLIPText" in other
        assert (found is None) == same_kind, (own, other)
    assert mark_problem(shapes, own) is None


def test_a_file_of_a_header_is_as_long_as_its_header_says(tmp_path: Path) -> None:
    from sdgraph.models import tensor_shapes

    write_header(tmp_path / "a.safetensors", {"a": (2, 3), "b": ()})
    assert tensor_shapes(tmp_path / "a.safetensors") == {"a": (2, 3), "b": ()}
