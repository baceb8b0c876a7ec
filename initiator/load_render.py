"""The figures of the workloads as text for people."""

from collections.abc import Iterable, Iterator
from typing import Final

from common.render import by_reason, field
from common.units import (
    format_bandwidth,
    format_count,
    format_duration,
    format_milliseconds,
    format_rated,
    per_second,
)
from initiator.reports.history import Row, Table
from initiator.snapshot import LatencyRow, QueryFigures, RateFound, RateTried, SendFigures
from initiator.totals import MessageTotals, QueryTotals

# What the runs are called whose first line is that of their state.
_TITLES: Final = {"query": "Queries", "send": "Messages"}


def run_text(name: str, settings: str | None, lines: Iterable[str]) -> list[str]:
    """Return the lines that tell of a run, with how it was set in that of its state, or else in one before them.

    `settings` are None where they are not known.
    """
    told = list(lines)
    if settings is None or not told:
        return told
    title = _TITLES.get(name, name.capitalize())
    state = field(title, "")
    if name in _TITLES and told[0].startswith(state):
        return [f"{title} ({settings}): {told[0].removeprefix(state)}", *told[1:]]
    return [f"{title} ({settings}):", *told]


def query_text(now: QueryFigures) -> Iterator[str]:
    """Yield the lines of a run of queries: asked, achieved, failed by reason."""
    yield field("Queries", "running" if now.running else f"ended after {format_duration(now.seconds)}")
    yield field("Queries due", format_rated(now.due, "", now.seconds))
    yield field("Queries sent", format_rated(now.sent, "", now.seconds))
    yield field("Queries answered", format_rated(now.answered, "", now.seconds))
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
    row: Row = {
        "duration": format_duration(now.seconds),
        "due": now.due,
        "due/s": _rate_cell(now.due, now.seconds),
        "answered": now.answered,
        "answered/s": _rate_cell(now.answered, now.seconds),
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
    unit, missed = now.unit.removesuffix("s"), _counted(now.missed)
    yield field("Messages", "running" if now.running else f"ended after {format_duration(now.seconds)}")
    if now.due:
        yield field("Due", format_rated(now.due, unit, now.seconds))
        yield field("Missed", f"{by_reason(missed)} {unit if sum(missed.values()) == 1 else now.unit}")
    yield field("Messages sent", format_rated(now.sent, "", now.seconds))
    if now.awaiting:
        failed = MessageTotals().plus(now).failed
        yield field("Messages answered", format_rated(now.answered, "", now.seconds))
        yield field("Messages failed", by_reason(_counted(failed)))
        yield field("Answers unexpected", now.unexpected)
    up, down = (per_second(count, now.seconds) for count in (now.traffic.sent, now.traffic.received))
    yield field("Bandwidth", f"{format_bandwidth(up)} up, {format_bandwidth(down)} down")
    yield from (f"Wrong echo on {text}" for text in now.told)


def send_table(now: SendFigures) -> Table:
    """Return what a report shows of a run of messages: what was asked for only where something was."""
    row: Row = {"duration": format_duration(now.seconds)}
    if now.due:
        unit = "" if now.unit == "messages" else f" {now.unit}"
        row |= {f"due{unit}": now.due, f"missed{unit}": by_reason(_counted(now.missed))}
    row |= {"sent": now.sent, "sent/s": _rate_cell(now.sent, now.seconds)}
    if now.awaiting:
        row |= {
            "answered": now.answered,
            "answered/s": _rate_cell(now.answered, now.seconds),
            "failed": by_reason(_counted(MessageTotals().plus(now).failed)),
        }
    row |= {
        "up": format_bandwidth(per_second(now.traffic.sent, now.seconds)),
        "down": format_bandwidth(per_second(now.traffic.received, now.seconds)),
    }
    return Table([row])


def _counted(counts: dict[str, int]) -> dict[str, int]:
    return {reason: count for reason, count in counts.items() if count}


def _rate_cell(count: int, seconds: float) -> str | None:
    rate = per_second(count, seconds)
    return None if rate is None else f"{rate:,.1f}"
