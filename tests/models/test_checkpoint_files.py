"""Checkpoints are read without torch; equal weights are one identity wherever they lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from sdgraph.errors import CheckpointError
from sdgraph.models import Part, checkpoint_files, fingerprints, shipped
from sdgraph.values import Checkpoint, Lora
from tests.support import fake_checkpoints


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return fake_checkpoints.checkpoint(tmp_path / "model", unet=b"u" * 100, vae=b"v" * 50)


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache of this test's own, and no hub."""
    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return cache


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def unet(source: object, **more: Any) -> Part:
    return Part(Checkpoint(str(source), **more), "unet")


def test_a_local_folder_is_found_with_its_components(model: Path) -> None:
    checkpoint = Checkpoint(str(model))
    assert checkpoint_files.configs(checkpoint) == model == checkpoint_files.weights(checkpoint)
    assert checkpoint_files.components(checkpoint) == ("unet", "vae")
    assert checkpoint_files.class_of(unet(model)) == ("diffusers", "UNet2DConditionModel")
    assert checkpoint_files.size(unet(model)) == 100 and not checkpoint_files.must_fetch(checkpoint)


def test_the_hub_cache_is_found_by_name_and_revision(hub: Path, model: Path) -> None:
    snapshot = fake_checkpoints.in_hub_cache(hub, "org/name", model)
    for revision in (None, "main", "a" * 40):
        checkpoint = Checkpoint("org/name", revision=revision)
        assert checkpoint_files.configs(checkpoint) == snapshot
        assert not checkpoint_files.must_fetch(checkpoint)
        assert checkpoint_files.weights(checkpoint) == snapshot
    assert checkpoint_files.size(unet("org/name")) == 100


def test_an_identity_is_the_same_in_a_folder_and_in_the_hub_cache(hub: Path, model: Path) -> None:
    fake_checkpoints.in_hub_cache(hub, "org/name", model)
    assert fingerprints.identity(unet(model)) == fingerprints.identity(unet("org/name"))


def test_a_hub_cache_tells_an_identity_without_reading_the_weights(hub: Path, model: Path) -> None:
    snapshot = fake_checkpoints.in_hub_cache(hub, "org/name", model)
    before = fingerprints.identity(unet("org/name"))
    (snapshot / "unet" / fake_checkpoints.WEIGHTS).resolve().write_bytes(
        b"other bytes under the old name"
    )
    assert fingerprints.identity(unet("org/name")) == before


def test_an_identity_hangs_on_weights_config_and_class(model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    known = fingerprints.identity(unet(model))
    assert fingerprints.identity(unet(copy)) == known
    (copy / "unet" / fake_checkpoints.WEIGHTS).write_bytes(b"x" * 100)  # as long as before
    assert fingerprints.identity(unet(copy)) != known
    shutil.copy(model / "unet" / fake_checkpoints.WEIGHTS, copy / "unet" / fake_checkpoints.WEIGHTS)
    assert fingerprints.identity(unet(copy)) == known
    edit(copy / "unet/config.json", in_channels=9)
    assert fingerprints.identity(unet(copy)) != known
    edit(copy / "unet/config.json", in_channels=9, _diffusers_version="0.1")
    nine = fingerprints.identity(unet(copy))
    edit(copy / "unet/config.json", _diffusers_version="0.2", _name_or_path="/elsewhere")
    assert fingerprints.identity(unet(copy)) == nine
    edit(copy / "model_index.json", unet=["diffusers", "UNet3DConditionModel"])
    assert fingerprints.identity(unet(copy)) != nine


def test_names_of_files_and_the_dtype_to_load_in_are_no_part_of_an_identity(
    model: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    (copy / "unet" / fake_checkpoints.WEIGHTS).rename(copy / "unet" / "model.safetensors")
    assert fingerprints.identity(unet(copy)) == fingerprints.identity(unet(model))
    assert fingerprints.identity(unet(model, dtype="float16")) == fingerprints.identity(unet(model))


def test_a_variant_picks_its_files(model: Path) -> None:
    (model / "unet/diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half")
    (model / "unet/diffusion_pytorch_model.fp16-00002-of-00002.safetensors").write_bytes(b"2")
    (model / "unet/diffusion_pytorch_model.fp16x.safetensors").write_bytes(b"no")
    assert [path.name for path in checkpoint_files.files(unet(model))] == [fake_checkpoints.WEIGHTS]
    chosen = checkpoint_files.files(unet(model, variant="fp16"))
    assert [path.name.split(".")[1] for path in chosen] == ["fp16-00002-of-00002", "fp16"]
    assert fingerprints.identity(unet(model, variant="fp16")) != fingerprints.identity(unet(model))
    with pytest.raises(CheckpointError, match="wanted bf16; remove the variant"):
        checkpoint_files.files(unet(model, variant="bf16"))


def test_weights_in_a_variant_alone_say_to_set_it(model: Path) -> None:
    (model / "unet" / fake_checkpoints.WEIGHTS).rename(model / "unet/model.fp16.safetensors")
    with pytest.raises(CheckpointError, match=r"only model\.fp16.*set the checkpoint's variant"):
        checkpoint_files.check(unet(model))


def test_a_cached_checkpoint_without_the_variant_must_be_fetched(hub: Path, model: Path) -> None:
    fake_checkpoints.in_hub_cache(hub, "org/name", model)
    assert checkpoint_files.must_fetch(Checkpoint("org/name", variant="fp16"))
    checkpoint_files.check(unet("org/name", variant="fp16"))  # it may come from the hub
    with pytest.raises(CheckpointError, match="org/name"):
        checkpoint_files.weights(Checkpoint("org/name", variant="fp16"))


def test_a_half_fetched_checkpoint_must_be_fetched(hub: Path, model: Path) -> None:
    snapshot = fake_checkpoints.in_hub_cache(hub, "org/name", model)
    (snapshot / "vae" / fake_checkpoints.WEIGHTS).unlink()
    assert checkpoint_files.must_fetch(Checkpoint("org/name"))
    shutil.rmtree(snapshot / "vae")
    assert checkpoint_files.must_fetch(Checkpoint("org/name"))


@pytest.mark.parametrize("suffix", ["bin", "ckpt", "pt", "pth"])
def test_pickles_are_refused(model: Path, suffix: str) -> None:
    (model / "unet" / fake_checkpoints.WEIGHTS).rename(
        model / f"unet/diffusion_pytorch_model.{suffix}"
    )
    with pytest.raises(CheckpointError, match="pickles, which can run code"):
        checkpoint_files.check(unet(model))


def test_pickles_beside_safetensors_are_passed_over(model: Path) -> None:
    (model / "unet/diffusion_pytorch_model.bin").write_bytes(b"evil")
    assert [path.suffix for path in checkpoint_files.files(unet(model))] == [".safetensors"]


@pytest.mark.parametrize(
    "entry",
    [
        ["my_module", "UNet"],
        ["os", "system"],
        ["diffusers", "a.b"],
        ["diffusers", 3],
        ["diffusers.evil", "UNet"],
        ["diffusers_modules", "UNet"],
        [None, "UNet"],
    ],
)
def test_classes_of_other_libraries_are_refused(model: Path, entry: list[Any]) -> None:
    edit(model / "model_index.json", unet=entry)
    with pytest.raises(CheckpointError, match="custom code from checkpoints is never run"):
        checkpoint_files.check(unet(model))


@pytest.mark.parametrize(
    "config",
    [
        {"_class_name": ["evil", "UNet"]},
        {"architectures": []},
        {"architectures": {"a": 1}},
        {"architectures": ["a.b"]},
        {"_class_name": 7},
        {},
    ],
)
def test_a_single_model_must_name_a_class(tmp_path: Path, config: dict[str, Any]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="its class is"):
        checkpoint_files.class_of(Part(Checkpoint(str(tmp_path))))


def test_a_single_model_is_a_checkpoint_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["DPTForDepthEstimation"]}')
    weights = fake_checkpoints.safetensors(b"abc")
    (tmp_path / "model.safetensors").write_bytes(weights)
    part = Part(Checkpoint(str(tmp_path)))
    assert checkpoint_files.class_of(part) == ("transformers", "DPTForDepthEstimation")
    assert checkpoint_files.components(part.checkpoint) == ()
    assert checkpoint_files.size(part) == len(weights)
    checkpoint_files.check(part)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"{", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"", "damaged"),
        (b"[1]", "wanted a JSON object"),
        (b"[" * 100_000, "damaged"),
    ],
)
def test_damaged_json_is_told(model: Path, text: bytes, told: str) -> None:
    (model / "model_index.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=told):
        checkpoint_files.components(Checkpoint(str(model)))


@pytest.mark.parametrize("source", ["./none", "/none/at/all", "~/none", "a/b/c", "~nobody/x"])
def test_a_missing_folder_is_told(source: str) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        checkpoint_files.configs(Checkpoint(source))


@pytest.mark.parametrize("source", ["two words", "a//b", "org/na me", "-x/y", "a..b/c", "é/x"])
def test_a_source_that_no_hub_could_know_is_told(source: str) -> None:
    with pytest.raises(CheckpointError):
        checkpoint_files.configs(Checkpoint(source))


def test_an_unknown_shipped_name_suggests_the_nearest() -> None:
    with pytest.raises(CheckpointError, match="did you mean 'tiny/inpaint'"):
        checkpoint_files.configs(Checkpoint("tiny/inpant"))


def test_offline_a_checkpoint_that_is_not_here_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        checkpoint_files.configs(Checkpoint("org/none"))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert checkpoint_files.configs(Checkpoint("org/none")) is None
    assert checkpoint_files.must_fetch(Checkpoint("org/none"))
    assert fingerprints.identity(unet("org/none")) != fingerprints.identity(unet("org/other"))
    with pytest.raises(CheckpointError, match="cannot be fetched from the hub"):
        checkpoint_files.weights(Checkpoint("org/none"))


def test_an_incomplete_local_folder_is_told_and_never_fetched(model: Path) -> None:
    shutil.rmtree(model / "unet")
    assert not checkpoint_files.must_fetch(Checkpoint(str(model)))
    with pytest.raises(CheckpointError, match="no folder"):
        checkpoint_files.check(unet(model))
    with pytest.raises(CheckpointError, match="no safetensors for unet"):
        checkpoint_files.weights(Checkpoint(str(model)))


def test_a_component_without_weights_is_told(model: Path) -> None:
    (model / "unet" / fake_checkpoints.WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        checkpoint_files.check(unet(model))


def test_a_part_that_the_index_does_not_name_is_told(model: Path) -> None:
    with pytest.raises(CheckpointError, match="has no part 'vea'"):
        checkpoint_files.class_of(Part(Checkpoint(str(model)), "vea"))


def test_a_shipped_checkpoint_without_its_weights_is_told_and_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_checkpoints.checkpoint(
        tmp_path / "inpaint", unet=fake_checkpoints.safetensors(b"u"), vae=b"v"
    )
    monkeypatch.setattr(shipped, "_SHIPPED", tmp_path)
    monkeypatch.setattr(shipped, "names", lambda: ("tiny/inpaint",))
    checkpoint_files.check(unet("tiny/inpaint"))
    (folder / "unet" / fake_checkpoints.WEIGHTS).unlink()
    with pytest.raises(CheckpointError) as caught:
        checkpoint_files.check(unet("tiny/inpaint"))
    assert str(caught.value).splitlines() == [
        "tiny/inpaint/unet",
        "  found:  no weights",
        f"  wanted: safetensors in {folder / 'unet'}",
        "  fix:    fetch, copy or install the checkpoint again",
    ]
    assert not checkpoint_files.must_fetch(Checkpoint("tiny/inpaint"))
    with pytest.raises(CheckpointError, match="no safetensors for unet"):
        checkpoint_files.weights(Checkpoint("tiny/inpaint"))


def adapter(path: Path, content: bytes = b"\0" * 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = json.dumps(
        {"unet.a.lora_A.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, len(content)]}}
    ).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content)
    return path


def test_an_adapter_is_known_by_its_content_alone(tmp_path: Path) -> None:
    one = Part(Lora(adapter(tmp_path / "a" / "pytorch_lora_weights.safetensors").parent))
    copy = Part(Lora(adapter(tmp_path / "b.safetensors")))
    other = Part(Lora(adapter(tmp_path / "c.safetensors", b"\1" * 8)))
    assert fingerprints.identity(one) == fingerprints.identity(copy) != fingerprints.identity(other)
    assert not checkpoint_files.must_fetch(one.checkpoint) and checkpoint_files.size(one) == 0
    assert checkpoint_files.files(copy) == (tmp_path / "b.safetensors",)
    checkpoint_files.check(one)


def test_an_adapter_in_the_hub_cache_is_known_by_its_name(hub: Path, tmp_path: Path) -> None:
    name = "pytorch_lora_weights.safetensors"
    adapter(tmp_path / "style" / name)
    snapshot = fake_checkpoints.in_hub_cache(hub, "org/style", tmp_path / "style")
    found = Part(Lora("org/style"))
    assert checkpoint_files.files(found) == (snapshot / name,)
    assert fingerprints.identity(found) == fingerprints.identity(Part(Lora(tmp_path / "style")))
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        checkpoint_files.must_fetch(Lora("org/style", file="other.safetensors"))


def test_an_adapter_of_the_hub_is_fetched_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert checkpoint_files.must_fetch(Lora("org/none"))
    assert fingerprints.identity(Part(Lora("org/none")))
    with pytest.raises(CheckpointError, match="org/none") as caught:
        checkpoint_files.weights(Lora("org/none"))
    assert caught.value.problem and "cannot be fetched from the hub" in caught.value.problem.found


@pytest.mark.parametrize("cut", [0, 4, 8, 20, -1])
def test_an_adapter_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = adapter(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        checkpoint_files.check(Part(Lora(path)))
