"""What is compiled survives the process, under sdgraph's own folder or where the user said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdgraph.nodes.diffusion.tuning.compile_cache import keep_compiled_code

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def test_compiled_code_is_kept_beside_results_unless_the_user_named_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv(VARIABLE, "elsewhere")
    keep_compiled_code()
    assert os.environ[VARIABLE] == "elsewhere" and not (tmp_path / "home").exists()
    monkeypatch.delenv(VARIABLE)
    keep_compiled_code()
    assert os.environ[VARIABLE] == str(tmp_path / "home" / "compiled")
    assert (tmp_path / "home" / "compiled").is_dir()


def test_a_folder_that_cannot_be_made_leaves_torch_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "file"))
    monkeypatch.delenv(VARIABLE, raising=False)
    keep_compiled_code()
    assert VARIABLE not in os.environ
