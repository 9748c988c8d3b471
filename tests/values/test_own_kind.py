"""A kind of value that one file of a node pack defines is as good as an image everywhere."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph.cli import main
from sdgraph.errors import InvalidWorkflowError, PackError
from sdgraph.graph import Registry, installed_registry
from sdgraph.language import workflow_from_yaml, workflow_schema
from sdgraph.media import read_provenance
from sdgraph.values import Image, Value, find_kind
from tests.support.audio_pack import Audio, Gain, LoadAudio, SaveAudio, write_tone
from tests.support.processes import forked

PACK = Path(__file__).parents[1] / "support/audio_pack.py"
WORKFLOW = """
name: louder
inputs:
  sound: {type: Audio}
  factor: 2.0
nodes:
  louder: {type: Gain, sound: $inputs.sound, factor: $inputs.factor}
  result: {type: SaveAudio, sound: $louder, path: "out/{sound}_{factor}.wav"}
"""
TONES = """
from sdgraph.graph import Node
from sdgraph.values import Value

class Sound(Value):
    def __init__(self, samples):
        self._set_fields(samples=samples)

class Tone(Node[Sound]):
    def run(self) -> Sound:
        return Sound((1, 2, 3))
"""
SHADOWS = """
from sdgraph.graph import In, Node, SourceFile
from sdgraph.values import Value

class {kind}(Value):
    loader = "LoadImage"
    def __init__(self, path):
        self._set_fields(path=path)

class LoadImage(Node[{kind}]):
    path: SourceFile
    def run(self) -> {kind}:
        return {kind}(str(self.path))

class {kind}Use(Node[{kind}]):
    x: In[{kind}]
    def run(self, x: {kind}) -> {kind}:
        return x
"""
REGISTRY = Registry({cls.__name__: cls for cls in (LoadAudio, Gain, SaveAudio)})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the workflow and two sounds in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "louder.yaml").write_text(WORKFLOW)
    (tmp_path / "sounds").mkdir()
    write_tone(tmp_path / "sounds/low.wav", 0.1)
    write_tone(tmp_path / "sounds/high.wav", 0.3)
    (tmp_path / "sounds/notes.txt").write_text("no sound")
    return tmp_path


Command = Callable[..., str]


@pytest.fixture
def sdgraph(folder: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command with the pack in use, and returns what it prints."""

    def command(verb: str, *arguments: str, pack: Path | None = PACK) -> str:
        nodes = [] if pack is None else ["--nodes", str(pack)]
        with pytest.raises(SystemExit) as ended:
            main([verb, *arguments, *nodes])
        printed = capsys.readouterr()
        assert not ended.value.code, printed
        return printed.out + printed.err

    return command


def load_audio(path: Path) -> Audio:
    return LoadAudio(path=path).run()


def test_it_is_an_input_that_a_file_is_loaded_for_and_it_is_saved(
    folder: Path, sdgraph: Command
) -> None:
    sdgraph("run", "louder.yaml", "sound=sounds/low.wav")
    saved, original = load_audio(folder / "out/low_2.0.wav"), load_audio(folder / "sounds/low.wav")
    assert np.abs(saved.samples - 2 * original.samples).max() < 1e-4 and saved.rate == 8000


def test_a_second_session_finds_it_remembered_and_reads_it_from_the_disk(
    folder: Path, sdgraph: Command
) -> None:
    sdgraph("run", "louder.yaml", "sound=sounds/low.wav")
    before = (folder / "out/low_2.0.wav").read_bytes()
    (folder / "out/low_2.0.wav").unlink()
    events = sdgraph("run", "louder.yaml", "sound=sounds/low.wav", "--json").splitlines()
    reused = [json.loads(line) for line in events if '"louder"' in line]
    assert [event["event"] for event in reused] == ["reused", "released"]
    assert (folder / "out/low_2.0.wav").read_bytes() == before
    assert "Gain" in sdgraph("cache", pack=None)


def test_a_folder_and_a_glob_of_its_files_are_swept(folder: Path, sdgraph: Command) -> None:
    sdgraph("run", "louder.yaml", "sound=@sounds/")
    names = {path.name for path in (folder / "out").glob("*.wav")}
    assert names == {"low_2.0.wav", "high_2.0.wav"}
    sdgraph("run", "louder.yaml", "sound=sounds/h*.wav", "factor=[1, 3]")
    names = {path.name for path in (folder / "out").glob("high*.wav")}
    assert names == {"high_2.0.wav", "high_1.0.wav", "high_3.0.wav"}


def test_a_saved_sound_carries_its_workflow_in_a_sidecar(folder: Path, sdgraph: Command) -> None:
    sdgraph("run", "louder.yaml", "sound=sounds/low.wav")
    assert "type: Gain" in (read_provenance(folder / "out/low_2.0.wav") or "")
    assert "Gain" in sdgraph("show", "out/low_2.0.wav")
    before = (folder / "out/low_2.0.wav").read_bytes()
    sdgraph("run", "out/low_2.0.wav", "--out", "again")
    assert next((folder / "again").rglob("*.wav")).read_bytes() == before


def test_a_workflow_names_it_as_a_type_and_a_wrong_type_lists_it() -> None:
    workflow = workflow_from_yaml(WORKFLOW, registry=REGISTRY)
    assert workflow.inputs["sound"].kind is Audio
    types = workflow_schema(REGISTRY)["definitions"]["declaration"]["anyOf"][1]["properties"]
    assert {"Audio", "tests.Audio"} <= set(types["type"]["enum"])
    with pytest.raises(InvalidWorkflowError, match=r"NormalMap.*, Audio\n.*did you mean 'Audio'"):
        workflow_from_yaml(WORKFLOW.replace("type: Audio", "type: Audoi"), registry=REGISTRY)
    with pytest.raises(InvalidWorkflowError, match="the type 'Audio'"):
        workflow_from_yaml(WORKFLOW, registry=installed_registry())
    wrong = workflow.problems(sound=3)
    assert [problem.wanted for problem in wrong] == ["an Audio, or the path of one"]


def other_pack() -> type[Value]:
    """An `Audio` of another pack: arrays of the same numbers, another kind."""
    namespace: dict[str, Any] = {"__name__": "other_pack", "Value": Value}
    code = "class Audio(Value):\n def __init__(self, samples, rate):\n"
    exec(f"{code}  self._set_fields(samples=samples, rate=rate)", namespace)
    kind: type[Value] = namespace["Audio"]
    return kind


def test_two_packs_may_both_have_an_audio() -> None:
    kind = other_pack()
    samples = np.zeros((4, 1), np.float32)
    ours, theirs = Audio(samples, 8000), kind(samples, 8000)
    assert ours != theirs and ours.content != theirs.content
    assert find_kind("tests.Audio") is Audio and find_kind("other_pack.Audio") is kind
    assert find_kind("Audio") is None


def test_a_result_of_a_node_file_survives_that_the_file_moves(folder: Path) -> None:
    def events(pack: Path) -> list[str]:
        (folder / "flow.yaml").write_text("nodes: {tone: {type: Tone}}")
        command = ("-m", "sdgraph", "run", "flow.yaml", "--json", "--nodes", str(pack))
        done = forked(*command, cwd=folder)
        assert done.returncode == 0, done.stderr
        return [json.loads(line)["event"] for line in done.stdout.splitlines()]

    pack = folder / "first/tones.py"
    pack.parent.mkdir()
    pack.write_text(TONES)
    assert "node_finished" in events(pack)
    assert "reused" in events(pack)
    moved = folder / "second/tones.py"
    moved.parent.mkdir()
    pack.rename(moved)
    assert "reused" in events(moved)


def test_a_path_is_loaded_by_the_node_of_the_kinds_own_pack(tmp_path: Path) -> None:
    registry = installed_registry()
    for name in ("one", "other"):
        (tmp_path / f"{name}.py").write_text(SHADOWS.format(kind=name.title()))
        registry = registry.with_file(tmp_path / f"{name}.py")
    text = "inputs: {x: {type: Other}}\nnodes: {made: {type: OtherUse, x: $inputs.x}}"
    workflow = workflow_from_yaml(text, registry=registry)
    graph = workflow.graph(x=tmp_path / "one.py")
    assert [type(node).definition.identity.pack for node in graph.nodes] == ["other", "other"]


def test_two_modules_of_a_pack_may_not_have_kinds_of_one_name() -> None:
    with pytest.raises(PackError, match=r"Audio.*\n.*audio_pack|audio_pack"):
        type("Audio", (Value,), {"__module__": "tests.elsewhere"})
    assert find_kind("tests.Audio") is Audio


def test_it_is_frozen_compared_and_pickled_like_an_image() -> None:
    samples = np.zeros((4, 1), np.float32)
    sound = Audio(samples, 8000)
    samples[0] = 1
    assert sound.samples[0] == 0 and not sound.samples.flags.writeable
    assert pickle.loads(pickle.dumps(sound)) == sound == Audio(sound.samples, 8000)
    assert sound != Audio(sound.samples, 44100) and sound.nbytes == 16
    assert repr(sound) == "Audio(samples=float32[4, 1], rate=8000)"
    assert Audio.label == "an Audio" and not isinstance(sound, Image)


def test_the_documentation_shows_the_pack_as_it_is() -> None:
    page = (PACK.parents[2] / "sdgraph/docs/extending.md").read_text("utf-8")
    example = page.split("## A kind of value")[1].split("```python\n")[1].split("```")[0]
    assert example in PACK.read_text("utf-8")
