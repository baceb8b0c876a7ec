"""What it costs to hold sessions that do nothing, and to ask for the figures."""

from collections.abc import Iterator
from time import monotonic

from tests.benchmarks.harness import Figure, cpu_seconds, pair, set_up

SESSIONS = 19_000
SECONDS = 10
ASKED = 500


def measure() -> Iterator[Figure]:
    """Yield the share of a core that holding takes at either end, and the time of a `status`."""
    with pair(4) as (front, behind):
        set_up(front, behind, SESSIONS)
        pids = (front.process.pid, behind.process.pid)
        before = [cpu_seconds(pid) for pid in pids]
        front.ask(f"sleep {SECONDS}s", "status --json")
        for name, pid, was in zip(("initiator", "responder"), pids, before, strict=True):
            yield Figure(f"idle: the {name}", (cpu_seconds(pid) - was) / SECONDS * 100, "% of a core", 1)
        begin = monotonic()
        for _ in range(ASKED):
            front.ask("status --json")
        yield Figure("idle: one `status`, asked over a pipe", (monotonic() - begin) / ASKED * 1000, "ms", 1)
