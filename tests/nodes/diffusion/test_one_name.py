"""Two checkpoints of one name are kept apart, or refused before anything is loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Graph, InvalidWorkflowError, Lora, Session, run
from sdgraph.models import ModelCache, fetch_checkpoint
from sdgraph.nodes import ControlNet, Save, Text2Image, TinyWorld, TrainVae
from sdgraph.values import EdgeMap
from tests.support import fake_checkpoints, toys
from tests.support.failing_runs import refused_before_load
from tests.support.lora_files import NAME, lora
from tests.support.photos import photo

BASE = "tiny/text-to-image"


def star(checkpoint: Any = BASE, **more: Any) -> Text2Image:
    return Text2Image(prompt="a red star", steps=1, checkpoint=checkpoint, **more)


def fresh() -> Session:
    return Session(device="cpu", store=None)


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder of this test's own."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def folder_and_hub(working_folder: Path, no_hub: Path) -> Path:
    """`someone/model`, as a folder here with other weights and in the hub's cache; the folder."""
    fake_checkpoints.in_hub_cache(no_hub, "someone/model", fetch_checkpoint(Checkpoint(BASE)))
    folder = Path(
        shutil.copytree(fetch_checkpoint(Checkpoint(BASE)), working_folder / "someone" / "model")
    )
    edit_weights(folder)
    return folder


def edit_weights(folder: Path) -> None:
    import safetensors.numpy

    (path,) = (folder / "unet").glob("*.safetensors")
    held = safetensors.numpy.load_file(path)
    name = min(name for name in held if name.endswith("conv_in.weight"))
    safetensors.numpy.save_file({**held, name: held[name] * 0}, path, metadata={"format": "pt"})


def test_a_folder_and_a_hubs_checkpoint_of_one_name_are_refused_with_a_way_to_each(
    folder_and_hub: Path,
) -> None:
    text = refused_before_load(star("someone/model"))
    assert f"the folder {folder_and_hub}, and a checkpoint of that name from the hub" in text
    assert f"write {folder_and_hub}" in text and "`revision: main`" in text
    session = fresh()
    of_hub = run(star(Checkpoint("someone/model", revision="main")), session=session)
    of_folder = run(star(folder_and_hub), session=session)
    assert of_hub == run(star(), session=session) != of_folder
    assert run(star("./someone/model"), session=session) == of_folder


def test_without_the_other_each_is_taken(folder_and_hub: Path, no_hub: Path) -> None:
    aside = folder_and_hub.rename(folder_and_hub.with_name("aside"))
    assert run(star("someone/model"), session=fresh()) == run(star(), session=fresh())
    aside.rename(folder_and_hub)
    shutil.rmtree(no_hub / "models--someone--model")
    assert run(star("someone/model"), session=fresh()) == run(star(folder_and_hub), session=fresh())
    revised = Checkpoint("someone/model", revision="main")
    assert "not in the hub's cache" in refused_before_load(star(revised))


def test_a_folder_that_no_hub_could_name_is_taken(working_folder: Path, no_hub: Path) -> None:
    shutil.copytree(fetch_checkpoint(Checkpoint(BASE)), working_folder / "my model")
    assert run(star("my model"), session=fresh()) == run(star(), session=fresh())


def test_a_shipped_checkpoint_keeps_its_name_whatever_folder_is_here(working_folder: Path) -> None:
    expected = run(star(), session=fresh())
    edit_weights(Path(shutil.copytree(fetch_checkpoint(Checkpoint(BASE)), working_folder / BASE)))
    assert run(star(), session=fresh()) == expected != run(star(f"./{BASE}"), session=fresh())


def test_a_folder_and_a_hubs_adapter_of_one_name_are_refused(
    working_folder: Path, no_hub: Path
) -> None:
    adapter = Path(lora(working_folder / "someone" / "style", BASE).source)
    other = Path(lora(working_folder / "other", BASE, seed=1).source)
    fake_checkpoints.in_hub_cache(no_hub, "someone/style", other)
    text = refused_before_load(star(loras=["someone/style"]))
    assert f"the folder {adapter}" in text and "revision: main" in text
    session = fresh()
    of_hub = run(star(loras=[Lora("someone/style", revision="main")]), session=session)
    assert of_hub == run(star(loras=[other]), session=session)
    assert of_hub != run(star(loras=[adapter / NAME]), session=session)


def test_one_adapter_put_on_twice_is_put_on_twice(tmp_path: Path) -> None:
    style = lora(tmp_path / "style", BASE).source
    half, session = Lora(style, scale=0.5), fresh()
    twice = run(star(loras=[half, half]), session=session).numpy.astype(int)
    full = run(star(loras=[style]), session=session).numpy.astype(int)
    once = run(star(loras=[half]), session=session).numpy.astype(int)
    assert np.abs(twice - full).max() <= 1 < np.abs(twice - once).max()


def test_one_network_taken_twice_is_two_parts_and_one_component(networks: Any) -> None:
    edges = EdgeMap(photo(64, 64).numpy)
    node = ControlNet(
        prompt="a",
        control=[edges, edges],
        controlnet=[networks[0], networks[0]],
        scale=[0.5, 0.5],
        steps=1,
    )
    assert {"controlnet_0", "controlnet_1"} < set(node.parts())
    session = fresh()
    run(node, session=session)
    names = [component.name for component in session.models.loaded()]
    assert names.count(networks[0].source) == 1


def test_two_checkpoints_to_be_made_in_one_folder_are_refused(working_folder: Path) -> None:
    world = TinyWorld(count=4, seed=0)
    one = TrainVae(data=world, out="out/../vae", steps=1)
    other = TrainVae(data=world, out=working_folder / "vae", steps=2)
    with pytest.raises(InvalidWorkflowError) as caught:
        run(one, other, session=fresh())
    (problem,) = caught.value.problems
    assert problem.subject == "train_vae_2.out"
    assert problem.found == f"{working_folder / 'vae'}, where train_vae writes too"
    assert not (working_folder / "vae").exists()
    assert Graph.of(one, one.replace(out="elsewhere")).check() == []


def test_two_pictures_to_be_saved_in_one_file_are_refused(working_folder: Path) -> None:
    image = photo(8, 8)
    with pytest.raises(InvalidWorkflowError, match="where save writes too"):
        run(Save(image=image, path="a.png"), Save(image=image, path="./a.png", quality=90))
    assert list(working_folder.iterdir()) == []
    # Equal nodes are one.
    run(Save(image=image, path="a.png"), Save(image=image, path="a.png"))


def test_two_contents_of_one_folder_are_two_components_of_one_name(tmp_path: Path) -> None:
    make_folder: Callable[[bytes], Path] = lambda letter: fake_checkpoints.checkpoint(  # noqa: E731
        tmp_path / "model",
        unet=fake_checkpoints.safetensors(letter * 7),
        vae=fake_checkpoints.safetensors(letter * 2),
    )
    cache = ModelCache(fake_checkpoints.Loader(), probe=lambda device: 10**6, reserve=0)
    session = Session(device="cpu", models=cache, store=None)
    for letter in (b"a", b"b"):
        node = toys.Dream(checkpoint=Checkpoint(make_folder(letter)))
        run(node, session=session)
    names = [Path(component.name).name for component in cache.loaded()]
    assert names == ["unet", "vae", "unet", "vae"]
    assert len({component.key for component in cache.loaded()}) == 4
    cache.pin(tmp_path.joinpath("model").as_posix())
    assert {component.why for component in cache.loaded()} == {"pinned"}
