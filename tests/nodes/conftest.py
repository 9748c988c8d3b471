"""What the node library's tests share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdgraph import Checkpoint, Session
from sdgraph.models.sources.shipped import shipped_folder
from tests.support.photos import MODES, picture, save_in_mode


@pytest.fixture(scope="session")
def session() -> Session:
    """A session that all tests share, so that each runs after others; it remembers no result."""
    return Session(device="cpu", store=None)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Each mode of a picture file."""
    return str(request.param)


@pytest.fixture
def photo_file(mode: str, tmp_path: Path) -> Path:
    """A file with a real photo of odd size (75 × 53 when upright) in each mode."""
    return save_in_mode(picture(75, 53, "cat"), mode, tmp_path)


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[str], Path]:
    """Copies a shipped checkpoint to a folder that may be spoilt."""

    def copy(name: str) -> Path:
        target = tmp_path / name.replace("/", "-")
        return Path(shutil.copytree(shipped_folder(name), target))

    return copy


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The hub switched off and its cache empty; returns the cache's folder."""
    import huggingface_hub.constants as constants

    cache = tmp_path / "hub"
    cache.mkdir()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return cache


@pytest.fixture(scope="session")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    """Two ControlNets that fit tiny/text-to-image and, unlike fresh ones, do something."""
    folder = tmp_path_factory.mktemp("networks")
    return _network("tiny/text-to-image", folder / "one"), _network(
        "tiny/text-to-image", folder / "other", seed=4
    )


@pytest.fixture(scope="session")
def xl_network(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A ControlNet that fits tiny/sdxl and does something."""
    return _network("tiny/sdxl", tmp_path_factory.mktemp("networks") / "xl")


def _network(base: str, path: Path, seed: int = 3) -> Checkpoint:
    """Writes a ControlNet for a base whose zero convolutions are not zero."""
    import diffusers
    import torch

    unet = diffusers.UNet2DConditionModel.from_pretrained(shipped_folder(base) / "unet")
    network = diffusers.ControlNetModel.from_unet(
        unet, conditioning_embedding_out_channels=(8, 16, 32)
    )
    draw = torch.Generator("cpu").manual_seed(seed)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "controlnet" in name:
                weights.copy_(torch.randn(weights.shape, generator=draw) * 0.3)
    network.save_pretrained(path)
    return Checkpoint(path)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """One OpenMP thread: many are slower on a busy machine."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    yield
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
