"""Tests of the responder's engine with plain sockets as its clients."""

import asyncio
import errno
import gc
import logging
import os
import random
import socket
import time
import tracemalloc
from contextlib import ExitStack, aclosing
from typing import Any

import pytest

from common.addresses import Address, Endpoint
from common.dump import LEVEL, Dump
from common.errors import SessionerError, UsageError
from common.paging import ROWS, all_rows
from common.resolver import SocketAddress, resolve
from responder.client import Client
from responder.engine import Engine
from responder.listening import listen_on
from responder.settings import MODES, Settings
from tests.ports import find_free_ports
from tests.responder.support import (
    ANY_PORT,
    Clients,
    broken_off,
    clients,
    echoed,
    fill,
    listeners,
    listening,
    name,
    noise,
    receive,
    received,
    send,
    status,
    sunk,
)
from tests.support import reset

# Listeners


@pytest.mark.usefixtures("run")
async def test_accepted_clients_are_counted_by_listener() -> None:
    async with listening(3) as (engine, addresses), Clients() as own:
        for number, address in enumerate(addresses):
            await own.several(address, number)
        await status(engine, lambda now: now.held == 3)
        gone = await own.connect(addresses[0])
        await status(engine, lambda now: now.held == 4)
        gone.close()
        now = await status(engine, lambda now: now.held == 3)
        assert (now.accepted, now.listeners, now.accept_errors) == (4, 3, 0)
        rows = await listeners(engine)
        assert [(rows[str(address)].accepted, rows[str(address)].held) for address in addresses] == [
            (1, 0),
            (1, 1),
            (2, 2),
        ]


@pytest.mark.usefixtures("run")
async def test_listeners_come_and_go_and_their_clients_stay() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        kept = await own.several(address, 3)
        await status(engine, lambda now: now.held == 3)
        (another,) = await engine.add_listeners(ANY_PORT)
        kept += await own.several(another, 2)
        await status(engine, lambda now: now.held == 5)
        assert await engine.remove_listeners(Endpoint(address.host, address.port, address.port)) == 1
        assert list(await listeners(engine)) == [str(another)]
        with pytest.raises(ConnectionRefusedError):
            await own.connect(address)
        for sock in kept:
            await echoed(sock)
        assert len(await clients(engine)) == 5
        kept[0].close()
        now = await status(engine, lambda now: now.held == 4)
        assert now.losses == {"fin": 1}


@pytest.mark.usefixtures("run")
async def test_an_address_can_be_listened_on_again() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        endpoint = Endpoint(address.host, address.port, address.port)
        await own.connect(address)
        await status(engine, lambda now: now.held == 1)
        await engine.remove_listeners(endpoint)
        assert await engine.add_listeners(endpoint) == [address]
        await echoed(await own.connect(address))


@pytest.mark.usefixtures("run")
async def test_a_range_of_which_one_port_is_taken_is_not_listened_on_at_all() -> None:
    first = find_free_ports(3)
    async with listening(0) as (engine, _):
        taken = Endpoint("127.0.0.1", first + 1, first + 1)
        await engine.add_listeners(taken)
        with pytest.raises(SessionerError, match=f"^cannot listen on 127.0.0.1:{first + 1}: Address already in use$"):
            await engine.add_listeners(Endpoint("127.0.0.1", first, first + 2))
        assert len(await listeners(engine)) == 1
        await engine.remove_listeners(taken)
        assert len(await engine.add_listeners(Endpoint("127.0.0.1", first, first + 2))) == 3


async def counts_until(engine: Engine, changing: asyncio.Task[Any]) -> list[int]:
    """Return how many listeners there were at each turn that others had until a change was done."""
    counts: list[int] = []
    while not changing.done():
        counts.append((await engine.snapshot()).listeners)
        await asyncio.sleep(0)
    return counts


@pytest.mark.usefixtures("run")
async def test_others_have_their_turn_while_a_range_is_added_or_removed() -> None:
    first = find_free_ports(200)
    many = Endpoint("127.0.0.1", first, first + 199)
    async with listening(0) as (engine, _):
        for change in (engine.add_listeners, engine.remove_listeners):
            assert {50, 100, 150} <= set(await counts_until(engine, asyncio.create_task(change(many))))
        assert not await listeners(engine)


@pytest.mark.usefixtures("run")
async def test_a_range_of_which_the_adding_is_broken_off_is_not_listened_on_at_all() -> None:
    first = find_free_ports(200)
    many = Endpoint("127.0.0.1", first, first + 199)
    async with listening(0) as (engine, _):
        await broken_off(engine, engine.add_listeners(many))
        assert not await listeners(engine)
        assert len(await engine.add_listeners(many)) == 200


async def bound(count: int) -> tuple[list[SocketAddress], list[socket.SocketType]]:
    """Return so many addresses and the sockets that listen on them, as a console gives them to a worker."""
    first = find_free_ports(count)
    items = await resolve(Endpoint("127.0.0.1", first, first + count - 1))
    return items, [listen_on(item, Settings()) for item in items]


@pytest.mark.usefixtures("run")
async def test_what_comes_after_sockets_that_are_taken_is_done_after_it() -> None:
    async with listening(0) as (engine, _):
        items, sockets = await bound(200)
        first = items[0].address
        await asyncio.gather(engine.take_listeners("echo", items, sockets), engine.set_mode("sink", None))
        assert [row.mode async for row in all_rows(engine.listener_page)] == ["sink"] * 200
        await engine.close_listeners([item.address for item in items])
        sockets = [listen_on(item, Settings()) for item in items]
        await asyncio.gather(
            engine.take_listeners("echo", items, sockets), engine.close_listeners([item.address for item in items])
        )
        assert not await listeners(engine)
        assert await engine.add_listeners(only(first)) == [first]


@pytest.mark.usefixtures("run")
async def test_a_listener_that_is_given_another_socket_goes_on_as_it_was() -> None:
    async with listening(0) as (engine, _), Clients() as own:
        (item,), (before,) = await bound(1)
        after = socket.SocketType(fileno=os.dup(before.fileno()))
        (address,) = await engine.take_listeners("echo", [item], [before])
        await engine.set_mode("sink", None)
        await sunk(engine, await own.connect(address), b"data")
        assert await engine.take_listeners("echo", [item], [after]) == [address]
        assert before.fileno() == -1
        await sunk(engine, await own.connect(address), b"data")
        (row,) = (await listeners(engine)).values()
        assert (row.accepted, row.mode) == (2, "sink")


@pytest.mark.usefixtures("run")
async def test_sockets_that_the_kernel_does_not_take_are_closed_and_listened_on_no_more() -> None:
    async with listening(0) as (engine, _):
        (item, other), (sock, taken) = await bound(2)
        with pytest.raises(SessionerError, match=rf"^cannot listen on {other.address}: File exists$"):
            await engine.take_listeners("echo", [item, other, other], [sock, taken, taken])
        assert not await listeners(engine)
        assert (await engine.snapshot()).listeners == 0
        assert (sock.fileno(), taken.fileno()) == (-1, -1)
        assert await engine.add_listeners(only(item.address)) == [item.address]


@pytest.mark.usefixtures("run")
async def test_of_two_ranges_added_at_once_that_overlap_one_is_listened_on() -> None:
    first = find_free_ports(200)
    ranges = [Endpoint("127.0.0.1", first, first + 149), Endpoint("127.0.0.1", first + 50, first + 199)]
    async with listening(0) as (engine, _):
        found = await asyncio.gather(*map(engine.add_listeners, ranges), return_exceptions=True)
        (added,) = [addresses for addresses in found if isinstance(addresses, list)]
        (error,) = [error for error in found if isinstance(error, SessionerError)]
        assert str(error).endswith(": Address already in use")
        assert set(await listeners(engine)) == {str(address) for address in added}
        for address in added:
            await engine.remove_listeners(only(address))
        assert len(await engine.add_listeners(Endpoint("127.0.0.1", first, first + 199))) == 200


@pytest.mark.usefixtures("run")
async def test_an_address_that_is_not_ours_is_refused() -> None:
    async with listening(0) as (engine, _):
        with pytest.raises(SessionerError, match=r"^cannot listen on 192\.0\.2\.1:5000: "):
            await engine.add_listeners(Endpoint("192.0.2.1", 5000, 5000))


@pytest.mark.usefixtures("run")
async def test_a_listener_that_is_not_there_cannot_be_removed() -> None:
    async with listening() as (engine, _):
        with pytest.raises(UsageError, match="is no listener"):
            await engine.remove_listeners(Endpoint("127.0.0.9", 9, 9))
        assert (await engine.snapshot()).listeners == 1


@pytest.mark.usefixtures("run")
async def test_one_listener_serves_both_families() -> None:
    async with listening(1, Endpoint("::", 0, 0)) as (engine, (address,)), Clients() as own:
        pair = [await own.connect(Address(host, address.port)) for host in ("127.0.0.1", "::1")]
        for sock in pair:
            await echoed(sock)
        rows = await clients(engine)
        assert sorted((row.peer, row.local) for row in rows) == sorted(
            (str(name(sock)), str(Address(name(sock).host, address.port))) for sock in pair
        )
        for sock in pair:
            (row,) = await clients(engine, name(sock))
            assert row.peer == str(name(sock))
        assert await engine.drop(name(pair[0]), False) == 1
        assert await receive(pair[0], 1) == b""
        await echoed(pair[1])


@pytest.mark.usefixtures("run")
async def test_an_ipv6_address_leaves_its_port_to_ipv4() -> None:
    port = find_free_ports(1)
    async with listening(1, Endpoint("::1", port, port)) as (engine, (address,)), Clients() as own:
        (other,) = await engine.add_listeners(Endpoint("127.0.0.1", address.port, address.port))
        for where in (address, other):
            await echoed(await own.connect(where))
        assert {row.held for row in (await listeners(engine)).values()} == {1}


# Ends on purpose, lists, tables


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("as_reset", [True, False])
async def test_clients_are_dropped_on_purpose_and_are_no_losses(as_reset: bool) -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        socks = await own.several(address, 10)
        await status(engine, lambda now: now.held == 10)
        assert await engine.drop(4, as_reset) == 4
        now = await engine.snapshot()
        assert (now.held, now.losses) == (6, {})
        ends = [await end_of(sock) for sock in socks if name(sock) not in await peers(engine)]
        assert ends == [ConnectionResetError if as_reset else b""] * 4
        assert await engine.drop(99, as_reset) == 6
        assert await engine.drop(99, as_reset) == 0


async def peers(engine: Engine) -> set[Address]:
    """Return the addresses of the clients."""
    hosts = [row.peer.rpartition(":") for row in await clients(engine)]
    return {Address(host, int(port)) for host, _, port in hosts}


async def end_of(sock: socket.socket) -> bytes | type[OSError]:
    """Return what a client reads at its end."""
    try:
        return await receive(sock, 1)
    except ConnectionResetError as error:
        return type(error)


@pytest.mark.usefixtures("run")
async def test_the_clients_of_a_listener_or_of_a_peer_can_be_dropped() -> None:
    async with listening(2) as (engine, addresses), Clients() as own:
        first, second = [await own.several(address, 5) for address in addresses]
        await status(engine, lambda now: now.held == 10)
        assert await engine.drop(addresses[0], False) == 5
        assert [await receive(sock, 1) for sock in first] == [b""] * 5
        assert await engine.drop(name(second[0]), False) == 1
        assert await receive(second[0], 1) == b""
        for sock in second[1:]:
            await echoed(sock)
        with pytest.raises(UsageError, match="no listener and no client has the address"):
            await engine.drop(name(second[0]), False)


@pytest.mark.usefixtures("run")
async def test_the_clients_of_a_listener_that_is_gone_are_found_until_the_last_of_them_is() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        socks = await own.several(address, 3)
        await status(engine, lambda now: now.held == 3)
        await engine.remove_listeners(only(address))
        assert {row.peer for row in await clients(engine, address)} == {str(name(sock)) for sock in socks}
        assert [row.peer for row in await clients(engine, name(socks[0]))] == [str(name(socks[0]))]
        assert await engine.drop(name(socks[0]), False) == 1
        await engine.add_listeners(only(address))
        socks.append(await own.connect(address))
        await status(engine, lambda now: now.held == 3)
        assert len(await clients(engine, address)) == 3
        assert await engine.drop(address, False) == 3
        assert [await receive(sock, 1) for sock in socks] == [b""] * 4
        await engine.remove_listeners(only(address))
        for what in (address, name(socks[1])):
            with pytest.raises(UsageError, match="no listener and no client has the address"):
                await engine.drop(what, False)


@pytest.mark.usefixtures("run")
async def test_clients_that_come_while_those_of_a_listener_are_dropped_stay() -> None:
    async with listening(2) as (engine, (address, other)), Clients() as own:
        await own.several(address, 3)
        await own.several(other, 3)
        await status(engine, lambda now: now.held == 6)
        with socket.create_connection(address) as late:  # it is accepted when the walk has begun
            late.setblocking(False)
            assert await engine.drop(address, False) == 3
            await echoed(late)


@pytest.mark.usefixtures("run")
async def test_a_peer_s_sessions_with_several_ports_are_all_found() -> None:
    async with listening(3) as (engine, addresses):
        with ExitStack() as stack:
            shared = Address("127.0.0.1", find_free_ports(1))
            for address in addresses:
                sock = stack.enter_context(socket.socket())
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(shared)
                sock.connect(address)
            await status(engine, lambda now: now.held == 3)
            rows = await clients(engine, shared)
            assert {row.peer for row in rows} == {str(shared)}
            assert {row.local for row in rows} == {str(address) for address in addresses}
            assert await engine.drop(shared, True) == 3


@pytest.mark.usefixtures("run")
async def test_a_list_shows_every_client_once() -> None:
    async with listening(2) as (engine, addresses), Clients() as own:
        socks = [sock for address in addresses for sock in await own.several(address, 230)]
        await status(engine, lambda now: now.held == 460)
        rows = await clients(engine)
        assert sorted(row.peer for row in rows) == sorted(str(name(sock)) for sock in socks)
        assert all(0 <= row.idle <= row.age for row in rows)
        assert len(await clients(engine, addresses[0])) == 230
        with pytest.raises(UsageError, match="no listener and no client has the address"):
            await clients(engine, Address("127.0.0.9", 9))


@pytest.mark.usefixtures("run")
async def test_the_table_grows_by_itself_and_can_be_resized_under_clients() -> None:
    async with listening(hashsize=1) as (engine, (address,)), Clients() as own:
        socks = await own.several(address, 300)
        now = await status(engine, lambda now: now.held == 300)
        assert now.hashsize > 1
        assert now.max_depth < 50
        for size in (5000, 500):
            await engine.set_hashsize(size)
            await status(engine, lambda now, size=size: now.hashsize == size)  # type: ignore[misc]
            assert len(await clients(engine, name(socks[7]))) == 1
        for sock in socks:
            sock.close()
        now = await status(engine, lambda now: not now.held)
        assert now.max_depth == 0


@pytest.mark.usefixtures("run")
async def test_a_resize_goes_on_between_the_beats_of_the_pulse() -> None:
    async with listening() as (engine, _):
        beats: list[None] = []
        engine._reactor.on_beat(lambda: beats.append(None))
        await engine.set_hashsize(100_000)
        await status(engine, lambda now: now.hashsize == 100_000)
        assert len(beats) < 100


@pytest.mark.usefixtures("run")
async def test_one_table_alone_is_as_large_as_was_asked_for() -> None:
    tracemalloc.start()
    try:
        async with listening(hashsize=1 << 20):
            assert tracemalloc.get_traced_memory()[1] < 1.5 * (8 << 20)  # a bucket is a pointer
    finally:
        tracemalloc.stop()


@pytest.mark.usefixtures("run")
async def test_waiting_ends_when_so_many_clients_are_connected() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        await engine.wait_clients(0)
        waiting = asyncio.create_task(engine.wait_clients(3))
        await own.several(address, 2)
        await status(engine, lambda now: now.held == 2)
        assert not waiting.done()
        await own.connect(address)
        await waiting


@pytest.mark.usefixtures("run")
async def test_the_demand_is_that_of_the_clients_or_of_what_is_asked_for() -> None:
    async with listening(2) as (engine, addresses), Clients() as own:
        await own.several(addresses[0], 5)
        await status(engine, lambda now: now.held == 5)
        demand = await engine.demand(None)
        assert (demand.sessions, demand.held, demand.listeners) == (5, 5, 2)
        assert (await engine.demand(100)).sessions == 100


@pytest.mark.usefixtures("run")
async def test_closing_ends_clients_and_listeners() -> None:
    async with Clients() as own:
        async with listening() as (engine, (address,)):
            socks = await own.several(address, 5)
            await status(engine, lambda now: now.held == 5)
        assert [await receive(sock, 1) for sock in socks] == [b""] * 5
        with pytest.raises(ConnectionRefusedError):
            await own.connect(address)


@pytest.mark.usefixtures("run")
async def test_a_client_that_vanished_in_the_queue_does_no_harm() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        for _ in range(20):
            sock = socket.create_connection(address)  # the loop runs only after the reset
            reset(sock)
        await echoed(await own.connect(address))
        now = await status(engine, lambda now: now.held == 1)
        assert now.accepted + now.accept_errors == 21


@pytest.mark.usefixtures("run")
async def test_clients_that_the_kernel_grants_no_watch_for_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit, fs.epoll.max_user_watches, is that of the whole machine: only its error can be had."""
    async with listening() as (engine, (address,)), Clients() as own:
        register, granted = engine._reactor._register, 2

        def register_or_refuse(descriptor: int, events: int) -> None:
            nonlocal granted
            granted -= 1
            if granted < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            register(descriptor, events)

        monkeypatch.setattr(engine._reactor, "_register", register_or_refuse)
        with ExitStack() as stack:
            socks = [stack.enter_context(socket.create_connection(address)) for _ in range(3)]  # accepted together
            now = await status(engine, lambda now: now.accept_errors)
            assert (now.held, now.accepted, now.accept_errors, now.exhausted) == (2, 2, 1, ("epoll watches",))
            assert (await listeners(engine))[str(address)].held == 2
            monkeypatch.undo()
            socks[2].setblocking(False)
            assert await receive(socks[2], 1) == b""
        await status(engine, lambda now: not now.held)
        assert not await clients(engine)
        await echoed(await own.connect(address))


# Modes

MESSAGE = b"message\n"
CONTENT = b"HTTP/1.0 204 No Content\r\n\r\n"


def only(address: Address) -> Endpoint:
    """Return an address as what a mode is changed of."""
    return Endpoint(address.host, address.port, address.port)


async def is_in_mode(engine: Engine, sock: socket.socket, mode: str) -> None:
    """Return when a client is treated as a mode says; after serve, it is gone."""
    if mode == "echo":
        await echoed(sock, b"data")
    elif mode == "sink":
        await sunk(engine, sock, b"data")
    elif mode == "active":
        assert await receive(sock, len(MESSAGE)) == MESSAGE
    else:
        await sunk(engine, sock, b"data")
        sock.shutdown(socket.SHUT_WR)
        assert await received(sock) == CONTENT


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("mode", MODES)
async def test_each_listener_has_its_mode(mode: str) -> None:
    async with listening(1, mode=mode, message=MESSAGE, content=CONTENT, message_rate=100.0) as (engine, (address,)):
        (other,) = await engine.add_listeners(ANY_PORT)
        rows = await listeners(engine)
        assert (rows[str(address)].mode, rows[str(other)].mode) == (mode, "echo")
        async with Clients() as own:
            await is_in_mode(engine, await own.connect(other), "echo")
            await is_in_mode(engine, await own.connect(address), mode)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("after", MODES)
@pytest.mark.parametrize("before", ["echo", "sink", "serve"])
async def test_clients_follow_their_listener_into_another_mode(before: str, after: str) -> None:
    settings: dict[str, Any] = {"message": MESSAGE, "content": CONTENT, "message_rate": 100.0}
    async with listening(2, mode=before, **settings) as (engine, (address, other)), Clients() as own:
        changed, kept = await own.connect(address), await own.connect(other)
        await status(engine, lambda now: now.held == 2)
        assert await engine.set_mode(after, only(address)) == 1
        assert [row.mode for row in (await listeners(engine)).values()] == [after, before]
        await is_in_mode(engine, changed, after)
        await is_in_mode(engine, await own.connect(address), after)
        await is_in_mode(engine, kept, before)


@pytest.mark.usefixtures("run")
async def test_a_mode_is_changed_of_all_listeners_and_of_many_clients() -> None:
    async with listening(3, mode="sink") as (engine, addresses), Clients() as own:
        socks = [sock for address in addresses for sock in await own.several(address, 70)]
        await status(engine, lambda now: now.held == 210)
        assert await engine.set_mode("echo", None) == 3
        await asyncio.gather(*map(echoed, socks))
        assert {row.mode for row in (await listeners(engine)).values()} == {"echo"}


@pytest.mark.usefixtures("run")
async def test_what_a_client_sent_before_a_change_is_treated_after_it_if_it_was_not_read_yet() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        stuck = await own.connect(address)
        total = await fill(stuck)
        before = await engine.snapshot()
        await engine.set_mode("sink", None)
        assert await receive(stuck, before.received) == bytes(before.received)
        now = await status(engine, lambda now: now.received == total)
        assert now.sent == before.received
        stuck.shutdown(socket.SHUT_WR)
        assert await received(stuck) == b""


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("mode", ["echo", "sink", "active"])
async def test_an_answer_that_has_begun_is_brought_to_its_end(mode: str) -> None:
    content = noise(1, 20_000_000)
    async with listening(mode="serve", content=content, message=MESSAGE) as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        sock.shutdown(socket.SHUT_WR)
        assert await receive(sock, 1000) == content[:1000]
        await engine.set_mode(mode, None)
        rest = await received(sock)
        assert rest[: len(content) - 1000] == content[1000:]
        assert not rest[len(content) - 1000 :].replace(MESSAGE, b"")
        await status(engine, lambda now: not now.held)


@pytest.mark.usefixtures("run")
async def test_the_clients_of_a_listener_that_is_gone_follow_all_or_the_next_one_there() -> None:
    async with listening(2, mode="sink") as (engine, (address, other)), Clients() as own:
        sock = await own.connect(address)
        await sunk(engine, sock, b"data")
        await engine.remove_listeners(only(address))
        assert await engine.set_mode("echo", only(other)) == 1
        await sunk(engine, sock, b"data")
        assert await engine.set_mode("echo", None) == 1
        await echoed(sock, b"data")
        await engine.add_listeners(only(address), "echo")
        assert await engine.set_mode("sink", only(address)) == 1
        await sunk(engine, sock, b"data")


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("mode", ["active", "serve"])
async def test_a_mode_without_what_it_needs_changes_nothing(mode: str) -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        with pytest.raises(UsageError, match=f"^mode {mode} has nothing to"):
            await engine.set_mode(mode, None)
        with pytest.raises(UsageError, match=f"^mode {mode} has nothing to"):
            await engine.add_listeners(ANY_PORT, mode)
        await is_in_mode(engine, await own.connect(address), "echo")
        assert [row.mode for row in (await listeners(engine)).values()] == ["echo"]


@pytest.mark.usefixtures("run")
async def test_listeners_added_later_have_the_mode_that_was_set_for_all_last() -> None:
    async with aclosing(Engine(Settings(mode="sink"))) as engine:
        added = [(await engine.add_listeners(ANY_PORT))[0]]
        await engine.set_mode("echo", only(added[0]))
        added += await engine.add_listeners(ANY_PORT)
        await engine.set_mode("echo", None)
        await engine.set_mode("sink", only(added[0]))
        added += await engine.add_listeners(ANY_PORT)
        added += await engine.add_listeners(ANY_PORT, "sink")
        rows = await listeners(engine)
        assert [rows[str(address)].mode for address in added] == ["sink", "echo", "echo", "sink"]


@pytest.mark.usefixtures("run")
async def test_the_mode_of_no_listener_cannot_be_changed() -> None:
    async with listening() as (engine, _):
        with pytest.raises(UsageError, match=r"^127.0.0.9:9 is no listener; `listeners` shows them$"):
            await engine.set_mode("sink", [Address("127.0.0.9", 9)])
        with pytest.raises(UsageError, match="is no listener"):
            await engine.set_mode("sink", Endpoint("127.0.0.9", 9, 9))
        assert [row.mode for row in (await listeners(engine)).values()] == ["echo"]


@pytest.mark.usefixtures("run")
async def test_modes_change_at_random_under_traffic_and_the_counts_stay_true() -> None:
    """Whatever the modes were meanwhile, the totals are the sums over the listeners, and every client is accounted."""
    draw = random.Random(1)
    settings: dict[str, Any] = {"message": MESSAGE, "content": CONTENT, "message_rate": 500.0}
    async with listening(3, **settings) as (engine, addresses), Clients() as own:
        for number in range(60):
            sock = await own.connect(addresses[number % 3])
            await send(sock, noise(number, draw.randrange(1, 50_000)))
            if number % 3 == 0:
                sock.shutdown(socket.SHUT_WR)
            await engine.set_mode(draw.choice(MODES), draw.choice([None, only(draw.choice(addresses))]))
        await engine.set_mode("sink", None)
        await own.__aexit__()
        now = await status(engine, lambda now: now.accepted == 60 and not now.held)
        rows = list((await listeners(engine)).values())
        assert sum(row.accepted for row in rows) == 60
        assert {row.held for row in rows} == {0}
        for what in ("received", "sent", "messages"):
            assert sum(getattr(row, what) for row in rows) == getattr(now, what)
        assert sum(now.losses.values()) <= 60


# Marker and dump


def stamp() -> bytes:
    """Return the marker of a message sent now."""
    return b"SessionerTS-%016x." % (time.time_ns() // 1000)


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("mode", ["echo", "sink"])
async def test_markers_are_found_even_where_one_is_split_over_two_reads(mode: str) -> None:
    async with listening(mode=mode, marker=True) as (engine, (address,)), Clients() as own:
        first, second = await own.several(address, 2)
        begin, parts = time.time(), stamp()
        await send(first, b"x" * 1000 + stamp() + parts[:10])
        await status(engine, lambda now: now.received == 1039)
        await send(second, parts[10:])
        await status(engine, lambda now: now.received == 1058)
        await send(first, parts[10:] + stamp())
        now = await status(engine, lambda now: now.received == 1106)
        assert now.marker
        assert (now.marker.messages, now.marker.ahead) == (3, 0)
        assert 0 < now.marker.p50 <= now.marker.p99 <= time.time() - begin + 0.001


@pytest.mark.usefixtures("run")
async def test_markers_are_looked_for_while_that_is_asked_for_and_each_time_anew() -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        sock = await own.connect(address)
        await echoed(sock, stamp())
        assert (await engine.snapshot()).marker is None
        for _ in range(2):
            await engine.set_marker(True)
            await echoed(sock, stamp())
            now = await engine.snapshot()
            assert now.marker
            assert now.marker.messages == 1
            await status(engine, lambda now: now.marker and now.marker.rate > 0)
            await engine.set_marker(False)
            assert (await engine.snapshot()).marker is None


@pytest.mark.usefixtures("run")
async def test_the_rest_of_a_marker_does_not_come_from_another_client_in_the_same_place() -> None:
    async with listening(marker=True) as (engine, (address,)), Clients() as own:
        parts = stamp()
        for part in (parts[:10], parts[10:]):
            sock = await own.connect(address)
            await echoed(sock, part)
            sock.close()
            await status(engine, lambda now: not now.held)
        now = await engine.snapshot()
        assert now.marker
        assert now.marker.messages == 0


@pytest.mark.usefixtures("run")
async def test_nothing_is_kept_of_clients_that_have_ended() -> None:
    gc.collect()  # An earlier test may have had the same address.
    settings: dict[str, Any] = {"message": MESSAGE, "message_rate": 100.0, "marker": True}
    async with listening(2, **settings) as (engine, (address, other)):
        await engine.set_mode("active", only(other))
        async with Clients() as own:
            for sock in await own.several(address, 20):
                await echoed(sock, stamp()[:10])
            for sock in await own.several(other, 20):
                await is_in_mode(engine, sock, "active")
            assert clients_alive(address, other) == 40
        await status(engine, lambda now: not now.held and not clients_alive(address, other))


def clients_alive(*addresses: Address) -> int:
    """Return how many clients of these listeners there are in memory."""
    return sum(type(each) is Client and each.listener.address in addresses for each in gc.get_objects())


@pytest.mark.usefixtures("run")
async def test_the_dump_shows_what_is_read_and_written(logged: list[logging.LogRecord]) -> None:
    async with listening(content=CONTENT) as (engine, (address,)), Clients() as own:
        (serving,) = await engine.add_listeners(ANY_PORT, "serve")
        first, second = await own.connect(address), await own.connect(serving)
        await echoed(first, b"unseen")
        dump = Dump(every=True, incoming=True, outgoing=True, word="client")
        assert await engine.set_dump(dump) is None
        assert (await engine.snapshot()).dump == "all clients, in and out"
        await echoed(first, b"hello\n")
        await send(second, b"GET")
        second.shutdown(socket.SHUT_WR)
        ends = f"{name(second)}->{serving}"
        assert await received(second) == CONTENT
        assert await engine.set_dump(None) is dump
        assert (await engine.snapshot()).dump is None
        await echoed(first, b"unseen")
        lines = [record.getMessage() for record in logged if record.levelno == LEVEL]
        assert lines == [
            rf"Rcv {name(first)}->{address} 6: [hello\n]",
            rf"Snd {name(first)}->{address} 6: [hello\n]",
            f"Rcv {ends} 3: [GET]",
            rf"Snd {ends} {len(CONTENT)}: [HTTP/1.0 204 No Content\r\n\r\n]",
        ]


@pytest.mark.usefixtures("run")
async def test_the_dump_of_one_goes_on_with_another_when_that_ends(logged: list[logging.LogRecord]) -> None:
    async with listening() as (engine, (address,)), Clients() as own:
        first, second = await own.several(address, 2)
        await engine.set_dump(Dump(every=False, incoming=True, outgoing=False))
        for sock in (first, second, first):
            await echoed(sock, b"x")
        followed = name(first)
        first.close()
        await status(engine, lambda now: now.held == 1)
        await echoed(second, b"y")
        lines = [record.getMessage() for record in logged if record.levelno == LEVEL]
        assert [line.split("->")[0] for line in lines] == [f"Rcv {followed}"] * 2 + [f"Rcv {name(second)}"]


@pytest.mark.usefixtures("run")
async def test_a_responder_without_listeners_has_figures() -> None:
    async with aclosing(Engine(Settings())) as engine:
        now = await engine.snapshot()
        assert (now.received, now.sent, now.echoed, now.messages, now.missed) == (0, 0, 0, 0, 0)


@pytest.mark.usefixtures("run")
async def test_listeners_are_changed_and_closed_by_their_addresses_too() -> None:
    async with listening(3) as (engine, addresses):
        nowhere = Address("127.0.0.9", 9)
        assert await engine.set_mode("sink", [*addresses[:2], nowhere]) == 2
        assert [row.mode for row in (await listeners(engine)).values()] == ["sink", "sink", "echo"]
        with pytest.raises(UsageError, match="no listener"):
            await engine.set_mode("sink", [nowhere])
        await engine.close_listeners([addresses[0], nowhere])
        assert list(await listeners(engine)) == [str(address) for address in addresses[1:]]


@pytest.mark.usefixtures("run")
async def test_the_names_to_complete_are_those_of_the_first_listeners() -> None:
    async with listening(ROWS + 1) as (engine, addresses):
        assert await engine.listener_names() == [str(address) for address in addresses[:ROWS]]
