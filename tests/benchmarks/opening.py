"""Opening sessions against the floor, a raw-epoll pair in C, and against the loop's own connections."""

import asyncio
import os
from collections.abc import Iterator
from functools import partial
from statistics import median
from time import monotonic

import uvloop

from tests.benchmarks.harness import (
    RUNS,
    Figure,
    SetUp,
    compile_floor,
    cpu_seconds,
    floor_set_up,
    interleaved,
    median_ratio,
    pair,
    set_up,
    status,
)
from tests.ports import find_free_ports
from tests.support import responder

SESSIONS = 19_000


def measure() -> Iterator[Figure]:
    """Yield the figures of setting up."""
    compile_floor()
    floor, ours = interleaved(RUNS, partial(floor_set_up, SESSIONS, 4), partial(_ours, SESSIONS, 4))
    yield Figure("opening: CPU time of the floor, both ends, each session", median(run.cpu for run in floor), "us")
    yield Figure("opening: CPU time of ours", median(run.cpu for run in ours), "us")
    ratio = median_ratio([run.cpu for run in ours], [run.cpu for run in floor])
    yield Figure("opening: CPU time, ours / floor", ratio, "", 1.2)
    yield Figure("opening: the floor's rate", SESSIONS / median(run.wall for run in floor), "sessions/s")
    yield Figure("opening: our rate", SESSIONS / median(run.wall for run in ours), "sessions/s")
    ratio = median_ratio([run.wall for run in floor], [run.wall for run in ours])
    yield Figure("opening: rate, ours / floor", ratio, "", 0.85, at_least=True)
    (loop,) = interleaved(1, _create_connection)
    yield Figure("opening: asyncio's create_connection, rate", SESSIONS / loop[0].wall, "sessions/s")
    yield Figure("opening: asyncio's create_connection, CPU time of both ends", loop[0].cpu, "us")


def measure_one_port() -> Iterator[Figure]:
    """Yield the figures of setting up to a single port; the floor takes many times as long, so it runs once."""
    compile_floor()
    floor = floor_set_up(SESSIONS, 1)
    pauses: list[float] = []
    (ours,) = interleaved(3, partial(_ours, SESSIONS, 1, pauses))
    yield Figure("one port: the floor's rate", SESSIONS / floor.wall, "sessions/s")
    yield Figure("one port: our rate", SESSIONS / median(run.wall for run in ours), "sessions/s")
    yield Figure("one port: rate, ours / floor", median(floor.wall / run.wall for run in ours), "", 1, at_least=True)
    yield Figure("one port: longest pause of the loop", median(pauses) * 1000, "ms", 20)


def _ours(sessions: int, ports: int, pauses: list[float] | None = None) -> SetUp:
    with pair(ports) as (front, behind):
        result = set_up(front, behind, sessions)
        if pauses is not None:
            pauses.append(status(front)["longest_pause"])
    return result


def _create_connection() -> SetUp:
    """Open as many sessions with one transport and protocol each, 256 attempts under way at once."""
    first = find_free_ports(4)
    with responder(first, 4) as behind:
        own = cpu_seconds(os.getpid())
        accepting = cpu_seconds(behind.process.pid)

        async def open_all() -> float:
            loop = asyncio.get_running_loop()
            left = iter(range(SESSIONS))
            transports = []

            async def open_some() -> None:
                for number in left:
                    made = await loop.create_connection(asyncio.Protocol, "127.0.0.1", first + number % 4)
                    transports.append(made[0])

            begin = monotonic()
            await asyncio.gather(*(open_some() for _ in range(256)))
            wall = monotonic() - begin
            for transport in transports:
                transport.abort()
            return wall

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            wall = runner.run(open_all())
        cpu = cpu_seconds(os.getpid()) - own + cpu_seconds(behind.process.pid) - accepting
    return SetUp(wall, cpu / SESSIONS * 1e6)
