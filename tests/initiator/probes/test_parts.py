"""Tests of how parts are asked together."""

import asyncio

import pytest

from common.errors import UsageError
from initiator.probes.parts import LostError, whole

pytestmark = pytest.mark.usefixtures("run")


async def answer(value: int | None, turns: int = 0) -> int | None:
    """Return a value after some turns of the loop; None is that of a part that is lost."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def never() -> int:
    """Answer only by being cancelled."""
    ended = asyncio.get_running_loop().create_future()
    try:
        await ended
    finally:
        cancelled.append(True)
    raise AssertionError("nobody asked for that")


cancelled: list[bool] = []


async def test_answers_come_in_the_order_of_the_parts() -> None:
    assert await whole([answer(0, 3), answer(1), answer(2, 1)]) == [0, 1, 2]


async def test_one_that_is_lost_ends_the_asking_of_all() -> None:
    cancelled.clear()
    with pytest.raises(LostError, match="a worker has ended") as lost:
        await whole([never(), answer(None, 2), answer(1)])
    assert (lost.value.numbers, cancelled) == ([1], [True])


async def test_those_that_are_lost_together_are_named_together() -> None:
    with pytest.raises(LostError) as lost:
        await whole([answer(None), answer(1), answer(None)])
    assert lost.value.numbers == [0, 2]


async def test_what_a_part_raises_is_raised() -> None:
    async def refuse() -> int:
        raise UsageError("there is no target")

    cancelled.clear()
    with pytest.raises(UsageError, match="no target"):
        await whole([never(), refuse()])
    assert cancelled == [True]
