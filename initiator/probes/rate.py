"""The search for the highest rate of new sessions that the path sustains."""

import asyncio
from collections import Counter
from time import monotonic
from typing import Final

from common.histogram import Histogram
from common.reactor import Reactor
from common.reasons import EXHAUSTED, TIMEOUT
from common.timer import Timer
from initiator.probes.bench import spread
from initiator.probes.figures import FIND, Progress, RateFigures, RateSettings, RateTrial
from initiator.probes.narrowing import Narrowing, Trial, outcome_of
from initiator.probes.own import OwnSession, OwnSessions, State

# Seconds that an establishment is waited for: less than one, after which a SYN is sent again (tcp(7),
# tcp_syn_retries), or more where the path is slow.
_PATIENCE: Final = 0.9
_TIMES_SLOWEST: Final = 5.0

# What is later than this, and than the next one is due, was not sent evenly; so many times as late it is not sent at
# all: many at once would be another thing than the rate that is tried.
_LATE: Final = 0.001
_LATE_TIMES: Final = 3

# Sessions begun or given up in one go: half a millisecond.
_AT_ONCE: Final = 12


class FindRate:
    """One search."""

    name = FIND

    def __init__(self, reactor: Reactor, own: OwnSessions, settings: RateSettings) -> None:
        self._reactor = reactor
        self._own = own
        self._settings = settings
        self._narrowing = Narrowing(settings.seconds)
        self._connect = Histogram()
        self._trials: list[RateTrial] = []
        self._begun = monotonic()
        self._seconds = 0.0
        self._trying = "one session"
        self._until: float | None = None

    async def run(self) -> None:
        """Make all trials."""
        try:
            await self._own.establish(1)
            self._own.patience = min(self._own.patience, max(_PATIENCE, _TIMES_SLOWEST * self._own.slowest))
            while trial := self._narrowing.trial:
                self._trying = f"{trial.rate:.0f} new sessions a second"
                self._until = None if trial.steady else monotonic() + trial.seconds
                await self._make(trial)
        finally:
            self._seconds = monotonic() - self._begun
            await self._own.close(reset=True)

    def progress(self) -> Progress:
        """Return what is tried now."""
        return Progress(self.name, self._trying, None if self._until is None else self._until - monotonic())

    def figures(self, running: bool) -> RateFigures:
        """Return what is known so far."""
        found = self._narrowing
        return RateFigures(
            settings=self._settings,
            running=running,
            done=found.trial is None,
            seconds=self._seconds or monotonic() - self._begun,
            good=found.good,
            bad=found.bad,
            taken=found.taken,
            host_bound=found.host_bound,
            connect=spread(self._connect),
            trials=list(self._trials),
        )

    async def _make(self, trial: Trial) -> None:
        """Make one trial, and judge it."""
        run = _TrialRun(self._reactor, self._own, trial)
        try:
            await run.ended
        finally:
            run.close()
        await self._own.settle(run.sessions, State.CONNECTING)
        # There may be a hundred thousand of them, none of which changes any more.
        await asyncio.to_thread(self._judge, trial, run)

    def _judge(self, trial: Trial, run: "_TrialRun") -> None:
        """Take note of what became of the sessions of a trial."""
        sessions = [session for session in run.sessions if session.failure != EXHAUSTED]
        sent = [session.since - run.begun for session in sessions]
        succeeded = [not session.failure for session in sessions]
        judged = [session for session in sessions if session.since - run.begun >= run.judged_from]
        self._connect.record_many(session.took for session in judged if not session.failure)
        failures = Counter(session.failure for session in judged if session.failure)
        unsent = run.unsent + len(run.sessions) - len(sessions)
        outcome = outcome_of(sent, succeeded, run.judged_from, run.until, run.uneven)
        self._trials.append(
            RateTrial(trial.phase.value, trial.rate, len(judged), outcome.sent_rate, unsent, dict(failures))
        )
        self._narrowing.judge(outcome)


class _TrialRun:
    """The sessions of one trial, each begun at its time on an absolute schedule; `ended` is done when all are begun.

    `begun` is in monotonic seconds, `judged_from` and `until` in seconds from there.
    """

    def __init__(self, reactor: Reactor, own: OwnSessions, trial: Trial) -> None:
        self.sessions: list[OwnSession] = []
        self.unsent = 0
        self.uneven = False
        self.begun = monotonic()
        self.judged_from = trial.seconds - trial.segments[-1][1]
        self.until = trial.seconds
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._own = own
        self._trial = trial
        self._late = _LATE
        self._segment = 0
        self._segment_begun = self.begun
        self._number = 0
        self._oldest = 0
        self._failed_at: float | None = None
        self._timer = Timer(reactor, self._wake)
        self._timer.arm(self.begun)

    def close(self) -> None:
        """Begin no more."""
        self._timer.close()

    def _wake(self) -> None:
        """Begin what is due, give up what takes too long, and be woken for the next one."""
        now = monotonic()
        begun = 0
        while (due := self._due()) is not None and due <= now and begun < _AT_ONCE:
            self._number += 1
            if now - due > self._late:
                judged = due - self.begun >= self.judged_from
                self.uneven |= judged
                if now - due > self._late * _LATE_TIMES:
                    self.unsent += judged
                    continue
            self.sessions.append(self._own.begin())
            begun += 1
            now = monotonic()
        self._give_up(now)
        if due is None or self._is_known(now):
            if not self.ended.done():
                self.until = min(self.until, now - self.begun)
                self.ended.set_result(None)
        else:
            self._timer.arm(due)

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
            self._number = 0
        return None

    def _give_up(self, now: float) -> None:
        """Fail what takes too long, and take note of the first failure that is judged."""
        for _ in range(_AT_ONCE):
            if self._oldest == len(self.sessions):
                return
            session = self.sessions[self._oldest]
            if session.state is State.CONNECTING:
                if now - session.since < self._own.patience:
                    return
                self._own.fail(session, TIMEOUT)
            self._oldest += 1
            if self._failed_at is None and session.failure and session.since - self.begun >= self.judged_from:
                self._failed_at = session.since

    def _is_known(self, now: float) -> bool:
        """Return whether enough has been seen: a failure, or what is taken for long enough since the first one."""
        if self._failed_at is None:
            return False
        return self._trial.steady is None or now - self._failed_at >= self._trial.steady
