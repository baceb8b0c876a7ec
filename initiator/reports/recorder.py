"""The recorder: samples an engine once a second, and takes note of the commands that change something."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic
from typing import Final

from common.errors import SessionerError
from common.shell import Shell
from initiator.latencies import Latencies
from initiator.reports.timeline import Timeline
from initiator.snapshot import Snapshot
from initiator.workers import AnyEngine

log = logging.getLogger("sessioner.initiator")

_INTERVAL: Final = 1.0


class Recorder:
    """A timeline that begins now; to be made inside a running loop, started, and closed."""

    def __init__(self, engine: AnyEngine) -> None:
        self.begun = datetime.now(UTC)
        self.timeline = Timeline()
        self._engine = engine
        self._begun = monotonic()
        self._task: asyncio.Task[None] | None = None

    def start(self, shell: Shell) -> None:
        """Take a sample now and each second, and every line that changes something."""
        shell.changed = self._mark
        self._task = asyncio.create_task(self._record())

    async def sample(self) -> tuple[Snapshot, Latencies]:
        """Take a sample now, too, and return what it was taken of."""
        now = await self._engine.snapshot()
        # Each of these takes a millisecond or two: others have their turn in between.
        await asyncio.sleep(0)
        latencies = await self._engine.latencies()
        await asyncio.sleep(0)
        self.timeline.take(self._elapsed(), now, await self._engine.totals(), latencies)
        return now, latencies

    async def close(self) -> None:
        """Take no more samples."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _record(self) -> None:
        """Take samples at whole seconds; one that comes too late does not move those behind it."""
        told = ""
        while True:
            try:
                await self.sample()
            except SessionerError:
                pass  # An engine that cannot tell for a while leaves a gap.
            except Exception as error:
                if told != (told := repr(error)):
                    log.exception("This is a bug, and the timeline has a gap:")
            await asyncio.sleep(_INTERVAL - self._elapsed() % _INTERVAL)

    def _mark(self, line: str, begun: float) -> None:
        self.timeline.mark(begun - self._begun, line)

    def _elapsed(self) -> float:
        return monotonic() - self._begun
