"""How a picture was made, in a file beside it, where the picture's own file cannot hold it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sdgraph.files import atomic_write, raise_media_error

from .metadata import spelled_out

SUFFIX = ".sdgraph.json"


def beside(path: Path) -> Path:
    """The name of a file's sidecar: `picture.bmp.sdgraph.json`."""
    return path.with_name(path.name + SUFFIX)


def keep(path: Path, text: str | None) -> None:
    """Puts `text` beside the file at `path`, or with None takes away what was told of another.

    Raises MediaError.
    """
    sidecar = beside(path)
    if text is None:
        try:
            sidecar.unlink(missing_ok=True)
        except OSError as error:
            fix = "remove it yourself: it is about the file that was here before"
            raise_media_error(sidecar, f"it cannot be removed: {error}", "no sidecar", fix, error)
        return
    data = {"file": path.name, "sha256": _digest(path), "record": _readable(text)}
    with atomic_write(sidecar) as written:
        written.write_text(spelled_out(json.dumps(data, ensure_ascii=False, indent=1)), "utf-8")


def read(path: Path) -> str | None:
    """The text that `keep` put beside a file; None where there is none.

    Raises MediaError where it is damaged, or about what the file held before.
    """
    sidecar = beside(path)
    try:
        data = json.loads(sidecar.read_text("utf-8"))
        told, digest = data["record"], data["sha256"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise_media_error(
            sidecar, f"a damaged file ({error})", "a sidecar of sdgraph", "remove it", error
        )
    if digest != _digest(path):
        fix = f"remove {sidecar.name}; what it tells was true of another file"
        raise_media_error(
            path, "a file that has changed since its sidecar was written", "the same file", fix
        )
    return told if isinstance(told, str) else spelled_out(json.dumps(told, ensure_ascii=False))


def _readable(text: str) -> Any:
    """The text as JSON where it is an object, so that a person can read it in the sidecar."""
    text = spelled_out(text)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, dict) else text


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
