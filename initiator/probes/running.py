"""The probes that run beside the held sessions, at most one of each name."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol

from common.addresses import Address
from common.errors import UsageError
from common.reactor import Reactor
from initiator.probes.attempts import RatePart
from initiator.probes.bench import Bench
from initiator.probes.capacity import SessionsPart
from initiator.probes.figures import (
    BENCH,
    BenchSample,
    BenchSettings,
    IdleSettings,
    ProbeFigures,
    Progress,
    RateSettings,
    SessionsSettings,
)
from initiator.probes.own import OwnSessions
from initiator.probes.parts import Part, Parts
from initiator.probes.rate import FindRate
from initiator.probes.sessions import FindSessions
from initiator.probes.speaking import BenchPart
from initiator.target import Target

DividedSettings = BenchSettings | SessionsSettings | RateSettings
ProbeSettings = DividedSettings | IdleSettings

_NONE: Final = "no {} has begun yet"


class Probe(Protocol):
    """What finds something out."""

    @property
    def name(self) -> str:
        """What it is stopped and waited for by."""

    async def run(self) -> None:
        """Find it out, and end all sessions of its own; raises SessionerError when it could not go on."""

    def progress(self) -> Progress | None:
        """Return what is tried now, None where that is told elsewhere."""

    async def figures(self, running: bool) -> ProbeFigures:
        """Return what is known so far."""


class Probing:
    """What has probes: an engine, or its workers. The last one of each name, and the tasks of those that run."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[Probe, asyncio.Task[None]]] = {}

    async def start_probe(self, settings: ProbeSettings) -> None:
        """Begin a probe to all targets, or to the one it is about, beside the held sessions; raises UsageError."""
        self.check_open(settings.target)
        probe = self.make_probe(settings)
        if self._runs(probe.name):
            raise UsageError(f"{probe.name}: one runs already; `stop {probe.name}` ends it")
        self._last[probe.name] = probe, asyncio.create_task(probe.run())

    async def stop_probe(self, name: str) -> None:
        """End a probe sooner; raises UsageError when none of that name runs."""
        if not self._runs(name):
            raise UsageError(f"no {name} runs")
        self._last[name][1].cancel()

    async def wait_probe(self, name: str) -> None:
        """Return when a probe has ended, and its sessions are closed.

        Raises UsageError when none has begun, SessionerError when it could not go on.
        """
        _, task = self._of(name)
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()

    async def probe_figures(self, name: str) -> ProbeFigures:
        """Return what a probe has found so far; raises UsageError when none of that name has begun."""
        probe, task = self._of(name)
        return await probe.figures(running=not task.done())

    async def bench_samples(self) -> list[BenchSample]:
        """Return every sample of the last bench; raises UsageError when there has been none."""
        probe, _ = self._of(BENCH)
        return await asyncio.to_thread(probe.samples) if isinstance(probe, Bench) else []

    def probes(self) -> tuple[Progress, ...]:
        """Return what those that run try now."""
        now = (probe.progress() for probe, task in self._last.values() if not task.done())
        return tuple(progress for progress in now if progress)

    async def end_probes(self) -> None:
        """End all, and close their sessions."""
        for _, task in self._last.values():
            task.cancel()
            await asyncio.wait((task,))

    def check_open(self, target: Address | None) -> None:
        """Raise UsageError where there is nothing that sessions could be opened to."""
        raise NotImplementedError

    def make_probe(self, settings: ProbeSettings) -> Probe:
        """Return a probe that has not begun."""
        raise NotImplementedError

    def _of(self, name: str) -> tuple[Probe, asyncio.Task[None]]:
        if name not in self._last:
            raise UsageError(_NONE.format(name))
        return self._last[name]

    def _runs(self, name: str) -> bool:
        return name in self._last and not self._last[name][1].done()


def divided_probe(settings: DividedSettings, parts: Parts, targets: Sequence[Address]) -> Probe:
    """Return a probe that divides its work among parts like `part_of` makes."""
    if isinstance(settings, BenchSettings):
        return Bench(parts, settings)
    if isinstance(settings, RateSettings):
        return FindRate(parts, settings)
    return FindSessions(parts, settings, targets)


def part_of(settings: DividedSettings, reactor: Reactor, own: OwnSessions, targets: Sequence[Target]) -> Part:
    """Return this process's part of a probe to some targets."""
    if isinstance(settings, BenchSettings):
        return BenchPart(own, settings.message)
    if isinstance(settings, RateSettings):
        return RatePart(reactor, own)
    return SessionsPart(own, targets)
