"""Draws a run over time, with a row for each node: as text, as SVG and as an HTML page.

Nothing is shown by colour alone: loading is also `L` or a lower bar, failure also `x` and a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from html import escape
from pathlib import Path

from sdgraph.formatting import align_columns, format_bytes, format_count

from .reader import PastRun
from .summary import ComponentLoad, NodeSpan, RunSummary

_CELLS = 48
_RUNS, _LOADS, _FAILED = "━", "L", "x"


def as_text(run: PastRun) -> str:
    """The run as text for a terminal."""
    summary = run.summarize()
    lines = [heading(run, summary), *figures(run, summary)]
    rows = []
    for span in summary.spans.values():
        loads = summary.loads_of(span)
        rows.append(
            (span.name, span.type, f"|{_bar(span, loads, summary.at)}|", _outcome(span, loads))
        )
    if rows:
        end = _seconds(summary.at)
        scale = f" 0 s{end.rjust(_CELLS - 3)} "
        lines += ["", *align_columns([("", "", scale, ""), *rows])]
        lines.append(f"{_RUNS} runs   {_LOADS} loads models   {_FAILED} fails")
    if summary.reused:
        lines += ["", f"remembered: {', '.join(summary.reused)}"]
    if summary.error:
        lines += ["", f"error: {summary.error}"]
    return "\n".join(lines)


def summary_row(run: PastRun) -> tuple[str, ...]:
    """The row of a run in `sdgraph runs`: id, local time, workflow, status, seconds, nodes."""
    data = run.as_data()
    try:
        when = datetime.fromisoformat(run.began).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        when = "?"
    nodes = f"{data['ran']} run, {data['reused']} remembered"
    took = _seconds(float(data["seconds"] or 0))
    return (run.id, when, run.workflow, run.status, took, nodes)


def heading(run: PastRun, summary: RunSummary) -> str:
    """A line with the id, the workflow, how the run ended and how long it took."""
    where = f" on {summary.device}" if summary.device else ""
    return f"{run.id}: {run.workflow}, {run.status} after {_seconds(summary.at)}{where}"


def figures(run: PastRun, summary: RunSummary) -> Iterator[str]:
    """Lines with the number of nodes and models, the bytes loaded and the peak memory."""
    data = summary.as_data()
    loaded = f"{format_count(len(summary.loads), 'model')} loaded"
    seconds = sum(load.seconds for load in summary.loads)
    size = f"{format_bytes(data['bytes_loaded'])} in {_seconds(seconds)}"
    yield (
        f"{format_count(data['ran'], 'node')} run, {data['reused']} remembered, {loaded} ({size})"
    )
    peaks = [
        f"{name} {format_bytes(peak)}"
        for name, peak in (
            ("the process", run.summary.get("peak_host")),
            (summary.device, run.summary.get("peak_device")),
        )
        if isinstance(peak, int)
    ]
    if peaks:
        yield f"peak memory: {', '.join(peaks)}"


def _bar(span: NodeSpan, loads: list[ComponentLoad], end: float) -> str:
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


def _end(span: NodeSpan, end: float) -> float:
    return end if span.ended is None else span.ended


def _with_bare_name(span: NodeSpan) -> NodeSpan:
    """The span with its file's name only, for drawings, which may be passed on."""
    return replace(span, file=Path(span.file).name if span.file else None)


def _outcome(span: NodeSpan, loads: list[ComponentLoad]) -> str:
    parts = [_seconds(span.ended - span.began) if span.ended is not None else "not finished"]
    if span.failed:
        parts.append("failed")
    if loads:
        size = format_bytes(sum(load.file_bytes for load in loads))
        seconds = _seconds(sum(load.seconds for load in loads))
        parts.append(f"loads {format_count(len(loads), 'model')} ({size}, {seconds})")
    if span.file:
        parts.append(f"→ {span.file}")
    return "  ".join(parts)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 600 else f"{seconds / 60:.1f} min"


_LEFT, _WIDTH, _ROW, _TOP = 260, 720, 24, 34

_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#222}.quiet{fill:#555}.grid{stroke:#ccc}"
    ".run{fill:#4a7fb5}.load{fill:#e0a030;stroke:#5a3c00}.failed{fill:#b03030}"
)
_DARK = "@media(prefers-color-scheme:dark){text{fill:#ddd}.quiet{fill:#aaa}.grid{stroke:#555}}"
"""Only for the HTML page: browsers show a separate SVG file on white."""


def as_svg(run: PastRun) -> str:
    """The run as a standalone SVG file; each bar has a tooltip."""
    summary = run.summarize()
    height = _TOP + _ROW * max(len(summary.spans), 1) + 12
    size = f'width="{_LEFT + _WIDTH + 40}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{_escape(heading(run, summary))}</title><style>{_STYLE}</style>",
        *_grid(summary.at, height),
    ]
    for number, span in enumerate(summary.spans.values()):
        loads = summary.loads_of(span)
        parts += _row(span, loads, summary.at, _TOP + _ROW * number)
    return "\n".join([*parts, "</svg>\n"])


def _grid(end: float, height: int) -> Iterator[str]:
    for share in range(5):
        x = _LEFT + _WIDTH * share / 4
        yield f'<line class="grid" x1="{x:g}" x2="{x:g}" y1="24" y2="{height - 8}"/>'
        label = _escape(_seconds(end * share / 4))
        yield f'<text class="quiet" x="{x:g}" y="16" text-anchor="middle">{label}</text>'


def _row(span: NodeSpan, loads: list[ComponentLoad], end: float, y: int) -> Iterator[str]:
    name = span.name if len(span.name) <= 34 else f"{span.name[:33]}…"
    yield f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{_escape(name)}</text>'
    tooltip = f"{span.name} ({span.type}): {_outcome(_with_bare_name(span), loads)}"
    style = "failed" if span.failed else "run"
    yield _box(style, (span.began, _end(span, end)), end, (y + 3, 16), tooltip)
    for load in loads:
        tooltip = f"{load.component}: {format_bytes(load.file_bytes)} in {_seconds(load.seconds)}"
        yield _box("load", (load.began, load.began + load.seconds), end, (y + 10, 9), tooltip)
    if span.failed:
        x = _LEFT + _WIDTH * _end(span, end) / end if end > 0 else _LEFT
        yield f'<text x="{x + 4:.1f}" y="{y + 15}">failed</text>'


def _box(
    style: str,
    interval: tuple[float, float],
    end: float,
    vertical: tuple[float, float],
    tooltip: str,
) -> str:
    """A bar over an interval of time; `vertical` is its top and height, `end` the run's length."""
    scale = _WIDTH / end if end > 0 else 0.0
    begin, stop = interval
    x, width = _LEFT + begin * scale, max((stop - begin) * scale, 1.5)
    y, height = vertical
    place = f'x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{height:g}"'
    return f'<rect class="{style}" {place}><title>{_escape(tooltip)}</title></rect>'


def as_html(run: PastRun) -> str:
    """The run as an HTML page without links to other files: figures, timeline, table of nodes."""
    summary = run.summarize()
    rows = [
        (
            span.name,
            span.type,
            _seconds(span.began),
            _outcome(_with_bare_name(span), summary.loads_of(span)),
        )
        for span in summary.spans.values()
    ]
    table = "\n".join(
        f"<tr>{''.join(f'<td>{_escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    head, *rest = [heading(run, summary), *figures(run, summary)]
    error = f"<p><b>error</b></p><pre>{_escape(summary.error)}</pre>" if summary.error else ""
    paragraphs = "".join(f"<p>{_escape(line)}</p>" for line in rest)
    style = (
        ":root{color-scheme:light dark}body{font:15px system-ui,sans-serif;margin:2em}"
        f"td,th{{padding:2px 12px 2px 0;text-align:left}}div{{overflow-x:auto}}{_DARK}"
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{_escape(head)}</title></head><body>\n"
        f"<h1>{_escape(run.workflow)}</h1><p>{_escape(head)}</p>{paragraphs}{error}\n"
        f"<div>{as_svg(run)}</div><style>{style}</style>\n<table><tr><th>node</th><th>type</th><th>began</th>"
        f"<th>took</th></tr>\n{table}</table>\n</body></html>\n"
    )


def _escape(text: str) -> str:
    """Text escaped for XML, with a space for each character that XML does not allow."""
    return escape("".join(char if char.isprintable() else " " for char in text))
