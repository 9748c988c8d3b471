"""What `validate` and `plan` cost for files that are large, wrong or hostile.

`python -m tests.stress.validate_cost` prints a table: the CPU seconds and the peak memory of each
command in a process of its own, the start of Python included. It ends with exit code 1 if a row is
above the bounds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

MAX_CPU_S = 10.0
MAX_BYTES = 512 * 2**20

_NODE = "{type: Canny, image: $photo, low: 10}"
_PHOTO = "photo: {type: LoadImage, path: photo.png}"


def wrong_references(count: int = 5000) -> str:
    """Nodes that each refer to a node that is not there."""
    lines = (f"  node_{n}: {{type: Canny, image: $nod_{n}}}" for n in range(count))
    return "\n".join(["nodes:", *lines])


def many_keys(count: int = 1_000_000) -> str:
    """A map of many keys that no workflow has."""
    return "\n".join([*(f"key_{n}: {n}" for n in range(count)), f"nodes: {{{_PHOTO}}}"])


def many_fields(count: int = 100_000) -> str:
    """A node with many fields that it does not have."""
    fields = (f"    field_{n}: {n}" for n in range(count))
    return "\n".join(["nodes:", "  edges:", "    type: Canny", *fields])


def unknown_types(count: int = 20_000) -> str:
    """Nodes of types that are not known, each of another."""
    return "\n".join(["nodes:", *(f"  n_{n}: {{type: Cany{n}}}" for n in range(count))])


def missing_files(count: int = 5000) -> str:
    """Nodes that each read a file that is not there."""
    lines = (f"  n_{n}: {{type: LoadImage, path: photo_{n}.png}}" for n in range(count))
    return "\n".join(["nodes:", *lines])


def wrong_inputs(count: int = 100_000) -> str:
    """Inputs of types that are not known."""
    lines = (f"  input_{n}: {{type: Image{n}}}" for n in range(count))
    return "\n".join(["inputs:", *lines, f"nodes: {{{_PHOTO}}}"])


def duplicate_keys(count: int = 100_000) -> str:
    """One key again and again."""
    return "\n".join(["nodes:", *(f"  n: {_NODE}" for _ in range(count))])


def deep_nesting(depth: int = 100_000) -> str:
    """Lists in lists."""
    return "nodes: " + "[" * depth


def alias_bomb(levels: int = 30) -> str:
    """Aliases of aliases, which would grow to a billion values."""
    lines = ["a0: &a0 [1, 2]"]
    lines += [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, levels)]
    return "\n".join([*lines, f"nodes: {{{_PHOTO}}}"])


def long_names(length: int = 1_000_000) -> str:
    """A name, a type, a field and a reference of a million letters each."""
    word = "a" * length
    node = f"{{type: {word}, {word}: 1, image: ${word}}}"
    return f"nodes:\n  {word}: {node}\n  two: {{type: Canny, image: ${word}b, {word}: 1}}"


def wrong_items(count: int = 100_000) -> str:
    """A port with a list of many wrong values."""
    return f"nodes:\n  video: {{type: VideoFromFrames, frames: [{', '.join(['1'] * count)}]}}"


SWEEP = """
inputs: {seed: 0, photo: {type: Path, default: photo.png}, word: a}
nodes:
  photo: {type: LoadImage, path: $inputs.photo}
  small: {type: Resize, image: $photo, width: $inputs.seed, height: 8}
  saved: {type: Save, image: $small, path: out.png}
"""

CASES: Mapping[str, Callable[[], str]] = {
    "5,000 wrong references": wrong_references,
    "a million keys": many_keys,
    "100,000 unknown fields": many_fields,
    "20,000 unknown types": unknown_types,
    "5,000 missing files": missing_files,
    "100,000 wrong inputs": wrong_inputs,
    "100,000 duplicate keys": duplicate_keys,
    "100,000 lists in lists": deep_nesting,
    "aliases of a billion values": alias_bomb,
    "names of a million letters": long_names,
    "100,000 wrong items": wrong_items,
}

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "validate seed=1..100000": ("validate", "sweep.yaml", "seed=1..100000"),
    "validate photo=/**/*.png": ("validate", "sweep.yaml", "photo=/**/*.png"),
    "validate word=@list of a million": ("validate", "sweep.yaml", "word=@words.txt"),
    "validate seed=1..300 word=@300": ("validate", "sweep.yaml", "seed=1..300", "word=@300.txt"),
    "plan seed=1..10000": ("plan", "sweep.yaml", "seed=1..10000"),
    "run seed=1..100000": ("run", "sweep.yaml", "seed=1..100000"),
}

_MEASURE = """
import os, resource, subprocess, sys
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, code)
"""


def measure(folder: Path, *arguments: str) -> tuple[float, int, int]:
    """CPU seconds, peak bytes and exit code of an sdgraph command in a folder."""
    command = [sys.executable, "-c", _MEASURE, sys.executable, "-m", "sdgraph", *arguments]
    environment = {**os.environ, "SDGRAPH_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    seconds, peak, code = answer.stdout.split()
    return float(seconds), int(peak), int(code)


def main(chosen: str = "") -> int:
    """Prints the table of the cases whose names contain a text; returns how many are too dear."""
    import PIL.Image

    too_dear = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        PIL.Image.new("RGB", (16, 16)).save(folder / "photo.png")
        (folder / "sweep.yaml").write_text(SWEEP)
        (folder / "words.txt").write_text("\n".join(f"word {n}" for n in range(1_000_000)))
        (folder / "300.txt").write_text("\n".join(f"word {n}" for n in range(300)))
        commands = dict(COMMANDS)
        for number, (case, text) in enumerate(CASES.items()):
            if chosen in case:
                (folder / f"case_{number}.yaml").write_text(text())
            commands[case] = ("validate", f"case_{number}.yaml")
        print(f"{'case':36} {'CPU s':>8} {'MiB':>8}  exit")
        for case, arguments in commands.items():
            if chosen in case:
                seconds, peak, code = measure(folder, *arguments)
                above = seconds > MAX_CPU_S or peak > MAX_BYTES
                too_dear += above
                note = "  above the bounds" if above else ""
                print(f"{case:36} {seconds:8.2f} {peak / 2**20:8.0f}  {code}{note}", flush=True)
    return too_dear


if __name__ == "__main__":
    sys.exit(bool(main(*sys.argv[1:])))
