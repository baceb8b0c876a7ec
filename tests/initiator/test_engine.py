"""Tests of the initiator's engine on real sockets of the loopback."""

import asyncio
import errno
import logging
import os
import resource
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from common.addresses import Address, Endpoint
from common.dump import LEVEL, Dump
from common.errors import SessionerError, UsageError
from common.keepalive import Keepalive
from common.paging import all_rows
from initiator.engine import Engine
from initiator.probes.figures import SessionsSettings
from initiator.probes.own import State as OwnState
from initiator.settings import Settings
from initiator.snapshot import Segments, SessionRow, Snapshot, TargetSnapshot
from initiator.workloads.churn import ChurnSettings
from initiator.workloads.expressions import parse_message
from initiator.workloads.query import QuerySettings
from initiator.workloads.query_csv import FileCsv
from initiator.workloads.questions import build_question
from initiator.workloads.schedule import constant
from initiator.workloads.send import SendSettings
from responder.engine import Engine as Responder
from responder.settings import Settings as ResponderSettings
from tests.support import PATIENCE, Peer, descriptors, full_queue, reset, until

pytestmark = pytest.mark.usefixtures("run")

RMEM_MAX = Path("/proc/sys/net/core/rmem_max")

ANY_PORT = Endpoint("127.0.0.1", 0, 0)


@asynccontextmanager
async def responding(count: int = 1, endpoint: Endpoint = ANY_PORT) -> AsyncIterator[tuple[Responder, list[Address]]]:
    """Give a responder with so many listeners, and their addresses."""
    async with aclosing(Responder(ResponderSettings())) as responder:
        yield responder, [address for _ in range(count) for address in await responder.add_listeners(endpoint)]


@asynccontextmanager
async def initiating(addresses: list[Address], **settings: Any) -> AsyncIterator[Engine]:
    """Give an initiator with these targets."""
    async with aclosing(Engine(Settings(**{"seed": 1, "connect_timeout": PATIENCE, **settings}))) as engine:
        for address in addresses:
            await engine.add_targets(one(address), 10)
        yield engine


@asynccontextmanager
async def both(count: int = 1, **settings: Any) -> AsyncIterator[tuple[Engine, Responder, list[Address]]]:
    """Give an initiator and the responder that its targets are at."""
    async with responding(count) as (responder, addresses), initiating(addresses, **settings) as engine:
        yield engine, responder, addresses


def one(address: Address) -> Endpoint:
    return Endpoint(address.host, address.port, address.port)


async def status(engine: Engine, check: Callable[[Snapshot], object]) -> Snapshot:
    """Return the first snapshot that a check holds of."""
    found: list[Snapshot] = []

    async def checked() -> bool:
        found[:] = [await engine.snapshot()]
        return bool(check(found[0]))

    await until(checked)
    return found[0]


async def clients(responder: Responder, count: int) -> None:
    """Return when so many clients are connected to a responder."""

    async def checked() -> bool:
        return (await responder.snapshot()).held == count

    await until(checked)


async def ended(responder: Responder, losses: dict[str, int]) -> None:
    """Return when so many clients of a responder have ended, by reason."""

    async def checked() -> bool:
        return (await responder.snapshot()).losses == losses

    await until(checked)


async def hold(engine: Engine, count: int, address: Address | None = None) -> None:
    """Ask for so many sessions, and return when they are held."""
    await engine.set_sessions(count, address)
    await engine.wait_held()


async def targets(engine: Engine) -> dict[str, TargetSnapshot]:
    """Return what `details` shows, by target."""
    return {row.target: row async for row in all_rows(engine.target_page)}


async def sessions(engine: Engine, address: Address | None = None) -> list[SessionRow]:
    """Return what `list` shows."""

    async def page(start: int) -> Any:
        return await engine.session_page(address, start)

    return [row async for row in all_rows(page)]


def parsed(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host.strip("[]"), int(port))


@contextmanager
def own_sockets(rows: list[SessionRow]) -> Iterator[list[socket.socket]]:
    """Give sockets over the descriptors of sessions in this process, found by the addresses of both ends."""
    ends = {(parsed(row.local), parsed(row.remote)) for row in rows}
    with ExitStack() as stack:
        yield [sock for sock in _all_sockets(stack) if _ends(sock) in ends]


def _all_sockets(stack: ExitStack) -> Iterator[socket.socket]:
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):
            if entry.is_socket():
                yield stack.enter_context(socket.socket(fileno=os.dup(int(entry.name))))


def _ends(sock: socket.socket) -> tuple[Address, Address] | None:
    if sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        return Address(*sock.getsockname()[:2]), Address(*sock.getpeername()[:2])
    except OSError:
        return None


# Shares and plans


async def test_starts_with_one_session_for_each_target() -> None:
    async with both(5) as (engine, responder, _):
        await engine.wait_held()
        now = await engine.snapshot()
        assert (now.asked, now.held, now.targets, now.attempts) == (5, 5, 5, 0)
        assert {row.held for row in (await targets(engine)).values()} == {1}
        await clients(responder, 5)


@pytest.mark.parametrize("asked", [1, 7, 50, 333])
async def test_shares_differ_by_at_most_one(asked: int) -> None:
    async with both(7) as (engine, responder, _):
        await hold(engine, asked)
        shares = [row.share for row in (await targets(engine)).values()]
        assert sum(shares) == asked
        assert max(shares) - min(shares) <= 1
        await status(engine, lambda now: now.held == asked)
        assert [row.held for row in (await targets(engine)).values()] == shares
        await clients(responder, asked)


async def test_what_is_asked_for_goes_up_and_down() -> None:
    async with both(3) as (engine, responder, _):
        for asked in (300, 20, 150, 0, 3):
            await hold(engine, asked)
            await clients(responder, asked)
        now = await engine.snapshot()
        assert (now.losses, now.failures, now.established) == ({}, {}, 300 + 130 + 3)


async def test_surplus_sessions_end_in_order() -> None:
    async with both(2) as (engine, responder, _):
        await hold(engine, 200)
        await clients(responder, 200)
        await hold(engine, 0)
        await ended(responder, {"fin": 200})
        await clients(responder, 0)


async def test_a_later_aim_replaces_one_that_is_under_way() -> None:
    async with both(3) as (engine, responder, _):
        for asked in (2000, 10, 1500, 0, 700):
            await engine.set_sessions(asked, None)
        assert (await engine.snapshot()).asked == 700
        await engine.wait_held()
        await clients(responder, 700)
        now = await engine.snapshot()
        assert (now.held, now.attempts, now.losses) == (700, 0, {})


async def test_an_aim_lowered_half_way_ends_what_is_too_many() -> None:
    async with both(2) as (engine, responder, _):
        await engine.set_sessions(2000, None)
        await status(engine, lambda now: now.held > 300)
        await hold(engine, 100)
        await clients(responder, 100)
        assert {row.held for row in (await targets(engine)).values()} == {50}


async def test_a_target_may_have_a_share_of_its_own() -> None:
    async with both(3) as (engine, _, addresses):
        await hold(engine, 30)
        await hold(engine, 100, addresses[1])
        held = {name: (row.share, row.held) for name, row in (await targets(engine)).items()}
        assert held == {str(addresses[0]): (10, 10), str(addresses[1]): (100, 100), str(addresses[2]): (10, 10)}
        assert (await engine.snapshot()).asked == 120
        await hold(engine, 30)
        assert {row.share for row in (await targets(engine)).values()} == {10}


async def test_held_means_that_every_target_has_its_share() -> None:
    async with both(2) as (engine, _, addresses):
        await hold(engine, 400)
        await engine.set_sessions(0, addresses[0])
        await engine.set_sessions(400, addresses[1])
        await engine.wait_held()
        assert [row.held for row in (await targets(engine)).values()] == [0, 400]


async def test_a_share_of_what_is_no_target_is_refused() -> None:
    async with both() as (engine, _, __):
        await engine.wait_held()
        with pytest.raises(UsageError, match=r"^127\.0\.0\.9:9 is no target"):
            await engine.set_sessions(10, Address("127.0.0.9", 9))
        assert (await engine.snapshot()).asked == 1


async def test_nothing_can_be_shared_out_over_no_targets() -> None:
    async with initiating([]) as engine:
        with pytest.raises(UsageError, match=r"target add"):
            await engine.set_sessions(10, None)
        assert (await engine.snapshot()).asked == 0


# Targets that come and go


async def test_targets_are_added_and_removed_while_sessions_are_held() -> None:
    async with both(2) as (engine, responder, addresses), responding(2) as (other, more):
        await hold(engine, 20)
        for address in more:
            assert await engine.add_targets(one(address), 10) == 1
        await engine.wait_held()
        assert (await engine.snapshot()).asked == 22
        await hold(engine, 40)
        await clients(other, 20)
        assert await engine.remove_targets(one(addresses[0])) == 1
        await clients(responder, 10)
        now = await status(engine, lambda now: now.held == now.asked)
        assert (now.asked, now.targets, now.losses) == (30, 3, {})
        assert str(addresses[0]) not in await targets(engine)


async def test_a_range_adds_only_what_is_new() -> None:
    async with both() as (engine, _, (address,)):
        with pytest.raises(UsageError, match="is a target already"):
            await engine.add_targets(one(address), 10)
        assert (await engine.snapshot()).targets == 1


async def test_a_target_that_is_none_cannot_be_removed() -> None:
    async with both() as (engine, _, __):
        with pytest.raises(UsageError, match="is no target"):
            await engine.remove_targets(Endpoint("127.0.0.9", 9, 9))


MANY = Endpoint("127.0.0.1", 2000, 3999)


@asynccontextmanager
async def watched() -> AsyncIterator[tuple[Engine, set[int]]]:
    """Give an engine that opens hardly anything, and how many sessions others see asked for while it is changed."""
    async with aclosing(Engine(Settings(seed=1, connect_rate=0.1))) as engine:
        seen: set[int] = set()

        async def watch() -> None:
            while True:
                seen.add((await engine.demand(None)).sessions)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        yield engine, seen
        watching.cancel()
        await asyncio.wait([watching])


async def test_others_have_turns_while_many_targets_are_changed() -> None:
    async with watched() as (engine, seen):
        for change, asked in (
            (engine.add_targets(MANY, 1), range(2001)),
            (engine.set_sessions(6000, None), range(2000, 6001)),
            (engine.set_shares(0, [1] * 2000, 1), range(2000, 6001)),
            (engine.remove_targets(MANY), range(2001)),
        ):
            seen.clear()
            await change
            assert len(seen) > 10
            assert seen <= set(asked)
        assert (await engine.snapshot()).asked == 0


async def test_changes_of_many_targets_that_overlap_are_made_one_after_the_other() -> None:
    async with watched() as (engine, _):
        await engine.add_targets(MANY, 1)
        found = await asyncio.gather(
            engine.set_sessions(6000, None),
            engine.remove_targets(MANY),
            engine.remove_targets(MANY),
            engine.add_targets(MANY, 1),
            engine.drop(Address("127.0.0.1", 1), reset=True),
            return_exceptions=True,
        )
        assert found[0] is None or isinstance(found[0], UsageError)
        assert 2000 in found[1:3]
        assert {type(each) for each in found} <= {int, type(None), UsageError}
        now = await engine.snapshot()
        rows = [row async for row in all_rows(engine.target_page)]
        assert sum(row.share for row in rows) == now.asked
        assert len(rows) == now.targets


async def test_a_target_that_was_removed_can_come_back() -> None:
    async with both() as (engine, responder, (address,)):
        await hold(engine, 10)
        await engine.remove_targets(one(address))
        await engine.add_targets(one(address), 10)
        await clients(responder, 1)
        now = await status(engine, lambda now: now.held == 1)
        assert now.asked == 1


# Ends on purpose


@pytest.mark.parametrize(("as_reset", "reason"), [(True, "rst"), (False, "fin")])
async def test_dropped_sessions_are_replaced_and_are_no_losses(as_reset: bool, reason: str) -> None:
    async with both(2) as (engine, responder, _):
        await hold(engine, 50)
        await clients(responder, 50)
        assert await engine.drop(30, as_reset) == 30
        await engine.wait_held()
        now = await status(engine, lambda now: now.established == 80)
        assert (now.held, now.losses, now.failures) == (50, {}, {})
        await ended(responder, {reason: 30})
        await clients(responder, 50)


async def test_a_target_s_sessions_can_be_dropped() -> None:
    async with both(2) as (engine, _, addresses):
        await hold(engine, 40)
        before = {row.local for row in await sessions(engine, addresses[0])}
        assert await engine.drop(addresses[1], True) == 20
        await status(engine, lambda now: now.established == 60)
        assert {row.local for row in await sessions(engine, addresses[0])} == before


async def test_one_session_can_be_dropped_by_its_local_address() -> None:
    async with both(2) as (engine, _, __):
        await hold(engine, 40)
        gone, *others = await sessions(engine)
        assert await engine.drop(parsed(gone.local), True) == 1
        await status(engine, lambda now: now.established == 41)
        assert {row.local for row in others} < {row.local for row in await sessions(engine)}


@pytest.mark.parametrize(("held", "most"), [(0, 10), (3, 0), (3, 3), (3, 200), (300, 200)])
async def test_segments_are_of_held_sessions_however_few_of_the_descriptors_are_theirs(held: int, most: int) -> None:
    """There are some hundred others by then: those of sessions that have ended, and of the responder."""
    async with both() as (engine, _, __):
        await hold(engine, 300)
        await hold(engine, held)
        found = await engine.sample_segments(most)
        assert found.sessions == min(held, most)
        assert found.sent >= found.sessions


async def test_no_segments_are_found_where_no_session_ever_was() -> None:
    async with initiating([]) as engine:
        assert await engine.sample_segments(200) == Segments(0, 0, 0, 0)


@pytest.mark.parametrize(("most", "dropped"), [(0, 0), (10, 10), (99, 10)])
async def test_no_more_than_there_are_can_be_dropped(most: int, dropped: int) -> None:
    async with both() as (engine, _, __):
        await hold(engine, 10)
        assert await engine.drop(most, False) == dropped
        await engine.wait_held()


async def test_what_is_not_there_cannot_be_dropped() -> None:
    async with both() as (engine, _, __):
        await hold(engine, 10)
        with pytest.raises(UsageError, match="no target and no session has the address"):
            await engine.drop(Address("127.0.0.9", 9), False)
        assert (await engine.snapshot()).held == 10


# Losses


@pytest.mark.parametrize(("as_reset", "reason"), [(True, "rst"), (False, "fin")])
async def test_lost_sessions_are_counted_by_reason_and_replaced(as_reset: bool, reason: str) -> None:
    async with both(2) as (engine, responder, addresses):
        await hold(engine, 60)
        await clients(responder, 60)
        assert await responder.drop(addresses[0], as_reset) == 30
        now = await status(engine, lambda now: now.losses == {reason: 30} and now.held == 60)
        assert now.established == 90
        rows = await targets(engine)
        assert rows[str(addresses[0])].losses == {reason: 30}
        assert rows[str(addresses[1])].losses == {}


async def test_losses_of_both_kinds_stand_side_by_side() -> None:
    async with both() as (engine, responder, _):
        await hold(engine, 30)
        await clients(responder, 30)
        await responder.drop(10, False)
        await status(engine, lambda now: now.losses == {"fin": 10} and now.held == 30)
        await clients(responder, 30)
        await responder.drop(5, True)
        await status(engine, lambda now: now.losses == {"fin": 10, "rst": 5} and now.held == 30)


async def test_what_a_peer_says_unasked_confirms_nothing_and_does_no_harm() -> None:
    with Peer() as peer:
        async with initiating([peer.address]) as engine:
            sock = await peer.accept()
            await asyncio.get_running_loop().sock_sendall(sock, b"220 welcome\r\n" * 50_000)
            await until_heard(engine)
            (row,) = await sessions(engine)
            assert (row.sent_ago, row.confirmed) == (None, False)
            sock.shutdown(socket.SHUT_WR)
            await status(engine, lambda now: now.losses == {"fin": 1} and now.held == 1)


async def test_an_answer_confirms_whatever_was_said_unasked_before_and_after_it() -> None:
    loop = asyncio.get_running_loop()
    with Peer() as peer:
        async with initiating([peer.address]) as engine:
            sock = await peer.accept()
            await loop.sock_sendall(sock, b"220 welcome\r\n")
            await until_heard(engine)
            assert (await engine.snapshot()).confirmed == 0
            await engine.set_ping_interval((0.05, 0.05))
            await engine.set_ping(True)
            assert await loop.sock_recv(sock, 100) == b"PING"
            await loop.sock_sendall(sock, b"500 what\r\n")
            await status(engine, lambda now: now.confirmed == now.confirmed_last_minute == 1)
            await engine.set_ping(False)
            before = (await engine.snapshot()).traffic.received
            await loop.sock_sendall(sock, b"421 bye\r\n")
            now = await status(engine, lambda now: now.traffic.received > before)
            assert (now.confirmed, now.confirmed_last_minute) == (1, 1)
            assert (await sessions(engine))[0].confirmed
            sock.close()
            now = await status(engine, lambda now: now.losses)
            assert (now.confirmed, now.confirmed_last_minute) == (0, 0)


async def test_what_was_heard_unasked_on_one_session_slows_the_answers_on_no_other(
    logged: list[logging.LogRecord],
) -> None:
    """What confirms nothing new is not looked at: one answer a second and session is, and has a line in the log."""
    with Peer() as peer:
        async with both() as (engine, _, (address,)):
            await engine.add_targets(peer.endpoint, None)
            banner = await peer.accept()
            await engine.wait_held()
            banner.send(b"220 hello")
            await status(engine, lambda now: now.traffic.received)
            logging.getLogger("sessioner").setLevel(logging.DEBUG)
            question = build_question("a.example", "A")
            await engine.start_query(QuerySettings(constant(1000), 1, (question,), seconds=0.5, target=address))
            await engine.wait_query()
            query = (await engine.snapshot()).query
            assert query
            assert query.answered > 0
            looked_at = sum("Received" in record.getMessage() for record in logged)
            assert 0 < looked_at < query.answered / 10


async def test_attempts_that_the_kernel_grants_no_watch_for_fail_and_are_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limit, fs.epoll.max_user_watches, is that of the whole machine: only its error can be had."""
    async with both() as (engine, _, (address,)):
        await engine.wait_held()
        monkeypatch.setattr(engine._reactor, "_register", refuse_watch)
        await engine.set_sessions(3, None)
        now = await status(engine, lambda now: now.failures)
        assert now.failures["exhausted"] >= 1
        assert (now.held, now.exhausted) == (1, ("epoll watches",))
        monkeypatch.undo()
        now = await status(engine, lambda now: now.held == 3)
        assert (now.attempts, now.exhausted) == (0, ())
        assert await engine.drop(address, False) == 3


async def test_short_sessions_that_the_kernel_grants_no_watch_for_fail_and_leave_nothing(
    monkeypatch: pytest.MonkeyPatch, logged: list[logging.LogRecord]
) -> None:
    async with both() as (engine, _, (address,)):
        await engine.wait_held()
        before = descriptors()
        await engine.begin_rate(ChurnSettings(seconds=0.1), 100.0, 1)
        monkeypatch.setattr(engine._reactor, "_register", refuse_watch)
        await engine.wait_rate()
        tally = engine.tally()
        assert tally
        assert tally.due == tally.completed + sum(tally.failed.values())
        assert tally.failed["exhausted"] > 0
        assert not any("bug" in record.getMessage() for record in logged)
        target = engine._targets[address]
        own = engine._own_of(SessionsSettings(), [target])
        session = own.begin()
        assert (session.state, session.failure, own.short_of) == (OwnState.ENDED, "exhausted", "epoll watches")
        assert not own.open

        async def all_are_closed() -> bool:
            return descriptors() == before

        await until(all_are_closed)  # those of the responder as well


def refuse_watch(_descriptor: int, _events: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_what_follows_an_urgent_byte_is_read_as_well() -> None:
    with Peer() as peer:
        async with initiating([peer.address]) as engine:
            sock = await peer.accept()
            await status(engine, lambda now: now.held == 1)
            sock.send(b"abc")  # the initiator does not run until all has come
            sock.send(b"d", socket.MSG_OOB)
            sock.send(b"efg")
            await status(engine, lambda now: now.traffic.received == 6)  # urgent data is no part of the stream


async def until_heard(engine: Engine) -> None:
    async def heard() -> bool:
        return any(row.heard_ago is not None for row in await sessions(engine))

    await until(heard)


async def test_what_a_peer_said_before_its_end_does_not_hide_the_end() -> None:
    with Peer() as peer:
        async with initiating([peer.address]) as engine:
            sock = await peer.accept()
            await asyncio.get_running_loop().sock_sendall(sock, b"x" * 1000)
            sock.close()
            await status(engine, lambda now: now.losses == {"fin": 1} and now.held == 1)


# Half of each of the first pauses, in seconds: a pause is at least so long.
PAUSES = (0.1, 0.2, 0.4)


@pytest.mark.parametrize("end", [reset, socket.socket.close])
async def test_a_peer_that_ends_every_session_at_once_is_not_hammered(end: Callable[[socket.socket], None]) -> None:
    with Peer() as peer:
        async with initiating([peer.address]) as engine:
            for pause in (0.0, *PAUSES):
                ended = monotonic()
                end(await peer.accept())
                assert monotonic() - ended >= pause
            now = await engine.snapshot()
            assert now.established <= 4 or monotonic() - ended >= 2 * PAUSES[-1]


async def test_a_peer_that_ends_a_hundred_sessions_at_once_is_not_hammered() -> None:
    with Peer() as peer:
        async with initiating([peer.address]) as engine:
            await engine.set_sessions(100, None)
            ended = 0
            with suppress(TimeoutError):
                began = monotonic()
                async with asyncio.timeout(sum(PAUSES)):
                    while True:
                        reset(await peer.accept())
                        ended += 1
            # No pause lets more than the share through, and each is twice as long as the one before.
            passed = [number for number in range(20) if PAUSES[0] * (2**number - 1) <= monotonic() - began]
            assert 1 <= ended <= 100 * len(passed)


# Targets that fail


async def test_a_target_that_refuses_pauses_and_slows_nobody_down() -> None:
    with Peer(backlog=None) as peer:
        async with both(2) as (engine, _, addresses):
            await engine.add_targets(peer.endpoint, 10)
            await engine.set_sessions(1500, None)
            now = await status(engine, lambda now: now.held == 1000 and now.pausing_targets == 1)
            # The pauses of the one that refuses begin with its first answer, so few attempts were wasted on it.
            assert set(now.failures) == {"refused"}
            assert now.failures["refused"] < 100
            rows = await targets(engine)
            assert [rows[str(address)].held for address in addresses] == [500, 500]
            assert rows[str(peer.address)].pausing
            assert rows[str(peer.address)].failures == now.failures
            assert not any(rows[str(address)].failures for address in addresses)


async def test_the_share_of_a_target_that_comes_back_is_restored() -> None:
    with Peer(backlog=None) as peer:
        async with both() as (engine, _, __):
            await engine.add_targets(peer.endpoint, 10)
            await engine.set_sessions(200, None)
            await status(engine, lambda now: now.held == 100 and now.failures.get("refused", 0) >= 2)
            peer.listen()
            await engine.wait_held()
            now = await status(engine, lambda now: now.held == 200)
            assert (now.pausing_targets, now.losses) == (0, {})


async def test_a_responder_that_comes_back_gets_its_sessions_again() -> None:
    async with aclosing(Engine(Settings(seed=1))) as engine:
        async with responding(2) as (first, addresses):
            for address in addresses:
                await engine.add_targets(one(address), 10)
            await hold(engine, 100)
            await clients(first, 100)
        lost = await status(engine, lambda now: now.held == 0 and sum(now.losses.values()) == 100)
        assert set(lost.losses) <= {"fin", "rst"}
        await status(engine, lambda now: now.pausing_targets == 2 and now.failures.get("refused", 0) >= 2)
        async with responding(0) as (second, _):
            for address in addresses:
                await second.add_listeners(one(address))
            await engine.wait_held()
            await clients(second, 100)


async def test_a_black_hole_times_out_and_slows_nobody_down() -> None:
    with Peer(backlog=0) as hole, full_queue(hole):
        async with both(connect_timeout=0.2) as (engine, _, (address,)):
            await engine.add_targets(hole.endpoint, 10)
            await engine.set_sessions(400, None)
            now = await status(engine, lambda now: now.failures.get("timeout", 0) >= 1 and now.held == 200)
            assert set(now.failures) == {"timeout"}
            rows = await targets(engine)
            assert (rows[str(address)].held, rows[str(hole.address)].held) == (200, 0)


async def test_a_black_hole_that_answers_at_last_gets_its_share() -> None:
    with Peer(backlog=0) as hole:
        async with initiating([], connect_timeout=0.1) as engine:
            with full_queue(hole):
                await engine.add_targets(hole.endpoint, 10)
                await status(engine, lambda now: now.failures.get("timeout", 0) >= 1)
            hole.listen()
            await engine.wait_held()


async def test_attempts_are_given_up_when_they_are_not_wanted_any_more() -> None:
    with Peer(backlog=0) as hole, full_queue(hole):
        async with initiating([hole.address], connect_timeout=60) as engine:
            await engine.set_sessions(50, None)
            await status(engine, lambda now: now.attempts == 50)
            await hold(engine, 0)
            now = await status(engine, lambda now: now.attempts == 0)
            assert now.failures == {}


async def test_a_target_that_fails_can_be_removed() -> None:
    with Peer(backlog=None) as peer:
        async with both() as (engine, _, __):
            await engine.add_targets(peer.endpoint, 10)
            await status(engine, lambda now: now.failures.get("refused", 0) >= 1)
            await engine.remove_targets(peer.endpoint)
            await engine.wait_held()
            now = await engine.snapshot()
            assert (now.asked, now.held, now.pausing_targets) == (1, 1, 0)


# Pings


async def test_pings_confirm_sessions_and_measure_round_trips() -> None:
    async with both(2) as (engine, responder, _):
        await engine.set_ping_interval((0.05, 0.2))
        await hold(engine, 40)
        assert (await engine.snapshot()).confirmed == 0
        assert await engine.set_ping(None)
        now = await status(engine, lambda now: now.confirmed == 40 and now.pings_answered >= 100)
        assert now.confirmed_last_minute == 40
        assert 0 < now.round_trip_p50 <= now.round_trip_p99
        assert (now.losses, now.held) == ({}, 40)
        assert (await responder.snapshot()).received >= 100 * len(b"PING")
        for row in await sessions(engine):
            assert row.confirmed
            assert row.sent_ago is not None
            assert row.heard_ago is not None


async def test_ping_is_on_from_the_start_where_that_was_asked_for() -> None:
    async with both(ping=True) as (engine, _, __):
        assert (await engine.snapshot()).ping
        await engine.set_ping_interval((0.05, 0.05))
        await status(engine, lambda now: now.confirmed == 1)


async def test_ping_can_be_switched_over_on_and_off() -> None:
    async with both() as (engine, _, __):
        switched = [await engine.set_ping(enabled) for enabled in (True, True, None, None, False, None)]
        assert switched == [True, True, False, True, False, True]
        assert (await engine.snapshot()).ping


async def test_ping_that_is_off_sends_nothing() -> None:
    async with both() as (engine, responder, _):
        await engine.set_ping_interval((0.05, 0.05))
        await engine.set_ping(True)
        await status(engine, lambda now: now.pings_answered >= 2)
        await engine.set_ping(False)

        async def all_answered() -> bool:
            """Return whether no answer is awaited any more, so that all that comes now would be new."""
            answered = (await engine.snapshot()).pings_answered
            return (await responder.snapshot()).received == answered * len(b"PING")

        await until(all_answered)
        before = (await engine.snapshot()).pings_answered
        await asyncio.sleep(0.3)  # three times what an answer was followed by
        assert (await engine.snapshot()).pings_answered == before
        assert await all_answered()


async def test_a_session_that_ends_is_confirmed_no_more() -> None:
    async with both() as (engine, _, __):
        await engine.set_ping_interval((0.05, 0.05))
        await engine.set_ping(True)
        await hold(engine, 20)
        await status(engine, lambda now: now.confirmed == 20)
        await engine.set_ping(False)
        await engine.drop(5, False)
        await hold(engine, 18)
        now = await status(engine, lambda now: now.held == 18)
        assert now.confirmed <= 15
        await hold(engine, 0)
        now = await engine.snapshot()
        assert (now.confirmed, now.confirmed_last_minute) == (0, 0)


async def test_a_peer_that_answers_no_ping_is_lost_by_timeout_and_replaced() -> None:
    with Peer() as peer:
        async with both(ping=True, ping_timeout=0.2) as (engine, _, (address,)):
            await engine.set_ping_interval((0.05, 0.1))
            await engine.add_targets(peer.endpoint, 10)
            await engine.set_sessions(20, None)
            await status(engine, lambda now: now.losses.get("timeout", 0) >= 20)
            now = await status(engine, lambda now: now.held == 20)
            assert set(now.losses) == {"timeout"}
            rows = await targets(engine)
            assert rows[str(address)].losses == {}
            assert rows[str(address)].held == 10


async def test_a_session_lost_by_timeout_ends_with_a_reset() -> None:
    with Peer() as peer:
        async with initiating([peer.address], ping=True, ping_timeout=0.1) as engine:
            await engine.set_ping_interval((0.05, 0.05))
            sock = await peer.accept()
            loop = asyncio.get_running_loop()
            with pytest.raises(ConnectionResetError):
                while await loop.sock_recv(sock, 100) == b"PING":
                    pass
            assert (await engine.snapshot()).losses == {"timeout": 1}


async def test_any_answer_confirms() -> None:
    with Peer() as peer:
        async with initiating([peer.address], ping=True) as engine:
            await engine.set_ping_interval((0.05, 0.05))
            loop = asyncio.get_running_loop()
            sock = await peer.accept()
            assert await loop.sock_recv(sock, 100) == b"PING"
            await loop.sock_sendall(sock, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            now = await status(engine, lambda now: now.losses == {"fin": 1})
            assert now.pings_answered == 1


async def test_a_session_that_waits_for_an_answer_is_closed_after_it() -> None:
    with Peer() as peer:
        async with initiating([peer.address], ping=True) as engine:
            await engine.set_ping_interval((0.05, 0.05))
            loop = asyncio.get_running_loop()
            sock = await peer.accept()
            assert await loop.sock_recv(sock, 100) == b"PING"
            await hold(engine, 0)
            assert await loop.sock_recv(sock, 100) == b""
            await loop.sock_sendall(sock, b"PING")
            sock.shutdown(socket.SHUT_WR)
            assert (await engine.snapshot()).losses == {}


# Rate, sources, options of the sockets


async def test_the_rate_of_attempts_is_never_above_its_limit() -> None:
    async with responding(4) as (_, addresses):
        began = monotonic()
        async with initiating(addresses, connect_rate=100) as engine:
            await engine.set_sessions(1000, None)
            for least in (10, 30, 60):
                now = await status(engine, lambda now, least=least: now.established >= least)  # type: ignore[misc]
                # A tenth of a second's worth may have been made up for, and one is due at once.
                assert now.established + now.attempts <= 100 * (monotonic() - began + 0.1) + 1
            await engine.set_rate(None)
            await engine.wait_held()


async def test_the_rate_can_be_limited_at_any_time() -> None:
    async with both() as (engine, _, __):
        await hold(engine, 100)
        began = monotonic()
        await engine.set_rate(50)
        await engine.set_sessions(1000, None)
        now = await status(engine, lambda now: now.held >= 115)
        assert now.held + now.attempts - 100 <= 50 * (monotonic() - began + 0.1) + 1
        await hold(engine, 50)


async def test_a_refusing_target_takes_part_in_the_rate() -> None:
    with Peer(backlog=None) as peer:
        async with both(connect_rate=100) as (engine, _, __):
            began = monotonic()
            await engine.add_targets(peer.endpoint, 10)
            await engine.set_sessions(200, None)
            now = await status(engine, lambda now: now.held >= 50)
            assert now.held + now.failures.get("refused", 0) <= 100 * (monotonic() - began + 0.1) + 3


async def test_sources_are_used_in_turn() -> None:
    ips = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
    async with both(2, source_ips=ips) as (engine, responder, _):
        await hold(engine, 60)
        used = Counter(parsed(row.local).host for row in await sessions(engine))
        assert used == dict.fromkeys(ips, 20)
        await clients(responder, 60)
        seen = [row async for row in all_rows(lambda start: responder.session_page(None, start))]
        assert Counter(parsed(row.peer).host for row in seen) == used


async def test_each_family_has_sources_of_its_own() -> None:
    async with both(source_ips=("127.0.0.2",)) as (engine, responder, _):
        (address,) = await responder.add_listeners(Endpoint("::1", 0, 0))
        await engine.add_targets(one(address), 10)
        await hold(engine, 10)
        used = Counter(parsed(row.local).host for row in await sessions(engine))
        assert used == {"127.0.0.2": 5, "::1": 5}


async def test_keepalive_is_set_on_the_sockets() -> None:
    async with both(keepalive=Keepalive(77, 11, 5)) as (engine, _, __):
        await hold(engine, 3)
        with own_sockets(await sessions(engine)) as found:
            assert len(found) == 3
            for sock in found:
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                names = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
                assert [sock.getsockopt(socket.IPPROTO_TCP, name) for name in names] == [77, 11, 5]


async def test_keepalive_is_off_by_itself() -> None:
    async with both() as (engine, _, __):
        await hold(engine, 3)
        with own_sockets(await sessions(engine)) as found:
            assert [sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for sock in found] == [0] * 3


OPTIONS: list[tuple[dict[str, Any], int, int, int]] = [
    ({}, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    ({"nagle": False}, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    ({"nagle": True}, socket.IPPROTO_TCP, socket.TCP_NODELAY, 0),
    ({"rcvbuf": 50_000}, socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000),
    ({"sndbuf": 60_000}, socket.SOL_SOCKET, socket.SO_SNDBUF, 120_000),
    ({"dscp": 46}, socket.IPPROTO_IP, socket.IP_TOS, 46 << 2),
]


@pytest.mark.parametrize(("settings", "level", "option", "value"), OPTIONS)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_sockets_are_what_the_settings_say(
    settings: dict[str, Any], level: int, option: int, value: int, host: str
) -> None:
    """Queries leave them as they are: `--nagle on` wins."""
    async with (
        responding(1, Endpoint(host, 0, 0)) as (_, addresses),
        initiating(addresses, **settings) as engine,
    ):
        await hold(engine, 3)
        await engine.start_query(QuerySettings(constant(100), 1, (build_question("example.com", "A"),)))
        await status(engine, lambda now: now.confirmed == 3)
        with own_sockets(await sessions(engine)) as found:
            assert [sock.getsockopt(level, option) for sock in found] == [value] * 3


async def test_the_dscp_is_that_of_ipv6_too() -> None:
    async with responding(1, Endpoint("::1", 0, 0)) as (_, addresses), initiating(addresses, dscp=10) as engine:
        await hold(engine, 3)
        with own_sockets(await sessions(engine)) as found:
            assert [sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) for sock in found] == [10 << 2] * 3


async def test_a_buffer_that_the_kernel_cuts_is_told_once(logged: list[logging.LogRecord]) -> None:
    asked, limit = 1 << 30, int(RMEM_MAX.read_text())  # noqa: ASYNC240
    assert limit < asked
    async with both(3, rcvbuf=asked, sndbuf=5_000) as (engine, _, __):
        await hold(engine, 30)
    assert said(logged) == [f"--rcvbuf {asked} is more than net.core.rmem_max allows: it is {limit}"]


async def test_the_dump_shows_what_is_sent_and_heard(logged: list[logging.LogRecord]) -> None:
    async with both(ping=True) as (engine, _, (address,)):
        await engine.wait_held()
        (row,) = await sessions(engine)
        dump = Dump(every=True, incoming=True, outgoing=True)
        assert await engine.set_dump(dump) is None
        assert (await engine.snapshot()).dump == "all sessions, in and out"
        await engine.set_ping_interval((0.05, 0.05))
        await status(engine, lambda now: now.pings_answered >= 2)
        assert await engine.set_dump(None) is dump
        lines = [record.getMessage() for record in logged if record.levelno == LEVEL]
        assert lines[:4] == [f"{word} {row.local}->{address} 4: [PING]" for word in ("Snd", "Rcv")] * 2
        count = (await engine.snapshot()).pings_answered
        await status(engine, lambda now: now.pings_answered >= count + 2)
        assert len(lines) == len([record for record in logged if record.levelno == LEVEL])


async def test_the_dump_of_one_goes_on_with_another_when_that_ends(logged: list[logging.LogRecord]) -> None:
    async with both(ping=True) as (engine, _, __):
        await hold(engine, 3)
        await engine.set_dump(Dump(every=False, incoming=False, outgoing=True))
        await engine.set_ping_interval((0.05, 0.05))
        await status(engine, lambda now: now.pings_answered >= 9)
        (followed,) = {record.getMessage().split()[1] for record in logged if record.levelno == LEVEL}
        await engine.drop(parsed(followed.partition("->")[0]), reset=True)
        count = (await engine.snapshot()).pings_answered
        await status(engine, lambda now: now.pings_answered >= count + 9)
        assert len({record.getMessage().split()[1] for record in logged if record.levelno == LEVEL}) == 2


async def test_a_pinged_session_ends_when_nothing_acknowledges_for_the_ping_timeout() -> None:
    async with both(ping=True, ping_timeout=7) as (engine, _, __):
        await engine.set_ping_interval((0.05, 0.05))
        await status(engine, lambda now: now.confirmed == 1)
        with own_sockets(await sessions(engine)) as (sock,):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000


@pytest.mark.parametrize("what", ["query", "send"])
async def test_a_session_that_a_workload_fills_ends_when_nothing_acknowledges_for_the_ping_timeout(what: str) -> None:
    """No ping comes in between there, and who has sent before is not guarded by a ping any more."""
    async with both(ping_timeout=7) as (engine, _, __):
        if what == "query":
            await engine.start_query(QuerySettings(constant(100), 1, (build_question("example.com", "A"),)))
        else:
            await engine.start_send(SendSettings(1, (parse_message(b"x", 1),), rate=100.0))
        await status(engine, lambda now: now.confirmed == 1)
        with own_sockets(await sessions(engine)) as (sock,):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7000


async def test_a_ping_timeout_may_be_longer_than_the_kernel_s_timers(logged: list[logging.LogRecord]) -> None:
    async with both(ping=True, ping_timeout=1e9) as (engine, _, __):
        await engine.set_ping_interval((0.05, 0.05))
        await status(engine, lambda now: now.confirmed == 1 or said(logged))
        assert not said(logged)


def said(logged: list[logging.LogRecord]) -> list[str]:
    """Return the warnings and errors among what was logged."""
    return [record.getMessage() for record in logged if record.levelno >= logging.WARNING]


async def test_sessions_can_be_bound_to_an_interface() -> None:
    async with both(interface="lo") as (engine, _, __):
        await hold(engine, 5)
        with own_sockets(await sessions(engine)) as found:
            assert {sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) for sock in found} == {b"lo\0"}


async def test_an_interface_that_is_not_there_fails_every_attempt() -> None:
    async with both(interface="nowhere0") as (engine, _, __):
        now = await status(engine, lambda now: now.failures)
        assert (now.held, now.pausing_targets) == (0, 1)


async def test_sessions_are_held_over_ipv6() -> None:
    async with responding(2, Endpoint("::1", 0, 0)) as (responder, addresses), initiating(addresses) as engine:
        await hold(engine, 30)
        await clients(responder, 30)
        rows = await sessions(engine)
        assert {parsed(row.local).host for row in rows} == {"::1"}
        assert {row.remote for row in rows} == {str(address) for address in addresses}
        assert await engine.drop(parsed(rows[0].local), False) == 1


# Lists, tables, the end


async def test_a_list_shows_every_session_once() -> None:
    async with both(2) as (engine, _, addresses):
        await hold(engine, 450)
        rows = await sessions(engine)
        assert len({row.local + row.remote for row in rows}) == len(rows) == 450
        assert all(row.age >= 0 and row.sent_ago is None and row.heard_ago is None for row in rows)
        assert len(await sessions(engine, addresses[0])) == 225
        assert await sessions(engine, parsed(rows[7].local)) != []
        with pytest.raises(UsageError, match="no target and no session has the address"):
            await sessions(engine, Address("127.0.0.9", 9))


async def test_the_tables_can_be_resized_under_sessions() -> None:
    async with both(2) as (engine, _, addresses):
        await hold(engine, 300)
        await engine.set_hashsize(1000, None)
        await status(engine, lambda now: now.hashsize == 2000)
        await engine.set_hashsize(100, addresses[0])
        await status(engine, lambda now: now.hashsize == 1100)
        for row in (await sessions(engine))[::10]:
            assert len(await sessions(engine, parsed(row.local))) == 1
        with pytest.raises(UsageError, match="is no target"):
            await engine.set_hashsize(10, Address("127.0.0.9", 9))
        await hold(engine, 0)
        assert (await engine.snapshot()).max_depth == 0


async def test_the_tables_grow_by_themselves() -> None:
    async with both() as (engine, _, __):
        await hold(engine, 1000)
        now = await engine.snapshot()
        assert now.hashsize > 10
        assert now.max_depth < 50


async def test_the_demand_is_that_of_what_is_asked_for() -> None:
    async with both(2, source_ips=("127.0.0.2", "127.0.0.3")) as (engine, _, __):
        await hold(engine, 30)
        demand = await engine.demand(None)
        assert (demand.sessions, demand.tuples, demand.held) == (30, 4, 30)
        assert (await engine.demand(500)).sessions == 500


@contextmanager
def few_descriptors(free: int) -> Iterator[None]:
    """Leave this process so many descriptors that it can open."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + free, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


async def test_a_run_that_no_timer_is_left_for_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    question = build_question("a.example", "A")
    message = parse_message(b"hello", 1)
    query = QuerySettings(constant(100), 1, (question,), seconds=0.1, timeout=0.05)
    send = SendSettings(seed=1, messages=(message,), rate=100.0, seconds=0.1)
    with Peer() as peer:
        async with aclosing(Engine(Settings(seed=1))) as engine:
            await engine.add_targets(peer.endpoint, None)
            await engine.wait_held()
            await engine.start_query(query)
            await engine.wait_query()
            now, totals = (await engine.snapshot()).query, await engine.totals()
            threads = threading.active_count()
            csv = FileCsv(str(tmp_path / "rows"))
            with few_descriptors(1), pytest.raises(SessionerError, match="query: no timer could be made: Too many"):
                await engine.start_query(query, csv)
            await until(lambda: _are(threads))
            with few_descriptors(0), pytest.raises(SessionerError, match="send: no timer could be made: Too many"):
                await engine.start_send(send)
            assert ((await engine.snapshot()).query, await engine.totals()) == (now, totals)
            await engine.start_send(send)
            await engine.wait_send()


async def _are(threads: int) -> bool:
    return threading.active_count() == threads


async def test_closing_ends_sessions_attempts_and_whatever_waits() -> None:
    with Peer(backlog=0) as hole, full_queue(hole), Peer(backlog=None) as refusing:
        async with responding() as (responder, (address,)):
            engine = Engine(Settings(seed=1, connect_rate=1000, ping=True))
            await engine.set_ping_interval((0.05, 0.1))
            for endpoint in (one(address), hole.endpoint, refusing.endpoint):
                await engine.add_targets(endpoint, 10)
            await engine.set_sessions(3000, None)
            await status(engine, lambda now: now.held >= 30 and now.attempts >= 10)
            await engine.aclose()
            await clients(responder, 0)


async def test_closing_leaves_nothing_that_runs_later() -> None:
    async with responding() as (_, (address,)):
        engine = Engine(Settings(seed=1, connect_rate=20))
        await engine.add_targets(one(address), 10)
        await engine.set_sessions(100, None)
        await status(engine, lambda now: now.held >= 3)
        await engine.aclose()
        await asyncio.sleep(0.1)  # longer than what a rate of 20 waits for
