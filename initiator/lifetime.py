"""The lifetime of held sessions: each is closed and replaced when its time has come."""

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from sortedcontainers import SortedDict

from common.reactor import Handler, Job, Reactor
from initiator.session import HELD, Session

if TYPE_CHECKING:
    from initiator.holder import Holder

# Seconds within which sessions that were established share an entry: they live so much longer at most, and until the
# next beat.
_TICK: Final = 0.01

# Sessions replaced in one step, for a turn of the opener comes between two: what is closed is missing for a moment.
_AT_ONCE: Final = 4

# Entries looked at in one sweep of those that ended otherwise: a fraction of a millisecond.
_SWEPT_AT_ONCE: Final = 2_000


class Lifetime:
    """Sessions by the tick they were established in: all live equally long, so the first tick is always due first.

    `seconds` is None while they live for ever, and `replaced` counts those whose time had come. `filed` is how many
    sessions are kept here, those included that have ended otherwise since: they are passed over, and swept in bounded
    parts where they outnumber what is held.
    """

    def __init__(self, reactor: Reactor, holder: "Holder") -> None:
        self.seconds: float | None = None
        self.replaced = 0
        self.filed = 0
        self._reactor = reactor
        self._holder = holder
        self._ticks: SortedDict[int, list[Session]] = SortedDict()
        self._swept: int | None = None
        self._replacing = False
        reactor.on_beat(self._beat)

    def set(self, seconds: float | None) -> None:
        """Let each session, those held already included, live so long from its establishment on."""
        was, self.seconds = self.seconds, seconds
        if seconds is None:
            self._ticks = SortedDict()
            self.filed, self._swept = 0, None
        elif was is None:
            self._reactor.start(self._follow_held())

    def follow(self, sessions: Sequence[Session], now: float) -> None:
        """Replace these sessions, established at `now` (monotonic seconds), when their time has come."""
        ticks, tick = self._ticks, int(now / _TICK) + 1
        bucket = ticks.get(tick)
        if bucket is None:
            bucket = ticks[tick] = []
        bucket.extend(sessions)
        self.filed += len(sessions)

    def _follow_held(self) -> Job:
        begin, ticks = self._reactor.now, self._ticks

        def follow(handler: Handler) -> bool:
            if ticks is not self._ticks:
                return True
            if isinstance(handler, Session) and handler.state in HELD and handler.since <= begin:
                self.follow((handler,), handler.since)
            return False

        return self._reactor.walk(follow)

    def _beat(self) -> None:
        if self.seconds is None:
            return
        self._sweep()
        if not self._replacing and self._any_due(self.seconds):
            self._replacing = True
            self._reactor.start(self._replace())

    def _any_due(self, seconds: float) -> bool:
        ticks = self._ticks
        return bool(ticks) and ticks.peekitem(0)[0] * _TICK + seconds <= self._reactor.now

    def _replace(self) -> Job:
        """Replace every session whose time has come, in slices."""
        try:
            while self.seconds is not None and self._any_due(self.seconds):
                tick, bucket = self._ticks.peekitem(0)
                due = bucket[-_AT_ONCE:]
                del bucket[-_AT_ONCE:]
                self.filed -= len(due)
                if not bucket:
                    del self._ticks[tick]
                for session in due:
                    if session.state in HELD:
                        self.replaced += 1
                        self._holder.drop(session, reset=False)
                yield
        finally:
            self._replacing = False

    def _sweep(self) -> None:
        """Forget a bounded number of sessions that have ended otherwise, when they outnumber what is held."""
        if self._swept is None and self.filed <= 2 * self._holder.held + _SWEPT_AT_ONCE:
            return
        seen = 0
        for tick in list(islice(self._ticks.irange(self._swept, inclusive=(False, True)), _SWEPT_AT_ONCE)):
            self._swept = tick
            bucket = self._ticks[tick]
            seen += len(bucket)
            live = [session for session in bucket if session.state in HELD]
            self.filed -= len(bucket) - len(live)
            if live:
                bucket[:] = live
            else:
                del self._ticks[tick]
            if seen >= _SWEPT_AT_ONCE:
                return
        self._swept = None
