"""Figures that Prometheus scrapes: a server in a thread of its own that only ever sees what is frozen."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.server import HTTPServer
from socket import AF_INET6
from socketserver import TCPServer, ThreadingMixIn
from time import monotonic, sleep
from typing import Any, Final, Generic, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from common.addresses import Address
from common.errors import SessionerError, UsageError
from common.histogram import Histogram
from common.paging import Page

log = logging.getLogger("sessioner")

# Upper bounds of the histograms' buckets in seconds: the loopback answers within tens of microseconds, and TCP repeats
# a lost SYN after 1, 3 and 7 seconds.
BOUNDS: Final = (
    *(0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0),
)

# Seconds for which figures are given again instead of being taken anew.
_FRESH: Final = 1.0

# Seconds that a scrape waits for the loop, and for a client that says nothing.
_PATIENCE: Final = 10.0

# Samples rendered between two pauses, and the seconds of a pause. The loop's thread may wait for this one after each of
# its system calls: for a quarter of a millisecond, and not for the interpreter's 5.
_AT_ONCE: Final = 50
_PAUSE: Final = 0.0005

# Seconds within which the server notices that it is to end.
_NOTICE: Final = 0.05

Published = TypeVar("Published")
Row = TypeVar("Row")
Source = TypeVar("Source")
Item = TypeVar("Item")

Families = Callable[[Published], Iterator[Metric]]


@dataclass(frozen=True, slots=True)
class Definition(Generic[Source]):
    """One metric: how it is called behind the prefix (and before a counter's `_total`), and where its value is.

    With a `label` there is a value for each value of the label.
    """

    kind: type[CounterMetricFamily | GaugeMetricFamily]
    name: str
    what: str
    value: Callable[[Source], float | Mapping[str, float]]
    label: str = ""


class _Paced(list[Sample]):
    """Samples that are gone through with pauses."""

    def __iter__(self) -> Iterator[Sample]:
        return _paced(super().__iter__())


class _Collector(Collector, Generic[Published]):
    """Asks the loop for what is frozen, and makes metrics of it, in the thread of a scrape."""

    def __init__(self, publish: Callable[[], Awaitable[Published]], families: Families[Published]) -> None:
        self._publish = publish
        self._families = families
        self._loop = asyncio.get_running_loop()
        self._lock = asyncio.Lock()
        self._published: tuple[float, Published] | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; raises TimeoutError when the loop has no time, CancelledError when it has ended."""
        if self._loop.is_closed():
            raise CancelledError
        future = asyncio.run_coroutine_threadsafe(self._latest(), self._loop)
        try:
            published = future.result(_PATIENCE)
        finally:
            future.cancel()
        yield from self._families(published)

    async def _latest(self) -> Published:
        async with self._lock:
            if self._published is None or monotonic() - self._published[0] > _FRESH:
                self._published = monotonic(), await self._publish()
            return self._published[1]


class _Handler(WSGIRequestHandler):
    """A request, of which nothing is logged."""

    timeout = _PATIENCE

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """As the client library's own, but a name server is not asked who we are, and a rude client is no traceback."""

    daemon_threads = True

    def server_bind(self) -> None:
        """Bind."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def handle_error(self, _request: Any, _client: Any) -> None:
        """Take note of a request that came to nothing."""
        log.debug("A scrape came to nothing", exc_info=True)


class _Server6(_Server):
    address_family = AF_INET6


def families_of(
    prefix: str,
    definitions: Iterable[Definition[Source]],
    sources: Sequence[tuple[tuple[str, ...], Source]],
    labels: tuple[str, ...] = (),
) -> Iterator[Metric]:
    """Yield a family for each definition, with samples of every source under the values of its labels."""
    for definition in definitions:
        names = (*labels, definition.label) if definition.label else labels
        family = definition.kind(prefix + definition.name, definition.what, labels=names)
        for values, source in _paced(sources):
            found = definition.value(source)
            if isinstance(found, Mapping):
                for key, number in found.items():
                    family.add_metric((*values, key), number)
            else:
                family.add_metric(values, found)
        family.samples = _Paced(family.samples)
        yield family


def histograms(name: str, what: str, label: str, found: Mapping[str, Histogram]) -> Metric:
    """Return histograms in seconds, each under the value of a label."""
    family = HistogramMetricFamily(name, what, labels=(label,))
    for value, histogram in found.items():
        counts = map(float, histogram.cumulative(BOUNDS))
        buckets = [*zip(map(str, BOUNDS), counts, strict=True), ("+Inf", float(histogram.count))]
        family.add_metric((value,), buckets, histogram.total / 1_000_000)
    return family


async def whole_listing(page_at: Callable[[int], Awaitable[Page[Row]]]) -> tuple[Row, ...]:
    """Return the rows of every page; everything else has its turn between two of them."""
    rows: list[Row] = []
    start: int | None = 0
    while start is not None:
        page = await page_at(start)
        rows += page.rows
        start = page.next
        await asyncio.sleep(0)
    return tuple(rows)


@asynccontextmanager
async def serving_prometheus(
    address: Address, publish: Callable[[], Awaitable[Published]], families: Families[Published]
) -> AsyncIterator[None]:
    """Let Prometheus scrape until the end of the block.

    `publish` runs in the loop, and returns what is frozen; `families` makes metrics of that in another thread. Raises
    UsageError when the address cannot be listened on.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(publish, families))
    kind = _Server6 if ":" in address.host else _Server
    try:
        server = make_server(address.host, address.port, _app(registry), kind, _Handler)
    except OSError as failure:
        raise UsageError(f"cannot serve Prometheus on {address}: {failure.strerror}") from None
    thread = threading.Thread(target=server.serve_forever, args=(_NOTICE,), name="prometheus", daemon=True)
    thread.start()
    try:
        yield
    finally:
        await asyncio.to_thread(_end, server, thread)


def _end(server: HTTPServer, thread: threading.Thread) -> None:
    server.shutdown()
    thread.join()
    server.server_close()


def _app(registry: CollectorRegistry) -> Callable[..., Iterable[bytes]]:
    """Return the client library's application, which says so when the loop has no time for it, or nothing to tell."""
    metrics = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return metrics(environ, start_response)  # type: ignore[no-any-return]
        except (TimeoutError, CancelledError):
            status = why = "503 Service Unavailable"
        except SessionerError as error:
            status, why = "503 Service Unavailable", str(error)
        except Exception:
            log.exception("This is a bug, and the daemon goes on:")
            status = why = "500 Internal Server Error"
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [f"{why}\n".encode()]

    return app


def _paced(items: Iterable[Item]) -> Iterator[Item]:
    """Yield items, with a pause after some."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _AT_ONCE == 0:
            sleep(_PAUSE)
