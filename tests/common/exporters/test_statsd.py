"""Tests of what is sent to StatsD, on real sockets of the loopback."""

import asyncio
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses import Endpoint
from common.errors import SessionerError
from common.exporters.statsd import Deltas, Figures, StatsD, batched, figures_of, telling_statsd

pytestmark = pytest.mark.usefixtures("run")


@contextmanager
def server(host: str = "127.0.0.1") -> Iterator[tuple[socket.socket, Endpoint]]:
    """Give a bound UDP socket and its address."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.setblocking(False)
        port = sock.getsockname()[1]
        yield sock, Endpoint(host, port, port)


async def told(sock: socket.socket) -> dict[str, str]:
    """Return the values of the next datagram with their kinds, by name."""
    data = await asyncio.get_running_loop().sock_recv(sock, 1 << 16)
    return dict(line.split(":") for line in data.decode().split("\n"))


@given(st.lists(st.text("abc.", min_size=1, max_size=40)), st.integers(1, 100))
def test_lines_are_batched_in_order_and_none_is_lost(lines: list[str], size: int) -> None:
    batches = [batch.decode().split("\n") for batch in batched(lines, size)]
    assert [line for batch in batches for line in batch] == lines
    for batch in batches:
        assert len("\n".join(batch)) <= size or len(batch) == 1
    for batch, (following, *_) in pairwise(batches):
        assert len("\n".join([*batch, following])) > size


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_deltas_add_up_to_the_counter(growths: list[int]) -> None:
    deltas, total, found = Deltas({}), 0, []
    for growth in growths:
        total += growth
        found += [delta for _, delta in deltas.of({"name": total})]
    assert found == growths


def test_figures_are_found_by_two_tables() -> None:
    assert figures_of({"a": lambda text: len(text)}, {"b": lambda text: len(text) / 2}, "xyz") == Figures(
        {"a": 3}, {"b": 1.5}
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_counters_are_told_as_growth_and_gauges_as_they_are(host: str) -> None:
    count = 0

    async def measure() -> Figures:
        nonlocal count
        count += 5
        return Figures({"opened": count}, {"total": 7}, {"latency.connect.99.5": 0.0001234})

    with server(host) as (sock, endpoint):
        async with telling_statsd(endpoint, "ns", 0.1, measure):
            for _ in range(3):
                assert await told(sock) == {
                    "ns.opened": "5|c",
                    "ns.statsd.failures": "0|c",
                    "ns.total": "7|g",
                    "ns.latency.connect.99.5": "0.000123|g",
                }
        datagram = await told(sock)
        while datagram["ns.total"] != "0|g":
            datagram = await told(sock)
        # The last word: what has come since, and that nothing is there any more; no latency was measured as 0.
        assert datagram == {"ns.opened": "5|c", "ns.statsd.failures": "0|c", "ns.total": "0|g"}


async def test_many_figures_take_several_datagrams() -> None:
    figures = Figures(
        {f"counter{number}": number for number in range(100)}, {f"g{number}": 1e9 for number in range(100)}
    )

    async def measure() -> Figures:
        return figures

    with server() as (sock, endpoint):
        async with telling_statsd(endpoint, "namespace", 60, measure):
            found: dict[str, str] = {}
            while len(found) < 201:
                found |= await told(sock)
        assert found["namespace.counter99"] == "99|c"
        assert found["namespace.g99"] == "1000000000|g"


async def test_a_closed_port_is_told_once_and_counted(logged: list[logging.LogRecord]) -> None:
    with server() as (_, endpoint):
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((endpoint.host, endpoint.first))
        statsd = StatsD(sock, "there", "ns", {})
        for _ in range(10):
            statsd.tell(Figures({"opened": 1}, {}))
        assert statsd.failures >= 9
        warnings = [record.getMessage() for record in logged if record.levelno == logging.WARNING]
        assert warnings == ["StatsD at there: Connection refused; figures are sent on, and what fails is counted"]
        # The server comes, and hears how many have failed.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.bind((endpoint.host, endpoint.first))
            late.setblocking(False)
            failures = statsd.failures
            statsd.tell(Figures({"opened": 3}, {}))
            statsd.tell(Figures({"opened": 3}, {}))
            heard = [await told(late), await told(late)]
            assert heard[0]["ns.opened"] == "2|c"
            assert int(heard[1]["ns.statsd.failures"].partition("|")[0]) <= statsd.failures - failures
        assert "StatsD at there takes figures again" in [record.getMessage() for record in logged]


async def test_a_failure_to_measure_ends_nothing(logged: list[logging.LogRecord]) -> None:
    calls = 0

    async def measure() -> Figures:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError
        return Figures({}, {"calls": calls})

    with server() as (sock, endpoint):
        async with telling_statsd(endpoint, "ns", 0.1, measure):
            assert (await told(sock))["ns.calls"] == "2|g"
    assert [record.levelno for record in logged if record.levelno > logging.INFO] == [logging.ERROR]


async def test_a_window_in_which_nobody_answers_is_skipped(logged: list[logging.LogRecord]) -> None:
    counts: Iterator[int | None] = iter([2, None, 7])

    async def measure() -> Figures:
        count = next(counts, None)
        if count is None:
            raise SessionerError("no worker answers")
        return Figures({"opened": count}, {"total": count})

    with server() as (sock, endpoint):
        async with telling_statsd(endpoint, "ns", 0.1, measure):
            assert [(await told(sock))["ns.opened"] for _ in range(2)] == ["2|c", "5|c"]
        # The last word is that of before: nothing has come, and nothing is there any more.
        assert await told(sock) == {"ns.opened": "0|c", "ns.statsd.failures": "0|c", "ns.total": "0|g"}
    assert not [record for record in logged if record.levelno > logging.INFO]


async def test_a_host_that_is_not_known_is_refused() -> None:
    async def measure() -> Figures:
        raise AssertionError("nothing is measured")

    with pytest.raises(SessionerError, match=r'host "no\.such\.host\.invalid" cannot be resolved'):
        async with telling_statsd(Endpoint("no.such.host.invalid", 8125, 8125), "ns", 1, measure):
            pass
