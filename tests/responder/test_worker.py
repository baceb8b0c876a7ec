"""Tests of what a worker of the responder tells of its state."""

from dataclasses import replace

import pytest

from responder.worker import state_of
from tests.responder.support import Clients, echoed, listeners, listening, status

pytestmark = pytest.mark.usefixtures("run")


async def test_the_rows_of_listeners_are_told_where_they_have_changed() -> None:
    async with listening(3) as (engine, addresses), Clients() as clients:
        before = await state_of(engine, None)
        assert list(before.rows) == addresses
        assert not (await state_of(engine, before)).rows
        await echoed(await clients.connect(addresses[1]))
        await status(engine, lambda now: now.sent)
        after = await state_of(engine, before)
        row = (await listeners(engine))[str(addresses[1])]
        assert after.rows == {addresses[1]: row}
        assert (row.accepted, row.held, row.received, row.sent) == (1, 1, 5, 5)
        whole = after.after(before)
        assert whole.rows == {**before.rows, addresses[1]: row}
        await engine.set_mode("sink", None)
        told = await state_of(engine, whole)
        assert told.rows == {address: replace(each, mode="sink") for address, each in whole.rows.items()}
