"""A small server that speaks the hub's protocol, for repositories of bytes in memory."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

COMMIT = "c" * 40

LARGE = 100_000
"""Files of at least so many bytes are listed with their sha256, as the hub does with weights."""


@dataclass
class HubServer:
    """The repositories of a server, and what was asked of it.

    Args:
        repositories: The files of each repository, by name.
        gated: The repositories that need a token which has access.
        granted: The token that has access to them.
        cut_after: If set, the first answer with the content of a large file ends after so many
            bytes.
        status_after_cut: The status of every answer after that.
        wrong_content: Whether large files arrive with other bytes.
        status: If set, the status of every answer.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: frozenset[str] = frozenset()
    granted: str = "hf_granted"
    cut_after: int | None = None
    status_after_cut: int | None = None
    wrong_content: bool = False
    status: int | None = None
    asked: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    url: str = ""

    def add(self, source: str, folder: Path) -> None:
        """Adds a repository with the files of a folder."""
        self.repositories[source] = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }

    @property
    def downloads(self) -> list[str]:
        """The names of the files whose content was asked for."""
        return [
            line.split("/", 5)[-1]
            for line in self.asked
            if line.startswith("GET /") and "/resolve/" in line
        ]


@contextmanager
def running(server: HubServer) -> Iterator[HubServer]:
    """Runs a server in a thread; its address is in `url` meanwhile."""
    handler = type("Handler", (_Handler,), {"hub": server})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_port}"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def use(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the hub's client ask a server, without a login, and keep files in another folder."""
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "no_token"))
    import_module("huggingface_hub.utils").close_session()


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        self.hub.asked.append(f"{self.command} {path}")
        token = self.headers.get("authorization")
        self.hub.tokens.append(token)
        if self.hub.status is not None:
            return self._send(self.hub.status, b"{}")
        api = path.removeprefix("/api/models/")
        source = "/".join((api if api != path else path[1:]).split("/")[:2])
        files = self.hub.repositories.get(source)
        if files is None:
            return self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        if source in self.hub.gated and token != f"Bearer {self.hub.granted}":
            return self._send(403 if token else 401, b"{}", {"X-Error-Code": "GatedRepo"})
        rest = (api if api != path else path[1:]).removeprefix(source).strip("/")
        if api == path:
            return self._send_file(files, rest, with_body=with_body)
        return self._send_listing(source, files, rest)

    def _send_listing(self, source: str, files: dict[str, bytes], rest: str) -> None:
        revision = rest.split("/")[1] if "/" in rest else "main"
        if revision not in ("main", COMMIT):
            return self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if rest.startswith("tree/"):
            return self._send_json([_entry(name, content) for name, content in files.items()])
        siblings = [{"rfilename": name} for name in files]
        return self._send_json({"id": source, "sha": COMMIT, "siblings": siblings})

    def _send_file(self, files: dict[str, bytes], rest: str, *, with_body: bool) -> None:
        _, _, name = rest.split("/", 2)
        content = files.get(name)
        if content is None:
            return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        headers = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        status, begin = 200, 0
        if wanted := self.headers.get("Range"):
            self.hub.ranges.append(wanted)
            status, begin = 206, int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        body = content[begin:]
        is_large = len(content) >= LARGE
        if is_large and self.hub.wrong_content:
            body = bytes(len(body))
        if with_body and is_large and self.hub.cut_after is not None:
            cut, self.hub.cut_after = self.hub.cut_after, None
            self._send(status, body, headers, sent=cut)
            self.hub.status = self.hub.status_after_cut
            self.close_connection = True
            return None
        return self._send(status, body if with_body else b"", headers, length=len(body))

    def _send_json(self, data: Any) -> None:
        self._send(200, json.dumps(data).encode())

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        length: int | None = None,
        sent: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body if sent is None else body[:sent])


def _entry(name: str, content: bytes) -> dict[str, Any]:
    blob = sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": blob}
    if len(content) >= LARGE:
        entry["lfs"] = {"oid": _etag(content), "size": len(content), "pointerSize": 134}
    return entry


def _etag(content: bytes) -> str:
    if len(content) >= LARGE:
        return sha256(content).hexdigest()
    return sha1(b"blob %d\0" % len(content) + content).hexdigest()
