"""The problems of a text that is not valid YAML: their places, and how to fix them."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    mistake = _Mistake.of(text, error)
    for explain in (_indentation, _quotes, _comment, _missing_space, _first_character, _place):
        if explained := explain(mistake):
            found, fix = explained
            break
    else:
        found, fix = mistake.found, ""
    return Problem("YAML", found, "valid YAML", fix, Mark(file, mistake.line, mistake.column))


def quoted(text: str) -> str:
    r"""A text in the quotes that it needs in YAML, shortened for a message.

    Example:
        >>> quoted("a: b"), quoted(r"C:\new")
        ('"a: b"', "'C:\\new'")
    """
    short = text if len(text) <= 60 else text[:59] + "…"
    if '"' in short or "\\" in short:
        return "'" + short.replace("'", "''") + "'"
    return f'"{short}"'


@dataclass
class _Mistake:
    """What the parser says, and the lines of the text that it is about.

    Args:
        found: The parser's words for what it found.
        context: The parser's words for what it was reading, or "".
        line: The line of the mistake, counted from 1; `_quotes` and others move it.
        column: The character in the line, counted from 1.
        began: The line and column at which the parser began to read `context`, counted from 1.
        lines: The lines of the text.
    """

    found: str
    context: str
    line: int
    column: int
    began: tuple[int, int]
    lines: list[str]

    @classmethod
    def of(cls, text: str, error: yaml.YAMLError) -> _Mistake:
        began = getattr(error, "context_mark", None)
        mark = getattr(error, "problem_mark", None) or began
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        found = getattr(error, "problem", None) or str(error).splitlines()[0]
        found = found.removeprefix("found ").replace("did not find expected", "no")
        start = (began.line + 1, began.column + 1) if began else (line, column)
        context = getattr(error, "context", None) or ""
        return cls(found, context, line, column, start, text.splitlines())

    def at(self, line: int) -> str:
        """The text of a line."""
        return self.lines[line - 1] if 0 < line <= len(self.lines) else ""

    @property
    def before(self) -> str:
        """The text of the line up to the mistake."""
        return self.at(self.line)[: self.column - 1]

    @property
    def rest(self) -> str:
        """The text of the line from the mistake on."""
        return self.at(self.line)[self.column - 1 :]


_Explanation = tuple[str, str] | None
"""What was found and how to fix it; None if the mistake is of another kind."""


def _indentation(mistake: _Mistake) -> _Explanation:
    written = mistake.at(mistake.line)
    if "\t" in written[: len(written) - len(written.lstrip())]:
        return "a tab at the start of the line", "indent with spaces"
    return None


def _quotes(mistake: _Mistake) -> _Explanation:
    """A quote that is not closed or closed too early, or a backslash that stands for nothing."""
    if "quoted scalar" in mistake.context and "end of stream" in mistake.found:
        mistake.line, mistake.column = mistake.began
        return "a quote that is never closed", "close it"
    if "quoted scalar" in mistake.context:
        mistake.line, mistake.column = mistake.began
        fix = "write the text in single quotes, where a backslash is only a backslash"
        return "a backslash in double quotes that stands for no character", fix
    last = mistake.before.rstrip()[-1:]
    if last == "'" and mistake.rest and "no" in mistake.found:
        return "more text after a closing quote", "inside single quotes write '' for each quote"
    if last == '"' and mistake.rest and "no" in mistake.found and mistake.rest[:1] != ":":
        return "more text after a closing quote", 'inside double quotes write \\" for each quote'
    return None


_COMMENT = re.compile(r"[:\s,\[]\s*(#\S[^,}\]]*)")


def _comment(mistake: _Mistake) -> _Explanation:
    """A bracket that seems open because the end of its line is a comment: `{color: #ff0000}`."""
    if "flow" not in mistake.context:
        return None
    for line in range(min(mistake.began[0], mistake.line - 1), mistake.line + 1):
        match = _COMMENT.search(mistake.at(line))
        written = mistake.at(line)[: match.start(1)] if match else ""
        if match and sum(map(written.count, "{[")) > sum(map(written.count, "}]")):
            mistake.line, mistake.column = line, match.start(1) + 1
            text = match[1].rstrip()
            return f"{text}, which begins a comment", f"quote the text: {quoted(text)}"
    return None


_NO_SPACE = re.compile(r"\s*(?:- )?([A-Za-z_]\w*)(:|\s*=\s*)([^\s/\\].*)\Z")


def _missing_space(mistake: _Mistake) -> _Explanation:
    """`prompt:a star` or `prompt = a star`, in this line or the one before it."""
    if "flow" in mistake.context:
        return None
    for line in (mistake.line, mistake.began[0], mistake.line - 1):
        match = _NO_SPACE.match(mistake.at(line))
        if match:
            mistake.line, mistake.column = line, match.start(2) + 1
            found = f"no space after {match[1]}:" if match[2] == ":" else "= between key and value"
            return found, f"write {match[1]}: {match[3].strip()[:60]}"
    if "simple key" in mistake.context:
        mistake.line, mistake.column = mistake.began
        fix = "write `key: value`, or indent it further if it goes on with the text before it"
        return "a line without a ': '", fix
    return None


def _first_character(mistake: _Mistake) -> _Explanation:
    """A text that begins with a character that means something else in YAML."""
    line, column = mistake.began if mistake.context else (mistake.line, mistake.column)
    start = mistake.at(line)[column - 1 :]
    of_token = any(word in mistake.context for word in ("alias", "anchor", "tag", "block scalar"))
    of_list = "are not allowed" in mistake.found and start[:1] in ("-", "?")
    of_node = "node" in mistake.context and start[:1] in tuple("-?,]}") and start[1:].strip()
    if not (of_token or of_list or of_node or "start any token" in mistake.found):
        return None
    mistake.line, mistake.column = line, column
    text = start if "flow" not in mistake.context else re.split("[,}\\]]", start)[0]
    if "{" in mistake.at(line)[: column - 1]:
        text = re.split("[,}]", start)[0] or start[:1]
    return f"a text that begins with {start[:1]}", f"quote the text: {quoted(text.strip())}"


def _place(mistake: _Mistake) -> _Explanation:
    """A bracket, comma, colon or indentation that is not where it belongs."""
    fix = "quote a text that holds ': '"
    if mistake.found.startswith("mapping values"):
        if ": " not in mistake.at(mistake.line).split(": ", 1)[-1]:
            fix = "indent this line as its neighbours are"
        return "a ': ' where no value may follow", fix
    entry = re.split("[,{\\[]", mistake.before)[-1]
    if "flow" in mistake.context and mistake.rest[:1] == ":" and ": " in entry:
        key = entry.split()[-1]
        fix = f"quote the text, or put a comma before {key}: if a new value begins there"
        return "a second ': ' in one value", fix
    brackets = mistake.before.rstrip()[-1:] + mistake.rest[:1]
    if "flow" in mistake.context and any(mark in brackets for mark in "{}[]") and ": " in entry:
        return f"{mistake.rest[:1]!r} in a text", "quote the text"
    if mistake.found.startswith("no") and mistake.before.rstrip()[-1:] in tuple("]}"):
        return "more text after a closing bracket", "quote the text"
    if "flow" in mistake.context:
        fix = f"close the bracket that line {mistake.began[0]} opens, or put a comma here"
        return mistake.found, fix
    if mistake.found == "no key":
        return "a line that is indented less than the one it belongs to", (
            "indent this line as its neighbours are"
        )
    return None
