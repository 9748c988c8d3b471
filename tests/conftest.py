"""What every test shares: the switch that rewrites golden files, and a quiet environment."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import toys
from tests.support.hashing import place as place

# A first call may import torch; nothing here is a timed test.
settings.register_profile("sdgraph", deadline=None)
settings.load_profile("sdgraph")

# Runs of tests are not for the list of runs; those that are about it name a folder of their own.
os.environ["SDGRAPH_RUNS"] = ""

# A shell starts what runs in the background with Ctrl-C ignored, and so would tests and their
# subprocesses, some of which are about Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite tests/bad/*.txt with what the engine says now; judge the diff",
    )


@pytest.fixture(autouse=True)
def fresh_toys() -> None:
    """Forgets what ran before and closes all gates."""
    toys.ran.clear()
    toys.gates.clear()


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, in its subprocesses too: no test meets another's results."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("SDGRAPH_HOME", str(home))
    return home
