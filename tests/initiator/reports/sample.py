"""A report with a bit of everything, for the tests of what shows reports."""

from typing import Any

from initiator.latencies import Latencies
from initiator.reports.history import FinishedRun, History, Table, history_of
from initiator.reports.report import Report
from initiator.reports.timeline import Mark
from initiator.settings import Settings
from initiator.snapshot import LatencyRow, Segments, TargetSnapshot
from initiator.traffic import Traffic
from tests.initiator.figures import NO_SAMPLE

TABLE = Table([{"seconds": 2.0, "due": 200, "answered": 190}], "all of <it>")

HOSTILE = 'query 100 name "<b>&"'


def latencies() -> Latencies:
    """Return a corrected and a raw latency, and one that is only raw."""
    made = Latencies()
    made.query.corrected.record_many([0.001 + number / 10_000 for number in range(500)])
    made.query.raw.record_many([0.001 + number / 20_000 for number in range(500)])
    made.ping.raw.record_many([0.0005 + number / 100_000 for number in range(40)])
    return made


def history(**columns: Any) -> History:
    """Return a history of three samples; `columns` take the place of those of its timeline."""
    nothing = NO_SAMPLE._replace(
        losses={"fin": 0, "rst": 0},
        failures={"refused": 0},
        queries_failed={"timeout": 0},
    )
    first = nothing._replace(
        time=1.0,
        asked=20,
        held=20,
        highest_held=20,
        established=25,
        losses={"fin": 1, "rst": 0},
        failures={"refused": 2},
        sent=1000,
        received=500,
        queries_asked_rate=100,
        queries_answered=90,
        messages_asked_rate=40,
        messages_sent=30,
        messages_answered=25,
        messages_failed={"unanswered": 2},
        transactions_asked_rate=50,
        transactions_completed=45,
        query_p50=0.001,
        query_p95=0.004,
        message_p50=0.0005,
        message_p95=0.0015,
    )
    second = first._replace(
        time=2.0,
        held=18,
        lowest_held=16,
        established=28,
        losses={"fin": 1, "rst": 4},
        sent=2000,
        received=1000,
        queries_answered=190,
        queries_failed={"timeout": 3},
        messages_sent=65,
        messages_answered=60,
        messages_failed={"unanswered": 2, "not sent, late": 1},
        transactions_completed=95,
        transactions_failed={"refused": 1, "out of ports": 6},
        query_p50=0.002,
        query_p95=0.007,
    )
    made = history_of(
        samples=[nothing, first, second],
        latencies=latencies(),
        begun="2026-01-02T03:04:05+00:00",
        command="sessioner_initiator --target 127.0.0.1:4000 --seed 7",
        process=Settings(seed=7, source_ips=("127.0.0.2", "127.0.0.3")),
        targets=[TargetSnapshot("127.0.0.1:4000", 20, 18, 100, 2, 0, 28, {"rst": 4}, {}, False, False)],
        marks=[Mark(0.1, "set 20"), Mark(0.5, HOSTILE, 2)],
        earlier_marks=0,
        runs=[FinishedRun("query", "100 a second, <i>", TABLE, TABLE)],
    )
    made.timeline.update(columns)
    return made


def report(**columns: Any) -> Report:
    """Return a report with that history."""
    return Report(
        settings={"query": '100 a second, name "<b>&", seed 1', "churn": "50 a second, seed 2"},
        seconds=2.0,
        asked=20,
        held=18,
        established=28,
        losses={"fin": 1, "rst": 4},
        failures={"refused": 2},
        traffic=Traffic(1000, 2000, 10, 20),
        segments=Segments(18, 100, 90, 1),
        query=None,
        send=None,
        churn=None,
        bench=None,
        find=None,
        latencies=[LatencyRow("query", "corrected", 500, 0.0259, 0.0509, {"50": 0.026, "99": 0.0504})],
        history=history(**columns),
    )
