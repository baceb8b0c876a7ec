"""What an actor of a fleet does: it makes an engine, or the keeper of all, answers calls, tells how it is."""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from time import monotonic
from typing import Any, Final

from common.errors import SessionerError
from common.limits import Limit, assess
from common.logs import ROOT
from common.runtime import settle_collector
from common.system import raise_descriptor_limit, read_system
from common.workers.serving import OWN, PERIOD, Birth, Forward, Told

log = logging.getLogger(ROOT)

# The method that returns the limits of the node, which all have beside those of their engine.
LIMITS: Final = "limits"

# Lines of the log that wait to be asked for: those of ten seconds in which all is said that may be.
_LINES: Final = 2000


@dataclass(frozen=True, slots=True)
class NodeTold(Told[Any]):
    """How an engine is, and its node: the load average of the last minute, and the processors."""

    load: float
    processors: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call has returned or, where it has failed, raised; and how the engine is after it."""

    failed: bool
    result: Any
    told: NodeTold | None


@dataclass(frozen=True, slots=True)
class News:
    """How an engine is, and what was logged since the last line that the one who asks knows of."""

    told: NodeTold
    last: int
    lines: list[Any]


class Hosted:
    """An engine in an actor of Ray, whose methods all run in one loop; `worker` in `module` says what it is.

    One that nobody has asked for news for `patience` seconds ends itself: its sessions are held by others by then.
    None is for one that goes on.
    """

    def __init__(self, module: str, worker: str, patience: float | None) -> None:
        self._worker = getattr(import_module(module), worker)
        self._patience = patience
        self._calls: dict[int, asyncio.Task[Any]] = {}
        self._lines: deque[tuple[int, Any]] = deque(maxlen=_LINES)
        self._last = self._given = 0
        self._heard = monotonic()
        self._forward = Forward(self._tell)
        self._spoken: asyncio.Event
        self._watching: asyncio.Task[None] | None = None
        self._engine: Any

    async def begin(self, birth: Birth) -> str | None:
        """Make the engine; return why it cannot be made, None when it is."""
        self._spoken = asyncio.Event()
        log.propagate = False
        log.setLevel(birth.level)
        log.addHandler(self._forward)
        warning = raise_descriptor_limit()
        settle_collector()
        try:
            self._engine = self._worker.make(birth.settings)
        except SessionerError as error:
            return str(error)
        if warning:
            log.warning("%s", warning)
        if self._patience:
            self._heard = monotonic()
            self._watching = asyncio.create_task(self._watch(self._patience))
        return None

    async def call(
        self, number: int, method: str, arguments: Sequence[Any], keywords: Mapping[str, Any], reading: bool
    ) -> Answer:
        """Call a method of the engine; `number` is what the call can be cancelled by."""
        calling = asyncio.create_task(self._carry_out(method, arguments, keywords))
        self._calls[number] = calling
        try:
            await asyncio.wait((calling,))
        finally:
            del self._calls[number]
        told = None if reading else await self._now()
        if calling.cancelled():
            return Answer(True, SessionerError("it was cancelled"), told)
        failure = calling.exception()
        if failure is None:
            return Answer(False, calling.result(), told)
        if isinstance(failure, SessionerError):
            return Answer(True, failure, told)
        log.error("This is a bug, and the engine goes on:", exc_info=failure)
        return Answer(True, RuntimeError(f"{method} failed: {failure}"), told)

    async def cancel(self, number: int) -> None:
        """Cancel a call that is under way."""
        if number in self._calls:
            self._calls[number].cancel()

    async def news(self, after: int | None) -> News:
        """Return what is new after the line of that number, as soon as there is some, or after PERIOD.

        None is for what nobody has been told yet.
        """
        self._heard = monotonic()
        after = self._given if after is None else after
        if self._last <= after:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._spoken.wait(), PERIOD)
        self._given = self._last
        return News(await self._now(), self._given, [line for number, line in self._lines if number > after])

    async def end(self) -> None:
        """Close every session."""
        if self._watching:
            self._watching.cancel()
        await self._engine.aclose()
        self.forget_log()

    def forget_log(self) -> None:
        """Take no more note of what is logged."""
        log.removeHandler(self._forward)

    @property
    def under_way(self) -> int:
        """How many calls are under way."""
        return len(self._calls)

    async def _carry_out(self, method: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        if method == LIMITS:
            return await self._limits(*arguments)
        return await (OWN.get(method) or getattr(self._engine, method))(*arguments, **keywords)

    async def _limits(self, sessions: int | None) -> list[Limit]:
        return assess(read_system(), await self._engine.demand(sessions))

    async def _now(self) -> NodeTold:
        state = await self._worker.state_of(self._engine, None)
        return NodeTold(os.getpid(), monotonic(), state, os.getloadavg()[0], os.cpu_count() or 1)

    def _tell(self, line: object) -> None:
        self._last += 1
        self._lines.append((self._last, line))
        spoken, self._spoken = self._spoken, asyncio.Event()
        spoken.set()

    async def _watch(self, patience: float) -> None:
        while monotonic() - self._heard < patience:  # noqa: ASYNC110 - it is time that is waited for
            await asyncio.sleep(PERIOD)
        await self._engine.aclose()
        os._exit(0)
