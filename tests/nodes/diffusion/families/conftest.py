"""What the tests of families share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from sdgraph.nodes.diffusion.random_checkpoints import make_checkpoint


@pytest.fixture(scope="session")
def random_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that makes a checkpoint with random weights by its name, once."""
    folder, made = tmp_path_factory.mktemp("random"), set()

    def make(name: str) -> Path:
        if name not in made:
            make_checkpoint(name, folder / name)
            made.add(name)
        return folder / name

    return make


@pytest.fixture(scope="session")
def ftfy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The package ftfy; where it is not installed, one that leaves every text as it is."""
    if find_spec("ftfy") is not None:
        yield
        return
    from diffusers.pipelines.wan import (
        pipeline_wan_animate,
        pipeline_wan_i2v,
        pipeline_wan_vace,
        pipeline_wan_video2video,
    )

    users = (
        pipeline_wan_animate,
        pipeline_wan_i2v,
        pipeline_wan_vace,
        pipeline_wan_video2video,
    )
    folder = tmp_path_factory.mktemp("packages")
    (folder / "ftfy.py").write_text("def fix_text(text):\n    return text\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        for user in users:
            patch.setattr(user, "ftfy", import_module("ftfy"), raising=False)
        yield
