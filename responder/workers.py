"""The responder's engine in several processes: listeners that this one keeps, and clients shared out by the kernel."""

import asyncio
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from socket import SocketType
from time import monotonic
from typing import Any, Final, TypeVar

from common.addresses import Address, Endpoint
from common.errors import SessionerError, UsageError
from common.fleet.console import Fleet, open_fleet
from common.histogram import Histogram
from common.limits import Demand
from common.options import Process
from common.paging import ROWS, Page
from common.resolver import SocketAddress, resolve
from common.socket_options import cut_buffers
from common.workers.division import MOST_WORKERS, divide_up, workers_needed
from common.workers.every import Divided, every, nothing, same, shared
from common.workers.merge import merged
from common.workers.paging import follow_pages
from common.workers.pool import SILENT, Member, Origin, Pool
from common.workers.process import Zygote
from responder.engine import Engine
from responder.finishing import finish
from responder.holder import capacity
from responder.listening import listen_together
from responder.merging import (
    NO_COUNTS,
    RULES,
    Counts,
    add_up,
    listener_row,
    merge_snapshots,
    remaining_counts,
    remains,
)
from responder.settings import Settings, check_mode
from responder.snapshot import ClientRow, ListenerRow, Snapshot
from responder.worker import NEARLY_FULL, State

log = logging.getLogger("sessioner.responder")

_MODULE: Final = "responder.worker"

T = TypeVar("T")

# How much fuller a worker that accepts is than one that takes over from it; and where none is begun, when all are
# nearly full. Taking over costs both some milliseconds: as much as a hundred clients.
_AHEAD: Final = 0.1
_AHEAD_AT_LAST: Final = 0.02

# Sockets that a worker is given at once in the place of others: it has room for them however full it is.
_CHANGED_AT_ONCE: Final = 8

# Sockets that all workers are given at once, and each of them at least: those under way count against the limit of
# descriptors, of all processes of a user together (unix(7)), and the message that names them takes a millisecond.
_GIVEN_AT_ONCE: Final = 256
_LEAST_GIVEN: Final = 16

# Sockets that are opened or closed before everybody else has a turn: two milliseconds.
_SOCKETS: Final = 100

# Counts of listeners that are added up before everybody else has a turn: a millisecond.
_FOLDED: Final = 500

# The seat of a worker that could not be given all sockets of one: it accepts nothing, on some of the last seat.
_BETWEEN: Final = -1

# Seconds after a worker could not be relieved before that is tried again.
_PAUSE: Final = 5.0

# Seconds between two looks at how many clients there are while that is waited for.
_LOOK: Final = 0.2


@dataclass(slots=True)
class Listener:
    """An address that is listened on: one socket for each seat, kept here so that none of their queues ends."""

    item: SocketAddress
    mode: str
    sockets: list[SocketType]


def _hashsize_part(_number: int, count: int, hashsize: int) -> Sequence[Any]:
    return (divide_up(hashsize, count),)


class Workers(Divided):
    """Listeners with a socket for each seat, and workers that have one seat each; several may have the same.

    A seat is a place among which the kernel shares out the clients. One of those that have a seat accepts on its
    sockets, `_accepting`, until it is ahead of another one by some; the others hold clients only. More that accept than
    there are cores would all be woken, each for few clients. None for `count` begins as many as are needed.
    """

    def __init__(self, settings: Settings, count: int | None, seats: int, origin: Origin) -> None:
        super().__init__()
        self._settings = settings
        self._auto = count is None
        self._least = count or seats
        self._seats = min(seats, self._least)
        self._seat_of = [number % self._seats for number in range(self._least)]
        self._accepting = list(range(self._seats))
        self._listeners: dict[Address, Listener] = {}
        self._buffers_told = False
        self._remains: list[Snapshot] = []
        self._remaining_latencies: list[Histogram] = []
        self._mode = settings.mode
        self._remaining_counts: dict[tuple[str, int], Counts] = {}
        # Of workers that have ended, until it is added to those.
        self._departed: list[dict[tuple[str, int], Counts]] = []
        self._folding: asyncio.Task[None] | None = None
        self._relieving: asyncio.Task[None] | None = None
        self._refused = ""
        self._relieve_from = 0.0
        self.pool: Pool[State] = Pool(origin, self._settings_of, self._lost, self._restore)
        self.pool.on_told = self._look_at

    async def open(self) -> None:
        """Begin the workers; raises SessionerError."""
        await self.pool.grow(self._least)
        resting = [member for member in self.pool.members if not self._accepts(member)]
        await self.pool.each("set_accepting", [(False,)] * len(resting), resting)

    set_hashsize = every(Engine.set_hashsize, nothing, _hashsize_part, keep=True)
    drop = shared(Engine.drop, sum)

    async def add_listeners(self, endpoint: Endpoint, mode: str | None = None) -> list[Address]:
        """Listen as the engine does, with a socket for each seat."""
        check_mode(mode or self._mode, self._settings)
        made: dict[Address, Listener] = {}
        try:
            for item in await resolve(endpoint):
                sockets = listen_together(item, self._settings, self._seats)
                made[Address(item.address.host, sockets[0].getsockname()[1])] = Listener(item, "", sockets)
                if len(made) % _turns(self._seats + 1) == 0:
                    await asyncio.sleep(0)
            if not self._buffers_told:
                self._buffers_told = True
                for line in cut_buffers(next(iter(made.values())).sockets[0], self._settings):
                    log.warning("%s", line)
            await self._take_in_use(made, mode)
        except BaseException:
            await finish(_close(made.values()))
            raise
        return list(made)

    async def remove_listeners(self, endpoint: Endpoint) -> int:
        """Stop listening as the engine does."""
        named = await resolve(endpoint)
        async with self.pool.changing:
            found = self._known(endpoint, named)
            await finish(self._withdraw(found))
        return len(found)

    async def set_mode(self, mode: str, endpoint: Endpoint | None) -> int:
        """Change the mode as the engine does."""
        check_mode(mode, self._settings)
        named = await resolve(endpoint) if endpoint else None
        async with self.pool.changing:
            found = self._known(endpoint, named) if endpoint and named else list(self._listeners)
            if endpoint is None:
                self._mode = mode
            for address in found:
                self._listeners[address].mode = mode
            await finish(self.ask("set_mode", same, (mode, _plain(found) if endpoint else None)))
        return len(found)

    async def set_marker(self, enabled: bool) -> None:
        """Look for markers as the engine does, and begin to count afresh."""
        async with self.pool.changing:
            self._remains = [replace(snapshot, marker=None) for snapshot in self._remains]
            self._remaining_latencies.clear()
            await finish(self.ask("set_marker", same, (enabled,), keep=True))

    async def wait_clients(self, count: int) -> None:
        """Return when at least so many clients are connected."""
        while (await self.snapshot()).held < count:
            await asyncio.sleep(_LOOK)
            await self.pool.refresh()

    async def snapshot(self) -> Snapshot:
        """Return the figures of all workers, as they were told last; O(workers)."""
        told = self.pool.states()
        parts = [replace(each.state.snapshot, age=each.age) for each in told]
        known = [latency for each in told if (latency := each.state.marker_latency)]
        whole = merge_snapshots([*parts, *self._remains], [*known, *self._remaining_latencies])
        return replace(whole, listeners=len(self._listeners), workers=self.pool.figures())

    async def listener_page(self, start: int) -> Page[ListenerRow]:
        """Return a page of the listeners, in the order they were added, as the workers told of them last."""
        states = [told.state for told in self.pool.states()]

        def row(address: Address, listener: Listener) -> ListenerRow:
            told = [state.counts[address] for state in states if address in state.counts]
            ended = [remaining_counts(counts[address]) for counts in self._departed if address in counts]
            remaining = self._remaining_counts.get(address, NO_COUNTS)
            return listener_row(address, listener.mode, [*told, *ended, remaining])

        following = start + ROWS
        page = [row(*item) for item in islice(self._listeners.items(), start, following)]
        return Page(page, following if following < len(self._listeners) else None)

    async def listener_names(self) -> list[str]:
        """Return the first of the listeners' addresses, as the engine does."""
        return [str(address) for address in islice(self._listeners, ROWS)]

    async def session_page(self, address: Address | None, start: int) -> Page[ClientRow]:
        """Return a page of the clients, worker after worker; raises UsageError as the engine does."""
        return await follow_pages(self.pool, "session_page", (address,), start)

    async def demand(self, sessions: int | None) -> Demand:
        """Return what so many clients, or those there are, demand of the operating system."""
        held, count = (await self.snapshot()).held, len(self.pool.members)
        wanted = held if sessions is None else sessions
        return Demand(
            sessions=wanted,
            listeners=len(self._listeners),
            backlog=self._settings.backlog,
            held=held,
            workers=workers_needed(wanted, capacity(len(self._listeners)), count) if self._auto else count,
            kept=sum(len(listener.sockets) for listener in self._listeners.values()),
            user_bytes=self._settings.user_bytes,
        )

    async def aclose(self) -> None:
        """Close every session and every listener, and end the workers."""
        for task in (self._relieving, self._folding):
            if task:
                task.cancel()
                await asyncio.wait([task])
        await self.pool.close()
        await _close(self._listeners.values())

    def _settings_of(self, _number: int) -> Settings:
        return replace(self._settings, hashsize=divide_up(self._settings.hashsize, self._least))

    def _known(self, endpoint: Endpoint, named: Sequence[SocketAddress]) -> list[Address]:
        """Return the addresses listened on of those that an endpoint names; raises UsageError when there is none.

        The workers are given these: they need not resolve a name as it was resolved here.
        """
        found = [item.address for item in named if item.address in self._listeners]
        if not found:
            raise UsageError(f"{endpoint} is no listener; `listeners` shows them")
        return found

    def _lost(self, member: Member[State]) -> None:
        """Keep the counts of a worker that has ended."""
        if member.told:
            state = member.told.state
            self._remains = [merged([*self._remains, remains(state.snapshot)], RULES)]
            if latency := state.marker_latency:
                self._remaining_latencies.append(latency)
            self._departed.append(dict(state.counts))
            if not self._folding or self._folding.done():
                self._folding = asyncio.create_task(self._fold())

    async def _fold(self) -> None:
        """Add up what workers that have ended have counted, a part at a time: all of it is in one place always."""
        while self._departed:
            counts = self._departed[0]
            for _ in range(min(_FOLDED, len(counts))):
                address, own = counts.popitem()
                if address in self._listeners:
                    before = self._remaining_counts.get(address, NO_COUNTS)
                    self._remaining_counts[address] = add_up(before, remaining_counts(own))
            if not counts:
                self._departed.pop(0)
            await asyncio.sleep(0)

    async def _take_in_use(self, made: Mapping[Address, Listener], mode: str | None) -> None:
        """Have the workers accept on new listeners, some at a time, or on none of them."""
        async with self.pool.changing:
            for address in made:
                if address in self._listeners:
                    raise SessionerError(f"cannot listen on {address}: it is a listener already")
            try:
                for some in parts(list(made.items()), len(self.pool.members)):
                    for address, listener in some:
                        listener.mode = mode or self._mode
                        self._listeners[address] = listener
                    await finish(self._share([listener for _, listener in some]))
            except BaseException:
                await finish(self._withdraw([address for address in made if address in self._listeners]))
                raise

    async def _share(self, listeners: Sequence[Listener]) -> None:
        """Give every worker its sockets of some new listeners, which have the same mode; raises SessionerError."""
        members, items = self.pool.members, [listener.item for listener in listeners]
        arguments = [(listeners[0].mode, items)] * len(members)
        sockets = [[each.sockets[self._seat_of[member.number]] for each in listeners] for member in members]
        await self.pool.each("take_listeners", arguments, members, sockets)

    async def _withdraw(self, addresses: Sequence[Address]) -> None:
        """Listen on some addresses no more."""
        await _close(map(self._forget, addresses))
        await self.ask("close_listeners", same, (_plain(addresses),))

    def _forget(self, address: Address) -> Listener:
        """Return a listener, of which nothing is known any more."""
        for counts in (self._remaining_counts, *self._departed):
            counts.pop(address, None)
        return self._listeners.pop(address)

    async def _restore(self, member: Member[State]) -> None:
        """Let a new worker do what its place is."""
        await self._make_alike(member)
        await self._seat(member, self._seat_of[member.number])

    async def _make_alike(self, member: Member[State]) -> None:
        """Let a new worker be as the others are, apart from the listeners."""
        if not self._accepts(member):
            await self.pool.call(member, "set_accepting", False)
        await self.repeat([member])

    async def _seat(self, member: Member[State], seat: int) -> None:
        """Give a worker the sockets of a seat; raises SessionerError, and it is between two seats then."""
        has_some = member.told and member.told.state.snapshot.listeners
        at_once = _CHANGED_AT_ONCE if has_some else _GIVEN_AT_ONCE
        self._seat_of[member.number] = _BETWEEN
        for mode, listeners in self._by_mode().items():
            for at in range(0, len(listeners), at_once):
                some = listeners[at : at + at_once]
                items, sockets = [each.item for each in some], [each.sockets[seat] for each in some]
                await self.pool.call(member, "take_listeners", mode, items, sockets=sockets)
        self._seat_of[member.number] = seat

    def _by_mode(self) -> dict[str, list[Listener]]:
        found: dict[str, list[Listener]] = {}
        for listener in self._listeners.values():
            found.setdefault(listener.mode, []).append(listener)
        return found

    def _accepts(self, member: Member[State]) -> bool:
        seat = self._seat_of[member.number]
        return seat != _BETWEEN and self._accepting[seat] == member.number

    def _look_at(self, _member: Member[State]) -> None:
        """Have workers relieved that have accepted enough, one at a time."""
        if monotonic() < self._relieve_from or (self._relieving and not self._relieving.done()):
            return
        if self._due():
            self._relieving = asyncio.create_task(self._relieve_all())

    def _due(self) -> tuple[int, Member[State] | None] | None:
        """Return a seat whose worker is to be relieved, and by whom: None by a new one."""
        members = self.pool.members
        resting = [each for each in members if each.told and not self._accepts(each) and each.silence() < SILENT]
        least = min(resting, key=_load, default=None)
        growing = self._auto and len(members) < MOST_WORKERS
        for seat, number in enumerate(self._accepting):
            if number >= len(members):
                continue
            member = members[number]
            if least and self._seat_of[number] != seat:  # it could not be given its sockets
                return seat, least
            load = _load(member)
            ahead = _AHEAD if growing or load < NEARLY_FULL else _AHEAD_AT_LAST
            if least and (load - _load(least) >= ahead or member.silence() >= SILENT):
                return seat, least
            if growing and load >= NEARLY_FULL:
                return seat, None
        return None

    async def _relieve_all(self) -> None:
        """Let others accept in the place of those that have accepted enough, or accept nothing for they are silent."""
        while True:
            async with self.pool.changing:
                due = self._due()
                if not due:
                    return
                seat, relief = due
                member = self.pool.members[self._accepting[seat]]
                try:
                    await (self._take_over(relief, seat) if relief else self._begin_at(seat))
                except SessionerError as error:
                    self._relieve_from = monotonic() + _PAUSE
                    if self._refused != (refused := str(error)):
                        self._refused = refused
                        log.warning("%s has enough clients, and cannot be relieved: %s", member.name, error)
                    return
                self._refused = ""
                if member is not relief:
                    await self.pool.call(member, "set_accepting", False)
            log.debug("%s accepts no more, worker %d does", member.name, self._accepting[seat] + 1)

    async def _take_over(self, relief: Member[State], seat: int) -> None:
        """Let a worker that accepts nothing accept at a seat, which may be another one than it has had."""
        if self._seat_of[relief.number] != seat:
            await self._seat(relief, seat)
        self._accepting[seat] = relief.number
        await self.pool.call(relief, "set_accepting", True)

    async def _begin_at(self, seat: int) -> None:
        """Begin a worker that accepts at a seat; raises SessionerError, and leaves it to whom it is then."""
        number = len(self.pool.members)
        self._seat_of.append(_BETWEEN)
        try:
            (relief,) = await self.pool.grow(number + 1)
        except BaseException:
            self._seat_of.pop()
            raise
        await self._make_alike(relief)
        await self._seat(relief, seat)
        await self._take_over(relief, seat)


def _load(member: Member[State]) -> float:
    """Return which part of a worker's room is used, 1.0 or more for one that has to let its clients wait."""
    if not member.told:
        return 0.0
    now = member.told.state.snapshot
    return max(now.held / capacity(now.listeners), float(now.paused))


async def _close(listeners: Iterable[Listener]) -> None:
    """Close the sockets of listeners, some at a time."""
    for number, listener in enumerate(listeners, 1):
        for sock in listener.sockets:
            sock.close()
        if number % _turns(len(listener.sockets)) == 0:
            await asyncio.sleep(0)


def _turns(sockets: int) -> int:
    """Return after how many addresses, of so many sockets each, it is others' turn."""
    return max(1, _SOCKETS // max(1, sockets))


def parts(items: Sequence[T], workers: int) -> Iterator[Sequence[T]]:
    """Yield what is given to so many workers at once, part after part."""
    at_once = max(_LEAST_GIVEN, _GIVEN_AT_ONCE // max(1, workers))
    for at in range(0, len(items), at_once):
        yield items[at : at + at_once]


def _plain(addresses: Iterable[Address]) -> list[tuple[str, int]]:
    """Return addresses as a worker is told them: as what they are they take ten times as long to send and to read."""
    return [(host, port) for host, port in addresses]


AnyEngine = Engine | Workers | Fleet


async def open_engine(settings: Settings, process: Process) -> AnyEngine:
    """Return the engine, in this process or in as many as it is to have; raises SessionerError."""
    if process.fleet:
        return await open_fleet("responder", settings, process)
    if process.workers == 1:
        return Engine(settings)
    cores = len(os.sched_getaffinity(0))
    workers = Workers(settings, process.workers, cores, Zygote(_MODULE, process.loop))
    try:
        await workers.open()
    except BaseException:
        await workers.aclose()
        raise
    return workers
