"""The figures of churn as text for people."""

from collections.abc import Iterable, Iterator
from typing import Final

from common.render import by_reason, field
from common.units import format_duration, format_milliseconds, per_second
from initiator.churn_figures import OUT_OF_PORTS, ChurnFigures, ChurnRow, Summary, Verdict, failed_of
from initiator.reports.history import Row, Table
from initiator.workloads.saturation import own_limit

_PORT_REMEDY: Final = (
    "more --target ports or --source-ip addresses, `close rst`, a wider net.ipv4.ip_local_port_range,"
    " or net.ipv4.tcp_tw_reuse=1"
)


def churn_text(now: ChurnFigures) -> Iterator[str]:
    """Yield the lines of a run: for each rate what became of it, and its latencies."""
    for row in now.all_rows:
        yield from row_text(row) if now.name == "churn" else step_text(row)
    if now.name == "churn" and len(now.all_rows) > 1:
        yield from compared_text(now.all_rows)
    if now.verdict:
        yield field("Saturated", _verdict_text(now.verdict))


def row_text(row: ChurnRow) -> Iterator[str]:
    """Yield the lines of one rate."""
    yield field("Churn", f"{row.asked:g} a second asked, {_achieved(row)} achieved, {_progress(row)}")
    yield field("Transactions", f"{row.due} due, {row.completed} completed, failed: {by_reason(failed_of(row))}")
    if row.empty:
        yield field("Without an answer", row.empty)
    for name, phase in (("connect", row.connect), ("first byte", row.first_byte), ("whole", row.whole)):
        for kind, summary in (("corrected", phase.corrected), ("raw", phase.raw)):
            if summary.count:
                yield f"   {name:<10} {kind:<9} {_summary(summary)}"
    if limit := own_limit(row):
        yield f"   {limit}"
    yield from _remedy(row)


def compared_text(rows: Iterable[ChurnRow]) -> Iterator[str]:
    """Yield a table with one line for each rate; latencies are those of the whole transaction, corrected."""
    yield f"{'asked/s':>10}{'achieved/s':>12}{'completed':>11}{'p50':>11}{'p99':>11}  failed"
    for row in rows:
        whole = row.whole.corrected
        p50, p99 = (format_milliseconds(value if whole.count else None) for value in (whole.p50, whole.p99))
        failed = by_reason(failed_of(row))
        yield f"{row.asked:>10g}{_achieved(row):>12}{row.completed:>11}{p50:>11}{p99:>11}  {failed}"


def step_text(row: ChurnRow) -> Iterator[str]:
    """Yield the line of one rate of a search."""
    whole = row.whole.corrected
    median = format_milliseconds(whole.p50 if whole.count else None)
    failed = by_reason(failed_of(row))
    yield f"   {row.asked:.1f} a second: {_achieved(row)} achieved, median {median}, failed: {failed}"
    yield from _remedy(row)


def churn_table(now: ChurnFigures) -> Table:
    """Return what a report shows of a run: for each rate what became of it, with the corrected latency of the whole."""
    rows: list[Row] = []
    for row in now.rows:
        whole = row.whole.corrected
        rows.append(
            {
                "asked/s": f"{row.asked:,.1f}",
                "achieved/s": None if per_second(row.completed, row.seconds) is None else f"{row.achieved:,.1f}",
                "completed": row.completed,
                "failed": by_reason(failed_of(row)),
                "p50": format_milliseconds(whole.p50) if whole.count else None,
                "p99": format_milliseconds(whole.p99) if whole.count else None,
                "max": format_milliseconds(whole.highest) if whole.count else None,
                "busy": f"{row.busy:.0%}",
                "own limit": bool(own_limit(row)),
            }
        )
    return Table(rows, f"Saturated: {_verdict_text(now.verdict)}" if now.verdict else "")


def _verdict_text(verdict: Verdict) -> str:
    good = f"{verdict.good:.1f} a second" if verdict.good else "no rate"
    if verdict.bad is None:
        return f"not yet; {good} does"
    return f"{good} does, {verdict.bad:.1f} does not: {verdict.reason}"


def toolbar_part(now: ChurnFigures) -> str:
    """Return what is tried now, and the time left."""
    left = f"{format_duration(now.seconds_left)} left"
    if not now.now:
        return f"{now.name}: resting, {left}"
    if not now.seconds_left:
        left = f"{now.now.under_way} under way"
    return f"{now.name}: {now.now.achieved:.0f} of {now.now.asked:g}/s, {left}"


def _achieved(row: ChurnRow) -> str:
    return "-" if per_second(row.completed, row.seconds) is None else f"{row.achieved:.1f}"


def _progress(row: ChurnRow) -> str:
    return f"{row.under_way} under way" if row.under_way else f"over {format_duration(row.seconds)}"


def _summary(summary: Summary) -> str:
    values = (
        ("min", summary.lowest),
        ("p50", summary.p50),
        ("p90", summary.p90),
        ("p99", summary.p99),
        ("max", summary.highest),
        ("mean", summary.mean),
    )
    return "  ".join(f"{name} {format_milliseconds(value)}" for name, value in values)


def _remedy(row: ChurnRow) -> Iterator[str]:
    if OUT_OF_PORTS in row.failed:
        waiting = "" if row.time_wait is None else f" ({row.time_wait} sessions here are in TIME_WAIT)"
        yield f"   {OUT_OF_PORTS}{waiting}: {_PORT_REMEDY}"
