"""Tests of what a worker of the responder tells of its state."""

import pytest

from common.addresses import Endpoint
from responder.merging import listener_row
from responder.worker import state_of
from tests.ports import find_free_ports
from tests.responder.support import Clients, echoed, listeners, listening, status

pytestmark = pytest.mark.usefixtures("run")


async def test_the_rows_of_listeners_are_told_where_they_have_changed() -> None:
    async with listening(3) as (engine, addresses), Clients() as clients:
        before = await state_of(engine, None)
        assert list(before.counts) == addresses
        assert not (await state_of(engine, before)).counts
        await echoed(await clients.connect(addresses[1]))
        await status(engine, lambda now: now.sent)
        after = await state_of(engine, before)
        row = (await listeners(engine))[str(addresses[1])]
        assert after.counts == {addresses[1]: (1, 1, 5, 5, 0)}
        assert listener_row(addresses[1], "echo", [after.counts[addresses[1]]]) == row
        whole = after.after(before)
        assert whole.counts == {**before.counts, **after.counts}
        await engine.remove_listeners(Endpoint("127.0.0.1", addresses[1].port, addresses[1].port))
        told = await state_of(engine, whole)
        assert (told.counts, told.gone) == ({}, [addresses[1]])
        assert list(told.after(whole).counts) == [addresses[0], addresses[2]]


async def test_the_counts_of_many_listeners_are_told_some_at_a_time() -> None:
    first, ports = find_free_ports(1200), 1200
    async with listening(1, Endpoint("127.0.0.1", first, first + ports - 1)) as (engine, addresses), Clients() as own:
        told = await state_of(engine, None)
        assert list(told.counts) == addresses[:1000]
        for address in (addresses[0], addresses[-1]):
            await own.connect(address)
        await status(engine, lambda now: now.accepted == 2)
        whole = (await state_of(engine, told)).after(told)
        assert list(whole.counts) == addresses
        assert sum(accepted for accepted, *_ in whole.counts.values()) == 2
        await engine.remove_listeners(Endpoint("127.0.0.1", first, first + ports - 1))
        assert (await state_of(engine, whole)).after(whole).counts == {}
