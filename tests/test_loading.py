"""Loading does what the libraries would do over again only once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint
from sdgraph.checkpoints import Part
from sdgraph.loading import load_quietly


def test_a_second_text_encoder_of_a_kind_compiles_no_patterns_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=100, hidden_size=8, intermediate_size=8, num_attention_heads=2,
        num_hidden_layers=48, eos_token_id=99, bos_token_id=98,
    )  # fmt: skip  # 48 layers of 16 tensors: more than Python remembers
    transformers.CLIPTextModel(config).save_pretrained(tmp_path / "text_encoder")
    (tmp_path / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionPipeline",'
        ' "text_encoder": ["transformers", "CLIPTextModel"]}'
    )
    part = Part(Checkpoint(tmp_path), "text_encoder")
    compiled: list[Any] = []
    compiler: Any = re._compiler  # type: ignore[attr-defined]
    real = compiler.compile

    def counted(*arguments: Any) -> Any:
        compiled.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(compiler, "compile", counted)
    limit = re._MAXCACHE  # type: ignore[attr-defined]
    re.purge()
    load_quietly(part, "float32", "cpu")
    first = len(compiled)
    load_quietly(part, "float32", "cpu")
    assert first > limit
    assert len(compiled) - first < first / 20
    assert limit == re._MAXCACHE  # type: ignore[attr-defined]
