"""Workers: a hundred thousand sessions against raw pairs, one worker against two, and the end of one."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

from tests.benchmarks.harness import FLOOR, Figure, compile_floor, floor_listening, median_ratio, status
from tests.benchmarks.peers import churn_server, compile_peers
from tests.ports import find_free_ports
from tests.support import Daemon, initiator, responder

RUNS = 3
PORTS = 100
SESSIONS = 100_000

# Processes at each end that a hundred thousand sessions need where a process may have twenty thousand descriptors.
PROCESSES = 6

UNDER_DEATH = 50_000
SECONDS = 3


def measure() -> Iterator[Figure]:
    """Yield the figures of setting up, of a worker's end, and of two workers over one."""
    compile_floor()
    raw, ours, auto = zip(*(_round() for _ in range(RUNS)), strict=True)
    yield Figure(f"workers: raw pairs of {PROCESSES} processes", SESSIONS / median(raw), "sessions/s")
    yield Figure(f"workers: ours with {PROCESSES} workers", SESSIONS / median(ours), "sessions/s")
    yield Figure("workers: rate, ours / raw pairs", median_ratio(raw, ours), "", 0.75, at_least=True)
    yield Figure("workers: with --workers auto, which begins them first", SESSIONS / median(auto), "sessions/s")
    yield from _death()
    yield from _two_over_one()


def _round() -> tuple[float, float, float]:
    """Return the seconds that raw pairs take, and that ours take with as many workers and with auto."""
    return _raw_pairs(), _ours(str(PROCESSES)), _ours("auto")


def _raw_pairs() -> float:
    """Open all sessions from raw initiators to raw responders, of which each has its part of the ports."""
    with ExitStack() as stack:
        share, ports = SESSIONS // PROCESSES, PORTS // PROCESSES
        listening = [stack.enter_context(floor_listening(ports)) for _ in range(PROCESSES)]
        begun = monotonic()
        fronts = [
            stack.enter_context(
                subprocess.Popen(
                    [FLOOR / "floor_initiator", "127.0.0.1", str(share), *map(str, found)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            for found in listening
        ]
        for front in fronts:
            assert front.stdout
            front.stdout.readline()
        return monotonic() - begun


def _ours(workers: str) -> float:
    """Return the seconds until all sessions are held."""
    first = find_free_ports(PORTS)
    with (
        responder(first, PORTS, "--workers", workers) as behind,
        initiator(first, PORTS, "--workers", workers) as front,
    ):
        front.ask("wait", "status --json")
        up = _wait(front, SESSIONS)
        behind.ask(f"wait clients {SESSIONS}", "status --json")
        return up


def _wait(front: Daemon, sessions: int) -> float:
    begun = monotonic()
    front.ask(f"set {sessions}", "wait", "status --json")
    return monotonic() - begun


def _death() -> Iterator[Figure]:
    """End a worker, and return what becomes of its sessions and of the others."""
    first = find_free_ports(PORTS)
    with responder(first, PORTS, "--workers", "4") as behind, initiator(first, PORTS, "--workers", "4") as front:
        _wait(front, UNDER_DEATH)
        behind.ask(f"wait clients {UNDER_DEATH}", "status --json")
        (zygote,) = _children(front.process.pid)
        victim = _children(zygote)[0]
        begun = monotonic()
        os.kill(victim, signal.SIGKILL)
        while (now := status(front))["workers"]["replaced"] != 1 or now["held"] != UNDER_DEATH:
            front.ask("sleep 10ms", "status --json")
        took = monotonic() - begun
        yield Figure(f"workers: a worker of {UNDER_DEATH:,} killed, share restored in", took, "s", 3)
        lost = sum(count for reason, count in now["losses"].items() if reason != "worker")
        yield Figure("workers: sessions lost beside its own", lost, "", 0)


def _two_over_one() -> Iterator[Figure]:
    compile_peers()
    one, two = zip(*((_queries("1"), _queries("2")) for _ in range(RUNS)), strict=True)
    yield Figure("workers: queries, one worker", median(one), "/s")
    yield Figure("workers: queries, two workers / one", median_ratio(two, one), "")
    with churn_server(8, 200) as server:
        one, two = zip(*((_churn("1", server.ports), _churn("2", server.ports)) for _ in range(RUNS)), strict=True)
    yield Figure("workers: churn, one worker", median(one), "/s")
    yield Figure("workers: churn, two workers / one", median_ratio(two, one), "")


def _queries(workers: str) -> float:
    """Return how many queries a second are answered where more are asked than can be."""
    with floor_listening(1) as ports, initiator(ports[0], 1, "--workers", workers) as front:
        front.ask("set 2000", "wait", "status --json")
        front.send(f"query 400k for {SECONDS}s", "wait query")
        query = front.ask("status --json")["query"]
        return float(query["answered"] / query["seconds"])


def _churn(workers: str, ports: list[int]) -> float:
    more = [word for port in ports[1:] for word in ("--target", f"127.0.0.1:{port}")]
    with initiator(ports[0], 1, "--workers", workers, *more) as front:
        front.send(f"churn 60k for {SECONDS}s send {'x' * 100}", "wait churn")
        front.line()
        row: Any = front.ask("status --json")["churn"]["rows"][-1]
        return float(row["achieved"])


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
