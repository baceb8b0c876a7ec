"""One process's part of the search for a rate: sessions begun at their times, reset when they are established."""

import asyncio
import math
from array import array
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Final

from common.reactor import Reactor
from common.reasons import EXHAUSTED
from common.timer import Timer
from initiator.probes.narrowing import Trial
from initiator.probes.own import OwnSession, OwnSessions, State

# Seconds that an establishment is waited for, or more where the path is slow: less than one, after which a SYN is sent
# again (tcp(7), tcp_syn_retries), by as much as this host may be held up.
_PATIENCE: Final = 0.4
_TIMES_SLOWEST: Final = 5.0

# What is later than this, and than the next one is due, was not sent evenly; so many times as late it is not sent at
# all: many at once would be another thing than the rate that is tried.
_LATE: Final = 0.001
_LATE_TIMES: Final = 3

# Sessions begun or given up in one go: half a millisecond.
_AT_ONCE: Final = 12


@dataclass(frozen=True, slots=True)
class Attempts:
    """The sessions of a trial: when each was begun (seconds from the beginning, ascending), how long it took.

    Those of `failed`, by place, failed for these reasons. `unsent` were due when this host was late, or for want of
    room. No more were begun from `until` on: sooner than in time where it was `known` what the trial was to tell.
    """

    sent: "array[float]"
    took: "array[float]"
    failed: dict[int, str]
    unsent: int
    uneven: bool
    until: float
    known: bool


class RatePart:
    """The sessions, trial after trial."""

    def __init__(self, reactor: Reactor, own: OwnSessions) -> None:
        self._reactor = reactor
        self._own = own
        self._run: _TrialRun | None = None

    async def knock(self) -> float:
        """Open one session; return for how long others are waited for, in seconds."""
        own = self._own
        await own.establish(1)
        own.patience = min(own.patience, max(_PATIENCE, _TIMES_SLOWEST * own.slowest))
        return own.patience

    async def send(self, trial: Trial, number: int, count: int, at: float | None) -> bool:
        """Begin the sessions of a trial, one of `count` that `number` begins with; return whether it ended sooner.

        It begins at a moment (monotonic seconds), or at once, and ends sooner when it is known what it was to tell.
        """
        self._run = run = _TrialRun(self._reactor, self._own, trial, number, count, at)
        try:
            await run.ended
        finally:
            run.close()
        return run.known

    async def finish(self) -> None:
        """Begin no more of this trial, for it is known elsewhere what it was to tell."""
        if self._run:
            self._run.finish(monotonic())

    async def attempts(self) -> Attempts:
        """Return what became of the sessions, when that is known of all."""
        assert self._run
        await self._own.settle(self._run.sessions, State.CONNECTING)
        # There may be a hundred thousand of them, none of which changes any more.
        return await asyncio.to_thread(self._run.attempts)

    async def close(self) -> None:
        """Reset all."""
        await self._own.close(reset=True)


class _TrialRun:
    """The sessions of one trial, each begun at its time on an absolute schedule; `ended` is done when all are begun.

    `begun` is in monotonic seconds, `judged_from` and `until` in seconds from there.
    """

    def __init__(
        self, reactor: Reactor, own: OwnSessions, trial: Trial, number: int, count: int, at: float | None
    ) -> None:
        self.sessions: list[OwnSession] = []
        self.unsent = 0
        self.uneven = False
        self.known = False
        self.begun = monotonic() if at is None else at
        self.judged_from = trial.judged_from
        self.until = trial.seconds
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._own = own
        self._trial = trial
        self._late = _LATE
        self._segment = 0
        self._segment_begun = self.begun
        self._first = number
        self._step = count
        self._number = number
        self._oldest = 0
        self._failed_at: float | None = None
        # Not within a batch of events, where a new session may have the descriptor of one that the batch has closed.
        self._timer = Timer(reactor, partial(reactor.after_batch, self._wake))
        self._timer.arm(self.begun)

    def close(self) -> None:
        """Begin no more."""
        self._timer.close()

    def finish(self, now: float) -> None:
        """End it before all are begun."""
        if not self.ended.done():
            self.known = True
            self._end(now)

    def attempts(self) -> Attempts:
        """Return what became of all."""
        sessions = [session for session in self.sessions if session.failure != EXHAUSTED]
        return Attempts(
            sent=array("d", [session.since - self.begun for session in sessions]),
            took=array("d", [session.took for session in sessions]),
            failed={place: session.failure for place, session in enumerate(sessions) if session.failure},
            unsent=self.unsent + len(self.sessions) - len(sessions),
            uneven=self.uneven,
            until=self.until,
            known=self.known,
        )

    def _end(self, now: float) -> None:
        if not self.ended.done():
            self.until = min(self.until, now - self.begun)
            self.ended.set_result(None)

    def _wake(self) -> None:
        """Begin what is due, give up what takes too long, and be woken for the next one."""
        now = monotonic()
        begun = 0
        while (due := self._due()) is not None and due <= now and begun < _AT_ONCE:
            self._number += self._step
            if now - due > self._late:
                judged = due - self.begun >= self.judged_from
                self.uneven |= judged
                if now - due > self._late * _LATE_TIMES:
                    self.unsent += judged
                    continue
            self.sessions.append(self._own.begin())
            begun += 1
            now = monotonic()
        overdue = self._give_up(now)
        if self._is_known(now):
            self.finish(now)
        elif due is None:
            self._end(now)
        else:
            self._timer.arm(min(due, overdue))

    def _due(self) -> float | None:
        """Return when the next one is due, None when all have been."""
        while self._segment < len(self._trial.segments):
            rate, seconds = self._trial.segments[self._segment]
            at = self._number / rate
            if at < seconds:
                self._late = max(_LATE, 1 / rate)
                return self._segment_begun + at
            self._segment += 1
            self._segment_begun += seconds
            self._number = self._first
        return None

    def _give_up(self, now: float) -> float:
        """Fail what takes too long, and take note of the first failure that is judged; return when to look again.

        What is given up late has its SYN sent again, which takes room on the path from those that are judged.
        """
        for _ in range(_AT_ONCE):
            if self._oldest == len(self.sessions):
                return math.inf
            session = self.sessions[self._oldest]
            if session.state is State.CONNECTING:
                if (left := self._own.left(session)) > 0:
                    return now + left
                self._own.give_up(session)
            self._oldest += 1
            if self._failed_at is None and session.failure and session.since - self.begun >= self.judged_from:
                self._failed_at = session.since
        return now

    def _is_known(self, now: float) -> bool:
        """Return whether enough has been seen: a failure, or what is taken for long enough since the first one."""
        if self._failed_at is None:
            return False
        return self._trial.steady is None or now - self._failed_at >= self._trial.steady
