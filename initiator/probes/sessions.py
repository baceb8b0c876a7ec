"""The search for how many sessions the path takes: more and more of them, each confirmed by an echo."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Final

from common.reasons import EXHAUSTED
from initiator.probes.figures import FIND, Progress, SessionsFigures, SessionsSettings
from initiator.probes.growth import Growth
from initiator.probes.own import OwnSession, OwnSessions, State
from initiator.target import Target

PATH: Final = "path"
LIMIT: Final = "limit"

# Seconds that an answer is waited for at least, which is time for one SYN to be sent again, and how many times as long
# as the slowest of the first ones took.
_PATIENCE: Final = 1.5
_TIMES_SLOWEST: Final = 5.0

# Sessions looked at before others have their turn: about a millisecond.
_AT_ONCE: Final = 4096


class FindSessions:
    """One search."""

    name = FIND

    def __init__(self, own: OwnSessions, settings: SessionsSettings, targets: Sequence[Target]) -> None:
        self._own = own
        self._settings = settings
        self._targets = list(targets)
        self._growth = Growth(self._targets, settings.rate)
        self._held: list[OwnSession] = []
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
        """Open more and more, hold them, and ask each again."""
        try:
            while not self._bound:
                await self._grow()
            await self._hold()
        finally:
            self._seconds = monotonic() - self._begun
            await self._own.close(reset=True)

    def progress(self) -> Progress:
        """Return what is tried now."""
        return Progress(self.name, self._trying, None if self._until is None else self._until - monotonic())

    def figures(self, running: bool) -> SessionsFigures:
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
        growth, own, before = self._growth, self._own, len(self._held)
        count = growth.size
        if self._settings.limit is not None:
            count = min(count, self._settings.limit - before)
        self._trying = f"{before} sessions confirmed, trying {count} more"
        begun = await own.establish(count, growth.rate, growth.targets)
        batch = [session for session in begun if session.failure != EXHAUSTED]
        await own.ask(batch, _message)
        tried = Counter(session.target for session in batch)
        taken = Counter(session.target for session in batch if session.state is State.READY)
        self._tried += len(batch)
        self._refused.update(session.failure for session in batch if session.failure)
        evicted = await self._confirm()
        self._held += [session for session in batch if session.state is State.READY]
        if evicted or not before:
            # Those of one batch may have made room for each other, too.
            evicted += await self._confirm()
        self._evicted += evicted
        self._confirmed = len(self._held)
        self._most = max(self._most, self._confirmed)
        self._beside = sum(target.held for target in self._targets)
        growth.judge(tried, taken, grown=self._confirmed > before)
        if taken and not before:
            own.patience = min(own.patience, max(_PATIENCE, _TIMES_SLOWEST * own.slowest))
        self._judge()

    def _judge(self) -> None:
        """Take note of what puts an end to the growth."""
        if self._own.short_of:
            self._bound = self._own.short_of
        elif self._growth.done:
            self._bound = PATH
        elif self._confirmed == self._settings.limit:
            self._bound = LIMIT

    async def _hold(self) -> None:
        """Say nothing for a while, then ask every session again."""
        self._trying = f"holding {len(self._held)} sessions"
        self._until = monotonic() + self._settings.seconds
        begun = monotonic()
        await asyncio.sleep(self._settings.seconds)
        await self._confirm()
        self._held_for = monotonic() - begun
        self._confirmed = len(self._held)

    async def _confirm(self) -> int:
        """Ask every session that is held; return how many of them are lost."""
        await self._own.ask(self._held, _message)
        left: list[OwnSession] = []
        for start in range(0, len(self._held), _AT_ONCE):
            part = self._held[start : start + _AT_ONCE]
            self._losses.update(session.failure for session in part if session.failure)
            left += [session for session in part if session.state is State.READY]
            await asyncio.sleep(0)
        lost = len(self._held) - len(left)
        self._held = left
        return lost


def _message(number: int) -> bytes:
    return b"session %06d\n" % number
