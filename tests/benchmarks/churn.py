"""Short sessions: ours against raw clients in C, towards a raw server in C and towards our responder.

The sessions stay in TIME_WAIT for a minute, so this comes last: until then hardly a port of the host is free.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import NamedTemporaryFile
from typing import Any, Final

from tests.benchmarks.harness import Figure, median_ratio
from tests.benchmarks.peers import churn_client, churn_server, compile_peers
from tests.ports import find_free_ports
from tests.support import ROOT, Daemon, initiator, responder

RUNS = 5
SECONDS = 2
PORTS = 8
REQUEST, ANSWER = 100, 200

# What a raw client does: what is usual, the same from local ports in turn as ours, and the least there is.
WAYS: Final = ("plain", "turns", "eager")

# More than can be done, and what the raw clients have under way.
ASKED = 40_000
UNDER_WAY = 64


def measure() -> Iterator[Figure]:
    """Yield the figures of churn."""
    compile_peers()
    with churn_server(PORTS, ANSWER) as server, initiator(server.ports[0], 1, *_targets(server.ports[1:])) as front:
        *raw, bare, ours = zip(*(_round(front, server.ports) for _ in range(RUNS)), strict=True)
    for way, rates in zip(WAYS, raw, strict=True):
        yield Figure(f"churn: raw client in C, {way}, server in C", median(rates), "/s")
    yield Figure("churn: ours, server in C", median(ours), "/s", 22_000, at_least=True)
    yield Figure("churn: a bare loop in Python, server in C", median(bare), "/s")
    plain, *others = raw
    yield Figure("churn: ours / raw client, plain", median_ratio(ours, plain), "", 0.85, at_least=True)
    for way, rates in zip(WAYS[1:], others, strict=True):
        yield Figure(f"churn: ours / raw client, {way}", median_ratio(ours, rates), "")
    yield Figure("churn: a bare loop in Python / raw client, plain", median_ratio(bare, plain), "")
    with _serving() as first, initiator(first, PORTS) as front:
        rows = [_churn(front, ASKED) for _ in range(RUNS)]
        yield Figure("churn: ours, our responder", median(row["achieved"] for row in rows), "/s", 18_000, at_least=True)
        rows = [_churn(front, 5000) for _ in range(RUNS)]
        yield Figure(
            "churn: our responder, 5000/s: achieved",
            median(row["achieved"] for row in rows) / 5000,
            "",
            0.99,
            at_least=True,
        )
        yield _transaction("our responder", rows)
    # The mode of those that stay, whose listeners let clients gather where they come in a rush.
    first = find_free_ports(PORTS)
    with responder(first, PORTS), initiator(first, PORTS) as front:
        yield _transaction("our responder as an echo", [_churn(front, 5000) for _ in range(RUNS)])


def _transaction(server: str, rows: list[Any]) -> Figure:
    p50 = median(row["whole"]["corrected"]["p50"] for row in rows)
    return Figure(f"churn: {server}, 5000/s: p50, corrected", p50 * 1000, "ms", 1)


def _round(front: Daemon, ports: list[int]) -> list[float]:
    """Return what each client completes a second, one after the other: the raw ones, the bare one, and ours."""
    raw = [churn_client(ports, way, UNDER_WAY, REQUEST, SECONDS) for way in WAYS]
    return [*(run["completed"] / run["wall_s"] for run in raw), _bare(ports), _churn(front, ASKED)["achieved"]]


def _bare(ports: list[int]) -> float:
    arguments = map(str, (UNDER_WAY, REQUEST, SECONDS, *ports))
    loop = [sys.executable, "-m", "tests.benchmarks.bare_churn", *arguments]
    return float(subprocess.run(loop, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def _churn(front: Daemon, rate: int) -> Any:
    front.send(f"churn {rate} for {SECONDS}s send {'x' * REQUEST}", "wait churn")
    front.line()
    row = front.ask("status --json")["churn"]["rows"][-1]
    assert not row["failed"], row
    return row


def _targets(ports: list[int]) -> Iterator[str]:
    for port in ports:
        yield "--target"
        yield f"127.0.0.1:{port}"


@contextmanager
def _serving() -> Iterator[int]:
    first = find_free_ports(PORTS)
    with NamedTemporaryFile() as file:
        Path(file.name).write_bytes(b"x" * ANSWER)
        with responder(first, PORTS, "--content", file.name) as behind:
            behind.send("mode serve")
            yield first
