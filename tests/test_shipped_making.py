"""Weights made at random where the package holds none: the same ones everywhere, all or nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sdgraph import shipped
from sdgraph.errors import CheckpointError

MAKE_ALL = "for name in shipped.names(): print(shipped.folder(name))"


@pytest.fixture(scope="module", autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package's checkpoints without any weights, in the place of the real ones."""
    bare = tmp_path_factory.mktemp("package") / "tiny"
    shutil.copytree(shipped._SHIPPED, bare, ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "_SHIPPED", bare)
        yield bare


@pytest.fixture(scope="module")
def family(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """Every checkpoint's folder by its name, made once for all tests of this file."""
    assert package.is_dir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SDGRAPH_HOME", str(tmp_path_factory.mktemp("home")))
        yield {name: shipped.folder(name) for name in shipped.names()}


def digests(folder: Path) -> dict[str, str]:
    """The digest of every file below `folder` by its path from there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def python(code: str, package: Path, home: Path) -> subprocess.Popen[str]:
    """A fresh interpreter that runs `code` on those checkpoints with its cache in `home`."""
    root = Path(shipped.__file__).parents[1]
    environment = {**os.environ, "SDGRAPH_HOME": str(home), "PYTHONPATH": str(root)}
    opening = (
        "import os, pathlib\nfrom sdgraph import shipped\n"
        f"shipped._SHIPPED = pathlib.Path({str(package)!r})\n"
    )
    command = [sys.executable, "-c", opening + code]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)


def test_configs_are_copied_byte_for_byte(family: dict[str, Path]) -> None:
    for name, folder in family.items():
        made = digests(folder)
        shipped_files = digests(shipped.configs(name))
        assert shipped_files.items() <= made.items()
        assert all(path.endswith(".safetensors") for path in made.keys() - shipped_files.keys())


def test_a_second_call_gives_the_same_folder_untouched(family: dict[str, Path]) -> None:
    before = {path: path.stat().st_mtime_ns for path in family["tiny/inpaint"].rglob("*")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shipped, "_make", None)
        assert shipped.folder("tiny/inpaint") == family["tiny/inpaint"]
    assert before == {path: path.stat().st_mtime_ns for path in family["tiny/inpaint"].rglob("*")}


def test_two_processes_at_once_make_the_same_bytes_in_silence(
    family: dict[str, Path], package: Path, tmp_path: Path
) -> None:
    makers = [python(MAKE_ALL, package, tmp_path) for _ in range(2)]
    outputs = [maker.communicate() for maker in makers]
    assert outputs[0] == outputs[1]
    assert outputs[0][1] == ""
    for folder, known in zip(outputs[0][0].splitlines(), family.values(), strict=True):
        assert digests(Path(folder)) == digests(known)
    assert not list(tmp_path.rglob(".making-*"))


def test_threads_that_ask_at_once_get_the_same_bytes(
    family: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path))
    threads = [threading.Thread(target=shipped.folder, args=(name,)) for name in shipped.names()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in shipped.names():
        assert digests(shipped.folder(name)) == digests(family[name])


def test_the_second_of_two_makers_keeps_what_the_first_made(
    family: dict[str, Path], tmp_path: Path
) -> None:
    files = shipped._files(shipped.configs("tiny/controlnet-edges"))
    final = tmp_path / "made" / "controlnet-edges"
    shipped._make(files, final)
    (final / "of the first").touch()
    shipped._make(files, final)
    assert [entry.name for entry in final.parent.iterdir()] == ["controlnet-edges"]
    assert (final / "of the first").exists()


def test_making_leaves_the_state_of_torch_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: dict[str, Path]
) -> None:
    import torch

    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path))
    torch.manual_seed(3)
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        made = shipped.folder("tiny/depth")
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(before, torch.get_rng_state())
    assert digests(made) == digests(family["tiny/depth"])


def test_equal_components_are_equal_bytes_and_others_are_not(family: dict[str, Path]) -> None:
    def of(*parts: str) -> set[str]:
        """The distinct weights of these components."""
        found = [path for part in parts for path in (family[part.split(":")[0]]).rglob("*")]
        wanted = {part.split(":")[1] for part in parts}
        return {
            sha256(path.read_bytes()).hexdigest()
            for path in found
            if path.suffix == ".safetensors" and path.parent.name in wanted
        }

    four = ("tiny/text-to-image", "tiny/inpaint", "tiny/depth", "tiny/text-to-video")
    six = (*four, "tiny/sdxl", "tiny/turbo")
    assert len(of(*(f"{name}:vae" for name in six))) == 1
    assert len(of(*(f"{name}:text_encoder" for name in four))) == 1
    assert len(of("tiny/sdxl:text_encoder", "tiny/turbo:text_encoder")) == 1
    assert len(of("tiny/depth:depth_estimator", "tiny/depth-estimator:depth-estimator")) == 1
    assert len(of(*(f"{name}:unet" for name in six))) == 6
    edges, depth = "controlnet-edges", "controlnet-depth"
    assert len(of(f"tiny/{edges}:{edges}", f"tiny/{depth}:{depth}")) == 2


def test_a_killed_maker_leaves_nothing_that_looks_finished(package: Path, tmp_path: Path) -> None:
    code = "shipped._random_weights = lambda config: os._exit(9)\nshipped.folder('tiny/inpaint')"
    killed = python(code, package, tmp_path)
    killed.communicate()
    assert killed.returncode == 9
    assert not [path for path in tmp_path.glob("tiny/*/*") if not path.name.startswith(".")]


def test_a_failed_make_cleans_up_and_the_next_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: Mapping[str, Any]) -> bytes:
        raise RuntimeError("no memory")

    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(shipped, "_random_weights", fail)
        with pytest.raises(RuntimeError):
            shipped.folder("tiny/controlnet-depth")
    assert not list(tmp_path.glob("tiny/*/*"))
    assert shipped.folder("tiny/controlnet-depth").is_dir()


def test_a_cache_that_cannot_be_written_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(CheckpointError, match="cannot be kept") as caught:
        shipped.folder("tiny/inpaint")
    assert "checkpoint 'tiny/inpaint'" in str(caught.value)
    assert "Not a directory" in str(caught.value)
    assert "SDGRAPH_HOME" in str(caught.value)


def test_lost_weights_are_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path))
    made = shipped.folder("tiny/controlnet-edges")
    (made / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="delete that folder"):
        shipped.folder("tiny/controlnet-edges")


def test_the_package_folder_itself_is_used_when_it_holds_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: dict[str, Path]
) -> None:
    trained = tmp_path / "package" / "mine"
    shipped._make(shipped._files(family["tiny/depth-estimator"]), trained)
    monkeypatch.setattr(shipped, "_SHIPPED", trained.parent)
    monkeypatch.setattr(shipped, "_make", None)
    assert shipped.names() == ("tiny/mine",)
    assert shipped.folder("tiny/mine") == trained


def test_only_the_missing_weights_are_made_and_a_changed_file_moves_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: dict[str, Path]
) -> None:
    package = tmp_path / "package" / "mine"
    files = shipped._files(family["tiny/text-to-image"])
    shipped._make(files, package)
    weights = package / "vae" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    trained = package / "text_encoder" / "model.safetensors"
    trained.write_bytes(b"trained")
    monkeypatch.setattr(shipped, "_SHIPPED", package.parent)
    monkeypatch.setenv("SDGRAPH_HOME", str(tmp_path / "home"))
    first = shipped.folder("tiny/mine")
    assert (first / "text_encoder" / "model.safetensors").read_bytes() == b"trained"
    made = (first / weights.relative_to(package)).read_bytes()
    assert made == files["vae/diffusion_pytorch_model.safetensors"]
    trained.write_bytes(b"trained again")
    second = shipped.folder("tiny/mine")
    assert second != first
    assert (second / "text_encoder" / "model.safetensors").read_bytes() == b"trained again"
