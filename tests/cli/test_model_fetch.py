"""`models fetch` downloads what a checkpoint needs, from a server with the hub's protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from sdgraph.errors import CheckpointError
from sdgraph.models import resolve_part
from sdgraph.models.sources import hub_downloads
from sdgraph.models.sources.lora_files import fetch_lora, find_lora
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Modular
from sdgraph.values import Checkpoint, Lora
from tests.support import fake_checkpoints, hub_server
from tests.support.command_line import Command, CommandResult
from tests.support.hub_server import COMMIT, HubServer

SOURCE = "someone/small"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A hub with a small checkpoint, with doubles of its weights as published ones have them."""
    server = HubServer()
    server.add(SOURCE, shipped_folder("tiny/inpaint"))
    files = server.repositories[SOURCE]
    weights = files[WEIGHTS]
    files["README.md"] = files["x.png"] = b"not needed"
    files["v1-5-pruned.safetensors"] = files[WEIGHTS.replace(".s", ".non_ema.s")] = weights
    files[WEIGHTS.replace(".s", ".fp16.s")] = files[WEIGHTS.replace("safetensors", "bin")] = weights
    with hub_server.running(server):
        hub_server.use(server, cache, monkeypatch)
        yield server


def fetch(sdgraph: Command, *arguments: str) -> CommandResult:
    return sdgraph("models", "fetch", *arguments, toys=False)


def test_only_what_the_checkpoint_needs_is_downloaded(
    sdgraph: Command, hub: HubServer, cache: Path
) -> None:
    result = fetch(sdgraph, SOURCE)
    assert result.code == 0 and "Traceback" not in result.err
    first, last = result.out.splitlines()
    assert first.startswith("someone/small: ") and " to download to " in first and "free)" in first
    snapshot = cache / f"models--someone--small/snapshots/{COMMIT}"
    assert last == f"someone/small is in {snapshot}"
    names = {path.name for path in shipped_folder("tiny/inpaint").iterdir()}
    assert {path.name for path in snapshot.iterdir()} == names - {"README.md"}
    assert [name for name in hub.downloads if name.startswith("unet/d")] == [WEIGHTS]
    assert (snapshot / WEIGHTS).read_bytes() == hub.repositories[SOURCE][WEIGHTS]
    asked = len(hub.downloads)
    assert "all here" in fetch(sdgraph, SOURCE).out and len(hub.downloads) == asked


def test_a_dry_run_prints_the_bytes_and_downloads_no_weights(
    sdgraph: Command, hub: HubServer
) -> None:
    result = fetch(sdgraph, SOURCE, "--dry-run", "--json")
    data = json.loads(result.out)
    assert hub.downloads == ["model_index.json"] and not data["fetched"]
    names = {file["name"] for file in data["files"]}
    assert WEIGHTS in names and "README.md" not in names and data["commit"] == COMMIT
    needed = sum(len(hub.repositories[SOURCE][name]) for name in names)
    index = len(hub.repositories[SOURCE]["model_index.json"])
    assert (data["bytes"], data["bytes_to_fetch"]) == (needed, needed - index)


def test_a_variant_is_taken_where_there_is_one(sdgraph: Command, hub: HubServer) -> None:
    data = json.loads(fetch(sdgraph, SOURCE, "--variant", "fp16", "--json").out)
    names = {file["name"] for file in data["files"]}
    assert WEIGHTS.replace(".s", ".fp16.s") in names and WEIGHTS not in names
    assert "vae/diffusion_pytorch_model.safetensors" in names
    result = fetch(sdgraph, SOURCE, "--variant", "bf16")
    assert result.code == 1 and "no weights of the variant bf16" in result.err
    assert "fix:    set the variant to one of fp16" in result.err


def test_an_interrupted_download_is_continued(
    sdgraph: Command, hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_downloads, "_SECONDS_BETWEEN_TRIES", 0)
    hub.cut_after, hub.status_after_cut = 50_000, 404
    result = fetch(sdgraph, SOURCE)
    assert result.code == 1 and "no such repository or file" in result.err
    assert len(list(cache.rglob("*.incomplete"))) == 1
    checked = sdgraph("models", "check", toys=False)
    assert checked.code == 2 and f"`sdgraph models fetch {SOURCE}` goes on" in checked.out
    hub.status = hub.status_after_cut = None
    hub.cut_after = 60_000  # within one fetch it goes on by itself
    result = fetch(sdgraph, SOURCE)
    assert result.code == 0 and "of which 50.4 kB are here" in result.out
    assert {"bytes=50000-", "bytes=110000-"} <= set(hub.ranges)
    assert not list(cache.rglob("*.incomplete"))
    assert sdgraph("models", "check", toys=False).code == 0


def test_what_is_here_of_a_file_and_longer_than_it_is_downloaded_again(
    sdgraph: Command, hub: HubServer, cache: Path
) -> None:
    content = hub.repositories[SOURCE][WEIGHTS]
    blobs = cache / "models--someone--small/blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{sha256(content).hexdigest()}.incomplete").write_bytes(content + b"more")
    assert fetch(sdgraph, SOURCE).code == 0
    assert (blobs / sha256(content).hexdigest()).read_bytes() == content
    assert hub.ranges == ["bytes=0-"]


def test_what_was_downloaded_whole_and_not_finished_is_not_downloaded_again(
    sdgraph: Command, hub: HubServer, cache: Path
) -> None:
    content = hub.repositories[SOURCE][WEIGHTS]
    blobs = cache / "models--someone--small/blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{sha256(content).hexdigest()}.incomplete").write_bytes(content)
    assert fetch(sdgraph, SOURCE).code == 0
    assert (blobs / sha256(content).hexdigest()).read_bytes() == content
    assert WEIGHTS not in hub.downloads


def test_a_hash_that_is_a_path_is_refused(
    sdgraph: Command, hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag, large = hub_server._etag, hub_downloads.RESUMED_BYTES
    monkeypatch.setattr(
        hub_server,
        "_etag",
        lambda content: "../../../../outside" if len(content) > large else etag(content),
    )
    result = fetch(sdgraph, SOURCE)
    assert result.code == 1 and "the hash '../../../../outside' of" in result.err
    assert not list(cache.parent.rglob("outside*"))


def test_content_that_was_changed_on_the_way_is_refused(
    sdgraph: Command, hub: HubServer, cache: Path
) -> None:
    hub.wrong_content = True
    result = fetch(sdgraph, SOURCE)
    assert result.code == 1 and "arrived with the sha256" in result.err
    assert not list(cache.rglob("*.incomplete")) and not list(cache.rglob("*.safetensors"))


def test_a_disk_with_too_little_room_is_told_before_anything_is_downloaded(
    sdgraph: Command, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_downloads, "free_bytes", lambda: 100_000)
    result = fetch(sdgraph, SOURCE)
    assert result.code == 1 and hub.downloads == ["model_index.json"]
    assert "to download, and 100 kB free" in result.err and "HF_HOME" in result.err


@pytest.mark.parametrize(
    ("token", "found", "fix"),
    [
        ("", "it is gated, and you are not logged in", "hf auth login"),
        ("hf_other", "your login was not granted access", "accept its licence at http"),
    ],
)
def test_a_gated_repository_says_what_to_do(
    sdgraph: Command,
    hub: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    token: str,
    found: str,
    fix: str,
) -> None:
    hub.gated = frozenset({SOURCE})
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    result = fetch(sdgraph, SOURCE)
    assert result.code == 1 and found in result.err and fix in result.err
    monkeypatch.setenv("HF_TOKEN", hub.granted)
    assert fetch(sdgraph, SOURCE).code == 0
    assert hub.granted not in result.out + result.err


def test_what_the_hub_does_not_have_is_told(
    sdgraph: Command, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = fetch(sdgraph, "someone/smal")
    assert (
        result.code == 1 and "there is no repository of that name, or it is private" in result.err
    )
    result = fetch(sdgraph, SOURCE, "--revision", "old")
    assert result.code == 1 and "it has no revision 'old'" in result.err
    result = fetch(sdgraph, SOURCE, "--file", "unet/model.safetensors")
    assert result.code == 1 and "without unet/model.safetensors" in result.err
    hub.status = 500
    assert "the server has a problem (status 500)" in fetch(sdgraph, SOURCE).err


def test_a_hub_that_is_not_there_is_told(
    sdgraph: Command, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    result = fetch(sdgraph, SOURCE)
    assert result.code == 1 and "the connection to http://127.0.0.1:9 fails" in result.err
    assert "check the network" in result.err and "Traceback" not in result.err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    result = fetch(sdgraph, SOURCE)
    assert result.code == 1 and "HF_HUB_OFFLINE is set" in result.err


@pytest.mark.parametrize(
    "source", ["tiny/inpaint", "random/flux", "./x", "two words", "x.safetensors"]
)
def test_what_is_no_repository_is_refused(sdgraph: Command, hub: HubServer, source: str) -> None:
    result = fetch(sdgraph, source)
    assert result.code == 2 and source in result.err and hub.asked == []


def test_one_file_of_a_repository_is_fetched_by_its_name(sdgraph: Command, hub: HubServer) -> None:
    hub.repositories["org/files"] = {"a/x.safetensors": b"1", "y.gguf": b"2", "README.md": b""}
    result = fetch(sdgraph, "org/files")
    assert result.code == 1 and "--file: a/x.safetensors, y.gguf" in result.err
    result = fetch(sdgraph, "org/files", "--file", "y.gguf")
    assert result.code == 0 and Path(result.out.split(" is in ")[1].strip()).read_bytes() == b"2"


def test_a_run_downloads_the_same_files(sdgraph: Command, hub: HubServer, cache: Path) -> None:
    from sdgraph.models import fetch_checkpoint

    snapshot = fetch_checkpoint(Checkpoint(SOURCE))
    weights = [path for path in snapshot.rglob("*.safetensors") if path.stat().st_size > 100_000]
    assert snapshot / WEIGHTS in weights and not list(snapshot.glob("*.safetensors"))
    assert fetch(sdgraph, SOURCE).out.count("all here") == 1


ADAPTER = fake_checkpoints.safetensors(b"an adapter")


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["pytorch_lora_weights.safetensors", "other.safetensors"], 0),
        (["adapter_model.safetensors", "adapter_config.json", "other.safetensors"], 0),
        (["style-v2.safetensors", "old/style.safetensors", "README.md"], 0),
        (["learned_embeds.safetensors", "learned_embeds.bin", "token_identifier.txt"], 0),
    ],
)
def test_of_an_adapter_its_file_is_fetched_and_found_by_a_run(
    sdgraph: Command, hub: HubServer, names: list[str], taken: int
) -> None:
    hub.repositories["org/adapter"] = {
        name: ADAPTER if name.endswith("safetensors") else b"{}" for name in names
    }
    data = json.loads(fetch(sdgraph, "org/adapter", "--json").out)
    fetched = {file["name"] for file in data["files"]}
    config = {"adapter_config.json"} & set(names)
    assert fetched == {names[taken], *config} and data["bytes_to_fetch"] > 0
    path = find_lora(Lora("org/adapter"))
    assert path is not None and path.name == names[taken]
    assert path.with_name("adapter_config.json").exists() == bool(config)


def test_a_run_fetches_the_same_adapter(hub: HubServer) -> None:
    hub.repositories["org/adapter"] = {"x.safetensors": ADAPTER, "more/y.safetensors": ADAPTER}
    assert find_lora(Lora("org/adapter")) is None
    assert fetch_lora(Lora("org/adapter")).read_bytes() == ADAPTER
    assert hub.downloads == ["x.safetensors"]
    hub.repositories["org/two"] = {"x.safetensors": ADAPTER, "y.safetensors": ADAPTER}
    with pytest.raises(CheckpointError, match=r"x\.safetensors, y\.safetensors"):
        fetch_lora(Lora("org/two"))


def test_an_adapter_of_a_revision_is_found_after_it_was_fetched(hub: HubServer) -> None:
    hub.repositories["org/adapter"] = {"x.safetensors": ADAPTER}
    for revision in ("main", COMMIT):
        lora = Lora("org/adapter", revision=revision)
        path = fetch_lora(lora)
        assert find_lora(lora) == path and path.name == "x.safetensors"


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.fp16", "diffusion_pytorch_model"])
def test_a_control_network_and_a_motion_adapter_are_one_model(
    sdgraph: Command, hub: HubServer, name: str
) -> None:
    config = json.dumps({"_class_name": "MotionAdapter"}).encode()
    files = {
        "config.json": config,
        f"{name}.safetensors": ADAPTER,
        f"{name}.bin": b"",
        "x.png": b"",
    }
    hub.repositories["org/motion"] = files
    variant = ("--variant", "fp16") if "fp16" in name else ()
    data = json.loads(fetch(sdgraph, "org/motion", *variant, "--dry-run", "--json").out)
    assert {file["name"] for file in data["files"]} == {"config.json", f"{name}.safetensors"}


def test_of_a_modular_pipeline_components_in_other_repositories_are_fetched(
    sdgraph: Command, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def entry(name: str, library: str, class_name: str) -> list[object]:
        place = {"pretrained_model_name_or_path": SOURCE, "subfolder": name}
        return [library, class_name, {**place, "type_hint": [library, class_name]}]

    index = {
        "_class_name": "StableDiffusionXLModularPipeline",
        "unet": entry("unet", "diffusers", "UNet2DConditionModel"),
        "vae": entry("vae", "diffusers", "AutoencoderKL"),
        "tokenizer": entry("tokenizer", "transformers", "CLIPTokenizer"),
    }
    own = {f"vae/{name}": hub.repositories[SOURCE][f"vae/{name}"] for name in VAE_FILES}
    text = json.dumps(index).encode()
    hub.repositories["org/modular"] = {"modular_model_index.json": text, **own}
    data = json.loads(fetch(sdgraph, "org/modular", "--dry-run", "--json").out)
    assert {file["name"] for file in data["files"]} == {"modular_model_index.json", *own}
    (other,) = data["others"]
    names = {file["name"] for file in other["files"]}
    assert other["checkpoint"] == SOURCE and {name.split("/")[0] for name in names} == {
        "unet",
        "tokenizer",
    }
    assert WEIGHTS in names and other["bytes_to_fetch"] > data["bytes_to_fetch"]
    with monkeypatch.context() as full:
        full.setattr(hub_downloads, "free_bytes", lambda: other["bytes_to_fetch"])
        assert "to download, and" in fetch(sdgraph, "org/modular").err
    assert hub.downloads == ["modular_model_index.json"]
    result = fetch(sdgraph, "org/modular")
    assert result.code == 0 and f"\n{SOURCE}: " in result.out
    parts = Modular(checkpoint=Checkpoint("org/modular"), prompt="a star").parts()
    assert parts.keys() == {"unet", "vae", "tokenizer"}
    for part in map(resolve_part, parts.values()):
        part.check()
        assert not part.owner.must_fetch


VAE_FILES = ("config.json", "diffusion_pytorch_model.safetensors")
