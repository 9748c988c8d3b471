"""Checkpoints are read without torch; equal weights have one identity wherever they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from sdgraph.errors import CheckpointError
from sdgraph.models import fetch_checkpoint, part_warnings, resolve, resolve_part
from sdgraph.models.sources import shipped
from sdgraph.values import Checkpoint, Part
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
    assert resolve(checkpoint).root == model == fetch_checkpoint(checkpoint)
    assert resolve(checkpoint).components == ("unet", "vae")
    assert resolve_part(unet(model)).library_and_class == ("diffusers", "UNet2DConditionModel")
    assert resolve_part(unet(model)).file_bytes == 100 and not resolve(checkpoint).must_fetch


def test_the_hub_cache_is_found_by_name_and_revision(hub: Path, model: Path) -> None:
    snapshot = fake_checkpoints.in_hub_cache(hub, "org/name", model)
    for revision in (None, "main", "a" * 40):
        checkpoint = Checkpoint("org/name", revision=revision)
        assert resolve(checkpoint).root == snapshot
        assert not resolve(checkpoint).must_fetch
        assert fetch_checkpoint(checkpoint) == snapshot
    assert resolve_part(unet("org/name")).file_bytes == 100


def test_an_identity_is_the_same_in_a_folder_and_in_the_hub_cache(hub: Path, model: Path) -> None:
    fake_checkpoints.in_hub_cache(hub, "org/name", model)
    assert resolve_part(unet(model)).fingerprint == resolve_part(unet("org/name")).fingerprint


def test_a_hub_cache_tells_an_identity_without_reading_the_weights(hub: Path, model: Path) -> None:
    snapshot = fake_checkpoints.in_hub_cache(hub, "org/name", model)
    before = resolve_part(unet("org/name")).fingerprint
    (snapshot / "unet" / fake_checkpoints.WEIGHTS).resolve().write_bytes(
        b"other bytes under the old name"
    )
    assert resolve_part(unet("org/name")).fingerprint == before


def test_an_identity_hangs_on_weights_config_and_class(model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    fingerprint = resolve_part(unet(model)).fingerprint
    assert resolve_part(unet(copy)).fingerprint == fingerprint
    (copy / "unet" / fake_checkpoints.WEIGHTS).write_bytes(b"x" * 100)  # as long as before
    assert resolve_part(unet(copy)).fingerprint != fingerprint
    shutil.copy(model / "unet" / fake_checkpoints.WEIGHTS, copy / "unet" / fake_checkpoints.WEIGHTS)
    assert resolve_part(unet(copy)).fingerprint == fingerprint
    edit(copy / "unet/config.json", in_channels=9)
    assert resolve_part(unet(copy)).fingerprint != fingerprint
    edit(copy / "unet/config.json", in_channels=9, _diffusers_version="0.1")
    nine = resolve_part(unet(copy)).fingerprint
    edit(copy / "unet/config.json", _diffusers_version="0.2", _name_or_path="/elsewhere")
    assert resolve_part(unet(copy)).fingerprint == nine
    edit(copy / "model_index.json", unet=["diffusers", "UNet3DConditionModel"])
    assert resolve_part(unet(copy)).fingerprint != nine


def test_names_of_files_and_the_dtype_to_load_in_are_no_part_of_an_identity(
    model: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(model, tmp_path / "copy"))
    (copy / "unet" / fake_checkpoints.WEIGHTS).rename(copy / "unet" / "model.safetensors")
    assert resolve_part(unet(copy)).fingerprint == resolve_part(unet(model)).fingerprint
    assert (
        resolve_part(unet(model, dtype="float16")).fingerprint
        == resolve_part(unet(model)).fingerprint
    )


def test_a_variant_picks_its_files(model: Path) -> None:
    (model / "unet/diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half")
    (model / "unet/diffusion_pytorch_model.fp16-00002-of-00002.safetensors").write_bytes(b"2")
    (model / "unet/diffusion_pytorch_model.fp16x.safetensors").write_bytes(b"no")
    assert [path.name for path in resolve_part(unet(model)).files] == [fake_checkpoints.WEIGHTS]
    chosen = resolve_part(unet(model, variant="fp16")).files
    assert [path.name.split(".")[1] for path in chosen] == ["fp16-00002-of-00002", "fp16"]
    assert (
        resolve_part(unet(model, variant="fp16")).fingerprint
        != resolve_part(unet(model)).fingerprint
    )
    with pytest.raises(CheckpointError, match=r"the variant 'bf16'\n.* remove the variant"):
        _ = resolve_part(unet(model, variant="bf16")).files


def test_a_variant_of_some_parts_leaves_the_others_their_plain_weights(model: Path) -> None:
    half = model / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    half.write_bytes(fake_checkpoints.safetensors(b"half"))
    checkpoint = Checkpoint(model, variant="fp16")
    unet_part, vae = (resolve_part(Part(checkpoint, name)) for name in ("unet", "vae"))
    assert [path.name for path in unet_part.files] == [half.name] and not unet_part.lacks_variant
    assert [path.name for path in vae.files] == [fake_checkpoints.WEIGHTS] and vae.lacks_variant
    assert not resolve(checkpoint).must_fetch and fetch_checkpoint(checkpoint) == model
    (warning,) = part_warnings([unet_part, vae])
    assert warning.as_line() == (
        f"{model}: no weights of the variant fp16 for vae; the plain ones are used"
    )
    assert list(part_warnings([resolve_part(unet(model))])) == []


def test_a_variant_that_no_part_has_names_those_that_are_there(model: Path) -> None:
    (model / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="write one of fp16, or remove the variant"):
        _ = resolve_part(unet(model, variant="bf16")).files


def test_a_cached_checkpoint_with_the_variant_of_some_parts_is_whole(
    hub: Path, model: Path
) -> None:
    half = model / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    half.write_bytes(fake_checkpoints.safetensors(b"half"))
    fake_checkpoints.in_hub_cache(hub, "org/name", model)
    checkpoint = Checkpoint("org/name", variant="fp16")
    assert not resolve(checkpoint).must_fetch
    assert resolve_part(Part(checkpoint, "vae")).lacks_variant


def test_plain_weights_are_fetched_for_parts_that_lack_the_variant(
    hub: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = model / "unet" / "diffusion_pytorch_model.fp16.safetensors"
    half.write_bytes(fake_checkpoints.safetensors(b"half"))
    plain = model / "vae" / fake_checkpoints.WEIGHTS
    content = plain.read_bytes()
    plain.unlink()
    fetched: list[list[str]] = []

    def download(
        source: str, revision: str | None, *, allow_patterns: list[str], **more: Any
    ) -> Path:
        fetched.append(allow_patterns)
        if "vae/*.safetensors" in allow_patterns:
            plain.write_bytes(content)
        return model

    monkeypatch.setattr("sdgraph.models.sources.hub_downloads.download_matching", download)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert fetch_checkpoint(Checkpoint("org/name", variant="fp16")) == model
    assert fetched[0] == ["model_index.json"]
    assert fetched[1][-1] == "*/*.fp16*.safetensors"
    assert fetched[2:] == [["vae/*.safetensors"]]


def test_a_checkpoint_that_is_not_here_is_told_and_not_guessed(
    monkeypatch: pytest.MonkeyPatch, hub: Path, model: Path
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    parts = [resolve_part(Part(Checkpoint("org/none"), name)) for name in ("unet", "vae")]
    (warning,) = part_warnings(parts)
    assert warning.subject == "org/none" and warning.found == "not here, not checked"
    snapshot = fake_checkpoints.in_hub_cache(hub, "org/name", model)
    (snapshot / "vae" / fake_checkpoints.WEIGHTS).unlink()
    (warning,) = part_warnings([resolve_part(unet("org/name"))])
    assert warning.found == "its weights are not all here, and not checked"


def test_weights_in_a_variant_alone_say_to_set_it(model: Path) -> None:
    (model / "unet" / fake_checkpoints.WEIGHTS).rename(model / "unet/model.fp16.safetensors")
    with pytest.raises(CheckpointError, match=r"only model\.fp16(.|\n)*set the checkpoint"):
        resolve_part(unet(model)).check()


def test_a_cached_checkpoint_without_the_variant_must_be_fetched(hub: Path, model: Path) -> None:
    fake_checkpoints.in_hub_cache(hub, "org/name", model)
    assert resolve(Checkpoint("org/name", variant="fp16")).must_fetch
    resolve_part(unet("org/name", variant="fp16")).check()  # it may come from the hub
    with pytest.raises(CheckpointError, match="org/name"):
        fetch_checkpoint(Checkpoint("org/name", variant="fp16"))


def test_a_half_fetched_checkpoint_must_be_fetched(hub: Path, model: Path) -> None:
    snapshot = fake_checkpoints.in_hub_cache(hub, "org/name", model)
    (snapshot / "vae" / fake_checkpoints.WEIGHTS).unlink()
    assert resolve(Checkpoint("org/name")).must_fetch
    shutil.rmtree(snapshot / "vae")
    assert resolve(Checkpoint("org/name")).must_fetch


@pytest.mark.parametrize("suffix", ["bin", "ckpt", "pt", "pth"])
def test_pickles_are_refused(model: Path, suffix: str) -> None:
    (model / "unet" / fake_checkpoints.WEIGHTS).rename(
        model / f"unet/diffusion_pytorch_model.{suffix}"
    )
    with pytest.raises(CheckpointError, match="pickles, which can run code"):
        resolve_part(unet(model)).check()


def test_pickles_next_to_safetensors_are_ignored(model: Path) -> None:
    (model / "unet/diffusion_pytorch_model.bin").write_bytes(b"evil")
    assert [path.suffix for path in resolve_part(unet(model)).files] == [".safetensors"]


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
        resolve_part(unet(model)).check()


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
    with pytest.raises(CheckpointError, match=r"its class is|_class_name|a list of names"):
        _ = resolve_part(Part(Checkpoint(str(tmp_path)))).library_and_class


def test_a_single_model_is_a_checkpoint_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["DPTForDepthEstimation"]}')
    weights = fake_checkpoints.safetensors(b"abc")
    (tmp_path / "model.safetensors").write_bytes(weights)
    part = Part(Checkpoint(str(tmp_path)))
    assert resolve_part(part).library_and_class == ("transformers", "DPTForDepthEstimation")
    assert resolve(part.checkpoint).components == ()
    assert resolve_part(part).file_bytes == len(weights)
    resolve_part(part).check()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"", "damaged"),
        (b"[1]", "wanted: a JSON object"),
        (b"[" * 100_000, "damaged"),
    ],
)
def test_damaged_json_is_reported(model: Path, text: bytes, message: str) -> None:
    (model / "model_index.json").write_bytes(text)
    with pytest.raises(CheckpointError, match=message):
        _ = resolve(Checkpoint(str(model))).components


@pytest.mark.parametrize("source", ["./none", "/none/at/all", "~/none", "a/b/c", "~nobody/x"])
def test_a_missing_folder_is_reported(source: str) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        _ = resolve(Checkpoint(source)).root


@pytest.mark.parametrize("source", ["two words", "a//b", "org/na me", "-x/y", "a..b/c", "é/x"])
def test_a_source_that_no_hub_could_have_is_reported(source: str) -> None:
    with pytest.raises(CheckpointError):
        _ = resolve(Checkpoint(source)).root


def test_an_unknown_shipped_name_suggests_the_nearest() -> None:
    with pytest.raises(CheckpointError, match="did you mean 'tiny/inpaint'"):
        _ = resolve(Checkpoint("tiny/inpant")).root


def test_offline_a_checkpoint_that_is_not_in_the_cache_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        _ = resolve(Checkpoint("org/none")).root
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert resolve(Checkpoint("org/none")).root is None
    assert resolve(Checkpoint("org/none")).must_fetch
    assert resolve_part(unet("org/none")).fingerprint != resolve_part(unet("org/other")).fingerprint
    with pytest.raises(CheckpointError, match="cannot be fetched from the hub"):
        fetch_checkpoint(Checkpoint("org/none"))


def test_an_incomplete_local_folder_is_reported_and_never_fetched(model: Path) -> None:
    shutil.rmtree(model / "unet")
    assert not resolve(Checkpoint(str(model))).must_fetch
    with pytest.raises(CheckpointError, match="no folder"):
        resolve_part(unet(model)).check()
    with pytest.raises(CheckpointError, match="no safetensors for unet"):
        fetch_checkpoint(Checkpoint(str(model)))


def test_a_component_without_weights_is_reported(model: Path) -> None:
    (model / "unet" / fake_checkpoints.WEIGHTS).unlink()
    with pytest.raises(CheckpointError, match="no weights"):
        resolve_part(unet(model)).check()


def test_a_part_that_the_index_does_not_name_is_reported(model: Path) -> None:
    with pytest.raises(CheckpointError, match="no part 'vea'"):
        _ = resolve_part(Part(Checkpoint(str(model)), "vea")).library_and_class


def test_a_shipped_checkpoint_without_its_weights_is_reported_and_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_checkpoints.checkpoint(
        tmp_path / "inpaint", unet=fake_checkpoints.safetensors(b"u"), vae=b"v"
    )
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path)
    monkeypatch.setattr(shipped, "shipped_names", lambda: ("tiny/inpaint",))
    resolve_part(unet("tiny/inpaint")).check()
    (folder / "unet" / fake_checkpoints.WEIGHTS).unlink()
    with pytest.raises(CheckpointError) as caught:
        resolve_part(unet("tiny/inpaint")).check()
    assert str(caught.value).splitlines() == [
        "tiny/inpaint/unet",
        "  found:  no weights",
        f"  wanted: safetensors in {folder / 'unet'}",
        "  fix:    fetch, copy or install the checkpoint again",
    ]
    assert not resolve(Checkpoint("tiny/inpaint")).must_fetch
    with pytest.raises(CheckpointError, match="no safetensors for unet"):
        fetch_checkpoint(Checkpoint("tiny/inpaint"))
