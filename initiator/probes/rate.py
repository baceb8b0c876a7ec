"""The search for the highest rate of new sessions that the path sustains."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Final

from common.histogram import Histogram
from initiator.probes.attempts import Attempts, RatePart
from initiator.probes.bench import spread
from initiator.probes.figures import FIND, Progress, RateFigures, RateSettings, RateTrial
from initiator.probes.narrowing import Narrowing, Outcome, Trial, outcome_of
from initiator.probes.parts import LostError, Parts, asked, whole

# Seconds until a trial begins, so that all parts are told before.
_LEAD: Final = 0.02


class FindRate:
    """One search."""

    name = FIND

    def __init__(self, parts: Parts, settings: RateSettings) -> None:
        self._parts = parts
        self._settings = settings
        self._count = 0
        self._narrowing = Narrowing(settings.seconds)
        self._connect = Histogram()
        self._trials: list[RateTrial] = []
        self._worker_ended = False
        self._begun = monotonic()
        self._seconds = 0.0
        self._trying = "one session"
        self._until: float | None = None

    async def run(self) -> None:
        """Make all trials; raises LostError when a worker ends meanwhile."""
        try:
            self._count = len(await self._parts.ready())
            await whole(asked(self._parts, RatePart.knock, [()] * self._count))
            while trial := self._narrowing.trial:
                self._trying = f"{trial.rate:.0f} new sessions a second"
                self._until = None if trial.steady else monotonic() + trial.seconds
                await self._make(trial)
        except LostError:
            self._worker_ended = True
            raise
        finally:
            self._seconds = monotonic() - self._begun
            await self._parts.close()

    def progress(self) -> Progress:
        """Return what is tried now."""
        return Progress(self.name, self._trying, None if self._until is None else self._until - monotonic())

    async def figures(self, running: bool) -> RateFigures:
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
            burst=found.burst,
            host_bound=found.host_bound,
            worker_ended=self._worker_ended,
            connect=spread(self._connect),
            trials=list(self._trials),
        )

    async def _make(self, trial: Trial) -> None:
        """Make one trial, and judge it."""
        now = self._parts.now()
        at = None if now is None else now + _LEAD
        await whole(self._send(number, trial, at) for number in range(self._count))
        attempts = await whole(asked(self._parts, RatePart.attempts, [()] * self._count))
        # There may be a hundred thousand of them; what is shown of all trials changes here alone.
        outcome, row, connect = await asyncio.to_thread(_judged, trial, attempts)
        self._connect.merge(connect)
        self._trials.append(row)
        self._narrowing.judge(outcome)

    async def _send(self, number: int, trial: Trial, at: float | None) -> bool | None:
        """Have one part send, as `Parts.ask` does; when it knows what the trial was to tell, no other goes on."""
        known = await self._parts.ask(number, RatePart.send, trial, number, self._count, at)
        if known:
            await asyncio.gather(*asked(self._parts, RatePart.finish, [()] * self._count))
        return known


def _judged(trial: Trial, attempts: Sequence[Attempts]) -> tuple[Outcome, RateTrial, Histogram]:
    """Return what became of the sessions of a trial, what is shown of it, and the establishments."""
    sessions, until = together(attempts)
    judged = [(took, failure) for at, took, failure in sessions if at >= trial.judged_from]
    connect = Histogram()
    connect.record_many([took for took, failure in judged if not failure])
    failures = Counter(failure for _, failure in judged if failure)
    sent, succeeded = [at for at, _, _ in sessions], [not failure for _, _, failure in sessions]
    uneven, unsent = any(part.uneven for part in attempts), sum(part.unsent for part in attempts)
    outcome = outcome_of(sent, succeeded, trial.judged_from, until, uneven)
    row = RateTrial(trial.phase.value, trial.rate, len(judged), outcome.sent_rate, unsent, dict(failures))
    return outcome, row, connect


def together(attempts: Sequence[Attempts]) -> tuple[list[tuple[float, float, str]], float]:
    """Return the sessions of all parts, as (when it was begun, seconds it took, why it failed), and their end.

    They are in the order in which they were begun. Where one part ended sooner than in time, what others began later
    is left out: it was not sent at the whole rate.
    """
    ends = [part.until for part in attempts if part.known]
    until = min(ends) if ends else max(part.until for part in attempts)
    sessions = [
        (at, took, part.failed.get(place, ""))
        for part in attempts
        for place, (at, took) in enumerate(zip(part.sent, part.took, strict=True))
        if not ends or at <= until
    ]
    return sorted(sessions), until
