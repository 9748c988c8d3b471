"""A run drawn over time: a row for each node, as text, as SVG, and as a page that needs no other.

Nothing is told by colour alone: loading is `L` and another height, failure is `x` and a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from html import escape

from sdgraph.formatting import align_columns, format_bytes, format_count

from .reader import PastRun
from .summary import Load, Span, Tally

_CELLS = 48
_RUNS, _LOADS, _FAILED = "━", "L", "x"


def as_text(run: PastRun) -> str:
    """The run as text, for a terminal of any kind."""
    tally = run.tally()
    lines = [heading(run, tally), *figures(run, tally)]
    rows = []
    for span in tally.spans.values():
        loads = [load for load in tally.loads if load.node == span.name]
        rows.append((span.name, span.type, f"|{_bar(span, loads, tally.at)}|", _words(span, loads)))
    if rows:
        end = _seconds(tally.at)
        scale = f" 0 s{end.rjust(_CELLS - 3)} "
        lines += ["", *align_columns([("", "", scale, ""), *rows])]
        lines.append(f"{_RUNS} runs   {_LOADS} loads models   {_FAILED} fails")
    if tally.reused:
        lines += ["", f"remembered: {', '.join(tally.reused)}"]
    if tally.error:
        lines += ["", f"error: {tally.error}"]
    return "\n".join(lines)


def listing_row(run: PastRun) -> tuple[str, ...]:
    """What `runs` lists of a run: id, when in the time of the place, and how it went."""
    told = run.as_data()
    try:
        when = datetime.fromisoformat(run.began).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        when = "?"
    nodes = f"{told['ran']} run, {told['reused']} remembered"
    took = _seconds(float(told["seconds"] or 0))
    return (run.id, when, run.workflow, run.status, took, nodes)


def heading(run: PastRun, tally: Tally) -> str:
    """Which run it is, how it ended, and in how long."""
    where = f" on {tally.device}" if tally.device else ""
    return f"{run.id}: {run.workflow}, {run.status} after {_seconds(tally.at)}{where}"


def figures(run: PastRun, tally: Tally) -> Iterator[str]:
    """What it did and what it took, in words."""
    told = tally.as_data()
    loaded = f"{format_count(len(tally.loads), 'model')} loaded"
    seconds = sum(load.seconds for load in tally.loads)
    size = f"{format_bytes(told['bytes_loaded'])} in {_seconds(seconds)}"
    yield (
        f"{format_count(told['ran'], 'node')} run, {told['reused']} remembered, {loaded} ({size})"
    )
    peaks = [
        f"{name} {format_bytes(peak)}"
        for name, peak in (
            ("the process", run.summary.get("peak_host")),
            (tally.device, run.summary.get("peak_device")),
        )
        if isinstance(peak, int)
    ]
    if peaks:
        yield f"peak memory: {', '.join(peaks)}"


def _bar(span: Span, loads: list[Load], end: float) -> str:
    cells = [" "] * _CELLS
    begin, last = _cell(span.began, end), _cell(_end(span, end), end)
    cells[begin : last + 1] = _RUNS * (last + 1 - begin)
    for load in loads:
        first, final = _cell(load.began, end), _cell(load.began + load.seconds, end)
        cells[first : final + 1] = _LOADS * (final + 1 - first)
    if span.failed:
        cells[last] = _FAILED
    return "".join(cells)


def _cell(at: float, end: float) -> int:
    return min(int(_CELLS * at / end), _CELLS - 1) if end > 0 else 0


def _end(span: Span, end: float) -> float:
    return end if span.ended is None else span.ended


def _words(span: Span, loads: list[Load]) -> str:
    told = [_seconds(span.ended - span.began) if span.ended is not None else "not finished"]
    if span.failed:
        told.append("failed")
    if loads:
        size = format_bytes(sum(load.file_bytes for load in loads))
        seconds = _seconds(sum(load.seconds for load in loads))
        told.append(f"loads {format_count(len(loads), 'model')} ({size}, {seconds})")
    if span.file:
        told.append(f"→ {span.file}")
    return "  ".join(told)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 600 else f"{seconds / 60:.1f} min"


_LEFT, _WIDTH, _ROW, _TOP = 260, 720, 24, 34

_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.quiet{fill:#555}.grid{stroke:#ccc}"
    ".run{fill:#4a7fb5}.load{fill:#e0a030;stroke:#5a3c00}.failed{fill:#b03030}"
)
_DARK = "@media(prefers-color-scheme:dark){text{fill:#ddd}.quiet{fill:#aaa}.grid{stroke:#555}}"
"""For the page alone: behind a file of its own browsers leave the ground white."""


def as_svg(run: PastRun) -> str:
    """The run as an SVG file of its own; every bar says on hovering what it is."""
    tally = run.tally()
    height = _TOP + _ROW * max(len(tally.spans), 1) + 12
    size = f'width="{_LEFT + _WIDTH + 40}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{_safe(heading(run, tally))}</title><style>{_STYLE}</style>",
        *_grid(tally.at, height),
    ]
    for number, span in enumerate(tally.spans.values()):
        loads = [load for load in tally.loads if load.node == span.name]
        parts += _row(span, loads, tally.at, _TOP + _ROW * number)
    return "\n".join([*parts, "</svg>\n"])


def _grid(end: float, height: int) -> Iterator[str]:
    for share in range(5):
        x = _LEFT + _WIDTH * share / 4
        yield f'<line class="grid" x1="{x:g}" x2="{x:g}" y1="24" y2="{height - 8}"/>'
        label = _safe(_seconds(end * share / 4))
        yield f'<text class="quiet" x="{x:g}" y="16" text-anchor="middle">{label}</text>'


def _row(span: Span, loads: list[Load], end: float, y: int) -> Iterator[str]:
    name = span.name if len(span.name) <= 34 else f"{span.name[:33]}…"
    yield f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{_safe(name)}</text>'
    told = f"{span.name} ({span.type}): {_words(span, loads)}"
    look = "failed" if span.failed else "run"
    yield _box(look, span.began, _end(span, end), end, y + 3, 16, told)
    for load in loads:
        told = f"{load.component}: {format_bytes(load.file_bytes)} in {_seconds(load.seconds)}"
        yield _box("load", load.began, load.began + load.seconds, end, y + 10, 9, told)
    if span.failed:
        x = _LEFT + _WIDTH * _end(span, end) / end if end > 0 else _LEFT
        yield f'<text x="{x + 4:.1f}" y="{y + 15}">failed</text>'


def _box(
    look: str, begin: float, stop: float, end: float, y: float, height: float, told: str
) -> str:
    scale = _WIDTH / end if end > 0 else 0.0
    x, width = _LEFT + begin * scale, max((stop - begin) * scale, 1.5)
    place = f'x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{height:g}"'
    return f'<rect class="{look}" {place}><title>{_safe(told)}</title></rect>'


def as_html(run: PastRun) -> str:
    """The run as a page: what it took, the timeline, and a table of its nodes."""
    tally = run.tally()
    rows = [
        (
            span.name,
            span.type,
            _seconds(span.began),
            _words(span, [load for load in tally.loads if load.node == span.name]),
        )
        for span in tally.spans.values()
    ]
    table = "\n".join(
        f"<tr>{''.join(f'<td>{_safe(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    head, *rest = [heading(run, tally), *figures(run, tally)]
    error = f"<p><b>error</b></p><pre>{_safe(tally.error)}</pre>" if tally.error else ""
    told = "".join(f"<p>{_safe(each)}</p>" for each in rest)
    style = (
        ":root{color-scheme:light dark}body{font:15px system-ui,sans-serif;margin:2em}"
        f"td,th{{padding:2px 12px 2px 0;text-align:left}}div{{overflow-x:auto}}{_DARK}"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{_safe(head)}</title></head><body>\n"
        f"<h1>{_safe(run.workflow)}</h1><p>{_safe(head)}</p>{told}{error}\n"
        f"<div>{as_svg(run)}</div><style>{style}</style>\n<table><tr><th>node</th><th>type</th><th>began</th>"
        f"<th>took</th></tr>\n{table}</table>\n</body></html>\n"
    )


def _safe(text: str) -> str:
    """Text as it may stand in XML: escaped, without the characters that XML has no place for."""
    return escape("".join(each if each.isprintable() else " " for each in text))
