"""The search for how many sessions the path takes: more and more of them, each confirmed by an echo."""

from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Final

from common.addresses import Address
from common.reasons import WORKER
from common.shortages import DESCRIPTORS
from initiator.probes.capacity import Confirmed, SessionsPart
from initiator.probes.figures import FIND, Progress, SessionsFigures, SessionsSettings
from initiator.probes.growth import Growth, spread_over, turns_of
from initiator.probes.parts import LostError, Method, Parts, asked, whole

PATH: Final = "path"
LIMIT: Final = "limit"


class FindSessions:
    """One search; `_held` are the sessions confirmed last, by part, `_full` the parts out of descriptors."""

    name = FIND

    def __init__(self, parts: Parts, settings: SessionsSettings, targets: Sequence[Address]) -> None:
        self._parts = parts
        self._settings = settings
        self._growth = Growth(targets, settings.rate)
        self._held: list[int] = []
        self._full: set[int] = set()
        self._refused: Counter[str] = Counter()
        self._losses: Counter[str] = Counter()
        self._tried = 0
        self._evicted = 0
        self._most = 0
        self._confirmed = 0
        self._held_for = 0.0
        self._beside = 0
        self._bound: str | None = None
        self._begun = monotonic()
        self._seconds = 0.0
        self._trying = "opening"
        self._until: float | None = None

    async def run(self) -> None:
        """Open more and more, hold them, and ask each again; raises LostError when a worker ends meanwhile."""
        try:
            while not self._bound:
                await self._grow()
            await self._hold()
        except LostError as error:
            self._lose(error.numbers)
            raise
        finally:
            self._seconds = monotonic() - self._begun
            await self._parts.close()

    def progress(self) -> Progress:
        """Return what is tried now."""
        return Progress(self.name, self._trying, None if self._until is None else self._until - monotonic())

    async def figures(self, running: bool) -> SessionsFigures:
        """Return what is known so far."""
        return SessionsFigures(
            settings=self._settings,
            running=running,
            seconds=self._seconds or monotonic() - self._begun,
            tried=self._tried,
            most=self._most,
            confirmed=self._confirmed,
            held_for=self._held_for,
            beside=self._beside,
            refused=dict(self._refused),
            losses=dict(self._losses),
            evicted=self._evicted,
            bound=self._bound,
        )

    async def _grow(self) -> None:
        """Try one batch more, and have every session confirmed."""
        growth, before, limit = self._growth, self._confirmed, self._settings.limit
        count = growth.size if limit is None else min(growth.size, limit - before)
        self._trying = f"{before} sessions confirmed, trying {count} more"
        self._until = self._foreseen()
        beside = await self._parts.ready(before + count if limit else 0)
        self._held += [0] * (len(beside) - len(self._held))
        shares = spread_over(count, [sum(both) for both in zip(beside, self._held, strict=True)], self._full)
        rates = [None if growth.rate is None else growth.rate * share / count for share in shares]
        orders = zip(shares, rates, turns_of(growth.targets, shares), strict=True)
        batches = await whole(asked(self._parts, SessionsPart.more, orders))
        tried, taken = Counter[Address](), Counter[Address]()
        for batch in batches:
            tried.update(batch.tried)
            taken.update(batch.taken)
            self._refused.update(batch.refused)
        self._tried += tried.total()
        self._beside = sum(batch.beside for batch in batches)
        evicted = await self._confirm(SessionsPart.confirm, False)
        if evicted or not before:
            # Those of one batch may have made room for each other, too.
            evicted += await self._confirm(SessionsPart.confirm, True)
        self._evicted += evicted
        self._most = max(self._most, self._confirmed)
        if tried:
            growth.judge(tried, taken, grown=self._confirmed > before)
        self._judge([batch.short_of for batch in batches])

    def _judge(self, short_of: Sequence[str]) -> None:
        """Take note of what puts an end to the growth."""
        self._full |= {number for number, what in enumerate(short_of) if what == DESCRIPTORS}
        others = [what for what in short_of if what not in ("", DESCRIPTORS)]
        if others:
            self._bound = others[0]
        elif len(self._full) == len(short_of):
            self._bound = DESCRIPTORS
        elif self._growth.done:
            self._bound = PATH
        elif self._confirmed == self._settings.limit:
            self._bound = LIMIT

    def _foreseen(self) -> float | None:
        """Return when the limit is reached and held; None without a limit and a rate, or when some are refused.

        It goes on as fast as so far, which is below the rate by the time that it takes to ask the older ones.
        """
        rate, limit, before, now = self._settings.rate, self._settings.limit, self._confirmed, monotonic()
        if rate is None or limit is None or self._growth.refused:
            return None
        each = max(1 / rate, (now - self._begun) / before if before else 0.0)
        return now + (limit - before) * each + self._settings.seconds

    async def _hold(self) -> None:
        """Say nothing for a while, then ask every session again."""
        self._trying = f"holding {self._confirmed} sessions"
        self._until = monotonic() + self._settings.seconds
        begun = monotonic()
        await self._confirm(SessionsPart.hold, self._settings.seconds)
        self._held_for = monotonic() - begun

    async def _confirm(self, method: Method[Confirmed], argument: object) -> int:
        """Have every part ask what it holds; return how many are lost."""
        answers = await whole(asked(self._parts, method, [(argument,)] * len(self._held)))
        self._held = [answer.held for answer in answers]
        self._confirmed = sum(self._held)
        for answer in answers:
            self._losses.update(answer.losses)
        return sum(sum(answer.losses.values()) for answer in answers)

    def _lose(self, numbers: Sequence[int]) -> None:
        """Count the sessions of parts whose workers have ended.

        The search is over then: whether the path has noticed that they are gone cannot be known.
        """
        lost = sum(self._held[number] for number in numbers)
        self._losses[WORKER] += lost
        self._confirmed -= lost
        self._bound = WORKER
