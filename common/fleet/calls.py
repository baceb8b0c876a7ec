"""Calls of an engine in an actor of Ray, and what it tells."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from socket import SocketType
from time import monotonic
from typing import Any, Final

import ray
from ray.exceptions import RayError, RayTaskError

from common.errors import UsageError
from common.fleet.hosted import Answer, News, NodeTold
from common.workers.calls import GoneError, forget

log = logging.getLogger("sessioner")

# Seconds without news after which an actor is taken for lost. Ray itself takes up to half a minute to notice.
SILENCE: Final = 4.0

# Seconds before one is asked again that Ray says cannot be reached: it may be for a moment only.
_PAUSE: Final = 0.2


class ActorCaller:
    """What calls an actor: `told` is given what it tells. `gone` says that it is lost."""

    def __init__(self, actor: Any, told: Callable[[Any], None], silence: float = SILENCE) -> None:
        self.gone = False
        self.ending: asyncio.Future[Any] | None = None
        self._actor = actor
        self._told = told
        self._silence = silence
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def call(
        self,
        method: str,
        arguments: Sequence[Any],
        sockets: Sequence[SocketType] = (),
        *,
        reading: bool = False,
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return what a method returns there, or raise what it raises; GoneError when the actor is lost.

        A call that is cancelled here is cancelled there. No sockets can be given.
        """
        assert not sockets
        if self.gone:
            raise GoneError
        number = random.getrandbits(63)
        try:
            reference = self._actor.call.remote(number, method, tuple(arguments), dict(keywords or {}), reading)
        except TypeError as error:
            raise UsageError(f"a fleet cannot do that: {error}") from None
        calling = asyncio.ensure_future(result_of(reference))
        try:
            await asyncio.wait((calling, self._ended), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if not calling.done():
                self._actor.cancel.remote(number)
            raise
        finally:
            calling.add_done_callback(forget)
        if not calling.done():
            raise GoneError
        try:
            answer: Answer = calling.result()
        except RayTaskError:
            log.exception("This is a bug, and the fleet goes on:")
            raise GoneError from None
        except RayError:
            raise GoneError from None
        if answer.told:
            self._hear(answer.told)
        if answer.failed:
            raise answer.result
        return answer.result

    async def listen(self) -> None:
        """Ask for news until the actor is lost or closed."""
        last: int | None = None
        heard = monotonic()
        while not self.gone:
            asking = asyncio.ensure_future(result_of(self._actor.news.remote(last)))
            asking.add_done_callback(forget)
            left = max(0.0, heard + self._silence - monotonic())
            await asyncio.wait((asking, self._ended), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if asking.done() and not asking.exception():
                news: News = asking.result()
                last, heard = news.last, monotonic()
                for line in news.lines:
                    self._told(line)
                self._hear(news.told)
            elif not asking.done() or monotonic() - heard >= self._silence:
                break
            else:
                await asyncio.sleep(_PAUSE)
        self._end()

    def close(self) -> None:
        """Let the engine close its sessions, and hear no more of it; one that is lost is ended."""
        if self.gone:
            self.kill()
        else:
            self.ending = asyncio.ensure_future(result_of(self._actor.end.remote()))
            self.ending.add_done_callback(forget)
            self._end()

    def leave(self) -> None:
        """Hear no more of it; it goes on."""
        self._end()

    def kill(self) -> None:
        """End the actor, whatever it does."""
        with suppress(RayError, ValueError):
            ray.kill(self._actor)

    def _end(self) -> None:
        self.gone = True
        if not self._ended.done():
            self._ended.set_result(None)

    def _hear(self, told: NodeTold) -> None:
        """Take note of how the engine is; its clock is not ours."""
        if not self.gone:
            self._told(replace(told, taken=monotonic()))


async def result_of(reference: Any) -> Any:
    """Return what an actor's method has returned; raises RayError."""
    return await reference
