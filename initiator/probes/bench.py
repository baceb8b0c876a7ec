"""The bench: sessions behind a barrier, each says something at once and waits for its echo, round after round."""

import asyncio
from collections import Counter
from time import monotonic
from typing import Final

from common.histogram import Histogram
from initiator.probes.figures import BENCH, BenchFigures, BenchRound, BenchSample, BenchSettings, Progress, Spread
from initiator.probes.own import OwnSession, OwnSessions, State

# Samples taken into the books at once: about a millisecond.
_TAKEN_AT_ONCE: Final = 512


class Bench:
    """One run; `samples` has one for each session and round, in this order."""

    name = BENCH

    def __init__(self, own: OwnSessions, settings: BenchSettings) -> None:
        self.samples: list[BenchSample] = []
        self._own = own
        self._settings = settings
        self._connect = Histogram()
        self._corrected = Histogram()
        self._raw = Histogram()
        self._failures: Counter[str] = Counter()
        self._rounds: list[BenchRound] = []
        self._begun = monotonic()
        self._seconds = 0.0
        self._trying = "opening"

    async def run(self) -> None:
        """Make all rounds; what fails costs a sample, and is replaced before the next round."""
        places: list[OwnSession] = []
        try:
            for number in range(1, self._settings.rounds + 1):
                self._trying = f"round {number} of {self._settings.rounds}, {self._settings.sessions} sessions"
                places = await self._filled(places)
                await self._round(number, places)
        finally:
            self._seconds = monotonic() - self._begun
            await self._own.close(reset=False)

    def progress(self) -> Progress:
        """Return what is tried now."""
        done = len(self._rounds)
        left = (monotonic() - self._begun) / done * (self._settings.rounds - done) if done else None
        return Progress(self.name, self._trying, left)

    def figures(self, running: bool) -> BenchFigures:
        """Return what is known so far."""
        return BenchFigures(
            settings=self._settings,
            running=running,
            seconds=self._seconds or monotonic() - self._begun,
            answered=self._raw.count,
            failures=dict(self._failures),
            connect=spread(self._connect),
            corrected=spread(self._corrected),
            raw=spread(self._raw),
            rounds=list(self._rounds),
        )

    async def _filled(self, places: list[OwnSession]) -> list[OwnSession]:
        """Return sessions that are ready, as far as they can be had, those of before in their places."""
        kept = [session for session in places if session.state is State.READY]
        opened = await self._own.establish(self._settings.sessions - len(kept))
        self._connect.record_many(session.took for session in opened if session.state is State.READY)
        if not places:
            return opened
        fresh = iter(opened)
        return [session if session.state is State.READY else next(fresh, session) for session in places]

    async def _round(self, number: int, places: list[OwnSession]) -> None:
        """Let all speak at once, and take the samples."""
        barrier = monotonic()
        await self._own.ask(places, lambda place: self._message(number, place))
        corrected, raw = Histogram(), Histogram()
        failures: Counter[str] = Counter()
        for place, session in enumerate(places):
            sample = _sample(number, place + 1, session, barrier)
            self.samples.append(sample)
            if sample.raw is None or sample.corrected is None:
                failures[sample.failure] += 1
            else:
                corrected.record(sample.corrected)
                raw.record(sample.raw)
            if place % _TAKEN_AT_ONCE == _TAKEN_AT_ONCE - 1:
                await asyncio.sleep(0)
        self._corrected.merge(corrected)
        self._raw.merge(raw)
        self._failures.update(failures)
        self._rounds.append(BenchRound(number, raw.count, dict(failures), spread(corrected), spread(raw)))

    def _message(self, number: int, place: int) -> bytes:
        return self._settings.message or b"round %06d session %06d\n" % (number, place + 1)


def spread(histogram: Histogram) -> Spread | None:
    """Return how the times in a histogram are spread, None where there are none."""
    if not histogram.count:
        return None
    p50, p95, p99 = histogram.percentiles((50, 95, 99))
    return Spread(histogram.lowest, p50, p95, p99, histogram.highest)


def _sample(number: int, place: int, session: OwnSession, barrier: float) -> BenchSample:
    target = str(session.target.address)
    if session.failure:
        return BenchSample(number, place, target, None, None, session.failure)
    return BenchSample(number, place, target, session.since + session.took - barrier, session.took, "")
