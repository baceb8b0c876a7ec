"""Tests of the search for how many sessions a path takes, on real sockets of the loopback."""

from collections.abc import Callable

import pytest

from initiator.engine import Engine
from initiator.probes.figures import FIND, SessionsFigures, SessionsSettings
from tests.initiator.probes.support import (
    MOST,
    Evicting,
    Limited,
    Padded,
    Resetting,
    Server,
    Silent,
    Wrong,
    initiating,
    probe,
    serving,
    until_gone,
)
from tests.support import Peer, full_queue, until

pytestmark = pytest.mark.usefixtures("run")


class Forgetting(Server):
    """Answers the newest alone."""

    def data_received(self, data: bytes) -> None:
        if self in self.clients[-MOST:]:
            super().data_received(data)


async def find(engine: Engine, **settings: object) -> SessionsFigures:
    found = await probe(engine, SessionsSettings(**{"seconds": 0.05, **settings}), FIND)  # type: ignore[arg-type]
    assert isinstance(found, SessionsFigures)
    return found


async def test_the_limit_that_was_asked_for_is_reached_and_held() -> None:
    async with serving() as (address, clients), initiating(address) as engine:
        await engine.set_sessions(7, None)
        await engine.wait_held()
        found = await find(engine, limit=500)
        assert (found.most, found.confirmed, found.beside, found.bound) == (500, 500, 7, "limit")
        assert (found.tried, found.refused, found.losses, found.evicted) == (500, {}, {}, 0)
        assert found.held_for >= 0.05
        await engine.set_sessions(0, None)
        await until_gone(clients)


@pytest.mark.parametrize(
    ("limit", "rate", "known"), [(100_000, 50.0, True), (100_000, None, False), (None, 50.0, False)]
)
async def test_the_time_left_is_told_where_a_limit_and_a_rate_were_asked_for(
    limit: int | None, rate: float | None, known: bool
) -> None:
    async with serving() as (address, clients), initiating(address) as engine:
        await engine.start_probe(SessionsSettings(limit=limit, rate=rate, seconds=3600.0))

        async def growing() -> bool:
            return any("confirmed, trying" in now.trying for now in (await engine.snapshot()).probes)

        await until(growing)
        (progress,) = (await engine.snapshot()).probes
        assert (progress.left is not None) is known
        if progress.left is not None:
            assert progress.left > 3600.0
        await engine.stop_probe(FIND)
        await engine.wait_probe(FIND)
        await until_gone(clients)


async def test_a_path_that_resets_what_is_too_much() -> None:
    async with serving(Limited) as (address, _), initiating(address) as engine:
        found = await find(engine)
        assert (found.most, found.confirmed, found.bound) == (MOST, MOST, "path")
        assert set(found.refused) == {"rst"}
        assert found.tried == MOST + found.refused["rst"]
        assert (found.losses, found.evicted) == ({}, 0)


@pytest.mark.parametrize(("server", "reason"), [(Evicting, "rst"), (Forgetting, "timeout")])
async def test_a_path_that_makes_room_by_losing_older_ones(
    server: Callable[[list[Server]], Server], reason: str
) -> None:
    async with serving(server) as (address, _), initiating(address, connect_timeout=0.5) as engine:
        found = await find(engine)
        assert (found.most, found.bound) == (MOST, "path")
        assert found.evicted == found.losses[reason] > 0
        assert set(found.refused) <= {reason}


@pytest.mark.parametrize(
    ("server", "reason"), [(Silent, "timeout"), (Resetting, "rst"), (Wrong, "wrong echo"), (Padded, "wrong echo")]
)
async def test_a_session_without_an_echo_is_none(server: Callable[[list[Server]], Server], reason: str) -> None:
    async with serving(server) as (address, _), initiating(address, connect_timeout=0.3) as engine:
        found = await find(engine)
        assert (found.most, found.confirmed, found.bound) == (0, 0, "path")
        assert found.refused == {reason: found.tried}


async def test_nobody_there() -> None:
    with Peer(backlog=None) as peer:
        async with initiating(peer.address) as engine:
            found = await find(engine)
            assert (found.most, found.bound, found.refused) == (0, "path", {"refused": found.tried})


async def test_a_black_hole() -> None:
    with Peer(backlog=1) as peer, full_queue(peer):
        async with initiating(peer.address, connect_timeout=0.3) as engine:
            found = await find(engine)
            assert (found.most, found.bound, found.refused) == (0, "path", {"timeout": found.tried})


async def test_a_dead_target_does_not_keep_the_other_from_being_filled() -> None:
    with Peer(backlog=None) as peer:
        async with serving(Limited) as (address, _), initiating(peer.address, address) as engine:
            found = await find(engine)
            assert (found.most, found.bound) == (MOST, "path")
            assert set(found.refused) == {"refused", "rst"}


async def test_at_a_rate_and_on_one_target() -> None:
    async with serving() as (one, clients), serving() as (other, others), initiating(one, other) as engine:
        await until_gone(clients)
        found = await find(engine, limit=60, rate=400.0, target=other)
        assert found.most == 60
        assert found.seconds >= 0.1
        assert clients == []
        await until_gone(others)


async def test_stopped_it_keeps_what_is_known() -> None:
    async with serving() as (address, clients), initiating(address) as engine:
        await engine.start_probe(SessionsSettings(limit=64, seconds=1000.0))

        async def holding() -> bool:
            return any("holding 64" in probe.trying for probe in (await engine.snapshot()).probes)

        await until(holding)
        await engine.stop_probe(FIND)
        await engine.wait_probe(FIND)
        found = await engine.probe_figures(FIND)
        assert isinstance(found, SessionsFigures)
        assert (found.most, found.running, found.held_for) == (64, False, 0.0)
        await until_gone(clients)
