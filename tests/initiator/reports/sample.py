"""A report with a bit of everything, for the tests of what shows reports."""

from typing import Any

from initiator.latencies import Latencies
from initiator.reports.history import FinishedRun, History, history_of
from initiator.reports.report import Report
from initiator.reports.timeline import Mark, Sample
from initiator.settings import Settings
from initiator.snapshot import LatencyRow, Segments, TargetSnapshot
from initiator.traffic import Traffic

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
    losses = ({"fin": 0, "rst": 0}, {"fin": 1, "rst": 0}, {"fin": 1, "rst": 4})
    failures = ({"refused": 0}, {"refused": 2}, {"refused": 2})
    unanswered = ({"timeout": 0}, {"timeout": 0}, {"timeout": 3})
    samples = [
        Sample(0.0, 0, 0, 0, 0, 0, losses[0], failures[0], 0, 0, 0, 0, unanswered[0], None, None),
        Sample(1.0, 20, 20, 0, 20, 25, losses[1], failures[1], 1000, 500, 100, 90, unanswered[1], 0.001, 0.004),
        Sample(2.0, 20, 18, 16, 20, 28, losses[2], failures[2], 2000, 1000, 100, 190, unanswered[2], 0.002, 0.007),
    ]
    made = history_of(
        samples=samples,
        latencies=latencies(),
        begun="2026-01-02T03:04:05+00:00",
        command="sessioner_initiator --target 127.0.0.1:4000 --seed 7",
        process=Settings(seed=7, source_ips=("127.0.0.2", "127.0.0.3")),
        targets=[TargetSnapshot("127.0.0.1:4000", 20, 18, 100, 2, 0, 28, {"rst": 4}, {}, False, False)],
        marks=[Mark(0.1, "set 20"), Mark(0.5, HOSTILE, 2)],
        earlier_marks=0,
        runs=[FinishedRun("query", "100 a second, <i>", [{"seconds": 2.0, "due": 200, "answered": 190}])],
    )
    made.timeline.update(columns)
    return made


def report(**columns: Any) -> Report:
    """Return a report with that history."""
    return Report(
        settings='100 a second, name "<b>&", seed 1',
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
        latencies=[LatencyRow("query", "corrected", 500, 0.0259, 0.0509, {"50": 0.026, "99": 0.0504})],
        history=history(**columns),
    )
