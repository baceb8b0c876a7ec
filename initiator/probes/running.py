"""The probes that run beside the held sessions, at most one of each name."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from common.errors import UsageError
from common.reactor import Reactor
from initiator.dialer import Dialer
from initiator.probes.bench import Bench
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
from initiator.probes.idle import FindIdle
from initiator.probes.own import OwnSessions
from initiator.probes.rate import FindRate
from initiator.probes.sessions import FindSessions
from initiator.target import Target

ProbeSettings = BenchSettings | SessionsSettings | RateSettings | IdleSettings
Probe = Bench | FindSessions | FindRate | FindIdle

_NONE: Final = "no {} has begun yet"


class Probes:
    """The last one of each name, and the tasks of those that run."""

    def __init__(self, reactor: Reactor, dialer: Dialer, connect_timeout: float) -> None:
        self._reactor = reactor
        self._dialer = dialer
        self._timeout = connect_timeout
        self._last: dict[str, tuple[Probe, asyncio.Task[None]]] = {}

    def start(self, settings: ProbeSettings, targets: Sequence[Target]) -> None:
        """Begin one; raises UsageError when one of that name runs."""
        probe = self._make(settings, targets)
        if self._runs(probe.name):
            raise UsageError(f"{probe.name}: one runs already; `stop {probe.name}` ends it")
        self._last[probe.name] = probe, asyncio.create_task(probe.run())

    def stop(self, name: str) -> None:
        """End one sooner; raises UsageError when none runs."""
        if not self._runs(name):
            raise UsageError(f"no {name} runs")
        self._last[name][1].cancel()

    async def wait(self, name: str) -> None:
        """Return when one has ended, and its sessions are closed; raises UsageError when none has begun."""
        _, task = self._of(name)
        await asyncio.wait((task,))
        if not task.cancelled():
            task.result()

    def figures(self, name: str) -> ProbeFigures:
        """Return what is known; raises UsageError when none has begun."""
        probe, task = self._of(name)
        return probe.figures(running=not task.done())

    def samples(self) -> list[BenchSample]:
        """Return the samples of the last bench; raises UsageError when none has begun."""
        probe, _ = self._of(BENCH)
        return list(probe.samples) if isinstance(probe, Bench) else []

    def progress(self) -> tuple[Progress, ...]:
        """Return what those that run try now."""
        return tuple(probe.progress() for probe, task in self._last.values() if not task.done())

    async def aclose(self) -> None:
        """End all, and close their sessions."""
        for _, task in self._last.values():
            if not task.done():
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _make(self, settings: ProbeSettings, targets: Sequence[Target]) -> Probe:
        fleeting = isinstance(settings, RateSettings)
        own = OwnSessions(self._reactor, self._dialer, targets, self._timeout, fleeting)
        if isinstance(settings, BenchSettings):
            return Bench(own, settings)
        if isinstance(settings, RateSettings):
            return FindRate(self._reactor, own, settings)
        if isinstance(settings, IdleSettings):
            return FindIdle(own, settings)
        return FindSessions(own, settings, targets)

    def _of(self, name: str) -> tuple[Probe, asyncio.Task[None]]:
        if name not in self._last:
            raise UsageError(_NONE.format(name))
        return self._last[name]

    def _runs(self, name: str) -> bool:
        return name in self._last and not self._last[name][1].done()
