"""Whether a session costs the same when there are many of them."""

from collections.abc import Iterator
from statistics import median

from tests.benchmarks.harness import Figure, pair, set_up

ROUNDS, FEW = 19, 1_000
RUNS = 5


def measure() -> Iterator[Figure]:
    """Yield the CPU time of a session in one round of 19,000 over that in 19 rounds of 1,000."""
    for name, arguments in (("", ()), (", --hashsize 10", ("--hashsize", "10"))):
        yield Figure(f"growth: CPU time, one round / 19 rounds{name}", median(_ratios(*arguments)), "", 1.15)


def _ratios(*arguments: str) -> Iterator[float]:
    for _ in range(RUNS):
        with pair(4, *arguments) as (front, behind):
            small = []
            for _ in range(ROUNDS):
                small.append(set_up(front, behind, FEW).cpu)
                front.ask("set 0", "wait", "status --json")
                behind.ask("sleep 100ms", "status --json")
            yield set_up(front, behind, ROUNDS * FEW).cpu / (sum(small) / ROUNDS)
