"""The figures that something may be expected of, by name, pure."""

import re
from typing import Final

from common.histogram import Histogram
from initiator.expectations import Expectation
from initiator.latencies import Latencies
from initiator.snapshot import QueryFigures, SendFigures, Snapshot

# Those that are there whatever runs. Percentiles are there as well.
NAMES: Final = (
    *("asked", "held", "confirmed", "losses", "failures", "asked_rate", "rate", "due", "sent", "answered"),
    *("timeouts", "unsent", "unanswered", "wrong"),
)

_PERCENTILE: Final = re.compile(
    rf"(?P<raw>raw\.)?(?:(?P<name>{'|'.join(Latencies.__slots__)})\.)?p(?P<percent>\d{{1,2}}(?:\.\d{{1,6}})?|100)"
)


def figures_of(now: Snapshot, latencies: Latencies, expectation: Expectation) -> dict[str, float | None]:
    """Return every figure that may be expected something of, by name; None for what was not measured.

    `asked` are sessions, but what a rate is compared with is the rate asked for.
    """
    figures: dict[str, float | None] = {
        **dict.fromkeys(NAMES),
        "asked": now.asked,
        "held": now.held,
        "confirmed": now.confirmed,
        "losses": sum(now.losses.values()),
        "failures": sum(now.failures.values()),
        **(_of_query(now.query) if now.query else {}),
        **(_of_send(now.send) if now.send else {}),
    }
    if expectation.name == "rate":
        figures["asked"] = figures["asked_rate"]
    for wanted in filter(None, (expectation.name, expectation.other)):
        found = _PERCENTILE.fullmatch(wanted)
        if found:
            figures[wanted] = _percentile(latencies, found, "message" if now.send else "query")
    return figures


def _of_query(query: QueryFigures) -> dict[str, float | None]:
    return {
        "asked_rate": query.asked_rate,
        "rate": query.answered / query.seconds if query.seconds else None,
        "due": query.due,
        "sent": query.sent,
        "answered": query.answered,
        "timeouts": query.timeouts,
        "unsent": query.unsent,
    }


def _of_send(send: SendFigures) -> dict[str, float | None]:
    return {
        "asked_rate": send.asked_rate,
        "rate": send.sent / send.seconds if send.seconds else None,
        "due": send.due,
        "sent": send.sent,
        "answered": send.answered if send.awaiting else None,
        "unsent": sum(send.missed.values()),
        "unanswered": send.unanswered + send.lost if send.awaiting else None,
        "wrong": sum(send.wrong.values()),
    }


def _percentile(latencies: Latencies, wanted: re.Match[str], usual: str) -> float | None:
    """Return the percentile that `p99`, `connect.p99` or `raw.query.p99.9` names."""
    latency = getattr(latencies, wanted["name"] or usual)
    histogram: Histogram = latency.raw if wanted["raw"] or not latency.corrected.count else latency.corrected
    return histogram.percentiles((float(wanted["percent"]),))[0] if histogram.count else None
