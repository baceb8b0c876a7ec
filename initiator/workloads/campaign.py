"""Runs of churn at some rates, one after the other, each with a rest behind it."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Protocol

from common.addresses import Address
from common.errors import UsageError
from initiator.churn_figures import ChurnFigures, ChurnRow, Tally, Verdict, row_of
from initiator.workloads.churn import ChurnSettings
from initiator.workloads.saturation import Saturation, Search


class Rates(Protocol):
    """What says which rate is tried next, None for no more, is told what became of it, and sums up."""

    @property
    def rate(self) -> float | None:
        """The rate (1/s) to try next."""

    def judge(self, row: ChurnRow) -> None:
        """Take note of what became of the rate."""

    def verdict(self) -> Verdict | None:
        """Return what is known by now, None where nothing is judged."""


class Listed:
    """The rates of a list."""

    def __init__(self, rates: Sequence[float]) -> None:
        self._left = list(rates)

    @property
    def rate(self) -> float | None:
        """The next one."""
        return self._left[0] if self._left else None

    def judge(self, _row: ChurnRow) -> None:
        """Go on to the next one."""
        self._left.pop(0)

    def verdict(self) -> None:
        """Nothing is judged."""


class Campaigns:
    """What has runs of churn, at most one at a time: an engine, or its workers, that brings about one rate."""

    def __init__(self) -> None:
        self._campaign: Campaign | None = None
        self._tried = 0

    async def start_churn(self, rates: Sequence[float], settings: ChurnSettings) -> None:
        """Open sessions beside those held at one rate (1/s) after the other; raises UsageError."""
        self._begin_campaign("churn", settings, Listed(rates))

    async def start_saturation(self, search: Search, settings: ChurnSettings) -> None:
        """Search for the highest rate of such sessions; raises UsageError."""
        self._begin_campaign("saturate", settings, Saturation(search))

    async def stop_churn(self) -> None:
        """End that, and what is under way of it; raises UsageError when none runs."""
        if self._campaign is None or not self._campaign.running:
            raise UsageError("no churn runs; `churn RATE` begins one")
        await self._campaign.stop()

    async def wait_churn(self) -> None:
        """Return when it has ended; raises UsageError when none has begun, SessionerError when it could not go on."""
        if self._campaign is None:
            raise UsageError("no churn has begun; `churn RATE` begins one")
        await self._campaign.wait()

    async def end_campaign(self) -> None:
        """End the one that runs, if one does."""
        if self._campaign and self._campaign.running:
            await self._campaign.stop()

    def churn_figures(self) -> ChurnFigures | None:
        """Return what is known of the one that runs, or ran last."""
        return self._campaign.figures() if self._campaign else None

    async def try_rate(self, settings: ChurnSettings, rate: float) -> None:
        """Begin transactions at a rate (1/s), with a number of its own; raises SessionerError."""
        self._tried += 1
        await self.begin_rate(settings, rate, self._tried)

    async def begin_rate(self, settings: ChurnSettings, rate: float, number: int) -> None:
        """Begin transactions at a rate (1/s), whose tally has this number; raises SessionerError."""
        raise NotImplementedError

    async def wait_rate(self) -> None:
        """Return when its time is over, and no transaction is under way any more."""
        raise NotImplementedError

    async def stop_rate(self) -> None:
        """Begin no more transactions, and give up those under way."""
        raise NotImplementedError

    def tally(self) -> Tally | None:
        """Return what has become of the transactions at the rate that is tried, or was last."""
        raise NotImplementedError

    def check_open(self, target: Address | None) -> None:
        """Raise UsageError where there is nothing that sessions could be opened to."""
        raise NotImplementedError

    def _begin_campaign(self, name: str, settings: ChurnSettings, rates: Rates) -> None:
        self.check_open(settings.target)
        if self._campaign and self._campaign.running:
            raise UsageError(f"{name}: {self._campaign.name} runs already; `stop {self._campaign.name}` ends it")
        self._campaign = Campaign(self, name, settings, rates)


class Campaign:
    """Rate after rate until there is no more, or it is stopped; made and used inside a running loop."""

    def __init__(self, engine: Campaigns, name: str, settings: ChurnSettings, rates: Rates) -> None:
        self.name = name
        self._engine = engine
        self._settings = settings
        self._rates = rates
        self._rows: list[ChurnRow] = []
        self._trying = False
        self._until = 0.0
        self._stopped = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return not self._task.done()

    async def wait(self) -> None:
        """Return when it has ended; raises SessionerError when it could not go on."""
        await asyncio.wait([self._task])
        self._task.result()

    async def stop(self) -> None:
        """Try no more rates, and give up what is under way."""
        self._stopped.set()
        if self._trying:
            await self._engine.stop_rate()
        await asyncio.wait([self._task])

    def figures(self) -> ChurnFigures:
        """Return what is known so far."""
        tally = self._engine.tally() if self._trying else None
        return ChurnFigures(
            name=self.name,
            running=self.running,
            rows=tuple(self._rows),
            now=row_of(tally) if tally else None,
            seconds_left=max(0.0, self._until - monotonic()) if self.running else 0.0,
            verdict=self._rates.verdict(),
        )

    async def _run(self) -> None:
        while (rate := self._rates.rate) is not None and not self._stopped.is_set():
            row = await self._try(rate)
            if row:
                self._rows.append(row)
            if row is None or self._stopped.is_set():
                return
            self._rates.judge(row)
            if self._rates.rate is not None:
                await self._rest()

    async def _try(self, rate: float) -> ChurnRow | None:
        """Return what has become of a rate; None where nothing is known, for what tried it has ended."""
        await self._engine.try_rate(self._settings, rate)
        self._trying, self._until = True, monotonic() + self._settings.seconds
        try:
            if self._stopped.is_set():
                await self._engine.stop_rate()
            await self._engine.wait_rate()
        finally:
            self._trying, self._until = False, 0.0
        tally = self._engine.tally()
        return row_of(tally) if tally else None

    async def _rest(self) -> None:
        self._until = monotonic() + self._settings.cooldown
        try:
            await asyncio.wait_for(self._stopped.wait(), self._settings.cooldown)
        except TimeoutError:
            return
