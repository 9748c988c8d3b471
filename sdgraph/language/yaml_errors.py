"""The problems of a text that is not valid YAML: their places, and how to fix them."""

from __future__ import annotations

import re

import yaml

from sdgraph.errors import Mark, Problem

UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that YAML forbids; searched for first, as the parser does not say where they are."""


def unprintable_problem(file: str, text: str, start: int) -> Problem:
    """The problem of a forbidden character at `start`."""
    line = text.count("\n", 0, start) + 1
    at = Mark(file, line, start - text.rfind("\n", 0, start))
    found = f"the character U+{ord(text[start]):04X}"
    fix = f'in a quoted text write "\\u{ord(text[start]):04x}", or remove it'
    return Problem("YAML", found, "characters that can be seen", fix, at)


def syntax_problem(file: str, text: str, error: yaml.YAMLError) -> Problem:
    """The problem that the parser found, in words for users who do not know YAML's grammar."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    found = (getattr(error, "problem", None) or str(error).splitlines()[0]).removeprefix("found ")
    found = found.replace("did not find expected", "no")
    lines = text.splitlines()
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    context, began = getattr(error, "context", None) or "", getattr(error, "context_mark", None)
    fix = ""
    if "\t" in written[: len(written) - len(written.lstrip())]:
        found, fix = "a tab at the start of the line", "indent with spaces"
    elif "quoted scalar" in context and began:
        line, column = began.line + 1, began.column + 1
        found, fix = "a quote that is never closed", "close it"
    elif "flow" in context and began:
        fix = f"close the bracket that line {began.line + 1} opens, or put a comma here"
    elif "start any token" in found:
        found, fix = f"a text that begins with {written[column - 1 : column]}", "quote the text"
    elif found.startswith("mapping values"):
        found, fix = "a ': ' where no value may follow", "quote a text that holds ': '"
        if ": " not in written.split(": ", 1)[-1]:
            fix = "indent this line as its neighbours are"
    return Problem("YAML", found, "valid YAML", fix, Mark(file, line, column))
