"""Hides secrets before anything is recorded: tokens in messages of libraries, passwords in URLs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

HIDDEN = "[hidden]"

_NAMES = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|CREDENTIAL", re.IGNORECASE)
"""Matches the names of environment variables that hold secrets."""

_SHORTEST = 8  # characters of a secret: shorter ones would hide ordinary words

_PATTERNS = (
    re.compile(r"()\b(?:hf|ghp|gho|ghs|github_pat|sk|xox[abp])[_-][A-Za-z0-9_-]{16,}"),
    re.compile(r"(?i)(\b(?:bearer|basic|token)\s+)[A-Za-z0-9._~+/=-]{12,}"),
    re.compile(r"(://)[^\s/@:]+:[^\s/@]+(?=@)"),
    re.compile(
        r"(?i)([?&](?:[a-z0-9_.-]*(?:token|signature|credential|secret|key|password))=)[^&\s\"']+"
    ),
    re.compile(r"(?i)(\b(?:password|api[_-]?key|secret|access[_-]?token)\s*[=:]\s*)[^\s,;\"']{4,}"),
)


def redact(value: Any) -> Any:
    """A copy of text, or of data for JSON, in which everything that looks like a secret is hidden.

    Secrets are the values of environment variables with names such as API_KEY, tokens of known
    forms, and the secret parts of URLs and headers.

    Args:
        value: A string, or dicts and lists with strings in them; other values stay as they are.
    """
    if isinstance(value, dict):
        return {key: redact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    if not isinstance(value, str):
        return value
    for secret in _environment_secrets():
        value = value.replace(secret, HIDDEN)
    return _hide_patterns(value)


@lru_cache(maxsize=1024)
def _hide_patterns(text: str) -> str:
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


def _environment_secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _NAMES.search(name):
            yield value
