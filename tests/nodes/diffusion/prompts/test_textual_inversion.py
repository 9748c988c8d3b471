"""Textual inversions in pickles: read with --allow-pickle, as safe as safetensors, else refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models.formats import pickles
from sdgraph.nodes import Text2Image
from sdgraph.values import Image, Lora
from tests.nodes.diffusion.test_pickles import Evil
from tests.support.failing_runs import refused_before_load
from tests.support.lora_files import lora, tensors, write

pytestmark = pytest.mark.torch
BASES = {"sd": "tiny/text-to-image", "xl": "tiny/sdxl"}


def node(file: Path, word: str = "style", family: str = "sd") -> Text2Image:
    base = Checkpoint(BASES[family])
    prompt = f"a {word} star"
    return Text2Image(
        prompt=prompt, checkpoint=base, embeddings=[Lora(file)], steps=1, width=64, height=64
    )


def vectors(*names: str) -> dict[str, Any]:
    draw = np.random.default_rng(5)
    return {name: draw.normal(0, 1, (2, 64)).astype(np.float32) for name in names}


def saved(path: Path, content: object, **options: Any) -> Path:
    import torch

    torch.save(content, path, **options)
    return path


def as_a1111_writes(vector: Any) -> dict[str, Any]:
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": vector.requires_grad_()},
        "name": "another-name",
        "step": 500,
        "sd_checkpoint": "7460a6fa",
        "sd_checkpoint_name": "sd-v1-4",
    }


@pytest.mark.parametrize(
    ("suffix", "word", "family"),
    [
        ("pt", "style", "sd"),
        ("bin", "<cat>", "sd"),
        ("pt", "style", "xl"),
        ("old.pt", "style.old", "sd"),
    ],
)
def test_a_pickle_gives_the_picture_of_its_safetensors(
    tmp_path: Path, session: Session, suffix: str, word: str, family: str
) -> None:
    import torch

    names = ("clip_l", "clip_g") if family == "xl" else ("emb_params",)
    arrays = vectors(*names)
    (tmp_path / "safe").mkdir()
    expected: Image = run(
        node(write(tmp_path / "safe" / "style.safetensors", arrays), family=family),
        session=session,
    )
    held = {name: torch.tensor(value) for name, value in arrays.items()}
    vector = held[names[0]]
    content: object = held if family == "xl" else as_a1111_writes(vector)
    if suffix == "bin":
        content = {word: vector.detach()}
    old = {"_use_new_zipfile_serialization": False} if suffix == "old.pt" else {}
    path = saved(tmp_path / f"style.{suffix}", content, **old)
    text = refused_before_load(node(path, word, family))
    assert "--allow-pickle" in text and "convert it to safetensors" in text
    with pickles.allow():
        found = run(node(path, word, family), session=session)
        assert "whose word is in no prompt" in refused_before_load(node(path, "red", family))
    assert (found.numpy == expected.numpy).all()


def test_code_in_it_is_never_run(tmp_path: Path) -> None:
    import torch

    marker = tmp_path / "marker"
    content = {**as_a1111_writes(torch.zeros(2, 64)), "more": Evil(marker)}
    path = saved(tmp_path / "style.pt", content)
    with pickles.allow():
        text = refused_before_load(node(path))
    assert "which only code could read" in text and not marker.exists()


def test_what_is_no_embedding_is_refused_in_a_pickle_too(tmp_path: Path) -> None:
    import torch

    wide = saved(tmp_path / "style.pt", as_a1111_writes(torch.zeros(2, 1024)))
    other = saved(tmp_path / "other.pt", {"a": torch.zeros(2, 64), "b": torch.zeros(2, 64)})
    (tmp_path / "noise.pt").write_bytes(b"\xff" * 100)
    with pickles.allow():
        assert "Stable Diffusion 2.x" in refused_before_load(node(wide))
        assert "holds no embedding" in refused_before_load(node(other, "other"))
        assert "its header" in refused_before_load(node(tmp_path / "noise.pt", "noise"))


def test_a_lora_in_a_pickle_is_the_lora(tmp_path: Path, session: Session) -> None:
    import torch

    base = BASES["sd"]
    style = Text2Image(prompt="a", checkpoint=Checkpoint(base), steps=1, width=64, height=64)
    held = {name: torch.tensor(value) for name, value in tensors(base).items()}
    path = saved(tmp_path / "style.bin", held)
    expected = run(style.replace(loras=[lora(tmp_path / "safe", base)]), session=session)
    assert "--allow-pickle" in refused_before_load(style.replace(loras=[Lora(path)]))
    with pickles.allow():
        assert run(style.replace(loras=[Lora(path)]), session=session) == expected
