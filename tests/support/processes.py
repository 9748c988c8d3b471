"""Python in processes of their own: fresh ones, and cheap ones that are forked."""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]

ENGINE = (
    "numpy",
    "PIL.Image",
    "pytest",
    "sdgraph.cli",
    "sdgraph.execution",
    "sdgraph.graph",
    "sdgraph.language",
    "sdgraph.provenance",
    "sdgraph.store",
    "sdgraph.sweep",
    "sdgraph.testing",
)
"""What a forked process has imported: the engine, the command line and pytest, no torch."""


def python(code: str, *, cwd: Path | None = None, **environment: str) -> str:
    """What a fresh interpreter prints for some code; fails with its traceback."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, cwd=cwd
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def forked(
    *arguments: str,
    cwd: Path | None = None,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    stdout: int | IO[bytes] | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Runs `python ARGUMENTS` as a process that is forked from one that has imported the engine.

    It is a process with an environment, a folder, streams and modules of its own, and costs a tenth
    of a fresh one. A test of how Python starts needs a fresh one, and so does a test that `ENGINE`,
    or what it imports, is not imported. Whether torch is imported can be seen here.

    Args:
        arguments: `-m MODULE …`, `-c CODE …` or `-`, as Python takes them.
        cwd: The folder to run in; the current one if None.
        stdin: What the process reads.
        environment: Its environment; this process's if None.
        stdout: A file or file descriptor that takes the output in place of the result.
        timeout: Seconds until it is killed.
    """
    if not hasattr(os, "fork") or sys.platform == "darwin":  # where forking is not safe
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            input=stdin,
            env=None if environment is None else dict(environment),
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=timeout,
        )
    with ExitStack() as stack:
        given, out, err = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(stdin.encode())
        given.seek(0)
        taker = out if stdout is None else stdout
        number = taker if isinstance(taker, int) else taker.fileno()
        read, write = os.pipe()
        report = stack.enter_context(os.fdopen(read, "rb", buffering=0))
        request = {
            "arguments": arguments,
            "cwd": str(cwd or Path.cwd()),
            "environment": dict(os.environ if environment is None else environment),
        }
        streams = [given.fileno(), number, err.fileno(), write]
        socket.send_fds(_fork_server(ENGINE), [json.dumps(request).encode()], streams)
        os.close(write)
        code = _exit_code(report, timeout)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode())
    return subprocess.CompletedProcess(arguments, code, *texts)


def _exit_code(report: IO[bytes], timeout: float) -> int:
    """What a forked process ends with; it is killed after `timeout` seconds."""
    process = int(report.readline())
    if not select.select([report], [], [], timeout)[0]:
        os.kill(process, signal.SIGKILL)
        raise TimeoutError(f"the process did not end within {timeout:g} seconds")
    return int(report.readline())


@cache
def _fork_server(modules: tuple[str, ...]) -> socket.socket:
    """The socket of a fork server that has imported these modules; it ends with this process."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.fork_server", str(its.fileno()), *modules],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        pass_fds=[its.fileno()],
    )
    its.close()
    atexit.register(server.wait)
    atexit.register(ours.close)
    return ours
