"""The parts of a probe: one in each process, with the sessions that are opened there."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from time import monotonic
from typing import Any, Protocol, TypeVar

from common.errors import SessionerError

R = TypeVar("R")

Method = Callable[..., Coroutine[Any, Any, R]]


class Part(Protocol):
    """What is done in one process."""

    async def close(self) -> None:
        """End all sessions."""


class Parts(Protocol):
    """The parts as the probe sees them that divides its work among them, wherever they are."""

    async def ready(self, sessions: int = 0) -> list[int]:
        """Have every process take part, and begin more where so many sessions need them and more are allowed.

        A part whose loss was told is begun anew. Return how many sessions are held beside, by part; there are never
        fewer parts than before. Raises SessionerError.
        """

    async def ask(self, number: int, method: Method[R], *arguments: Any) -> R | None:
        """Return what a method of a part returns; None when its process has ended, and all its sessions with it."""

    def now(self) -> float | None:
        """Return this moment (monotonic seconds) by the clock of all parts, None where they share none."""

    async def close(self) -> None:
        """End all sessions of all parts."""


class OnePart:
    """The only part, in this process."""

    def __init__(self, part: Part) -> None:
        self._part = part

    async def ready(self, _sessions: int = 0) -> list[int]:
        """Return that nobody else has anything to do with it."""
        return [0]

    async def ask(self, _number: int, method: Method[R], *arguments: Any) -> R | None:
        """Return what a method of the part returns."""
        return await method(self._part, *arguments)

    def now(self) -> float:
        """Return this moment."""
        return monotonic()

    async def close(self) -> None:
        """End all sessions."""
        await self._part.close()


class LostError(SessionerError):
    """The processes of the parts with these numbers have ended."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__("a worker has ended or does not answer, and the search with it")
        self.numbers = numbers


def asked(parts: Parts, method: Method[R], arguments: Iterable[Sequence[Any]]) -> list[Coroutine[Any, Any, R | None]]:
    """Return what asks each part, given its own arguments."""
    return [parts.ask(number, method, *own) for number, own in enumerate(arguments)]


async def whole(asking: Iterable[Coroutine[Any, Any, R | None]]) -> list[R]:
    """Return what all parts answer; as soon as one is lost the others are asked no more, and LostError is raised."""
    lost: list[int] = []

    async def known(number: int, answering: Coroutine[Any, Any, R | None]) -> R:
        answer = await answering
        if answer is None:
            lost.append(number)
            raise LostError(lost)
        return answer

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(known(number, answering)) for number, answering in enumerate(asking)]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
