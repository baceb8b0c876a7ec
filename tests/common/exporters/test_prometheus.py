"""Tests of what Prometheus scrapes, over real HTTP."""

import asyncio
import logging
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from typing import Any

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from common.addresses import Address
from common.errors import SessionerError, UsageError
from common.exporters.prometheus import BOUNDS, Definition, families_of, histograms, serving_prometheus, whole_listing
from common.histogram import Histogram
from common.paging import Page, page_of
from tests.support import until

pytestmark = pytest.mark.usefixtures("run")

FreePorts = Callable[[int], int]


def scrape(address: Address, path: str = "/metrics", **headers: str) -> str:
    """Return what is scraped."""
    request = urllib.request.Request(f"http://{address}{path}", headers=headers)
    response: HTTPResponse
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.read().decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the values of an exposition, by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def numbers(count: int) -> Iterator[Metric]:
    """Yield one metric of many samples."""
    family: Definition[int] = Definition(GaugeMetricFamily, "number", "A number.", lambda number: number)
    return families_of("test_", [family], [((str(number),), number) for number in range(count)], ("of",))


async def test_what_is_published_is_scraped(free_ports: FreePorts) -> None:
    address = Address("127.0.0.1", free_ports(1))

    async def publish() -> int:
        return 3

    async with serving_prometheus(address, publish, numbers):
        text = await asyncio.to_thread(scrape, address)
        again = await asyncio.to_thread(scrape, address, Accept="application/openmetrics-text; version=1.0.0")
    assert samples(text) == {("test_number", (("of", str(number)),)): number for number in range(3)}
    assert text.splitlines()[:2] == ["# HELP test_number A number.", "# TYPE test_number gauge"]
    assert again.endswith("# EOF\n")


async def test_ipv6_is_served_too(free_ports: FreePorts) -> None:
    address = Address("::1", free_ports(1))

    async def publish() -> int:
        return 1

    async with serving_prometheus(address, publish, numbers):
        assert "test_number" in await asyncio.to_thread(scrape, address)


async def test_figures_are_taken_in_the_loop_and_rendered_elsewhere(free_ports: FreePorts) -> None:
    address = Address("127.0.0.1", free_ports(1))
    taken, rendered = [], []

    async def publish() -> int:
        taken.append(threading.get_ident())
        return 0

    def families(_: int) -> Iterator[Metric]:
        rendered.append(threading.get_ident())
        return iter(())

    async with serving_prometheus(address, publish, families):
        await asyncio.gather(*(asyncio.to_thread(scrape, address) for _ in range(4)))
    # What is fresh is given again: four scrapes at once take figures once, or once more on a machine that stalls.
    assert set(taken) == {threading.get_ident()}
    assert len(taken) < len(rendered) == 4
    assert threading.get_ident() not in rendered


async def test_the_loop_goes_on_while_much_is_rendered(free_ports: FreePorts) -> None:
    address = Address("127.0.0.1", free_ports(1))
    count, turns = 20_000, 0

    async def publish() -> int:
        return count

    async with serving_prometheus(address, publish, numbers):
        scraping = asyncio.ensure_future(asyncio.to_thread(scrape, address))
        while not scraping.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert len(samples(await scraping)) == count
    # The pauses alone are as many turns.
    assert turns > count / 50 / 10


async def test_a_daemon_that_cannot_tell_says_so(free_ports: FreePorts) -> None:
    address = Address("127.0.0.1", free_ports(1))
    asked = asyncio.Event()

    async def publish() -> int:
        asked.set()
        raise TimeoutError

    async with serving_prometheus(address, publish, numbers):
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(scrape, address)
        refused.value.close()
    assert asked.is_set()
    assert refused.value.code == 503


async def test_a_moment_in_which_nobody_answers_is_no_bug(
    free_ports: FreePorts, logged: list[logging.LogRecord]
) -> None:
    address = Address("127.0.0.1", free_ports(1))

    async def publish() -> int:
        raise SessionerError("no worker answers")

    async with serving_prometheus(address, publish, numbers):
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(scrape, address)
        with refused.value:
            assert (refused.value.code, refused.value.read()) == (503, b"no worker answers\n")
    assert not [record for record in logged if record.levelno > logging.INFO]


async def test_a_bug_is_logged_and_the_server_goes_on(
    free_ports: FreePorts, logged: list[logging.LogRecord], capfd: pytest.CaptureFixture[str]
) -> None:
    address = Address("127.0.0.1", free_ports(1))
    published: Iterator[Exception | int] = iter([ZeroDivisionError(), 5])

    async def publish() -> int:
        found = next(published)
        if isinstance(found, Exception):
            raise found
        return found

    async with serving_prometheus(address, publish, numbers):
        with pytest.raises(urllib.error.HTTPError) as refused:
            await asyncio.to_thread(scrape, address)
        refused.value.close()
        assert len(samples(await asyncio.to_thread(scrape, address))) == 5
    assert refused.value.code == 500
    assert [record.exc_info is not None for record in logged if record.levelno == logging.ERROR] == [True]
    assert capfd.readouterr().err == ""


async def test_a_client_that_talks_nonsense_or_leaves_is_no_matter(
    free_ports: FreePorts, capfd: pytest.CaptureFixture[str]
) -> None:
    address = Address("127.0.0.1", free_ports(1))

    async def publish() -> int:
        return 20_000

    async with serving_prometheus(address, publish, numbers):
        for data in (b"", b"\0\xff\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"):
            with socket.create_connection(address) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.sendall(data)
        assert "test_number" in await asyncio.to_thread(scrape, address)

        # A scrape that nobody waits for any more goes on to its end.
        async def has_ended() -> bool:
            return not any("process_request_thread" in thread.name for thread in threading.enumerate())

        await until(has_ended)
    assert capfd.readouterr().err == ""


async def test_an_address_that_is_taken_is_refused_in_one_line() -> None:
    async def publish() -> int:
        raise AssertionError("nothing is asked for")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(*taken.getsockname())
        with pytest.raises(UsageError, match=f"cannot serve Prometheus on {address}: Address already in use"):
            async with serving_prometheus(address, publish, numbers):
                pass


def test_values_have_the_labels_of_their_source_and_their_own() -> None:
    definitions: list[Definition[dict[str, int]]] = [
        Definition(CounterMetricFamily, "losses", "Losses.", lambda counts: counts, "reason"),
        Definition(CounterMetricFamily, "all", "All.", lambda counts: sum(counts.values())),
    ]
    sources = [(("a",), {"fin": 1, "rst": 2}), (("b",), {})]
    losses, everything = families_of("test_", definitions, sources, ("target",))
    assert [(sample.name, sample.labels, sample.value) for sample in losses.samples] == [
        ("test_losses_total", {"target": "a", "reason": "fin"}, 1),
        ("test_losses_total", {"target": "a", "reason": "rst"}, 2),
    ]
    assert [sample.value for sample in everything.samples] == [3, 0]


def test_a_histogram_counts_what_is_not_above_each_bound() -> None:
    histogram = Histogram()
    histogram.record_many([0.00001, 0.0002, 0.0002, 0.003, 60.0])
    family = histograms("test_seconds", "A latency.", "kind", {"raw": histogram})
    found: dict[str, Any] = {(sample.labels.get("le") or sample.name): sample.value for sample in family.samples}
    expected = {bound: sum(value <= bound for value in (0.00001, 0.0002, 0.0002, 0.003, 60.0)) for bound in BOUNDS}
    assert {float(bound): count for bound, count in found.items() if bound[0].isdigit()} == expected
    assert found["+Inf"] == found["test_seconds_count"] == 5
    assert found["test_seconds_sum"] == pytest.approx(60.00341)


async def test_a_listing_is_gathered_page_by_page() -> None:
    items, others = list(range(9_000)), 0

    async def page_at(start: int) -> Page[int]:
        return page_of(items, start, lambda item: item)

    gathering = asyncio.ensure_future(whole_listing(page_at))
    while not gathering.done():
        await asyncio.sleep(0)
        others += 1
    assert await gathering == tuple(items)
    assert others > 40


async def test_nothing_is_said_of_a_scrape(free_ports: FreePorts, logged: list[logging.LogRecord]) -> None:
    address = Address("127.0.0.1", free_ports(1))

    async def publish() -> int:
        return 0

    async with serving_prometheus(address, publish, numbers):
        await asyncio.to_thread(scrape, address)
    assert [record for record in logged if record.name.startswith("sessioner")] == []
