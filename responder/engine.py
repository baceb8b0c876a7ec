"""The responder's engine: everything but the prompt, driven through its async methods and its snapshots."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import chain, islice
from socket import SocketType
from time import monotonic
from typing import Final, TypeGuard

from common.addresses import Address, Endpoint, address_key
from common.dump import Dump
from common.errors import SessionerError, UsageError
from common.histogram import Histogram
from common.limits import Demand
from common.paging import ROWS, Page, page_of
from common.rate import Rate
from common.reactor import Handler, Job, Reactor
from common.resolver import SocketAddress, resolve
from common.socket_options import cut_buffers
from common.sockets import local_address
from common.system import descriptor_limits
from responder.client import Client
from responder.holder import Holder, capacity
from responder.listener import Listener
from responder.listening import listen_on, refused
from responder.merging import AllCounts, Counts
from responder.settings import ECHO, Settings, check_mode
from responder.snapshot import ClientRow, ListenerRow, Snapshot

log = logging.getLogger("sessioner.responder")

# Buckets that are added to a table that is being resized, or taken from it, in one step: a tenth of a millisecond.
_RESIZE_STEPS: Final = 100

# Ports under which a peer is looked up in one step: a tenth of a millisecond.
_LOOK_UPS: Final = 64

# Listening sockets opened or closed, and listeners looked up, before all else has its turn: two milliseconds.
SOCKETS: Final = 50
_FOUND: Final = 500

# Listeners whose counts are compared before others have their turn, and those that are told of at once: each takes a
# millisecond at most.
_COMPARED: Final = 1000
_TOLD: Final = 1000

_ANY: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104


class Engine:
    """Listeners and their clients; to be made and used inside a running loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._reactor = Reactor()
        self._holder = Holder(self._reactor, settings)
        self._rate = Rate()
        self._mode = settings.mode
        self._told_of = 0
        self._buffers_told = False
        self._changing = asyncio.Lock()
        self._holder.watch.set_marker(settings.marker, self._reactor.now)
        self._reactor.on_beat(self._beat)

    async def add_listeners(self, endpoint: Endpoint, mode: str | None = None) -> list[Address]:
        """Listen in a mode on every address that the endpoint names, or on none; return the addresses.

        Without a mode it is the one that was set for all listeners last. Raises SessionerError that names the first one
        that cannot be listened on, UsageError where the settings lack what the mode needs.
        """
        check_mode(mode or self._mode, self._settings)
        async with self._changing:
            items = await resolve(endpoint)
            sockets: list[SocketType] = []
            try:
                for number, item in enumerate(items, 1):
                    sockets.append(self._listen(item))
                    if number % SOCKETS == 0:
                        await asyncio.sleep(0)
            except (SessionerError, asyncio.CancelledError):
                for sock in sockets:
                    sock.close()
                raise
            return await self._take(mode or self._mode, items, sockets)

    async def take_listeners(
        self, mode: str, items: Sequence[SocketAddress], sockets: Sequence[SocketType]
    ) -> list[Address]:
        """Accept clients in a mode on sockets that listen on these addresses; return the addresses.

        What is listened on already goes on as it was, on the new socket. Raises SessionerError, and listens on no other
        address than before then.
        """
        async with self._changing:
            return await self._take(mode, items, sockets)

    async def set_accepting(self, accepting: bool) -> None:
        """Accept clients, or leave them to another process that has the same sockets."""
        self._holder.set_resting(not accepting)

    async def remove_listeners(self, endpoint: Endpoint) -> int:
        """Stop listening on the addresses that the endpoint names; their clients stay. Return how many they were.

        Raises UsageError when there is none of them.
        """
        async with self._changing:
            found = await self._listeners_of(endpoint)
            for number, listener in enumerate(found, 1):
                self._holder.remove(listener)
                if number % SOCKETS == 0:
                    await asyncio.sleep(0)
            return len(found)

    async def close_listeners(self, addresses: Sequence[tuple[str, int]]) -> None:
        """Stop listening on those of these addresses that are listened on; their clients stay."""
        async with self._changing:
            for number, address in enumerate(addresses, 1):
                for listener in self._holder.listeners.find(address_key(*address)):
                    self._holder.remove(listener)
                if number % SOCKETS == 0:
                    await asyncio.sleep(0)

    async def set_mode(self, mode: str, endpoint: Endpoint | Sequence[tuple[str, int]] | None) -> int:
        """Change the mode of the listeners that the endpoint names, or at these addresses, or of all, and of clients.

        Return how many listeners they were. Raises UsageError, and nothing is changed, when there is none of them or
        the settings lack what the mode needs.
        """
        behaviour = self._holder.behaviour(mode)
        async with self._changing:
            if endpoint is None:
                self._mode = mode
            found = await self._listeners_of(endpoint) if endpoint else list(self._holder.doors.listeners.values())
            # Those that were removed and have clients are treated like the others, and not counted.
            changed = {*found, *self._holder.left_by(found)} if endpoint else set(self._holder.all_listeners())
            for listener in changed:
                listener.behaviour = behaviour

        def visit(handler: Handler) -> None:
            if isinstance(handler, Client) and handler.listener in changed:
                handler.listener.behaviour.take_over(handler)

        await self._reactor.run(self._reactor.walk(visit))
        return len(found)

    async def set_marker(self, enabled: bool) -> None:
        """Look for markers in what is received, and begin to count, or stop."""
        self._holder.watch.set_marker(enabled, self._reactor.now)

    async def set_dump(self, dump: Dump | None) -> Dump | None:
        """Show traffic, or stop; return what was shown before."""
        before = self._holder.watch.dump
        self._holder.watch.set_dump(dump)
        return before

    async def set_hashsize(self, hashsize: int) -> None:
        """Resize the table of clients, a few buckets at a time."""
        self._holder.table.resize(hashsize)
        self._reactor.start(self._holder.table.finish(_RESIZE_STEPS))

    async def drop(self, what: int | Address, reset: bool) -> int:
        """End the sessions of so many clients, of one listener or of one peer, by FIN or RST; return how many.

        Raises UsageError for an address that no listener and no client has.
        """
        listeners = self._holder.at(what) if isinstance(what, Address) else None
        if isinstance(what, Address) and not listeners:
            clients = await self._clients_of(what)
            for client in clients:
                self._holder.drop(client, reset)
            return len(clients)
        most = what if isinstance(what, int) else sum(listener.held for listener in listeners or ())
        begin, dropped = monotonic(), 0

        def visit(handler: Handler) -> bool:
            nonlocal dropped
            if dropped < most and _is_client(handler, listeners) and handler.since <= begin:
                self._holder.drop(handler, reset)
                dropped += 1
            return dropped >= most

        await self._reactor.run(self._reactor.walk(visit))
        return dropped

    async def wait_clients(self, count: int) -> None:
        """Return when at least so many clients are connected."""
        await self._holder.wait_clients(count)

    async def snapshot(self) -> Snapshot:
        """Return the figures of this moment; O(1)."""
        holder, watch = self._holder, self._holder.watch
        behaviours = holder.behaviours.values()
        return Snapshot(
            age=0.0,
            held=holder.table.count,
            listeners=holder.listeners.count,
            hashsize=holder.table.hashsize,
            max_depth=holder.table.max_depth,
            listeners_max_depth=holder.listeners.max_depth,
            descriptors=descriptor_limits(),
            rate=self._rate.per_second,
            accepted=holder.accepted,
            losses=dict(holder.losses),
            received=sum(behaviour.received for behaviour in behaviours),
            sent=sum(behaviour.sent for behaviour in behaviours),
            accept_errors=holder.accept_errors,
            exhausted=tuple(sorted(holder.shortages.kinds)),
            paused=holder.paused,
            longest_pause=self._reactor.longest_pause,
            echoed=holder.behaviours[ECHO].sent if ECHO in holder.behaviours else 0,
            messages=sum(behaviour.messages for behaviour in behaviours),
            missed=sum(behaviour.missed for behaviour in behaviours),
            dump=str(watch.dump) if watch.dump else None,
            marker=watch.marker.figures() if watch.marker else None,
        )

    async def listener_page(self, start: int) -> Page[ListenerRow]:
        """Return a page of the listeners, in the order they were added."""
        return page_of(list(self._holder.doors.listeners.values()), start, _listener_row)

    async def listener_names(self) -> list[str]:
        """Return the first of the listeners' addresses, a page of them, which are what is typed."""
        return [str(listener.address) for listener in islice(self._holder.doors.listeners.values(), ROWS)]

    async def changed_counts(self, known: AllCounts) -> tuple[dict[tuple[str, int], Counts], list[tuple[str, int]]]:
        """Return what the listeners have counted that is not as it is known, and those known that are gone.

        Of many that have counted some are returned, and the others the next times.
        """
        counts: dict[tuple[str, int], Counts] = {}
        listeners = list(self._holder.doors.listeners.values())
        start = self._told_of if self._told_of < len(listeners) else 0
        self._told_of = 0
        for number, listener in enumerate(chain(islice(listeners, start, None), islice(listeners, start)), 1):
            now = (listener.accepted, listener.held, listener.received, listener.sent, listener.messages)
            if known.get(listener.address) != now:
                counts[(listener.address.host, listener.address.port)] = now
                if len(counts) == _TOLD:
                    self._told_of = (start + number) % len(listeners)
                    break
            if number % _COMPARED == 0:
                await asyncio.sleep(0)
        there = {listener.address for listener in self._holder.doors.listeners.values()}
        return counts, [address for address in known if address not in there]

    async def marker_latency(self) -> Histogram | None:
        """Return the latencies that the markers tell, None while no markers are looked for."""
        marker = self._holder.watch.marker
        return marker.latency.copy() if marker else None

    @property
    def fullness(self) -> float | None:
        """Which part of the room for clients is used, 1.0 while they wait for some; None where others accept them."""
        holder = self._holder
        if holder.resting:
            return None
        return 1.0 if holder.paused else holder.table.count / capacity(holder.listeners.count)

    async def session_page(self, address: Address | None, start: int) -> Page[ClientRow]:
        """Return a page of the clients, those of one listener or of one peer where an address is given.

        Raises UsageError for an address that no listener and no client has.
        """
        now = monotonic()
        listeners = self._holder.at(address) if address else None
        if address and not listeners:
            return Page([_client_row(client, now) for client in await self._clients_of(address)], None)

        def row(handler: Handler | None) -> ClientRow | None:
            return _client_row(handler, now) if _is_client(handler, listeners) else None

        return page_of(self._reactor.handlers, start, row)

    async def demand(self, sessions: int | None) -> Demand:
        """Return what so many clients, or those there are, demand of the operating system."""
        held = self._holder.table.count
        return Demand(
            sessions=held if sessions is None else sessions,
            listeners=self._holder.listeners.count,
            backlog=self._settings.backlog,
            held=held,
            user_bytes=self._settings.user_bytes,
        )

    async def aclose(self) -> None:
        """Close every session and every listener, and stop."""
        self._reactor.close()
        self._holder.close_all()

    def _listen(self, item: SocketAddress) -> SocketType:
        """Return a listening socket; raises SessionerError."""
        sock = listen_on(item, self._settings)
        if not self._buffers_told:
            self._buffers_told = True
            for line in cut_buffers(sock, self._settings):
                log.warning("%s", line)
        return sock

    async def _take(self, mode: str, items: Sequence[SocketAddress], sockets: Sequence[SocketType]) -> list[Address]:
        """Do what `take_listeners` does, while nothing else is changed."""
        taken: list[Address] = []
        added: list[Listener] = []
        try:
            behaviour = self._holder.behaviour(mode)
            for item, sock in zip(items, sockets, strict=True):
                listener = Listener(sock, item, self._holder, behaviour)
                known = next(iter(self._holder.listeners.find(listener.key)), None)
                try:
                    if known:
                        self._holder.doors.change(known, sock)
                    else:
                        self._holder.add(listener)
                        added.append(listener)
                except OSError as failure:
                    raise refused(listener.address, failure) from None
                taken.append(listener.address)
                if len(taken) % SOCKETS == 0:
                    await asyncio.sleep(0)
        except (SessionerError, asyncio.CancelledError):
            for listener in added:
                self._holder.remove(listener)
            for sock in sockets[len(taken) :]:
                sock.close()
            raise
        return taken

    async def _listeners_of(self, endpoint: Endpoint | Sequence[tuple[str, int]]) -> list[Listener]:
        """Return the listeners on the addresses that an endpoint names, or on these; raises UsageError without any."""
        if isinstance(endpoint, Endpoint):
            addresses: Sequence[tuple[str, int]] = [item.address for item in await resolve(endpoint)]
        else:
            addresses = endpoint
        found: list[Listener] = []
        for number, address in enumerate(addresses, 1):
            found += self._holder.listeners.find(address_key(*address))
            if number % _FOUND == 0:
                await asyncio.sleep(0)
        if not found:
            named = endpoint if isinstance(endpoint, Endpoint) else Address(*addresses[0])
            raise UsageError(f"{named} is no listener; `listeners` shows them")
        return found

    async def _clients_of(self, address: Address) -> list[Client]:
        """Return the clients with this peer address, looked up under every port that clients were accepted on."""
        clients: list[Client] = []
        by_port = {listener.address.port: listener for listener in self._holder.all_listeners()}

        def look_up() -> Job:
            for number, listener in enumerate(by_port.values(), 1):
                clients.extend(self._holder.table.find(listener.client_key(address)))
                if number % _LOOK_UPS == 0:
                    yield

        await self._reactor.run(look_up())
        if not clients:
            raise UsageError(f"no listener and no client has the address {address}; `listeners` and `list` show them")
        return clients

    def _beat(self) -> None:
        self._rate.sample(self._reactor.now, self._holder.accepted)
        self._holder.watch.sample(self._reactor.now)


def _is_client(handler: Handler | None, listeners: set[Listener] | None) -> TypeGuard[Client]:
    return isinstance(handler, Client) and (listeners is None or handler.listener in listeners)


def _listener_row(listener: Listener) -> ListenerRow:
    return ListenerRow(
        listener=str(listener.address),
        accepted=listener.accepted,
        held=listener.held,
        mode=listener.behaviour.mode,
        received=listener.received,
        sent=listener.sent,
        messages=listener.messages,
    )


def _client_row(client: Client, now: float) -> ClientRow:
    return ClientRow(
        peer=str(client.peer),
        local=str(_local(client)),
        idle=now - client.active,
        age=now - client.since,
    )


def _local(client: Client) -> Address:
    """Return our end of a client's session, which a listener on every address does not tell."""
    listener = client.listener
    if listener.address.host in _ANY:
        try:
            return local_address(client.descriptor, listener.family)
        except OSError:
            pass
    return listener.address
