"""The bench: sessions behind a barrier, each says something at once and waits for its echo, round after round."""

import asyncio
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from time import monotonic

from common.histogram import Histogram
from common.reasons import WORKER
from common.workers.division import fill
from initiator.merging import merge_histograms
from initiator.probes.figures import BENCH, BenchFigures, BenchRound, BenchSample, BenchSettings, Progress, Spread
from initiator.probes.parts import Parts, asked
from initiator.probes.speaking import BenchPart, Echoes


@dataclass(frozen=True, slots=True)
class _Samples:
    """Those of one part in one round: the number of the session in its first place, the times and targets by place."""

    round: int
    first: int
    targets: list[str]
    corrected: "array[float]"
    raw: "array[float]"
    failed: dict[int, str]

    def rows(self) -> Iterator[BenchSample]:
        for place, target in enumerate(self.targets):
            failure = self.failed.get(place, "")
            corrected, raw = (None, None) if failure else (self.corrected[place], self.raw[place])
            yield BenchSample(self.round, self.first + place, target, corrected, raw, failure)


class Bench:
    """One run."""

    name = BENCH

    def __init__(self, parts: Parts, settings: BenchSettings) -> None:
        self._parts = parts
        self._settings = settings
        self._shares: list[int] = []
        self._targets: list[list[str]] = []
        self._samples: list[_Samples] = []
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
        try:
            for number in range(1, self._settings.rounds + 1):
                self._trying = f"round {number} of {self._settings.rounds}, {self._settings.sessions} sessions"
                await self._fill()
                await self._round(number)
        finally:
            self._seconds = monotonic() - self._begun
            await self._parts.close()

    def progress(self) -> Progress:
        """Return what is tried now."""
        done = len(self._rounds)
        left = (monotonic() - self._begun) / done * (self._settings.rounds - done) if done else None
        return Progress(self.name, self._trying, left)

    async def figures(self, running: bool) -> BenchFigures:
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

    def samples(self) -> list[BenchSample]:
        """Return one for each session and round so far, in this order; for a thread, for they may be millions."""
        return [row for samples in list(self._samples) for row in samples.rows()]

    async def _fill(self) -> None:
        """Have sessions in all places, as far as they can be had; each part keeps its places."""
        beside = await self._parts.ready(self._settings.sessions)
        if not self._shares:
            self._shares = fill(beside, self._settings.sessions)
            self._targets = [[""] * share for share in self._shares]
        filling = asked(self._parts, BenchPart.fill, [(share,) for share in self._shares])
        for number, filled in enumerate(await asyncio.gather(*filling)):
            if filled:
                self._connect.merge(filled.connect)
                self._targets[number] = filled.targets

    async def _round(self, number: int) -> None:
        """Let all speak at once, and take the samples."""
        places = [end - share + 1 for share, end in zip(self._shares, accumulate(self._shares), strict=True)]
        barrier = self._parts.now()
        speaking = asked(self._parts, BenchPart.speak, [(number, first, barrier) for first in places])
        found = await asyncio.gather(*speaking)
        echoes = [answer or _lost(share) for share, answer in zip(self._shares, found, strict=True)]
        corrected = merge_histograms([each.corrected for each in echoes])
        raw = merge_histograms([each.raw for each in echoes])
        failures = sum((Counter(each.failed.values()) for each in echoes), Counter[str]())
        self._samples += [
            _Samples(number, first, targets, each.corrected_by_place, each.raw_by_place, each.failed)
            for first, targets, each in zip(places, self._targets, echoes, strict=True)
        ]
        self._corrected.merge(corrected)
        self._raw.merge(raw)
        self._failures.update(failures)
        self._rounds.append(BenchRound(number, raw.count, dict(failures), spread(corrected), spread(raw)))


def spread(histogram: Histogram) -> Spread | None:
    """Return how the times in a histogram are spread, None where there are none."""
    if not histogram.count:
        return None
    p50, p95, p99 = histogram.percentiles((50, 95, 99))
    return Spread(histogram.lowest, p50, p95, p99, histogram.highest)


def _lost(count: int) -> Echoes:
    """Return what is said of so many sessions whose worker has ended."""
    return Echoes(Histogram(), Histogram(), array("d"), array("d"), dict.fromkeys(range(count), WORKER))
