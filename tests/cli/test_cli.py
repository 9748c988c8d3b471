"""The command line says what it did, where files are and what to fix; with the right exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import PIL.Image
import pytest

from sdgraph import __version__
from sdgraph.cli import main
from sdgraph.media import read_image
from sdgraph.provenance import read_record
from sdgraph.values import Image
from tests.support import cli_nodes

TOYS = str(Path(cli_nodes.__file__))

FLOW = """\
name: flow
description: A grey square, turned.
inputs:
  grey: {type: int, default: 40, description: how bright}
  target: {type: Path, default: out/turned.png}
nodes:
  square: {type: ToySquare, grey: $inputs.grey, size: 16}
  edges: {type: ToyEdges, image: $square, low: 10}
  slow: {type: ToySlow, image: $edges, steps: 4}
  model: {type: ToyModel}
  result: {type: ToySave, image: $slow, path: $inputs.target}
"""

BAD = """\
inputs:
  photo: {type: Path}
nodes:
  square: {type: ToySquare, grey: 300, sise: 16}
  edges: {type: ToyEdges, image: $squar, low: "10"}
"""


@dataclass
class CommandResult:
    """The exit code of a command and what it printed."""

    code: int
    out: str
    err: str


Command = Callable[..., CommandResult]


@pytest.fixture
def sdgraph(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Runs a command in this process, in an empty folder that holds flow.yaml and bad.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "bad.yaml").write_text(BAD)

    def command(verb: str, *arguments: str, toys: bool = True) -> CommandResult:
        with pytest.raises(SystemExit) as ended:
            main([verb, *arguments, *(["--nodes", TOYS] if toys else [])])
        result = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return CommandResult(ended.value.code, result.out, result.err)

    return command


def process(*arguments: str, cwd: Path, code: str = "") -> subprocess.CompletedProcess[str]:
    """Runs a command as a process of its own; `code` runs in place of `-m sdgraph`."""
    start = ["-c", code] if code else ["-m", "sdgraph"]
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=cwd, capture_output=True, text=True, timeout=60
    )


def grey_of(path: Path) -> int:
    return int(Image.from_pil(read_image(path)).numpy[0, 0, 0])


# run


def test_a_run_says_each_node_and_where_the_file_went(sdgraph: Command, tmp_path: Path) -> None:
    result = sdgraph("run", "flow.yaml")
    assert result.code == 0
    assert result.err == ""
    for name in ("square", "edges", "slow", "result"):
        assert re.search(rf"^{name} +Toy\w+ +\d+\.\d\d s$", result.out, re.MULTILINE)
    assert "result → out/turned.png\n" in result.out
    assert re.search(r"4 nodes in \d+\.\d\d s, 0 models loaded \(0 B\)\n$", result.out)
    assert grey_of(tmp_path / "out/turned.png") == 255 - 40


def test_an_input_is_read_as_its_declared_type(sdgraph: Command, tmp_path: Path) -> None:
    assert sdgraph("run", "flow.yaml", "grey=7").code == 0
    assert grey_of(tmp_path / "out/turned.png") == 255 - 7


def test_a_path_given_as_input_is_relative_to_the_current_folder(
    sdgraph: Command, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/flow.yaml").write_text(FLOW)
    assert sdgraph("run", "deep/flow.yaml", "target=here.png").code == 0
    assert (tmp_path / "here.png").exists()
    assert sdgraph("run", "deep/flow.yaml").code == 0
    assert (tmp_path / "deep/out/turned.png").exists()


@pytest.mark.parametrize("options", [[], ["target=out/turned.png"], ["--set", "result.path=x.png"]])
def test_out_takes_every_relative_file(
    sdgraph: Command, tmp_path: Path, options: list[str]
) -> None:
    result = sdgraph("run", "flow.yaml", "--out", "elsewhere", *options)
    assert result.code == 0
    (picture,) = tmp_path.rglob("*.png")
    assert picture.relative_to(tmp_path).parts[0] == "elsewhere"


def test_out_takes_no_absolute_file_unless_all_folders_are_allowed(
    sdgraph: Command, tmp_path: Path
) -> None:
    target = tmp_path / "there.png"
    options = ("--out", "elsewhere", f"target={target}")
    result = sdgraph("run", "flow.yaml", *options)
    assert result.code == 2 and f"a path in the folder for output ({tmp_path}" in result.err
    assert not target.exists()
    assert sdgraph("run", "flow.yaml", *options, "--allow-outside").code == 0
    assert target.exists()


def test_out_reaches_into_sub_workflows(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "outer.yaml").write_text("nodes: {inner: {type: Workflow, path: flow.yaml}}")
    assert sdgraph("run", "outer.yaml", "--out", "elsewhere").code == 0
    assert (tmp_path / "elsewhere/out/turned.png").exists()
    assert not (tmp_path / "out").exists()


def test_set_replaces_fields_by_yaml_values(sdgraph: Command, tmp_path: Path) -> None:
    changes = ["--set", "square.grey=9", "--set", "square.points=[[1, 2]]"]
    assert sdgraph("run", "flow.yaml", *changes).code == 0
    assert grey_of(tmp_path / "out/turned.png") == 255 - 9


def test_folders_and_checkpoints_start_from_the_file_or_from_the_current_folder_if_typed(
    sdgraph: Command, tmp_path: Path
) -> None:
    (tmp_path / "deep/photos").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "deep/photos/a.png")
    (tmp_path / "deep/photos/a.txt").write_text("a red star")
    (tmp_path / "deep/w.yaml").write_text(
        "inputs: {model: {type: Checkpoint, default: tiny/text-to-image}}\n"
        "nodes:\n"
        "  data: {type: PictureFolder, path: photos, side: 32}\n"
        "  model: {type: TrainText2Image, data: $data, base: $inputs.model, out: out}\n"
    )
    assert sdgraph("validate", "deep/w.yaml", toys=False).code == 0
    wrong = sdgraph("validate", "deep/w.yaml", "model=./mine", toys=False)
    assert wrong.code == 2 and f"{tmp_path}/mine" in wrong.out
    for value in ("photos", "./photos"):
        result = sdgraph("plan", "deep/w.yaml", "--set", f"data.path={value}", toys=False)
        assert result.code == 2 and f"{tmp_path}/photos: no such folder" in result.err
    result = sdgraph("plan", "deep/w.yaml", "--set", "model.base=./mine", toys=False)
    assert result.code == 2 and f"{tmp_path}/mine" in result.err


def test_a_path_by_set_is_relative_to_the_current_folder(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/flow.yaml").write_text(FLOW)
    assert sdgraph("run", "deep/flow.yaml", "--set", "result.path=here.png").code == 0
    assert (tmp_path / "here.png").exists()


def test_only_runs_what_a_node_needs_and_says_what_it_made(
    sdgraph: Command, tmp_path: Path
) -> None:
    result = sdgraph("run", "flow.yaml", "--only", "edges")
    assert "edges = EdgeMap(16×16 RGB)" in result.out
    assert "slow" not in result.out
    assert not (tmp_path / "out").exists()


def test_json_prints_events_and_nothing_else(sdgraph: Command) -> None:
    result = sdgraph("run", "flow.yaml", "--json")
    events = [json.loads(line) for line in result.out.splitlines()]
    assert events[0]["event"] == "run_started"
    assert events[-1]["event"] == "run_finished"
    assert [e["step"] for e in events if e["event"] == "stepped"] == [1, 2, 3, 4]
    assert "a node that prints" in result.err


def test_quiet_prints_nothing(sdgraph: Command) -> None:
    (result := sdgraph("run", "flow.yaml", "--quiet"))
    assert result.code == 0
    assert result.out.replace("a node that prints\n", "") == ""


def test_a_terminal_shows_bars_and_ends_with_the_same_lines(
    sdgraph: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR")
    result = sdgraph("run", "flow.yaml", "--set", "slow.seconds=0.15")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", result.out)
    assert "━" in plain
    assert re.search(r"[1-4]/4", plain)
    assert "result → out/turned.png" in plain


def test_a_saved_picture_makes_itself_again(sdgraph: Command, tmp_path: Path) -> None:
    sdgraph("run", "flow.yaml", "grey=7")
    first = tmp_path / "out/turned.png"
    result = sdgraph("run", "out/turned.png", "--out", "again")
    assert result.code == 0
    again = tmp_path / "again/turned.png"
    assert read_image(again).tobytes() == read_image(first).tobytes()
    assert read_record(again).node == "result"


def test_a_saved_picture_is_made_in_the_current_folder_not_where_it_was(
    sdgraph: Command, tmp_path: Path
) -> None:
    sdgraph("run", "flow.yaml")
    picture = (tmp_path / "out/turned.png").rename(tmp_path / "moved.png")
    assert sdgraph("run", str(picture)).code == 0
    assert (tmp_path / "turned.png").exists()
    assert not (tmp_path / "out/turned.png").exists()


# what goes wrong


def test_wrong_inputs_come_out_together_with_the_problems_of_the_file(sdgraph: Command) -> None:
    result = sdgraph("run", "bad.yaml", "photo=x", "colour=red")
    assert result.code == 2
    assert result.out == ""
    for subject in ("inputs.colour", "square.grey", "square.sise", "edges.image", "edges.low"):
        assert subject in result.err


def test_an_input_of_another_type_says_what_was_wanted(sdgraph: Command) -> None:
    result = sdgraph("run", "flow.yaml", "grey=dark")
    assert result.code == 2
    assert result.err == "inputs.grey\n  found:  the text 'dark'\n  wanted: a whole number\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch.yaml"], "no such file"),
        (["nosuch"], "shipped"),
        (["flow.yaml", "--set", "edgs.low=3"], "did you mean 'edges'"),
        (["flow.yaml", "--set", "edges.low"], "NODE.FIELD=VALUE"),
        (["flow.yaml", "--set", "edges.low=[1"], "valid YAML"),
        (["flow.yaml", "grey"], "input=value"),
        (["flow.yaml", "--only", "edgs"], "did you mean 'edges'"),
        (["flow.yaml", "--device", "cdua"], "cuda"),
        (["flow.yaml", "--dtype", "float61"], "float16"),
        (["flow.yaml", "--nodes", "nosuch.py"], "no such file"),
        (["flow.yaml", "--out", "flow.yaml"], "a folder"),
        (["plain.png"], "no record"),
        (["nosuch.png"], "no such file"),
    ],
)
def test_a_wrong_argument_is_explained_with_exit_code_2(
    sdgraph: Command, tmp_path: Path, arguments: list[str], message: str
) -> None:
    PIL.Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    result = sdgraph("run", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert "Traceback" not in result.err


def test_an_edited_file_is_shown_as_it_is_now(sdgraph: Command, tmp_path: Path) -> None:
    for grey in ("300", "400"):
        (tmp_path / "wrong.yaml").write_text(f"nodes:\n  a: {{type: ToySquare, grey: {grey}}}\n")
        assert f"grey: {grey}}}\n" in sdgraph("validate", "wrong.yaml").out


def test_a_failed_node_is_named_with_its_line_and_exit_code_1(
    sdgraph: Command, tmp_path: Path
) -> None:
    (tmp_path / "boom.yaml").write_text(
        "nodes:\n  a: {type: ToySquare}\n  b: {type: ToyBoom, image: $a}\n"
    )
    result = sdgraph("run", "boom.yaml")
    assert result.code == 1
    text, place = re.subn(r" \(\S*cli_nodes\.py:\d+, in run\)", "", result.err)
    assert place == 1
    assert text == (
        "boom.yaml:3:6: b: RuntimeError: the toy broke\n"
        "  3 |   b: {type: ToyBoom, image: $a}\n"
        "    |      ^\n"
        f"finished nodes are remembered; to resume: sdgraph run boom.yaml --nodes {TOYS}\n"
    )


def test_debug_shows_the_traceback_of_foreseen_failures_too(sdgraph: Command) -> None:
    assert "Traceback" in sdgraph("run", "bad.yaml", "--debug").err


def test_an_unforeseen_failure_is_one_line(
    sdgraph: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr("sdgraph.cli.diagram.as_text", broken)
    result = sdgraph("show", "flow.yaml")
    assert result.code == 1
    assert result.err == ("internal error: ZeroDivisionError: two lines; run again with --debug\n")
    assert "Traceback" in sdgraph("show", "flow.yaml", "--debug").err


def test_a_node_that_exits_has_failed(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "exit.yaml").write_text("nodes:\n  a: {type: ToyExit}\n")
    result = sdgraph("run", "exit.yaml")
    assert result.code == 1
    assert "exit.yaml:2:6: a" in result.err and "ended the program with sys.exit(0)" in result.err
    lines = sdgraph("run", "exit.yaml", "--json").out.splitlines()
    assert json.loads(lines[-1])["event"] == "node_failed"


def test_warnings_are_printed_and_stop_nothing(sdgraph: Command, tmp_path: Path) -> None:
    text = "nodes:\n  a: {type: Turbo, prompt: a <lora:x:1> star}\n"
    (tmp_path / "warned.yaml").write_text(text)
    warning = "warned.yaml:2:28: a.prompt: '<lora:x:1>', read as plain words; put the adapter into"
    result = sdgraph("validate", "warned.yaml", toys=False)
    assert result.code == 0 and "warned.yaml: no problems" in result.out
    assert f"warning: {warning}" in result.out
    assert warning in sdgraph("plan", "warned.yaml", toys=False).out
    (entry,) = json.loads(sdgraph("validate", "warned.yaml", "--json", toys=False).out)
    assert entry["severity"] == "warning" and entry["subject"] == "a.prompt"


# validate


def test_validate_shows_every_problem_beneath_its_line(sdgraph: Command) -> None:
    result = sdgraph("validate", "bad.yaml")
    assert result.code == 2
    assert (
        "bad.yaml:4:35: square.grey\n"
        "  4 |   square: {type: ToySquare, grey: 300, sise: 16}\n"
        "    |                                   ^\n"
        "  found:  300\n"
        "  wanted: at most 255\n"
    ) in result.out
    assert result.out.endswith("4 problems in 1 file\n")
    assert "a run needs values for photo (Path)" in result.out


def test_validate_notes_nodes_that_nothing_needs(sdgraph: Command) -> None:
    result = sdgraph("validate", "flow.yaml")
    assert result.code == 0
    assert "flow.yaml: no problems\n  note: no target needs model\n" in result.out


def test_validate_takes_inputs_and_several_files(sdgraph: Command) -> None:
    result = sdgraph("validate", "flow.yaml", "bad.yaml", "grey=300")
    assert result.out.endswith("5 problems in 2 files\n")


def test_an_input_that_no_validated_file_declares_is_a_problem(sdgraph: Command) -> None:
    result = sdgraph("validate", "flow.yaml", "bad.yaml", "gery=3")
    assert result.code == 2
    assert "gery" in result.out


def test_validate_prints_problems_as_json(sdgraph: Command) -> None:
    result = sdgraph("validate", "bad.yaml", "--json")
    first = json.loads(result.out)[0]
    assert first == {
        "file": "bad.yaml",
        "line": 4,
        "column": 35,
        "subject": "square.grey",
        "found": "300",
        "wanted": "at most 255",
        "fix": "",
        "severity": "error",
    }
    assert json.loads(sdgraph("validate", "flow.yaml", "--json").out) == []


def test_the_caret_stands_right_after_wide_letters(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "wide.yaml").write_text("nodes: {a: {type: ToyStack, title: 猫, images: 3}}\n")
    lines = sdgraph("validate", "wide.yaml").out.splitlines()
    column = lines[1].index("3}}")
    assert lines[2].index("^") == column + 1  # one letter before it takes two cells


# plan, show, nodes, schema, models


def test_plan_lists_steps_loads_and_totals(sdgraph: Command) -> None:
    result = sdgraph("plan", "flow.yaml", "--only", "model")
    assert result.code == 0
    assert re.search(r"^1 +model +ToyModel +unet", result.out, re.MULTILINE)
    assert re.search(r"1 step, 2 components loaded", result.out)


def test_plan_says_what_each_step_releases(sdgraph: Command) -> None:
    assert re.search(r"slow +ToySlow +edges *$", sdgraph("plan", "flow.yaml").out, re.MULTILINE)


def test_plan_prints_the_peak_and_the_memory_there_is(sdgraph: Command) -> None:
    free = sdgraph("plan", "chain", "--device", "cpu", toys=False)
    line = r"^peak on {}: ([\d.]+) MB{}$"
    assert re.search(line.format("host memory", r" of \d.* \(free\)"), free.out, re.M)
    tight = sdgraph("plan", "chain", "--device", "cuda", "--vram", "13MB", toys=False)
    assert "on cuda, float16\n" in tight.out
    peak = re.search(line.format("cuda", r" of 13 MB \(a budget\)"), tight.out, re.M)
    assert peak is not None and float(peak[1]) <= 13
    assert "drops tiny/" in tight.out
    elsewhere = sdgraph("plan", "chain", "--device", "xpu:3", toys=False)
    assert re.search(line.format("xpu:3", ""), elsewhere.out, re.M)


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_budget_too_small_for_a_node_is_refused(verb: str, sdgraph: Command) -> None:
    result = sdgraph(verb, "chain", "--ram", "1MB", toys=False)
    assert result.code == 2 and "Traceback" not in result.err
    assert re.search(r"found: +a budget of 1000000 bytes on the host", result.err)
    named = re.search(r"wanted: at least (\d{8}) bytes", result.err)
    assert named is not None
    smallest = int(named[1])
    assert sdgraph("plan", "chain", "--ram", str(smallest), toys=False).code == 0
    assert sdgraph("plan", "chain", "--ram", str(smallest - 1), toys=False).code == 2


@pytest.mark.parametrize(("option", "text"), [("--ram", "much"), ("--vram", "-3GB")])
def test_a_budget_that_says_no_bytes_is_refused(option: str, text: str, sdgraph: Command) -> None:
    result = sdgraph("plan", "flow.yaml", f"{option}={text}")
    assert result.code == 2 and f"{option}\n  found:  {text}" in result.err


def test_plan_says_what_must_be_fetched(sdgraph: Command, tmp_path: Path) -> None:
    result = sdgraph(
        "plan", "flow.yaml", "--only", "model", "--set", "model.checkpoint=nobody/nothing"
    )
    assert "to be downloaded from the hub: nobody/nothing" in result.out
    assert re.search(r"^1 +model +ToyModel +unknown parts of nobody/nothing", result.out, re.M)
    assert "0 components loaded (0 B), and unknown ones of nobody/nothing" in result.out
    assert "unet" not in result.out and "peak on" not in result.out
    warning = "warning: nobody/nothing: not here, not checked"
    assert warning in result.out
    text = "nodes: {model: {type: ToyModel, checkpoint: nobody/nothing}}\n"
    (tmp_path / "hub.yaml").write_text(text)
    checked = sdgraph("validate", "hub.yaml")
    assert checked.code == 0 and f"  {warning}" in checked.out


def test_show_lists_every_node_after_those_it_reads(sdgraph: Command) -> None:
    result = sdgraph("show", "flow.yaml")
    assert result.out.startswith("flow: A grey square, turned.\n")
    assert re.search(r"grey +int +40 +how bright", result.out)
    assert re.search(r"edges +ToyEdges → EdgeMap +image ← square, low=10", result.out)
    names = re.findall(r"^  (\w+) +Toy", result.out, re.MULTILINE)
    assert names.index("square") < names.index("edges") < names.index("result")


def test_show_draws_a_broken_workflow_too(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(
        "nodes: {a: {type: ToyStack, images: [$b]}, b: {type: Nope, x: $a, y: $none}}"
    )
    result = sdgraph("show", "odd.yaml")
    assert result.code == 0
    assert "Nope (unknown)" in result.out
    assert sdgraph("show", "odd.yaml", "--mermaid").code == 0


def test_mermaid_stands_alone_and_names_the_ports(sdgraph: Command) -> None:
    result = sdgraph("show", "flow.yaml", "--mermaid")
    first, *rest = result.out.splitlines()
    assert first == "flowchart LR"
    assert '  n0["square<br/>ToySquare"]' in rest
    boxes = {m[2]: m[1] for m in re.finditer(r'(n\d+)\[+"(\w+)<br/>', result.out)}
    assert f'  {boxes["square"]} -->|"image"| {boxes["edges"]}' in rest


def test_show_reads_the_record_of_a_picture(sdgraph: Command) -> None:
    sdgraph("run", "flow.yaml")
    result = sdgraph("show", "out/turned.png", toys=False)
    assert "made by the node result on cpu, float32" in result.out
    assert f"sdgraph {__version__}" in result.out
    assert "square: {type: ToySquare" in result.out
    yaml = sdgraph("show", "out/turned.png", "--yaml", toys=False).out
    assert yaml.startswith("name: result\ninputs:\n  grey: {type: int, default: 40")


def test_nodes_lists_types_by_category(sdgraph: Command) -> None:
    result = sdgraph("nodes")
    assert re.search(r"^other$", result.out, re.MULTILINE)
    assert re.search(r"^  ToySquare +Image +A square of one grey\.", result.out, re.MULTILINE)


def test_nodes_documents_one_type(sdgraph: Command) -> None:
    result = sdgraph("nodes", "ToyEdges")
    assert result.out.startswith("ToyEdges → EdgeMap   (other)\n")
    assert re.search(r"image +required +an Image; what to look at", result.out)
    assert re.search(r"mask +optional +a Mask", result.out)
    assert re.search(r"low +default 100 +a whole number from 0 to 255", result.out)
    assert "toy_edges: {type: ToyEdges, image: $image}" in result.out


def test_nodes_gives_documentation_as_json(sdgraph: Command) -> None:
    doc = json.loads(sdgraph("nodes", "ToySave", "--json").out)
    assert doc["effect"] is True
    assert [field["name"] for field in doc["fields"]] == ["image", "path"]
    assert {load["name"] for load in json.loads(sdgraph("nodes", "--json").out)} >= {"ToySave"}


def test_an_unknown_type_is_answered_with_the_nearest(sdgraph: Command) -> None:
    result = sdgraph("nodes", "ToySqare")
    assert result.code == 2
    assert "did you mean 'ToySquare'?" in result.err


def test_schema_is_json(sdgraph: Command) -> None:
    assert "type.ToySquare" in json.loads(sdgraph("schema").out)["definitions"]


def test_models_lists_what_ships_and_what_was_fetched(sdgraph: Command) -> None:
    result = sdgraph("models", toys=False)
    assert result.code == 0
    assert re.search(r"tiny/inpaint +[\d.]+ MB +\S+/tiny/inpaint", result.out)
    assert "downloaded from the hub" in result.out


# as a process


def test_the_version_is_printed_and_no_verb_is_help_with_code_2(tmp_path: Path) -> None:
    assert process("--version", cwd=tmp_path).stdout == f"sdgraph {__version__}\n"
    assert process(cwd=tmp_path).returncode == 2
    unknown = process("runn", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "Traceback" not in unknown.stderr


def test_looking_at_a_workflow_imports_no_heavy_library(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    code = """
import sys
from sdgraph.cli import main
verbs = [["--help"], ["validate", "flow.yaml"], ["plan", "flow.yaml"], ["show", "flow.yaml"],
         ["show", "flow.yaml", "--mermaid"], ["nodes"], ["nodes", "ToySquare"], ["schema"]]
for verb in verbs:
    try:
        main([*verb, *(["--nodes", sys.argv[1]] if verb[0] != "--help" else [])])
    except SystemExit as ended:
        assert not ended.code, (verb, ended.code)
heavy = {"torch", "diffusers", "transformers", "cv2", "av", "skimage", "accelerate"}
print(sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""
    done = process(TOYS, cwd=tmp_path, code=code)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"


def test_a_reader_that_leaves_ends_a_command_quietly(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    for verb in (["schema"], ["nodes"]):
        ended = subprocess.run(
            [sys.executable, "-m", "sdgraph", *verb],
            cwd=tmp_path,
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
        assert ended.stderr == ""
        assert ended.returncode == 141
    os.close(write)


def test_a_run_whose_reader_leaves_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-m", "sdgraph", "run", "flow.yaml", "--json", "--nodes", TOYS],
        cwd=tmp_path,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(write)
    assert ended.returncode == 141
    assert "Traceback" not in ended.stderr


def test_ctrl_c_stops_within_a_step_and_leaves_no_partial_file(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text(
        "nodes:\n"
        "  a: {type: ToySquare}\n"
        "  b: {type: ToySave, image: $a, path: done.png}\n"
        "  c: {type: ToySaveSlowly, image: $a, path: never.png}\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-m", "sdgraph", "run", "slow.yaml", "--json", "--nodes", TOYS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    for line in running.stdout:
        if '"stepped"' in line:
            break
    running.send_signal(signal.SIGINT)
    rest, err = running.communicate(timeout=60)
    assert rest.count('"stepped"') < 100 and '"node_finished"' not in rest
    assert running.returncode == 130
    assert err.startswith(
        "stopped; finished files stay\nfinished nodes are remembered; to resume: "
    )
    assert err.endswith(f"sdgraph run slow.yaml --json --nodes {TOYS}\n")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"slow.yaml", "done.png"}
