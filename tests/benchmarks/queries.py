"""Queries against a raw echo in C and against our responder: how many, and how soon they are answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from tests.benchmarks.harness import Figure, compile_floor, floor_listening
from tests.ports import find_free_ports
from tests.support import initiator, responder

RUNS = 5
SECONDS = 5


def measure() -> Iterator[Figure]:
    """Yield the figures of the query workload."""
    compile_floor()
    yield from _rate("echo in C, 2,000 sessions", 2000, 180_000, p50=20)
    yield from _rate("echo in C, 5 sessions", 5, 600_000, p50=0.3)
    yield from _rate("echo in C, 2,000 sessions", 2000, 50_000, p50=0.14, p99=3)
    yield from _rate("echo in C, 2,000 sessions", 2000, 100_000, p50=0.3)
    yield from _rate("responder, 2,000 sessions", 2000, 110_000)
    yield from _rate("responder, 5 sessions", 5, 400_000)


def _rate(where: str, sessions: int, rate: int, p50: float | None = None, p99: float | None = None) -> Iterator[Figure]:
    behind = _raw_echo if "C" in where else _responder
    runs = [_run(behind, sessions, rate) for _ in range(RUNS)]
    name = f"queries: {where}, {rate}/s"
    achieved = median(run["answered"] / run["seconds"] / rate for run, _ in runs)
    yield Figure(f"{name}: achieved / asked", achieved, "", 0.99, at_least=True)
    yield Figure(f"{name}: not answered", max(run["due"] - run["answered"] for run, _ in runs), "", 0)
    for percentile, bound in (("50", p50), ("99", p99)):
        value = median(latency[percentile] for _, latency in runs) * 1000
        yield Figure(f"{name}: p{percentile}, corrected", value, "ms", bound)


def _run(behind: Any, sessions: int, rate: int) -> tuple[Any, Any]:
    with behind() as first, initiator(first) as front:
        front.ask(f"set {sessions}", "wait", "status --json")
        front.send(f"query {rate} for 1s", "wait query", "reset", f"query {rate} for {SECONDS}s seed 1", "wait query")
        query = front.ask("status --json")["query"]
        rows = front.ask("latency --json")
        row = next(row for row in rows if row["name"] == "query" and row["kind"] == "corrected")
    return query, row["percentiles"]


@contextmanager
def _raw_echo() -> Iterator[int]:
    with floor_listening(1) as ports:
        yield ports[0]


@contextmanager
def _responder() -> Iterator[int]:
    first = find_free_ports(1)
    with responder(first):
        yield first
