"""Secrets kept out of what is written down: tokens in messages of libraries, passwords in URLs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

HIDDEN = "[hidden]"

_NAMES = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|CREDENTIAL", re.IGNORECASE)
"""What the names of environment variables that hold secrets have in them."""

_SHORTEST = 8  # of a secret: what is shorter would hide words of every day

_PATTERNS = (
    re.compile(r"()\b(?:hf|ghp|gho|ghs|github_pat|sk|xox[abp])[_-][A-Za-z0-9_-]{16,}"),
    re.compile(r"(?i)(\b(?:bearer|basic|token)\s+)[A-Za-z0-9._~+/=-]{12,}"),
    re.compile(r"(://)[^\s/@:]+:[^\s/@]+(?=@)"),
    re.compile(
        r"(?i)([?&](?:[a-z0-9_.-]*(?:token|signature|credential|secret|key|password))=)[^&\s\"']+"
    ),
    re.compile(r"(?i)(\b(?:password|api[_-]?key|secret|access[_-]?token)\s*[=:]\s*)[^\s,;\"']{4,}"),
)


def redacted(value: Any) -> Any:
    """Text, or data for JSON with all the text in it, without what looks like a secret.

    That is: the values of environment variables whose names say so, tokens of known forms, and the
    secret parts of URLs and headers.
    """
    if isinstance(value, dict):
        return {key: redacted(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(each) for each in value]
    if not isinstance(value, str):
        return value
    for secret in _of_environment():
        value = value.replace(secret, HIDDEN)
    return _without_patterns(value)


@lru_cache(maxsize=1024)
def _without_patterns(text: str) -> str:
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


def _of_environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST and _NAMES.search(name):
            yield value
