"""The search for the highest rate of what is sent over the held sessions."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from common.errors import UsageError
from initiator.latencies import Latencies
from initiator.snapshot import RateFound, RateTried, Snapshot
from initiator.workloads.schedule import Schedule, constant
from initiator.workloads.search import START, START_EACH, RateSearch

# Seconds that a rate is sent before and while it is judged, and the share of failed ones that is too much.
_SETTLING: Final = 0.5
_TRYING: Final = 2.0
_FAILING: Final = 0.01


class RateSearches:
    """What can search for a rate: an engine, or its workers, that send and measure."""

    async def search_query_rate(self, latency: float) -> RateFound:
        """Change the rate of the queries until the highest is found whose p95 stays within `latency` seconds.

        The queries are stopped then, or were by somebody else. Raises UsageError when none are sent.
        """

        async def change(rate: float) -> None:
            await self.change_query(constant(rate))

        return await self._search("query", "query", latency, START, change, self.stop_query)

    async def search_send_rate(self, latency: float) -> RateFound:
        """Change the rate of each session's messages until the highest is found, as `search_query_rate` does.

        What could not be sent in time counts as failed. Raises UsageError when none are sent.
        """
        return await self._search("send", "message", latency, START_EACH, self.change_send, self.stop_send)

    async def snapshot(self) -> Snapshot:
        """Return all figures."""
        raise NotImplementedError

    async def latencies(self) -> Latencies:
        """Return all latencies."""
        raise NotImplementedError

    async def reset_latencies(self, name: str | None = None) -> None:
        """Start a latency afresh."""
        raise NotImplementedError

    async def change_query(self, schedule: Schedule) -> None:
        """Let the queries follow another schedule; raises UsageError when none are sent."""
        raise NotImplementedError

    async def stop_query(self) -> None:
        """Send no more queries; raises UsageError when none are sent."""
        raise NotImplementedError

    async def change_send(self, rate: float) -> None:
        """Send so many messages a second and session; raises UsageError when none are sent at a rate."""
        raise NotImplementedError

    async def stop_send(self) -> None:
        """Send no more messages; raises UsageError when none are sent."""
        raise NotImplementedError

    async def refresh(self) -> None:
        """Have a snapshot tell of this moment, where it would not."""
        raise NotImplementedError

    async def _search(
        self,
        name: str,
        measured: str,
        latency: float,
        start: float,
        change: Callable[[float], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
    ) -> RateFound:
        """Search by the figures of a name in a snapshot, and by the latency that is measured."""
        search, tried = RateSearch(start), []
        await change(search.rate)
        with suppress(UsageError):  # it has ended by itself
            while True:
                await asyncio.sleep(_SETTLING)
                await self.reset_latencies(measured)
                before = await self._figures(name)
                await asyncio.sleep(_TRYING)
                now = await self._figures(name)
                if not now.sending:
                    break
                answered, failed = now.answered - before.answered, now.failed - before.failed
                p95 = getattr(await self.latencies(), measured).corrected.percentiles((95,))[0]
                does = bool(answered) and p95 <= latency and failed <= answered * _FAILING
                tried.append(RateTried(search.rate, answered / _TRYING, p95, does))
                search.judge(does)
                if search.done:
                    break
                await change(search.rate)
            await stop()
        return RateFound(latency, search.good, search.bad, tried)

    async def _figures(self, name: str) -> Any:
        await self.refresh()
        return getattr(await self.snapshot(), name)
