"""The command line as a process: what it imports, who reads it, and how it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from sdgraph import __version__
from tests.support.command_line import FLOW, TOYS, process
from tests.support.processes import forked


def test_the_version_is_printed_and_no_verb_is_no_error(tmp_path: Path) -> None:
    assert process("--version", cwd=tmp_path).stdout == f"sdgraph {__version__}\n"
    assert forked("-m", "sdgraph", cwd=tmp_path).returncode == 0
    unknown = forked("-m", "sdgraph", "runn", cwd=tmp_path)
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
    done = forked("-c", code, TOYS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"


def test_a_reader_that_leaves_ends_a_command_quietly(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    for verb in (["schema"], ["nodes"]):
        ended = forked("-m", "sdgraph", *verb, cwd=tmp_path, stdout=write)
        assert ended.stderr == ""
        assert ended.returncode == 141
    os.close(write)


def test_a_run_whose_reader_leaves_ends_quietly(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    read, write = os.pipe()
    os.close(read)
    command = ("-m", "sdgraph", "run", "flow.yaml", "--json", "--nodes", TOYS)
    ended = forked(*command, cwd=tmp_path, stdout=write)
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
