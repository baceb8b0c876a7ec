"""A run of churn at some rates, one after the other, each with a rest behind it."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final, Protocol

from common.errors import SessionerError
from common.reactor import Reactor
from common.system import local_port_range
from initiator.churn_figures import ChurnCounts, ChurnFigures, ChurnRow, Verdict
from initiator.dialer import Dialer, Remote
from initiator.workloads.churn import Churn, ChurnSettings, Goal

# Transactions after which the turn of the targets begins anew where the range of ports is unknown.
_PORTS: Final = 28_232


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


class Campaign:
    """Rate after rate until there is no more, or it is stopped; made and used inside a running loop."""

    def __init__(
        self,
        reactor: Reactor,
        dialer: Dialer,
        name: str,
        targets: Sequence[Remote],
        sources: int,
        settings: ChurnSettings,
        rates: Rates,
    ) -> None:
        self.name = name
        self.settings = settings
        self._reactor = reactor
        self._dialer = dialer
        self._goals = in_turn(
            [Goal(target) for target in targets], _period(sources), Random(f"{settings.seed}/targets").random
        )
        self._rates = rates
        self._rows: list[ChurnRow] = []
        self._churn: Churn | None = None
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
        if self._churn:
            self._churn.stop()
        await asyncio.wait([self._task])

    def beat(self) -> None:
        """Let the rate under way notice what is overdue."""
        if self._churn:
            self._churn.beat()

    def figures(self) -> ChurnFigures:
        """Return what is known so far."""
        churn = self._churn
        return ChurnFigures(
            name=self.name,
            running=self.running,
            rows=tuple(self._rows),
            now=churn.figures() if churn else None,
            seconds_left=churn.seconds_left if churn else 0.0,
            verdict=self._rates.verdict(),
        )

    def counts(self) -> list[ChurnCounts]:
        """Return what has become of the transactions at each rate so far, which is cheaper than the figures."""
        return [*self._rows, *([self._churn.counts()] if self._churn else [])]

    async def _run(self) -> None:
        while (rate := self._rates.rate) is not None and not self._stopped.is_set():
            try:
                self._churn = Churn(self._reactor, self._dialer, self._goals, self.settings, rate)
            except OSError as failure:
                raise SessionerError(f"{self.name}: no timer could be made: {failure.strerror}") from None
            await self._churn.done
            row = self._churn.figures()
            self._churn = None
            self._rows.append(row)
            if self._stopped.is_set():
                return
            self._rates.judge(row)
            if self._rates.rate is not None:
                await self._rest()

    async def _rest(self) -> None:
        try:
            await asyncio.wait_for(self._stopped.wait(), self.settings.cooldown)
        except TimeoutError:
            return


def in_turn(goals: Sequence[Goal], period: int, draw: Callable[[], float]) -> Iterator[Goal]:
    """Yield goals in turn without end, each `period` from a goal on that is drawn (from [0, 1)).

    What comes round with that period, a source address or a local port, so does not keep to one goal.
    """
    while True:
        first = int(draw() * len(goals))
        for place in range(first, first + period):
            yield goals[place % len(goals)]


def _period(sources: int) -> int:
    """Return after how many transactions what is taken in turn on our side comes round."""
    if sources > 1:
        return sources
    low, high = local_port_range() or (1, _PORTS)
    return high - low + 1
