"""Sessions that are replaced when their time has come, on real sockets of the loopback."""

import socket
from time import monotonic
from typing import Any

import pytest

from initiator.engine import Engine
from initiator.workloads.query import QuerySettings
from initiator.workloads.questions import build_question
from initiator.workloads.schedule import constant
from responder.engine import Engine as Responder
from tests.initiator.test_engine import both, clients, hold, initiating, one, sessions, status
from tests.support import Peer, until

pytestmark = pytest.mark.usefixtures("run")

QUESTIONS = (build_question("example.com", "A"),)
LONG = 3600.0


async def replaced(engine: Engine, count: int) -> None:
    """Return when so many sessions have been replaced in all."""
    await status(engine, lambda now: now.replaced >= count)


async def until_old(engine: Engine, age: float) -> None:
    """Return when every session is so old."""

    async def checked() -> bool:
        return all(row.age >= age for row in await sessions(engine))

    await until(checked)


async def until_ended(responder: Responder, count: int) -> dict[str, int]:
    """Return how at least so many clients have ended."""
    found: dict[str, int] = {}

    async def checked() -> bool:
        found.update((await responder.snapshot()).losses)
        return sum(found.values()) >= count

    await until(checked)
    return found


async def test_a_session_is_replaced_when_its_time_has_come_and_no_sooner() -> None:
    async with both(2) as (engine, responder, _):
        began = monotonic()
        await engine.set_lifetime(0.2)
        await hold(engine, 20)
        await replaced(engine, 60)
        now = await engine.snapshot()
        assert now.lifetime == 0.2
        assert now.replaced <= 20 * (monotonic() - began) / 0.2
        await engine.set_lifetime(None)
        await engine.wait_held()
        await clients(responder, 20)
        now = await engine.snapshot()
        assert (now.held, now.losses, now.failures) == (20, {}, {})
        assert now.established == now.replaced + 20
        assert await until_ended(responder, now.replaced) == {"fin": now.replaced}


async def test_it_applies_to_those_held_already_in_the_order_of_their_age() -> None:
    async with both() as (engine, _, __):
        await hold(engine, 10)
        await until_old(engine, 0.3)
        old = {row.local for row in await sessions(engine)}
        await hold(engine, 100)
        young = {row.local for row in await sessions(engine)} - old
        await engine.set_lifetime(0.5)
        await replaced(engine, 10)
        now = await engine.snapshot()
        left = {row.local for row in await sessions(engine)}
        assert not old & left
        assert len(young & left) == 100 - now.replaced


async def test_a_change_applies_to_those_that_wait() -> None:
    async with both() as (engine, _, __):
        await engine.set_lifetime(LONG)
        await hold(engine, 50)
        await until_old(engine, 0.2)
        assert (await engine.snapshot()).replaced == 0
        await engine.set_lifetime(0.1)
        await replaced(engine, 50)
        await engine.set_lifetime(LONG)
        count = (await status(engine, lambda now: now.held == 50)).replaced
        await until_old(engine, 0.3)
        assert (await engine.snapshot()).replaced == count


async def test_no_lifetime_replaces_nothing() -> None:
    async with both() as (engine, _, __):
        await engine.set_lifetime(0.1)
        await hold(engine, 20)
        await replaced(engine, 20)
        await engine.set_lifetime(None)
        await engine.wait_held()
        count = (await engine.snapshot()).replaced
        await until_old(engine, 0.3)
        now = await engine.snapshot()
        assert (now.lifetime, now.replaced, now.held) == (None, count, 20)


async def test_what_was_switched_off_and_on_again_replaces_each_once() -> None:
    async with both() as (engine, _, __):
        await hold(engine, 300)
        for seconds in (LONG, None, LONG, None, LONG):
            await engine.set_lifetime(seconds)
        await engine.set_lifetime(0.5)
        await replaced(engine, 300)
        await engine.set_lifetime(None)
        await engine.wait_held()
        now = await engine.snapshot()
        assert now.established == 300 + now.replaced
        assert now.losses == {}


async def test_sessions_that_end_otherwise_are_not_counted() -> None:
    async with both() as (engine, _, __):
        await engine.set_lifetime(LONG)
        await hold(engine, 100)
        assert await engine.drop(100, reset=True) == 100
        await engine.wait_held()
        now = await engine.snapshot()
        assert (now.replaced, now.established) == (0, 200)
        await engine.set_lifetime(0.5)
        await replaced(engine, 100)
        await engine.set_lifetime(None)
        await engine.wait_held()
        now = await engine.snapshot()
        assert (now.established, now.losses) == (200 + now.replaced, {})


async def test_sessions_that_have_ended_otherwise_are_forgotten_long_before_their_time() -> None:
    async with both() as (engine, _, (address,)):
        await engine.set_lifetime(LONG)
        for _ in range(8):
            await hold(engine, 1000)
            await engine.drop(address, reset=True)
        await hold(engine, 10)
        assert (await engine.snapshot()).established > 7000

        async def forgotten() -> bool:
            return engine._holder.lifetime.filed <= 2 * 10 + 2000

        await until(forgotten)
        await engine.set_lifetime(0.1)
        await replaced(engine, 10)


async def test_a_thousand_sessions_of_a_second_are_held_all_the_while() -> None:
    async with both(4) as (engine, responder, _):
        await engine.set_lifetime(1.0)
        await hold(engine, 1000)
        fewest = 1000

        async def done() -> bool:
            nonlocal fewest
            now = await engine.snapshot()
            fewest = min(fewest, now.held)
            return now.replaced >= 2500

        await until(done)
        assert fewest > 800
        await engine.set_lifetime(None)
        await engine.wait_held()
        await clients(responder, 1000)
        now = await engine.snapshot()
        assert (now.held, now.losses, now.failures, now.established) == (1000, {}, {}, 1000 + now.replaced)
        assert await until_ended(responder, now.replaced) == {"fin": now.replaced}


@pytest.mark.parametrize("ping", [True, False])
async def test_queries_move_on_to_the_sessions_that_replace_others(ping: bool) -> None:
    async with both(2, ping=ping) as (engine, responder, _):
        await engine.set_ping_interval((0.05, 0.1))
        await engine.set_lifetime(0.2)
        await hold(engine, 50)
        await engine.start_query(QuerySettings(constant(5000), 1, QUESTIONS))
        await replaced(engine, 400)
        await engine.set_lifetime(None)
        await engine.wait_held()
        await engine.stop_query()
        await engine.wait_query()
        now = await engine.snapshot()
        assert now.query
        assert (now.query.lost, now.query.timeouts, now.query.unknown, now.query.malformed) == (0, 0, 0, 0)
        assert (now.query.unsent, now.query.answered, now.query.sent) == (0, now.query.due, now.query.due)
        assert now.losses == {}
        assert await until_ended(responder, now.replaced) == {"fin": now.replaced}
        await engine.start_query(QuerySettings(constant(1000), 1, QUESTIONS))
        assert (await status(engine, lambda now: now.query and now.query.sessions == 50)).held == 50


@pytest.mark.parametrize(("answer", "lost"), [(True, 0), (False, 1)])
async def test_what_is_under_way_is_waited_for_when_a_session_is_replaced(answer: bool, lost: int) -> None:
    with Peer() as peer:
        async with initiating([peer.address]) as engine:
            first = await peer.accept()
            await engine.wait_held()
            # The first is due after 10 ms, the next after 100 s.
            await engine.start_query(QuerySettings(constant(0.01), 1, QUESTIONS, arrivals="constant", phase=0.0001))
            query = await heard(first)
            await engine.set_lifetime(0.05)
            await replaced(engine, 1)
            await engine.set_lifetime(None)
            assert await heard(first) == b""
            if answer:
                first.send(query)
            first.close()
            await engine.stop_query()
            await engine.wait_query()
            now = await engine.snapshot()
            assert now.query
            assert (now.query.due, now.query.sent, now.query.answered, now.query.lost) == (1, 1, 1 - lost, lost)
            assert now.traffic.received == (len(query) if answer else 0)


async def heard(sock: socket.socket) -> bytes:
    """Return what comes next over a session, nothing at its end."""
    found: list[Any] = []

    async def checked() -> bool:
        try:
            found.append(sock.recv(1 << 16))
        except BlockingIOError:
            return False
        return True

    await until(checked)
    return bytes(found[0])


async def test_a_target_may_go_with_its_sessions() -> None:
    async with both(2) as (engine, responder, addresses):
        await engine.set_lifetime(0.1)
        await hold(engine, 40)
        await engine.remove_targets(one(addresses[0]))
        before = (await engine.snapshot()).replaced
        await replaced(engine, before + 40)
        await engine.set_lifetime(None)
        await engine.wait_held()
        await clients(responder, 20)
        assert (await engine.snapshot()).losses == {}
