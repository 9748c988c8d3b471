"""Downloads some files of a repository on the hub into the cache of the hub's client.

1. The hub lists the files of a revision, with their sizes.
2. If the disk has too little room for those that are missing, nothing is downloaded.
3. Large files are downloaded one after the other. What an interruption leaves of one is kept under
   `blobs/NAME.incomplete` in the cache, and continued the next time. (The hub's client alone would
   begin each file again.) The content is compared with the hash that the hub lists.
4. The hub's client downloads the small files, and links all of them into the snapshot.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.formatting import format_bytes

from .hub_errors import hub_error, is_network_error
from .hub_listing import SHA256, HubListing, cache_folder, incomplete_path, list_hub_files

RESUMED_BYTES = 2**20
"""Larger files are continued after an interruption."""

_TRIES = 5
_SECONDS_BETWEEN_TRIES = 1.0

_ETAG = re.compile(r"\w[\w.-]*")


def download_matching(
    source: str,
    revision: str | None,
    *,
    allow_patterns: Sequence[str],
    ignore_patterns: Sequence[str] = (),
) -> Path:
    """The folder of a repository with the files of some names, which are downloaded if necessary.

    If the hub gives no answer, the files in its cache do, if all of them are there.

    Args:
        source: The name of the repository.
        revision: A branch, tag or commit; None is the main branch.
        allow_patterns: The names, with `*` for any characters.
        ignore_patterns: The names of files that are left out.

    Raises:
        CheckpointError: They cannot be downloaded.
    """
    patterns: dict[str, Any] = {
        "allow_patterns": list(allow_patterns),
        "ignore_patterns": list(ignore_patterns),
    }
    try:
        listing = list_hub_files(source, revision)
    except CheckpointError:
        if (folder := _cached(source, revision, patterns)) is not None:
            return folder
        raise
    return download_files(
        listing, list(_client_functions().filter_repo_objects(listing.files, **patterns))
    )


def _cached(source: str, revision: str | None, patterns: Mapping[str, Any]) -> Path | None:
    """The folder in the hub's cache, if it has all files of some names; None otherwise."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision, local_files_only=True, **patterns))
    except (LocalEntryNotFoundError, OSError, ValueError):
        return None


def download_files(listing: HubListing, names: Collection[str]) -> Path:
    """The folder of a repository with some files, which are downloaded if necessary.

    Args:
        listing: The files of the repository.
        names: The paths of those to download.

    Raises:
        CheckpointError: The disk has too little room, or they cannot be downloaded.
    """
    from huggingface_hub import snapshot_download

    source, revision = listing.source, listing.revision
    refuse_full_disk(source, listing.bytes_to_fetch(names))
    try:
        for name in sorted(names):
            if listing.files[name].size > RESUMED_BYTES and not listing.is_here(name):
                _download_large(listing, name)
        patterns = [glob.escape(name) for name in names] or [""]
        return Path(
            snapshot_download(
                source,
                revision=revision,
                allow_patterns=patterns,
                tqdm_class=_progress_bar(shown=False),
            )
        )
    except Exception as error:
        raise hub_error(source, revision, error) from error


def refuse_full_disk(source: str, needed: int) -> None:
    """Raises CheckpointError if the disk of the hub's cache has too little room.

    Args:
        source: The name of the repository.
        needed: The bytes to be downloaded.
    """
    free = free_bytes()
    if needed > free:
        found = f"{format_bytes(needed)} to download, and {format_bytes(free)} free"
        wanted = f"room for it on the disk of {cache_folder()}"
        fix = (
            "remove models with `sdgraph models remove`, or set HF_HOME to a folder on another disk"
        )
        raise CheckpointError(Problem(source, found, wanted, fix))


def free_bytes() -> int:
    """The bytes that are free on the disk of the hub's cache."""
    folder = cache_folder()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _download_large(listing: HubListing, name: str) -> None:
    """Downloads a large file into the blobs of the hub's cache, from where it was interrupted."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    client = _client_functions()
    file, headers = listing.files[name], client.build_hf_headers()
    url = hf_hub_url(listing.source, name, revision=listing.commit)
    etag = file.sha256 or get_hf_file_metadata(url, headers=headers).etag
    if etag is None or file.size > constants.MAX_HTTP_DOWNLOAD_SIZE:
        return  # the hub's client downloads it, with another protocol
    if not _ETAG.fullmatch(etag):  # it becomes the name of a file in the cache
        found = f"the hash {etag!r} of {name}"
        fix = "check HF_ENDPOINT, if you set it: this is not what the hub answers"
        raise CheckpointError(Problem(listing.source, found, "letters and digits", fix))
    blob = listing.folder / "blobs" / etag
    lock = cache_folder() / ".locks" / listing.folder.name / f"{etag}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with client.WeakFileLock(lock):
        if blob.exists():
            return
        with incomplete_path(blob).open("ab") as part:
            _download_rest(part, url, headers, file.size, name)
        if SHA256.fullmatch(etag):
            _refuse_other_content(listing.source, name, incomplete_path(blob), etag)
        os.replace(incomplete_path(blob), blob)  # noqa: PTH105  like the hub's client


def _download_rest(
    part: IO[bytes], url: str, headers: Mapping[str, str], size: int, name: str
) -> None:
    """Downloads the rest of a file; of a connection that breaks off, several times."""
    if part.tell() > size:  # an interruption left something else
        _empty(part)
    bar = _progress_bar(shown=sys.stderr.isatty())
    with bar(total=size, initial=part.tell(), desc=name, unit="B", unit_scale=True) as progress:
        tries_left = _TRIES
        while (begin := part.tell()) != size:
            try:
                _append(part, url, headers, progress)
                if part.tell() == begin:
                    raise ConnectionError(f"{name} ends after {begin} of {size} bytes")
            except Exception as error:
                tries_left = _TRIES if part.tell() > begin else tries_left - 1
                if not tries_left or not is_network_error(error):
                    raise
                time.sleep(_SECONDS_BETWEEN_TRIES)
            if part.tell() > size:
                _empty(part)
                raise ConnectionError(f"{name} has more than {size} bytes")


def _empty(part: IO[bytes]) -> None:
    """Removes the content of a file; the next bytes are written at its start."""
    part.seek(0)
    part.truncate()


def _append(part: IO[bytes], url: str, headers: Mapping[str, str], progress: Any) -> None:
    """Appends to a file what follows in its content, until the connection ends."""
    from huggingface_hub import constants

    client = _client_functions()
    begin = part.tell()
    wanted = {**headers, "Accept-Encoding": "identity", "Range": f"bytes={begin}-"}
    options: dict[str, Any] = {
        "timeout": constants.HF_HUB_DOWNLOAD_TIMEOUT,
        "retry_on_exceptions": (),  # it would lose the place where the connection broke off
        "retry_on_status_codes": (408, 429),
    }
    with client.http_stream_backoff("GET", url, headers=wanted, **options) as response:
        client.hf_raise_for_status(response)
        if response.status_code != 206 and begin:  # it begins again
            _empty(part)
            progress.update(-begin)
        for chunk in response.iter_bytes():
            part.write(chunk)
            progress.update(len(chunk))


def _progress_bar(*, shown: bool) -> type[Any]:
    """A class of progress bars for the hub's client, which writes them to files, too."""
    tqdm: Any = import_module("tqdm").tqdm

    class ProgressBar(tqdm):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": not shown})

    return ProgressBar


def _client_functions() -> Any:
    """The functions of the hub's client for requests, whose names its annotations do not export."""
    return import_module("huggingface_hub.utils")


def _refuse_other_content(source: str, name: str, path: Path, sha256: str) -> None:
    """Removes a file and raises CheckpointError if its content has another hash."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        path.unlink()
        what = f"{name} arrived with the sha256 {found[:12]}…, not {sha256[:12]}…"
        fix = "fetch it again; if that does not help, a proxy or the mirror changes the files"
        raise CheckpointError(Problem(source, what, "the content that the hub lists", fix))
