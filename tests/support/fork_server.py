"""A process that imports modules once and forks further processes, in which they are imported.

`python -m tests.support.fork_server SOCKET MODULE …` reads requests from an inherited socket. A
request is a JSON object (`arguments`, `cwd`, `environment`) with four file descriptors: the
standard streams of the process to start, and a pipe that takes its id and, once it has ended, its
exit code, each as a line.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any

REQUEST_BYTES = 2**16


def serve(requests: socket.socket) -> dict[str, Any]:
    """Forks a process for each request; returns, in that process alone, what it was asked for.

    Between this process and each that it starts, another one waits for the exit code.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no process here waits for those in between
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, REQUEST_BYTES, 4)
        if not message:
            os._exit(0)
        if os.fork():
            for descriptor in descriptors:
                os.close(descriptor)
            continue
        requests.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        *streams, report = descriptors
        started = os.fork()
        if not started:
            for number, descriptor in enumerate(streams):
                os.dup2(descriptor, number)
            for descriptor in descriptors:
                os.close(descriptor)
            request: dict[str, Any] = json.loads(message)
            return request
        for descriptor in streams:
            os.close(descriptor)
        with suppress(BrokenPipeError):  # the process was killed since it took too long
            os.write(report, b"%d\n" % started)
            _, status = os.waitpid(started, 0)
            os.write(report, b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)


def become(request: dict[str, Any]) -> None:
    """Gives this process the folder, environment, streams and code that were asked for."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    streams = {
        "stdin": io.TextIOWrapper(os.fdopen(0, "rb"), "utf-8"),
        "stdout": io.TextIOWrapper(os.fdopen(1, "wb"), "utf-8"),
        "stderr": io.TextIOWrapper(
            os.fdopen(2, "wb"), "utf-8", "backslashreplace", line_buffering=True
        ),
    }
    for name, stream in streams.items():
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    option, *arguments = request["arguments"]
    if option == "-m":
        module, *rest = arguments
        sys.argv, sys.path[0] = [module, *rest], request["cwd"]
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        return
    code, file = (sys.stdin.read(), "<stdin>") if option == "-" else (arguments.pop(0), "<string>")
    sys.argv, sys.path[0] = [option, *arguments], ""
    sys.modules["__main__"] = main = ModuleType("__main__")
    exec(compile(code, file, "exec", dont_inherit=True), vars(main))


if __name__ == "__main__":
    for name in sys.argv[2:]:
        importlib.import_module(name)
    # No collection in a forked process copies the pages of what was imported.
    gc.collect()
    gc.freeze()
    become(serve(socket.socket(fileno=int(sys.argv[1]))))
