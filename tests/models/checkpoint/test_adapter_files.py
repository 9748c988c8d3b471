"""The files of adapters are found, known by their content, and refused if they are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdgraph.errors import CheckpointError
from sdgraph.models import fetch_checkpoint, resolve, resolve_part
from sdgraph.values import Lora, Part
from tests.support import fake_checkpoints

from .test_checkpoint_files import hub

__all__ = ["hub"]


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
    assert (
        resolve_part(one).fingerprint
        == resolve_part(copy).fingerprint
        != resolve_part(other).fingerprint
    )
    assert not resolve(one.checkpoint).must_fetch and resolve_part(one).file_bytes == 0
    assert resolve_part(copy).files == (tmp_path / "b.safetensors",)
    resolve_part(one).check()


def test_an_adapter_in_the_hub_cache_is_known_by_its_name(hub: Path, tmp_path: Path) -> None:
    name = "pytorch_lora_weights.safetensors"
    adapter(tmp_path / "style" / name)
    snapshot = fake_checkpoints.in_hub_cache(hub, "org/style", tmp_path / "style")
    part = Part(Lora("org/style"))
    assert resolve_part(part).files == (snapshot / name,)
    assert (
        resolve_part(part).fingerprint == resolve_part(Part(Lora(tmp_path / "style"))).fingerprint
    )
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE"):
        _ = resolve(Lora("org/style", file="other.safetensors")).must_fetch


def test_an_adapter_of_the_hub_is_fetched_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert resolve(Lora("org/none")).must_fetch
    assert resolve_part(Part(Lora("org/none"))).fingerprint
    with pytest.raises(CheckpointError, match="org/none") as caught:
        fetch_checkpoint(Lora("org/none"))
    assert "cannot be fetched from the hub" in caught.value.problems[0].found


@pytest.mark.parametrize("cut", [0, 4, 8, 20, -1])
def test_an_adapter_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = adapter(tmp_path / "a.safetensors")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        resolve_part(Part(Lora(path))).check()
