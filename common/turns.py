"""Long work in the loop, with turns for everything else in between."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

# Items between two turns: some milliseconds where each takes 20 µs, as a new target does.
_AT_ONCE: Final = 128


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield all items; so few that they are no long work, without a turn for others."""
    for number, item in enumerate(items, 1):
        yield item
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
