"""The figures of the workloads as text for people."""

from collections.abc import Iterable, Iterator

from common.render import by_reason, field
from common.units import format_bandwidth, format_count, format_duration, format_milliseconds
from initiator.reports.history import Row, Table
from initiator.snapshot import LatencyRow, QueryFigures, RateFound, RateTried, SendFigures
from initiator.totals import MessageTotals, QueryTotals


def query_text(now: QueryFigures) -> Iterator[str]:
    """Yield the lines of a run of queries: asked, achieved, failed by reason."""
    seconds = now.seconds or 1.0
    yield field("Queries", "running" if now.running else f"ended after {format_duration(now.seconds)}")
    yield field("Queries due", f"{now.due} ({now.due / seconds:.1f} a second)")
    yield field("Queries sent", f"{now.sent} ({now.sent / seconds:.1f} a second)")
    yield field("Queries answered", f"{now.answered} ({now.answered / seconds:.1f} a second)")
    yield field("Queries failed", by_reason(_counted(QueryTotals().plus(now).failed)))
    yield field("Answers by code", by_reason(now.rcodes))
    yield field("Answers truncated", now.truncated)
    yield field("Answers not counted", by_reason(_uncounted(now)))
    if now.csv_not_written is not None:
        yield field("csv rows not written", now.csv_not_written)
    if now.running:
        yield field("Queries outstanding", now.outstanding)
        yield field("Queries asked for", f"{now.asked_rate:g} a second, over {format_count(now.sessions, 'session')}")


def latency_text(rows: Iterable[LatencyRow]) -> Iterator[str]:
    """Yield a line for each latency."""
    for row in rows:
        values = "  ".join(f"p{name} {format_milliseconds(value)}" for name, value in row.percentiles.items())
        yield f"{row.name:<11} {row.kind:<10} {values}  max {format_milliseconds(row.highest)}  ({row.count})"


def query_table(now: QueryFigures) -> Table:
    """Return what a report shows of a run of queries."""
    seconds = now.seconds or 1.0
    row: Row = {
        "duration": format_duration(now.seconds),
        "due": now.due,
        "due/s": f"{now.due / seconds:,.1f}",
        "answered": now.answered,
        "answered/s": f"{now.answered / seconds:,.1f}",
        "failed": by_reason(_counted(QueryTotals().plus(now).failed)),
        "answers by code": by_reason(now.rcodes),
    }
    return Table([row])


def rate_found_table(found: RateFound) -> Table:
    """Return what a report shows of a search for a rate."""
    rows: list[Row] = [
        {
            "rate": f"{tried.rate:,.1f}/s",
            "answered/s": f"{tried.answered:,.1f}",
            "p95": _p95(tried),
            "does": tried.does,
        }
        for tried in found.tried
    ]
    return Table(rows, f"Highest rate: {_highest_rate(found)}")


def rate_found_text(found: RateFound) -> Iterator[str]:
    """Yield the lines of a search for a rate."""
    for tried in found.tried:
        verdict = "does" if tried.does else "is too much"
        yield f"{tried.rate:.1f} a second {verdict}: {tried.answered:.1f} answered a second, p95 {_p95(tried)}"
    yield field("Highest rate", _highest_rate(found))


def _p95(tried: RateTried) -> str:
    return format_milliseconds(tried.p95 if tried.answered else None)


def _highest_rate(found: RateFound) -> str:
    if not found.good and not found.bad:
        return "not known, for it was stopped while the first was tried"
    bound = f", {found.bad:.1f} does not" if found.bad else ""
    best = f"{found.good:.1f} a second" if found.good else "none"
    return f"{best} with p95 within {format_milliseconds(found.latency)}{bound}"


def _uncounted(now: QueryFigures) -> dict[str, int]:
    return _counted({"late": now.late, "unknown id": now.unknown, "malformed": now.malformed})


def send_text(now: SendFigures) -> Iterator[str]:
    """Yield the lines of a run of messages: asked, achieved, failed by reason."""
    seconds = now.seconds or 1.0
    yield field("Messages", "running" if now.running else f"ended after {format_duration(now.seconds)}")
    if now.due:
        yield field("Due", f"{now.due} {now.unit} ({now.due / seconds:.1f} a second)")
        yield field("Missed", f"{by_reason(_counted(now.missed))} {now.unit}")
    yield field("Messages sent", f"{now.sent} ({now.sent / seconds:.1f} a second)")
    if now.awaiting:
        failed = MessageTotals().plus(now).failed
        yield field("Messages answered", f"{now.answered} ({now.answered / seconds:.1f} a second)")
        yield field("Messages failed", by_reason(_counted(failed)))
        yield field("Answers unexpected", now.unexpected)
    up, down = now.traffic.sent / seconds, now.traffic.received / seconds
    yield field("Bandwidth", f"{format_bandwidth(up)} up, {format_bandwidth(down)} down")
    yield from (f"Wrong echo on {text}" for text in now.told)


def send_table(now: SendFigures) -> Table:
    """Return what a report shows of a run of messages: what was asked for only where something was."""
    seconds = now.seconds or 1.0
    row: Row = {"duration": format_duration(now.seconds)}
    if now.due:
        unit = "" if now.unit == "messages" else f" {now.unit}"
        row |= {f"due{unit}": now.due, f"missed{unit}": by_reason(_counted(now.missed))}
    row |= {"sent": now.sent, "sent/s": f"{now.sent / seconds:,.1f}"}
    if now.awaiting:
        row |= {
            "answered": now.answered,
            "answered/s": f"{now.answered / seconds:,.1f}",
            "failed": by_reason(_counted(MessageTotals().plus(now).failed)),
        }
    row |= {
        "up": format_bandwidth(now.traffic.sent / seconds),
        "down": format_bandwidth(now.traffic.received / seconds),
    }
    return Table([row])


def _counted(counts: dict[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if count}
