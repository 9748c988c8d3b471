"""What every test shares: a quiet environment, the order of files, and which tests are quick."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import typer.main
from hypothesis import settings

from tests.support import effort, toys
from tests.support.hashing import place as place

# A first call may import torch; nothing here is a timed test. For a search with more examples:
# `pytest --hypothesis-profile=thorough`.
settings.register_profile("sdgraph", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("sdgraph")

# What is imported and collected stays; to look for garbage in it takes an eighth of that time.
gc.disable()

# Runs of tests are not for the list of runs; those that are about it name a folder of their own.
os.environ["SDGRAPH_RUNS"] = ""

# Nor are the models of whoever runs the tests for them.
os.environ["SDGRAPH_MODELS"] = ""

# Processes that tests start buffer their output, as a user's do, and do not each compile sdgraph.
sys.dont_write_bytecode = False
for variable in ("PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(variable, None)

# A shell starts what runs in the background with Ctrl-C ignored, and so would tests and their
# subprocesses, some of which are about Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


TESTS = Path(__file__).parent

SLOWEST_FILES = (
    "workflows/test_training.py",
    "nodes/diffusion/test_node.py",
    "nodes/diffusion/families/test_pipelines.py",
    "test_wheel.py",
    "nodes/diffusion/families/test_video_pipelines.py",
    "workflows/test_shipped.py",
    "nodes/diffusion/test_meaning.py",
    "workflows/test_smoke.py",
)
"""The slowest files, in the order in which several processes start them; all others follow."""

SLOW_SECONDS = 1800
"""The time limit of a test that is marked `slow`; that of the others is in `pyproject.toml`."""

TORCH_FOLDERS = ("nodes/diffusion", "nodes/training", "nodes/vision", "scores")
"""Where nearly all tests import torch; those that do not are marked `quick`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite tests/bad/*.txt with what the engine says now; judge the diff",
    )


def pytest_configure(config: pytest.Config) -> None:
    effort.quick = config.option.markexpr == "quick"


@cache
def in_torch_folder(path: Path) -> bool:
    """Whether a file of tests is in one of `TORCH_FOLDERS`."""
    return any(path.is_relative_to(TESTS / folder) for folder in TORCH_FOLDERS)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out, of a quick run, the files without quick tests: some import torch themselves."""
    if effort.quick and collection_path.suffix == ".py" and in_torch_folder(collection_path):
        return "mark.quick" not in collection_path.read_text("utf-8") or None
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks what is quick; where several processes share the tests, puts the slowest files first.

    A test is quick that is marked so, or that is neither slow nor imports torch.
    """
    for item in items:
        marked = any(map(item.get_closest_marker, ("torch", "slow")))
        if not marked and not in_torch_folder(item.path):
            item.add_marker("quick")
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))
        effort.scale_examples(item)
    if hasattr(config, "workerinput"):
        ranks = {TESTS / path: rank for rank, path in enumerate(SLOWEST_FILES)}
        items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_collection_finish() -> None:
    """Leaves the hundreds of thousands of objects of the collected tests to no later collection."""
    if effort.quick and "torch" in sys.modules:
        raise pytest.UsageError(
            "a file with quick tests imports torch: import it in the tests that need it"
        )
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def modules_are_no_garbage() -> Iterator[None]:
    """Leaves the objects of large libraries, once a test has imported them, to no collection."""
    before = len(sys.modules)
    yield
    if len(sys.modules) > before + 200:
        gc.collect()
        gc.freeze()


@pytest.fixture(autouse=True)
def torch_is_expected(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a quick test that imports torch, where no test before it in this process did."""
    imported = "torch" in sys.modules
    yield
    node = request.node
    quick = node.get_closest_marker("quick") and not node.get_closest_marker("torch")
    if quick and not imported and "torch" in sys.modules:
        pytest.fail("a quick test imports torch: mark it with `pytest.mark.torch`")


@pytest.fixture(scope="session", autouse=True)
def commands_made_once() -> Iterator[None]:
    """Typer makes its commands for each call, which is half of the time of a short one."""
    make = typer.main.get_command

    @cache
    def made(app: typer.Typer, registered: int) -> Any:
        return make(app)

    def command(app: typer.Typer) -> Any:
        return made(app, len(app.registered_commands) + len(app.registered_groups))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(typer.main, "get_command", command)
        yield


@pytest.fixture(autouse=True)
def fresh_toys() -> None:
    """Forgets what ran before and closes all gates."""
    toys.ran.clear()
    toys.gates.clear()


@pytest.fixture
def one_file_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each result on disk has a file of its own, as on a network drive."""
    monkeypatch.setattr("sdgraph.store.disk.is_on_local_disk", lambda _: False)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders for the homes of tests; none exists before something is written to it."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in count())


@pytest.fixture(autouse=True)
def own_home(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, in its subprocesses too: no test meets another's results."""
    home = next(homes)
    monkeypatch.setenv("SDGRAPH_HOME", str(home))
    return home
