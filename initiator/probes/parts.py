"""The parts of a probe: one in each process, with the sessions that are opened there."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import Any, Final, Protocol, TypeVar

R = TypeVar("R")

# What is said of a search in which a part was lost.
ENDED: Final = "{}: a worker has ended or does not answer, and the search with it"

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


async def ask_all(parts: Parts, method: Method[R], arguments: Sequence[Sequence[Any]]) -> list[R | None]:
    """Return what a method returns in each part, given its own arguments; None as `Parts.ask` does."""
    return await asyncio.gather(*(parts.ask(number, method, *own) for number, own in enumerate(arguments)))
