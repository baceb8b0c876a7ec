"""What a worker does: it makes an engine, answers its console's calls, and tells how it is."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from socket import socket
from time import monotonic
from typing import Any, Final, Generic, Protocol, Self, TypeVar

from common.logs import COMMANDS, ROOT, TextHandler
from common.workers.calls import GoneError, Server, Wire

# Seconds between two tellings, so that what a console shows is a second old at most even where many workers share the
# cores and have their turn late; and how often within them it is looked whether there is something urgent to tell.
PERIOD: Final = 0.5
_LOOKS: Final = 10

# Methods that all workers have beside those of their engine.
SET_LOG_LEVEL: Final = "set_log_level"
REFRESH: Final = "refresh"

log = logging.getLogger(ROOT)


class Part(Protocol):
    """What a worker tells of its state."""

    def after(self, before: Self, /) -> Self:
        """Return the whole state, of which that told before may have a part."""


S = TypeVar("S", bound=Part)


class Engine(Protocol):
    """What is served, whatever else its methods are."""

    async def aclose(self) -> None:
        """Close every session and stop."""


E = TypeVar("E", bound=Engine)


@dataclass(frozen=True, slots=True)
class Birth:
    """What a worker is made from: the engine's settings and how much is logged."""

    settings: Any
    level: int


@dataclass(frozen=True, slots=True)
class Told(Generic[S]):
    """How a worker is, at `taken` (monotonic seconds, which all processes of a host share)."""

    process: int
    taken: float
    state: S

    def after(self, before: "Told[S] | None") -> "Told[S]":
        """Return it with the whole state, of which that told before may have a part."""
        return replace(self, state=self.state.after(before.state)) if before else self

    @property
    def age(self) -> float:
        """How many seconds ago it was so."""
        return monotonic() - self.taken


@dataclass(frozen=True, slots=True)
class Logged:
    """A line for the console's log."""

    name: str
    level: int
    text: str


class Forward(TextHandler):
    """Gives lines to the console, at a bounded rate."""

    def __init__(self, tell: Callable[[object], object]) -> None:
        super().__init__(self._tell_line, logging.DEBUG, "%(message)s", without=COMMANDS)
        self._tell = tell
        self._record: logging.LogRecord

    def emit(self, record: logging.LogRecord) -> None:
        """Tell the console, which shows it or does not."""
        self._record = record
        super().emit(record)

    def _tell_line(self, text: str) -> None:
        self._tell(Logged(self._record.name, self._record.levelno, text.rstrip("\n")))


class Worker(Generic[E]):
    """An engine behind one connection; where `urgency` has risen, the state is told at once (None: it cannot rise).

    `state_of` is given the whole state that was told before, None for none, and may leave out what is the same in it.
    """

    def __init__(
        self,
        make: Callable[[Any], E],
        state_of: Callable[[E, Any], Awaitable[Any]],
        urgency: Callable[[E], int | None] | None = None,
    ) -> None:
        self.make = make
        self.state_of = state_of
        self._urgency = urgency

    async def live(self, connection: socket, descriptors: socket) -> None:
        """Serve until the console closes the connection."""
        wire = await Wire.over(connection)
        try:
            birth = await wire.receive()
        except GoneError:
            return
        log.setLevel(birth.level)
        engine = self.make(birth.settings)

        before: Any = None
        told = asyncio.Event()
        telling_one = asyncio.Lock()

        async def tell() -> None:
            nonlocal before
            async with telling_one:
                taken = monotonic()
                state = await self.state_of(engine, before)
                if server.tell(Told(os.getpid(), taken, state)):
                    before = state.after(before) if before else state
            told.set()

        server = Server(wire, descriptors, tell)
        log.addHandler(Forward(server.tell))
        telling = asyncio.create_task(self._keep_telling(engine, tell, told))
        try:
            await server.serve(lambda name: OWN.get(name) or getattr(engine, name))
        finally:
            telling.cancel()
            await engine.aclose()
            with suppress(OSError):
                wire.close()

    async def _keep_telling(self, engine: E, tell: Callable[[], Awaitable[None]], told: asyncio.Event) -> None:
        while True:
            try:
                await tell()
            except Exception:
                log.exception("This is a bug, and the worker goes on:")
            told.clear()
            while await self._rest(engine, told):
                told.clear()

    async def _rest(self, engine: E, told: asyncio.Event) -> bool:
        """Return when it is time to tell again, or True when that has been done, for a call."""
        before = self._urgency(engine) if self._urgency else None
        for _ in range(1 if before is None else _LOOKS):
            with suppress(TimeoutError):
                return await asyncio.wait_for(told.wait(), PERIOD if before is None else PERIOD / _LOOKS)
            if before is not None and self._urgency and (self._urgency(engine) or 0) > before:
                break
        return False


async def _set_log_level(level: int) -> None:
    log.setLevel(level)


async def _refresh() -> None:
    """Do nothing: how a worker is, it tells before every answer."""


OWN: Final[dict[str, Callable[..., Awaitable[Any]]]] = {SET_LOG_LEVEL: _set_log_level, REFRESH: _refresh}
