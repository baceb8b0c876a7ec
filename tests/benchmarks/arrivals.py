"""Whether queries leave as they are asked to, seen by a raw witness: Poisson arrivals, sessions drawn evenly."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.harness import Figure
from tests.benchmarks.peers import arrivals, chi_square_uniform, compile_peers, ks_exponential, witness
from tests.support import initiator

SESSIONS = 100
RATE = 1_000
SECONDS = 20

# Gaps looked at: with many more of them it is noticed that what falls due while we are busy goes out together.
GAPS = 1_000


def measure() -> Iterator[Figure]:
    """Yield how far arrivals are from Poisson, the choice from even, and how late queries were sent."""
    compile_peers()
    with TemporaryDirectory() as directory:
        path = Path(directory) / "arrivals"
        with witness(1, path) as behind, initiator(behind.ports[0]) as front:
            front.ask(f"set {SESSIONS}", "wait", "status --json")
            front.send(f"query {RATE} for {SECONDS}s seed 4", "wait query")
            front.line()
            late = next(row for row in front.ask("latency --json") if row["name"] == "late")
            front.end()
            behind.end()
        came = arrivals(path)
    gaps = [(after - before) / 1e9 for (before, _), (after, _) in pairwise(came)]
    distance, critical = ks_exponential(gaps[:GAPS], RATE)
    yield Figure("arrivals: distance from Poisson (Kolmogorov-Smirnov)", distance, "", critical)
    counts = Counter(session for _, session in came)
    statistic, critical = chi_square_uniform([counts[session] for session in range(SESSIONS)])
    yield Figure("arrivals: unevenness of the sessions drawn (chi square)", statistic, "", critical)
    yield Figure("arrivals: sent late, p99", late["percentiles"]["99"] * 1000, "ms", 1)
