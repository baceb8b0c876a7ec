"""The figures of the workloads as text for people."""

from collections.abc import Iterable, Iterator
from typing import Final

from common.render import by_reason, field
from common.units import format_duration, format_milliseconds
from initiator.history import Cell
from initiator.snapshot import LatencyRow, QueryFigures, RateFound

# What a finished run of queries shows of its figures.
_IN_ROW: Final = ("due", "sent", "answered", "unsent", "timeouts", "lost", "late", "unknown", "malformed", "truncated")


def query_text(now: QueryFigures) -> Iterator[str]:
    """Yield the lines of a run of queries: asked, achieved, failed by reason."""
    seconds = now.seconds or 1.0
    yield field("Queries", "running" if now.running else f"ended after {format_duration(now.seconds)}")
    yield field("Queries due", f"{now.due} ({now.due / seconds:.1f} a second)")
    yield field("Queries sent", f"{now.sent} ({now.sent / seconds:.1f} a second)")
    yield field("Queries answered", f"{now.answered} ({now.answered / seconds:.1f} a second)")
    yield field("Queries failed", by_reason(_failed(now)))
    yield field("Answers by code", by_reason(now.rcodes))
    yield field("Answers truncated", now.truncated)
    yield field("Answers not counted", by_reason(_uncounted(now)))
    if now.running:
        yield field("Queries outstanding", now.outstanding)
        yield field("Queries asked for", f"{now.asked_rate:g} a second, over {now.sessions} sessions")


def query_row(now: QueryFigures) -> dict[str, Cell]:
    """Return the figures of a run of queries as the row of a table."""
    counts = {name: getattr(now, name) for name in _IN_ROW}
    return {"seconds": now.seconds, **counts, "bytes sent": now.traffic.sent, "bytes received": now.traffic.received}


def latency_text(rows: Iterable[LatencyRow]) -> Iterator[str]:
    """Yield a line for each latency."""
    for row in rows:
        values = "  ".join(f"p{name} {format_milliseconds(value)}" for name, value in row.percentiles.items())
        yield f"{row.name:<11} {row.kind:<10} {values}  max {format_milliseconds(row.highest)}  ({row.count})"


def rate_found_text(found: RateFound) -> Iterator[str]:
    """Yield the lines of a search for a rate."""
    for tried in found.tried:
        verdict = "does" if tried.does else "is too much"
        p95 = format_milliseconds(tried.p95)
        yield f"{tried.rate:.1f} a second {verdict}: {tried.answered:.1f} answered a second, p95 {p95}"
    bound = f", {found.bad:.1f} does not" if found.bad else ""
    best = f"{found.good:.1f} a second" if found.good else "none"
    yield field("Highest rate", f"{best} with p95 within {format_milliseconds(found.latency)}{bound}")


def _failed(now: QueryFigures) -> dict[str, int]:
    counts = {"timeout": now.timeouts, "session lost": now.lost, "unsent": now.unsent}
    return {reason: count for reason, count in counts.items() if count}


def _uncounted(now: QueryFigures) -> dict[str, int]:
    counts = {"late": now.late, "unknown id": now.unknown, "malformed": now.malformed}
    return {reason: count for reason, count in counts.items() if count}
