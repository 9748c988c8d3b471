"""Work that the libraries repeat with each load is done only once."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint
from sdgraph.errors import CheckpointError
from sdgraph.models import fetch_checkpoint, quiet_libraries, resolve_part
from sdgraph.models.formats.weight_keys import empty_module
from sdgraph.models.loading.loader import _build_module, _check_keys, load_quietly
from sdgraph.values import Part

pytestmark = pytest.mark.torch


def test_a_second_text_encoder_of_a_kind_compiles_no_pattern_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    # 48 layers of 16 tensors: more patterns than Python remembers.
    config = transformers.CLIPTextConfig(
        vocab_size=100,
        hidden_size=8,
        intermediate_size=8,
        num_attention_heads=2,
        num_hidden_layers=48,
        eos_token_id=99,
        bos_token_id=98,
    )
    transformers.CLIPTextModel(config).save_pretrained(tmp_path / "text_encoder")
    (tmp_path / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionPipeline",'
        ' "text_encoder": ["transformers", "CLIPTextModel"]}'
    )
    part = Part(Checkpoint(tmp_path), "text_encoder")
    compiled: list[Any] = []
    compiler: Any = re._compiler  # type: ignore[attr-defined]
    real = compiler.compile

    def counting_compile(*arguments: Any) -> Any:
        compiled.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(compiler, "compile", counting_compile)
    limit = re._MAXCACHE  # type: ignore[attr-defined]
    re.purge()
    load_quietly(resolve_part(part), "float32", "cpu")
    first = len(compiled)
    load_quietly(resolve_part(part), "float32", "cpu")
    assert first > limit
    assert len(compiled) - first < first / 20
    assert limit == re._MAXCACHE  # type: ignore[attr-defined]


PARTS = [
    ("tiny/inpaint", "unet", "UNet2DConditionModel"),
    ("tiny/sdxl", "unet", "UNet2DConditionModel"),
    ("tiny/text-to-video", "unet", "UNet3DConditionModel"),
    ("tiny/text-to-image", "vae", "AutoencoderKL"),
    ("tiny/controlnet-edges", "", "ControlNetModel"),
]


@pytest.mark.parametrize(("source", "folder", "name"), PARTS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_module_is_the_one_that_diffusers_loads(
    source: str, folder: str, name: str, dtype: str
) -> None:
    import diffusers
    import torch

    part = Part(Checkpoint(source), folder)
    cls = getattr(diffusers, name)
    path = fetch_checkpoint(part.checkpoint) / folder
    expected = cls.from_pretrained(path, dtype=getattr(torch, dtype))
    module = _build_module(empty_module(cls, path), resolve_part(part), path, dtype)
    assert type(module) is type(expected) and module.config == expected.config
    assert vars(module).keys() == vars(expected).keys()
    assert (module.dtype, module.training) == (expected.dtype, expected.training)
    for one, other in (
        (module.state_dict(), expected.state_dict()),
        (dict(module.named_buffers()), dict(expected.named_buffers())),
    ):
        assert list(one) == list(other)
        for key in one:
            assert one[key].dtype == other[key].dtype and one[key].device.type == "cpu"
            assert torch.equal(one[key], other[key])


@pytest.mark.parametrize("change", ["renamed", "sharded"])
def test_weights_that_do_not_match_name_by_name_are_left_to_diffusers(
    tmp_path: Path, change: str
) -> None:
    import diffusers
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(
        fetch_checkpoint(Checkpoint("tiny/text-to-image")), tmp_path, dirs_exist_ok=True
    )
    config = {"block_out_channels": [8], "norm_num_groups": 4, "layers_per_block": 1}
    vae = diffusers.AutoencoderKL(**config).eval()
    vae.save_pretrained(tmp_path / "vae", max_shard_size="20KB" if change == "sharded" else "1GB")
    part = Part(Checkpoint(tmp_path), "vae")
    path = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    if change == "sharded":
        path.unlink(missing_ok=True)
    else:
        old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        state = load_file(path)
        for new, before in old.items():
            state = {key.replace(new, before): value for key, value in state.items()}
        save_file(state, path, {"format": "pt"})
    folder = tmp_path / "vae"
    empty, same_names = _check_keys(diffusers.AutoencoderKL, resolve_part(part), folder)
    assert same_names is (change == "sharded")
    if same_names:
        assert _build_module(empty, resolve_part(part), folder, "float32") is not None
    loaded = load_quietly(resolve_part(part), "float32", "cpu").state_dict()
    for key, value in vae.state_dict().items():
        assert torch.equal(loaded[key], value)


@pytest.mark.parametrize("component", ["unet", "vae", "text_encoder"])
def test_weights_that_lack_a_tensor_are_refused_and_not_made_up(
    component: str, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(
        shutil.copytree(fetch_checkpoint(Checkpoint("tiny/text-to-image")), tmp_path / "copy")
    )
    (path,) = (folder / component).glob("*.safetensors")
    state = load_file(path)
    gone = sorted(name for name in state if name.endswith("weight"))[:3]
    save_file({n: t for n, t in state.items() if n not in gone}, path, {"format": "pt"})
    part = Part(Checkpoint(folder), component)
    with pytest.raises(CheckpointError, match=r"weights without .*weight and 2 more") as caught:
        load_quietly(resolve_part(part), "float32", "cpu")
    assert component in str(caught.value) and "fetch or copy" in str(caught.value)
    save_file({**state, "another.weight": state[gone[0]].clone()}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"weights with .*another\.weight") as caught:
        load_quietly(resolve_part(part), "float32", "cpu")
    save_file(state, path, {"format": "pt"})
    assert load_quietly(resolve_part(part), "float32", "cpu") is not None


@pytest.mark.torch
def test_quiet_blocks_that_overlap_leave_every_handler_as_it_was() -> None:
    with quiet_libraries():  # imports the libraries, which make their handlers
        pass
    shared = logging.NullHandler()
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    for logger in loggers:
        logger.addHandler(shared)
    try:
        before = [handler.filters for logger in loggers for handler in logger.handlers]
        first, second = quiet_libraries(), quiet_libraries()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert shared.filters
        second.__exit__(None, None, None)
        assert [h.filters for logger in loggers for h in logger.handlers] == before
    finally:
        for logger in loggers:
            logger.removeHandler(shared)
