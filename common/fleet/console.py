"""A fleet as its console sees it: an engine whose methods its keeper carries out."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from common.errors import SessionerError, UsageError
from common.logs import ROOT
from common.options import Process
from common.workers.calls import GoneError
from common.workers.serving import SET_LOG_LEVEL

if TYPE_CHECKING:
    from common.fleet.calls import ActorCaller

log = logging.getLogger("sessioner")

# Seconds between two looks at the log's level.
_BEAT: Final = 0.2

# Seconds that the end of a fleet may take.
_PATIENCE: Final = 10.0


class Fleet:
    """The methods of an engine, by their names. Unless `ends` is set, it goes on when it is closed."""

    snapshot: Callable[[], Coroutine[Any, Any, Any]]
    set_dump: Callable[[Any], Coroutine[Any, Any, Any]]

    def __init__(self, name: str, caller: "ActorCaller") -> None:
        self.name = name
        self.ends = False
        self._caller = caller
        self._listening = asyncio.create_task(caller.listen())
        self._beating = asyncio.create_task(self._beat())

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Return a method of the engine."""
        if name.startswith("_"):
            raise AttributeError(name)

        async def call(*arguments: Any, **keywords: Any) -> Any:
            try:
                return await self._caller.call(name, arguments, keywords=keywords, reading=True)
            except GoneError:
                raise SessionerError(f"fleet {self.name} does not answer: its keeper has ended") from None

        return call

    async def aclose(self) -> None:
        """End the fleet, or leave it to go on."""
        self._beating.cancel()
        if self.ends and not self._caller.gone:
            self._caller.close()
            if self._caller.ending:
                await asyncio.wait((self._caller.ending,), timeout=_PATIENCE)
            self._caller.kill()
        elif not self._caller.gone:
            log.warning("Fleet %s goes on; --attach %s finds it again, and `quit` there ends it", self.name, self.name)
            self._caller.leave()
        await asyncio.wait((self._listening, self._beating))

    async def _beat(self) -> None:
        """Let the fleet log as much as is shown here."""
        level = None
        with suppress(GoneError):
            while True:
                if level != (level := logging.getLogger(ROOT).level):
                    await self._caller.call(SET_LOG_LEVEL, (level,), reading=True)
                await asyncio.sleep(_BEAT)


async def open_fleet(daemon: str, settings: Any, process: Process) -> Fleet:
    """Return a new fleet, or the one that goes on under the name that is asked for; raises SessionerError.

    `daemon` is the package that has the modules `fleet`, of its keeper, and `worker`, of its engines.
    """
    assert process.fleet
    try:
        from common.fleet import cluster
    except ImportError:
        raise UsageError("--fleet needs Ray, which is not installed: pip install 'sessioner[fleet]'") from None
    cluster.connect(process.fleet, daemon)
    if process.attach is not None:
        return Fleet(process.attach, await cluster.find_keeper(process.attach, daemon))
    name = process.name or daemon
    caller = await cluster.begin_keeper(name, daemon, settings, process.per_node)
    fleet = Fleet(name, caller)
    fleet.ends = True
    try:
        await fleet.open()
    except BaseException:
        await fleet.aclose()
        raise
    return fleet
