"""What went wrong with the hub, as one problem with what to do about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from sdgraph.errors import CheckpointError, Problem

_WANTED = "a checkpoint that the hub has"
_LOGIN = "log in with `hf auth login`, or set HF_TOKEN"

_NETWORK_ERRORS = {"NetworkError", "TimeoutException", "ProxyError", "ProtocolError"}


def hub_error(source: str, revision: str | None, error: Exception) -> CheckpointError:
    """The error for an exception that the hub's client raised.

    The client raises dozens of kinds, for the network, the server, access rights and the disk.

    Args:
        source: The name of the repository.
        revision: The branch, tag or commit that was asked for.
        error: The exception.
    """
    if isinstance(error, CheckpointError):
        return error
    for cause in _causes(error):
        if (explained := _explain(source, revision, cause)) is not None:
            return _error(source, *explained)
    reason = next((line for line in str(error).strip().splitlines() if line), "")
    fix = "check the name and the network, log in if it is gated, or name a local folder"
    return _error(source, reason or type(error).__name__, fix)


def _error(source: str, reason: str, fix: str) -> CheckpointError:
    found = f"it cannot be fetched from the hub: {reason}"
    return CheckpointError(Problem(source, found, _WANTED, fix))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it was raised from, the first cause at the end."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _explain(source: str, revision: str | None, error: BaseException) -> tuple[str, str] | None:
    """The reason and what to do, for an exception that says enough; None for any other."""
    from huggingface_hub import constants, errors, get_token

    page = f"{constants.ENDPOINT}/{source}"
    if isinstance(error, errors.GatedRepoError):
        if get_token() is None:
            return (
                "it is gated, and you are not logged in",
                f"accept its licence at {page}; {_LOGIN}",
            )
        fix = f"accept its licence at {page}, and wait if its authors approve each request"
        return "it is gated, and your login was not granted access", fix
    if isinstance(error, errors.DisabledRepoError):
        return "its repository is disabled", "choose another checkpoint"
    if isinstance(error, errors.RevisionNotFoundError):
        fix = f"see its branches and tags at {page}/tree/main, or leave the revision out"
        return f"it has no revision {revision or 'main'!r}", fix
    if isinstance(error, errors.RepositoryNotFoundError):
        fix = f"check the name at {page}; if it is private, {_LOGIN}"
        return "there is no repository of that name, or it is private", fix
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return "it has no such file", f"see its files at {page}/tree/main"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set", "unset it while you are online, or name a local folder"
    if isinstance(error, errors.HfHubHTTPError):
        return _explain_status(page, error)
    return _explain_network(error)


def _explain_status(page: str, error: BaseException) -> tuple[str, str] | None:
    """The reason and what to do for an answer of the server that is an error."""
    from huggingface_hub import get_token

    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in (401, 403):
        if get_token() is None:
            return f"it needs a login (status {status})", f"{_LOGIN}; then see {page}"
        fix = f"log in again with `hf auth login` or change HF_TOKEN; then see {page}"
        return f"your login is not accepted (status {status})", fix
    if status == 404:
        return "there is no such repository or file", f"check the name at {page}"
    if status == 429:
        return "too many requests (status 429)", f"wait some minutes; {_LOGIN} for higher limits"
    if status >= 500:
        return f"the server has a problem (status {status})", "try again later"
    return None


def _explain_network(error: BaseException) -> tuple[str, str] | None:
    """The reason and what to do for a network or a disk that fails."""
    from huggingface_hub import constants

    text = str(error).strip().splitlines()
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        fix = "free some of it, or set HF_HOME to a folder on another disk; what is here is kept"
        return "the disk is full", fix
    if isinstance(error, PermissionError) and error.filename:
        fix = "change its permissions, or set HF_HOME to another folder"
        return f"{error.filename} cannot be written", fix
    if is_network_error(error):
        fix = "check the network (and HF_ENDPOINT and the proxy, if you set them), and try again"
        why = f" ({text[0]})" if text else ""
        return f"the connection to {constants.ENDPOINT} fails{why}", fix
    return None


def is_network_error(error: BaseException) -> bool:
    """Whether a connection failed: it was refused, broke off, or took too long.

    The client's own classes are recognised by their names: which library defines them depends
    on its version.

    Args:
        error: The exception.
    """
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(names & _NETWORK_ERRORS) or isinstance(error, ConnectionError | TimeoutError)
