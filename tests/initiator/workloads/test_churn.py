"""Churn over real sockets."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from socket import SHUT_WR, SO_LINGER, SOL_SOCKET, socket
from struct import pack
from typing import Any

import pytest

from common.addresses import Address, Endpoint, parse_address
from common.errors import UsageError
from initiator.churn_figures import ChurnFigures, ChurnRow
from initiator.engine import Engine
from initiator.settings import Settings
from initiator.workloads.churn import GRACE, ChurnSettings
from responder.engine import Engine as Responder
from responder.settings import Settings as ResponderSettings
from tests.initiator.batches import behind_timers
from tests.initiator.pauses import held_up
from tests.support import Peer, full_queue, stall, until

pytestmark = pytest.mark.usefixtures("run")

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

REQUEST = b"hello"
BIG = 1 << 20

# Turns of the loop that a transaction takes with a server in the same loop: it is accepted, read, answered and heard.
TURNS = 4


def settings(**more: Any) -> ChurnSettings:
    return ChurnSettings(**{"seconds": 0.2, "request": REQUEST, "timeout": 10.0, **more})


@asynccontextmanager
async def towards(*addresses: Address, **more: Any) -> AsyncIterator[Engine]:
    """Give an initiator with these targets that holds no session."""
    async with aclosing(Engine(Settings(seed=1, **more))) as engine:
        for host, port in addresses:
            await engine.add_targets(Endpoint(host, port, port), None)
            await engine.set_sessions(0, None)
        yield engine


@asynccontextmanager
async def against(answer: Answer, servers: int = 1, **more: Any) -> AsyncIterator[Engine]:
    """Give an initiator towards servers that treat each session as they are told."""
    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        with suppress(ConnectionError):
            await answer(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with AsyncExitStack() as stack:
        addresses = []
        for _ in range(servers):
            server = await stack.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024))
            addresses.append(Address(*server.sockets[0].getsockname()))
        async with towards(*addresses, **more) as engine:
            yield engine
    await asyncio.gather(*filter(None, served))


@asynccontextmanager
async def responding(mode: str, **more: Any) -> AsyncIterator[tuple[Engine, Responder]]:
    """Give an initiator towards a responder in a mode."""
    async with aclosing(Responder(ResponderSettings(**more))) as responder:
        (address,) = await responder.add_listeners(Endpoint("127.0.0.1", 0, 0), mode)
        async with towards(address) as engine:
            yield engine, responder


async def figures(engine: Engine) -> ChurnFigures:
    found = (await engine.snapshot()).churn
    assert found
    return found


def only(reason: str, count: int) -> dict[str, int]:
    """Return what failed when so many did by this reason alone."""
    return {reason: count} if count else {}


async def churned(engine: Engine, rate: float, **more: Any) -> ChurnRow:
    """Return what becomes of a rate."""
    await engine.start_churn([rate], settings(**more))
    await engine.wait_churn()
    now = await figures(engine)
    assert (now.running, now.now, len(now.rows)) == (False, None, 1)
    row = now.rows[0]
    assert (row.unbegun, row.under_way) == (0, 0)
    assert row.due == row.begun == row.completed + sum(row.failed.values()) + row.stopped
    assert row.whole.raw.count == row.whole.corrected.count == row.connect.raw.count == row.completed
    assert row.first_byte.raw.count == row.completed - row.empty
    return row


async def test_every_transaction_that_is_due_is_answered_and_measured() -> None:
    async with responding("serve", content=b"x" * 1000) as (engine, responder):
        row = await churned(engine, 500, seconds=0.4)
        assert (row.due, row.completed, row.failed) == (200, row.begun, {})
        assert (row.sent, row.received, row.empty) == (row.begun * len(REQUEST), row.begun * 1000, 0)
        assert row.achieved == pytest.approx(row.completed / row.seconds)
        # The rate is 500 where the last was begun in time.
        assert 0.4 - 1e-6 <= row.seconds <= 0.4 + await held_up(engine)
        for phase in (row.connect, row.first_byte, row.whole):
            for summary in (phase.corrected, phase.raw):
                assert 0 < summary.lowest <= summary.p50 <= summary.p90 <= summary.p99 <= summary.highest
                assert summary.lowest <= summary.mean <= summary.highest
            assert phase.corrected.mean >= phase.raw.mean
        assert row.connect.raw.mean < row.first_byte.raw.mean <= row.whole.raw.mean
        assert (await responder.snapshot()).losses == {}


@pytest.mark.parametrize("more", [{}, {"resets": True}, {"resets": True, "request": b""}])
async def test_a_target_that_refuses_gives_no_samples(more: dict[str, Any]) -> None:
    with Peer(backlog=None) as peer:
        async with towards(peer.address) as engine:
            row = await churned(engine, 200, **more)
            assert (row.due, row.failed) == (40, only("refused", row.begun))


async def test_one_that_refuses_does_not_end_it_whatever_descriptors_the_others_hold() -> None:
    """Those that nobody answers fill up the places of the reactor, so that what fails at once is beyond its last."""
    with Peer(backlog=None) as refusing, Peer() as silent:
        async with towards(silent.address, refusing.address) as engine:
            row = await churned(engine, 2000, seconds=0.4, timeout=0.5)
            assert row.due == 800
            assert set(row.failed) == {"refused", "timeout"}


async def test_a_rate_that_is_given_up_while_its_goals_are_made_takes_none_from_the_next_one() -> None:
    async with towards(connect_rate=1.0) as engine:
        await engine.add_targets(Endpoint("127.0.0.1", 2000, 2999), 1)
        await engine.set_sessions(0, None)
        beginning = asyncio.create_task(engine.begin_rate(settings(), 10, 1))
        await asyncio.sleep(0)  # its first turn ends among the targets
        beginning.cancel()
        await asyncio.wait([beginning])
        await engine.begin_rate(settings(), 10, 1)
        await engine.wait_rate()
        tally = engine.tally()
        assert tally
        assert (tally.due, tally.begun) == (2, 2)


async def test_what_was_due_while_the_loop_stood_still_is_begun_however_long_that_was() -> None:
    with Peer() as peer:
        async with towards(peer.address) as engine:
            await engine.begin_rate(settings(timeout=0.1), 100, 1)
            stall(0.2 + 2 * GRACE)
            await engine.wait_rate()
            tally = engine.tally()
            assert tally
            assert (tally.due, tally.begun, tally.unbegun) == (20, 20, 0)


async def test_none_is_begun_within_a_batch_of_events() -> None:
    """It might have the descriptor of a session that the batch has closed, and be told what is reported for that."""
    with Peer() as peer:
        async with towards(peer.address) as engine:
            await engine.begin_rate(settings(seconds=0.1, timeout=0.1), 10, 1)

            def begun() -> int:
                tally = engine.tally()
                assert tally
                return tally.begun

            with behind_timers(engine._reactor, begun) as seen:
                stall(0.06)
            await until(lambda: known(seen))
            await engine.wait_rate()
            assert (seen, begun()) == ([0], 1)


async def known(seen: list[int]) -> bool:
    return bool(seen)


async def test_a_timeout_is_a_failure_and_no_sample() -> None:
    with Peer() as peer:
        async with towards(peer.address) as engine:
            row = await churned(engine, 200, timeout=0.2)
            assert (row.due, row.failed) == (40, only("timeout", row.begun))


async def test_a_target_that_answers_no_syn_times_out() -> None:
    with Peer(backlog=1) as peer, full_queue(peer):
        async with towards(peer.address) as engine:
            row = await churned(engine, 100, timeout=0.2)
            assert (row.due, row.failed) == (20, only("timeout", row.begun))


async def test_a_session_that_is_established_late_is_asked_then() -> None:
    """Its SYN is dropped, and repeated by the kernel after a second."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[None]] = []

    async def answer(sock: socket) -> None:
        if await loop.sock_recv(sock, 100) == REQUEST:
            await loop.sock_sendall(sock, b"x")
            sock.shutdown(SHUT_WR)

    async def accept_all(peer: Peer) -> None:
        while True:
            tasks.append(asyncio.create_task(answer(await peer.accept())))

    with Peer(backlog=1) as peer, full_queue(peer):
        async with towards(peer.address) as engine:
            await engine.start_churn([10], settings(seconds=0.2))

            async def begun() -> bool:
                now = (await figures(engine)).now
                return bool(now and now.due == 2)

            await until(begun)
            tasks.append(asyncio.create_task(accept_all(peer)))
            await engine.wait_churn()
            (row,) = (await figures(engine)).rows
            assert (row.due, row.unbegun) == (row.begun, 0)
            assert (row.completed, row.failed, row.sent) == (row.begun, {}, row.begun * len(REQUEST))
            assert row.connect.raw.lowest > 0.5 or not row.begun
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_ipv6_targets_are_asked() -> None:
    async with aclosing(Responder(ResponderSettings(content=b"x"))) as responder:
        (address,) = await responder.add_listeners(Endpoint("::1", 0, 0), "serve")
        async with towards(address) as engine:
            row = await churned(engine, 100)
            assert (row.due, row.completed, row.empty) == (20, row.begun, 0)


async def test_poisson_arrivals_are_repeated_by_their_seed() -> None:
    async with responding("serve", content=b"x") as (engine, _):
        counts = []
        for seed in (1, 1, 2, 3):
            row = await churned(engine, 500, arrivals="poisson", seed=seed)
            assert row.completed == row.begun
            counts.append(row.due)
        assert counts[0] == counts[1]
        assert len(set(counts)) > 1


async def test_one_that_is_slow_does_not_keep_others_from_their_timeouts() -> None:
    async def every_other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read() == REQUEST:
            turns.append(len(turns))
            if turns[-1] % 2:
                await over.wait()
        writer.write(b"x")

    turns: list[int] = []
    over = asyncio.Event()
    timeout = 1.0
    async with against(every_other) as engine:
        row = await churned(engine, 100, timeout=timeout)
        over.set()
        slow = len(turns) // 2
        late = row.begun - row.completed - slow
        assert (row.due, row.failed) == (20, only("timeout", slow + late))
        assert late == 0 or (late > 0 and await held_up(engine) > timeout / TURNS)


async def test_a_reset_in_the_middle_of_the_answer_is_a_failure() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(b"part")
        await writer.drain()
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, pack("ii", 1, 0))
        writer.transport.abort()

    async with against(reset) as engine:
        row = await churned(engine, 100)
        assert (row.due, row.failed) == (20, only("rst", row.begun))


async def test_an_end_without_an_answer_is_told_apart() -> None:
    async with responding("serve", content=b"") as (engine, _):
        row = await churned(engine, 100)
        assert (row.due, row.completed, row.empty, row.failed) == (20, row.begun, row.begun, {})


async def test_a_big_answer_is_read_to_its_end() -> None:
    async with responding("serve", content=bytes(BIG)) as (engine, _):
        row = await churned(engine, 50)
        assert (row.due, row.completed, row.received) == (10, row.begun, row.begun * BIG)


async def test_a_big_request_waits_for_a_peer_that_is_slow_to_read() -> None:
    got: list[int] = []

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        got.append(len(await reader.read()))
        writer.write(b"x")

    async with against(slow) as engine:
        row = await churned(engine, 50, request=bytes(range(256)) * (BIG // 256))
        assert (row.due, row.completed, row.sent, row.failed) == (10, row.begun, row.begun * BIG, {})
    assert [size for size in got if size] == [BIG] * row.begun


async def test_an_end_before_the_request_is_through_is_no_answer() -> None:
    held = asyncio.Event()

    async def end(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        await held.wait()

    async with against(end) as engine:
        row = await churned(engine, 50, request=bytes(8 * BIG))
        held.set()
        assert (row.due, row.failed) == (10, only("fin", row.begun))


async def test_source_addresses_and_targets_take_turns() -> None:
    met: Counter[tuple[str, int]] = Counter()

    async def take_note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read() == REQUEST:
            met[writer.get_extra_info("peername")[0], writer.get_extra_info("sockname")[1]] += 1
        writer.write(b"x")

    sources = ("127.0.0.2", "127.0.0.3")
    async with against(take_note, servers=2, source_ips=sources) as engine:
        row = await churned(engine, 200)
        assert (row.due, row.completed, row.failed) == (40, row.begun, {})
    # Each source takes its turn, and each target: of any two of a kind one had at most one more.
    for own in (0, 1):
        turns = Counter[object]()
        for pair, count in met.items():
            turns[pair[own]] += count
        assert sum(turns.values()) == row.begun
        assert max(turns.values()) - min(turns.values()) <= 1
    assert {source for source, _ in met} <= set(sources)
    assert len(met) == 4


async def test_a_reset_at_the_end_leaves_no_session_behind_at_either_end() -> None:
    async with responding("echo") as (engine, responder):
        row = await churned(engine, 200, resets=True)
        assert (row.due, row.completed, row.failed, row.received) == (40, row.begun, {}, row.begun * len(REQUEST))

        async def reset() -> bool:
            return (await responder.snapshot()).losses.get("rst") == row.begun

        await until(reset)


async def test_where_nothing_is_asked_a_reset_follows_the_establishment() -> None:
    """Nobody answers what was not said: such a transaction would wait for its timeout."""
    async with responding("echo") as (engine, responder):
        row = await churned(engine, 200, resets=True, request=b"")
        assert (row.due, row.completed, row.empty, row.failed, row.sent) == (40, row.begun, row.begun, {}, 0)
        assert 0 < row.connect.raw.lowest <= row.whole.raw.highest

        async def reset() -> bool:
            return (await responder.snapshot()).losses.get("rst") == row.begun

        await until(reset)


async def test_rates_are_tried_one_after_the_other_on_the_target_that_is_named() -> None:
    reached: Counter[int] = Counter()

    async def take_note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read() == REQUEST:
            reached[writer.get_extra_info("sockname")[1]] += 1
        writer.write(b"x")

    async with against(take_note, servers=2) as engine:
        target = parse_address((await engine.target_page(0)).rows[1].target)
        await engine.start_churn([100, 50, 200], settings(cooldown=0.01, target=target))
        await engine.wait_churn()
        rows = (await figures(engine)).rows
        for row in rows:
            assert (row.due, row.unbegun) == (row.begun, 0)
        assert [(row.asked, row.due) for row in rows] == [(100, 20), (50, 10), (200, 40)]
        assert [row.completed for row in rows] == [row.begun for row in rows]
    assert reached == {target.port: sum(row.begun for row in rows)}


async def test_what_is_stopped_is_known_so_far() -> None:
    with Peer() as peer:
        async with towards(peer.address) as engine:
            await engine.start_churn([500, 1000], settings(seconds=60))

            async def some() -> bool:
                now = (await figures(engine)).now
                return bool(now and now.under_way > 20)

            await until(some)
            with pytest.raises(UsageError, match="runs already"):
                await engine.start_churn([1], settings())
            await engine.stop_churn()
            now = await figures(engine)
            (row,) = now.rows
            assert not now.running
            assert row.stopped == row.begun > 20
            assert row.due == row.stopped + row.unbegun
            with pytest.raises(UsageError, match="no churn runs"):
                await engine.stop_churn()


async def test_it_ends_with_the_engine() -> None:
    with Peer() as peer:
        async with towards(peer.address) as engine:
            await engine.start_churn([500], settings(seconds=60))
            waiting = asyncio.create_task(engine.wait_churn())
        await waiting


async def test_what_cannot_be_is_refused() -> None:
    async with towards() as engine:
        with pytest.raises(UsageError, match="no target"):
            await engine.start_churn([1], settings())
        with pytest.raises(UsageError, match="is no target"):
            await engine.start_churn([1], settings(target=Address("127.0.0.1", 9)))
        with pytest.raises(UsageError, match="no churn has begun"):
            await engine.wait_churn()


async def test_held_sessions_stay() -> None:
    async with responding("serve", content=b"x") as (engine, _):
        await engine.set_sessions(20, None)
        await engine.wait_held()
        row = await churned(engine, 200)
        now = await engine.snapshot()
        assert (row.due, row.completed, now.held, now.losses) == (40, row.begun, 20, {})
