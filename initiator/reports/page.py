"""A report as one page of HTML that needs nothing else: no network, no script, light and dark, screen and paper."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from html import escape
from typing import TYPE_CHECKING, Any, Final

from common.render import by_reason, long_json
from common.units import format_duration, format_milliseconds
from initiator.reports.charts import Chart, Scale, charts_of, format_elapsed
from initiator.reports.history import Cell, FinishedRun, History, Row, flat
from initiator.reports.style import STYLE
from initiator.reports.svg import BROAD, SIZES, styled, svg_of
from initiator.totals import ChurnTotals

if TYPE_CHECKING:
    from initiator.reports.report import Report

# Commands and rows that are shown without being asked for.
_OPEN: Final = 24

# A cell of text that is aligned as a number is.
_NUMBER: Final = re.compile(r"\d[\d,]*(\.\d+)?( ?[%\w/]+)?|[\d dh:]+:[\d.]+")

_HEAD: Final = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
"""


def page(report: "Report") -> str:
    """Return the page of a report that has a history."""
    assert report.history
    history = report.history
    charts = charts_of(history)
    title = f"Sessioner: {report.held:,} sessions, {_day(history)}"
    parts = [
        _HEAD,
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
        *_header(report, history),
        *_summary(report),
        *_setting(report, history),
        *_commands(history),
        *_figures("Over time", [chart for chart in charts if not _is_curve(chart)]),
        *_latencies(report, [chart for chart in charts if _is_curve(chart)]),
        *_runs(history.runs),
        *_targets(history),
        *_everything(report, history),
        "</main>\n",
        f'<script type="application/json" id="figures">{_embedded(report)}</script>\n',
        "</body>\n</html>\n",
    ]
    return "".join(parts)


def table(rows: Sequence[Row], *, name: str = "") -> str:
    """Return rows that have the same columns as a table; numbers are aligned to the right."""
    if not rows:
        return ""
    aligned = [_aligned(column, rows) for column in rows[0]]
    head = "".join(f'<th scope="col"{a}>{escape(column)}</th>' for column, a in zip(rows[0], aligned, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{a}>{_cell(value)}</td>' for value, a in zip(row.values(), aligned, strict=True))}</tr>\n"
        for row in rows
    )
    data = f' data-of="{escape(name)}"' if name else ""
    return (
        f'<div class="scroll" tabindex="0"><table{data}>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>\n"
    )


def chart_rows(chart: Chart) -> list[Row]:
    """Return the points of a chart as the rows of a table: each place, and the value of each series there."""
    rows: list[Row] = []
    for index, at in enumerate(chart.at):
        row: Row = {chart.x.title: chart.x.shown(at)}
        for series in chart.series:
            value = series.values[index]
            row[series.name] = None if value is None else chart.y.shown(value)
        rows.append(row)
    return rows


def _header(report: "Report", history: History) -> Iterator[str]:
    yield '<header>\n<p class="name">Sessioner report</p>\n'
    yield f"<h1>{report.held:,} of {report.asked:,} sessions held</h1>\n"
    seconds = history.timeline["time"][-1] if history.timeline["time"] else 0.0
    yield f"<p>Begun {escape(_day(history))}, watched for {format_duration(seconds)}.</p>\n</header>\n"


def _summary(report: "Report") -> Iterator[str]:
    """Yield the figures to look at first."""
    tiles = [
        ("held", f"{report.held:,}", f"of {report.asked:,} asked for"),
        ("established", f"{report.established:,}", "since the start"),
        ("lost", f"{sum(report.losses.values()):,}", _reasons(report.losses)),
        ("failed attempts", f"{sum(report.failures.values()):,}", _reasons(report.failures)),
    ]
    if query := report.query:
        tiles.append(("queries answered", f"{query.answered:,}", f"of {query.due:,} due in the latest run"))
    if (send := report.send) and send.awaiting:
        tiles.append(("messages answered", f"{send.answered:,}", f"of {send.sent:,} sent in the latest run"))
    elif send:
        tiles.append(("messages sent", f"{send.sent:,}", "in the latest run"))
    if churn := report.churn:
        counts = ChurnTotals().plus(churn.all_rows)
        tiles.append(("short sessions", f"{counts.completed:,}", f"of {counts.due:,} due in the latest {churn.name}"))
    for row in report.latencies:
        if row.name in ("query", "message") and row.kind == "corrected":
            texts = [(f"p{name}", value) for name, value in row.percentiles.items()]
            middle, *others = texts[:4]
            tiles.append(
                (
                    f"{row.name} {middle[0]}",
                    format_milliseconds(middle[1]),
                    ", ".join(f"{name} {format_milliseconds(value)}" for name, value in others),
                )
            )
    yield '<dl class="tiles">\n'
    for name, value, note in tiles:
        yield f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><dd class=note>{escape(note)}</dd></div>\n"
    yield "</dl>\n"


def _setting(report: "Report", history: History) -> Iterator[str]:
    """Yield what was run, so that it can be repeated."""
    process = history.process
    started = {entry.name: _setting_text(getattr(process, entry.name)) for entry in fields(process)}
    yield '<section id="setting">\n<h2>What was run</h2>\n'
    yield f"<pre><code>{escape(history.command)}</code></pre>\n"
    yield "<p>The last run of each kind:</p>\n"
    yield from _pairs(report.settings or {"workload": "none"})
    yield "<p>What the process was started with; what commands changed since then is in their list:</p>\n"
    yield from _pairs(started)
    yield "</section>\n"


def _pairs(pairs: Mapping[str, str]) -> Iterator[str]:
    yield "<dl class=pairs>\n"
    for name, value in pairs.items():
        yield f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(value)}</dd>\n"
    yield "</dl>\n"


def _setting_text(value: object) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ", ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _commands(history: History) -> Iterator[str]:
    rows: list[Row] = [
        {"": number, "time": format_elapsed(mark.time), "command": mark.text, "times": mark.times}
        for number, mark in enumerate(history.marks, 1)
    ]
    yield '<section id="commands">\n<h2>Commands</h2>\n'
    if history.earlier_marks:
        yield f"<p>The latest; {history.earlier_marks:,} before them are left out.</p>\n"
    if rows:
        yield _details(f"{len(rows)} commands, numbered as in the charts", table(rows, name="commands"), len(rows))
    else:
        yield "<p>None was given.</p>\n"
    yield "</section>\n"


def _figures(title: str, charts: Sequence[Chart]) -> Iterator[str]:
    yield f'<section>\n<h2>{escape(title)}</h2>\n<div class="charts">\n'
    for number, chart in enumerate(charts):
        yield from _figure(chart, broad=not number)
    yield "</div>\n</section>\n"


def _figure(chart: Chart, *, broad: bool = False) -> Iterator[str]:
    """Yield a chart with its legend, at each size, and the table behind it; a broad one has a row for itself."""
    state = ' class="broad"' if broad else ""
    yield f'<figure{state} data-title="{escape(chart.title)}">\n<figcaption><h3>{escape(chart.title)}</h3>'
    yield f"<p>{escape(chart.note)}</p></figcaption>\n"
    yield '<ul class="legend">'
    for style, series in styled(chart.series):
        swatch = f'<svg width="28" height="10" aria-hidden="true"><path class="line s{style}" d="M1 5H27"/></svg>'
        yield f"<li>{swatch}{escape(series.name)}</li>"
    yield "</ul>\n"
    for size in (BROAD, *SIZES) if broad else SIZES:
        yield f"{svg_of(chart, size)}\n"
    rows = chart_rows(chart)
    yield _details(f"Table of {len(rows)} rows", table(rows, name=chart.title), len(rows), opened=0)
    yield "</figure>\n"


def _latencies(report: "Report", charts: Sequence[Chart]) -> Iterator[str]:
    """Yield the percentiles of every latency, and a chart of each."""
    if not report.latencies:
        return
    rows: list[Row] = [
        {
            "latency": row.name,
            "kind": row.kind,
            "count": row.count,
            "mean ms": f"{1000 * row.mean:,.3f}",
            **{f"p{name} ms": f"{1000 * value:,.3f}" for name, value in row.percentiles.items()},
            "max ms": f"{1000 * row.highest:,.3f}",
        }
        for row in report.latencies
    ]
    yield '<section id="latencies">\n<h2>Latency</h2>\n'
    yield (
        "<p>Corrected counts from when a thing was due, raw from when it was really sent: where the two part, the"
        " generator was late. Each nine on the axis is as wide as the one before.</p>\n"
    )
    yield table(rows, name="latencies")
    yield '<div class="charts">\n'
    for chart in charts:
        yield from _figure(chart)
    yield "</div>\n</section>\n"


def _runs(runs: Sequence[FinishedRun]) -> Iterator[str]:
    if not runs:
        return
    yield '<section id="runs">\n<h2>Finished runs</h2>\n'
    for number, run in enumerate(runs, 1):
        yield f"<h3>{number}. {escape(run.title)}</h3>\n<p><code>{escape(run.settings)}</code></p>\n"
        if run.table.summary:
            yield f"<p>{escape(run.table.summary)}</p>\n"
        yield table(run.table.rows, name=f"run {number}")
    yield "</section>\n"


def _targets(history: History) -> Iterator[str]:
    rows: list[Row] = [
        {
            "target": target.target,
            "share": target.share,
            "held": target.held,
            "attempts": target.attempts,
            "established": target.established,
            "lost": by_reason(target.losses),
            "failed": by_reason(target.failures),
            "pausing": target.pausing,
            "without ports": target.without_ports,
            "hash size": target.hashsize,
            "max depth": target.max_depth,
        }
        for target in history.targets
    ]
    yield '<section id="targets">\n<h2>Targets</h2>\n'
    yield _details(f"The first {len(rows)}" if len(rows) > 1 else "One target", table(rows, name="targets"), len(rows))
    yield "</section>\n"


def _everything(report: "Report", history: History) -> Iterator[str]:
    """Yield every other figure by its name."""
    rows = [
        {"figure": name, "value": value}
        for name, value in flat(report).items()
        if not name.startswith(("history", "latencies"))
    ]
    yield '<section id="all">\n<h2>All figures</h2>\n'
    yield "<p>Segments are those of the sessions that were drawn, since each of them was established.</p>\n"
    samples = list(_samples(history.timeline))
    points: list[Row] = [
        {"latency": curve.name, "kind": curve.kind, "percentile": 100 * place, "seconds": seconds, "values": values}
        for curve in history.curves
        for place, seconds, values in curve.points
    ]
    for summary, name, of_it in (
        (f"{len(rows)} figures", "figures", rows),
        (f"{len(samples)} samples, counts in total", "samples", samples),
        (f"{len(points)} points of the curves", "points", points),
    ):
        yield _details(f"{summary}; times in seconds, traffic in bytes", table(of_it, name=name), len(of_it), opened=0)
    yield "</section>\n"


def _samples(timeline: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the samples of a timeline, with a column for each reason."""
    columns: dict[str, list[Cell]] = {}
    for name, values in timeline.items():
        if isinstance(values, dict):
            columns.update({f"{name.replace('_', ' ')} {reason}": counts for reason, counts in values.items()})
        else:
            columns[name.replace("_", " ")] = values
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _details(summary: str, content: str, rows: int, *, opened: int = _OPEN) -> str:
    state = " open" if rows <= opened else ""
    return f"<details{state}><summary>{escape(summary)}</summary>\n{content}</details>\n"


def _embedded(report: "Report") -> str:
    """Return the figures as JSON that cannot end the element it stands in."""
    return long_json(report).replace("<", "\\u003c")


def _is_curve(chart: Chart) -> bool:
    return chart.x.scale is Scale.PERCENTILE


def _reasons(counts: dict[str, int]) -> str:
    return by_reason(counts).partition("(")[2].rstrip(")") or "none"


def _day(history: History) -> str:
    return history.begun.replace("T", " ").replace("+00:00", " UTC")


def _aligned(column: str, rows: Sequence[Row]) -> str:
    """Return the class of a column of numbers; one without any value is one, too."""
    texts = (value for row in rows if isinstance(value := row[column], str))
    return ' class="n"' if all(map(_NUMBER.fullmatch, texts)) else ""


def _cell(value: Cell) -> str:
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.9g}"
    return escape(value)
