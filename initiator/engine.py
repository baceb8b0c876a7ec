"""The initiator's engine: everything but the prompt, driven through its async methods and its snapshots."""

import asyncio
import logging
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import gcd
from socket import AF_INET, SOCK_STREAM, socket
from time import monotonic
from typing import Any, Final, TypeGuard

from common.addresses import Address, Endpoint, address_key, key_address
from common.coarse import STEP
from common.dump import Dump
from common.errors import SessionerError, UsageError
from common.limits import Demand
from common.paging import Page, page_of
from common.rate import Rate
from common.reactor import Handler, Job, Reactor
from common.resolver import SocketAddress, resolve
from common.shares import share_out
from common.socket_options import cut_buffers, socket_options
from common.sockets import segments
from common.system import descriptor_limits
from common.turns import in_turns
from initiator.churn_figures import Tally
from initiator.holder import Holder
from initiator.latencies import Latencies
from initiator.probes.ages import AgesFigures
from initiator.probes.figures import IdleSettings, RateSettings
from initiator.probes.idle import FindIdle
from initiator.probes.own import OwnSessions
from initiator.probes.parts import OnePart, Part
from initiator.probes.running import DividedSettings, Probe, ProbeSettings, Probing, divided_probe, part_of
from initiator.session import HELD, Session, State
from initiator.settings import Settings, check_plain
from initiator.snapshot import Segments, SessionRow, Snapshot, TargetSnapshot
from initiator.target import Target
from initiator.targets import known_targets, new_targets, no_target, not_a_target, table_size
from initiator.totals import Totals
from initiator.workloads.campaign import Campaigns
from initiator.workloads.churn import Churn, ChurnSettings
from initiator.workloads.goals import Goal, each_in_turn
from initiator.workloads.query import Query, QuerySettings
from initiator.workloads.query_csv import FileCsv, QueryCsv
from initiator.workloads.rate_search import RateSearches
from initiator.workloads.schedule import Schedule
from initiator.workloads.send import Send, SendSettings

log = logging.getLogger("sessioner.initiator")

# Buckets that are added to a table that is being resized, or taken from it, in one step, and targets whose figures are
# added up in one: a tenth of a millisecond each.
_RESIZE_STEPS: Final = 100
_ADDED_UP: Final = 256

# Seconds by which the time when something was heard may be too early: it is shared, and taken before a batch of events.
_HEARD_OFF: Final = STEP + 0.01

# Descriptors drawn in one step of a sample: a third of a millisecond where there is a session at each.
_DRAWN: Final = 64


class Engine(Campaigns, RateSearches, Probing):
    """Targets and their sessions; to be made and used inside a running loop."""

    def __init__(self, settings: Settings) -> None:
        Campaigns.__init__(self)
        Probing.__init__(self)
        self._settings = settings
        self._reactor = Reactor()
        self._holder = Holder(self._reactor, settings)
        self._targets = self._holder.targets
        # Held by whoever changes the targets or their shares, for many of them others have turns meanwhile.
        self._changing = asyncio.Lock()
        self._rate = Rate()
        self._traffic_rates = (Rate(), Rate())
        self._query: Query | None = None
        # Identifiers that answers to earlier queries may still have.
        self._reserved: dict[Session, dict[int, str]] = {}
        self._send: Send | None = None
        self._earlier = Totals()
        self._churn: Churn | None = None
        self._goals: Iterator[Goal] = iter(())
        self._goals_for: tuple[ChurnSettings, list[Target]] | None = None
        self._parts: dict[tuple[str, int], Part] = {}
        self._reactor.on_beat(self._beat)
        self._tell_buffers()
        if settings.ping:
            self._holder.ping.switch(True)

    async def add_targets(self, endpoint: Endpoint, hashsize: int | None) -> int:
        """Add every address that the endpoint names, with one session each; return how many were new.

        Each one's table starts with `hashsize` buckets, or with as many as suit the number of them.
        Raises SessionerError when the host cannot be resolved, UsageError when all are targets already.
        """
        resolved = await resolve(endpoint)
        async with self._changing:
            found = await new_targets(endpoint, resolved, self._targets)
            size = table_size(hashsize, len(found))
            await self._hold((item, size, 1) for item in found)
        return len(found)

    async def hold_targets(self, targets: Sequence[tuple[SocketAddress, int, int]]) -> None:
        """Add targets, each with the size its table starts with and its share."""
        async with self._changing:
            await self._hold(targets)

    async def remove_targets(self, endpoint: Endpoint) -> int:
        """Close the sessions of the targets that the endpoint names, and forget them; return how many they were.

        Raises UsageError when there is none of them.
        """
        resolved = await resolve(endpoint)
        async with self._changing:
            known = await known_targets(endpoint, resolved, self._targets)
            await self._forget(known)
        return len(known)

    async def forget_targets(self, addresses: Sequence[Address]) -> None:
        """Close the sessions of these targets, and forget them."""
        async with self._changing:
            await self._forget(addresses)

    async def set_sessions(self, count: int, address: Address | None) -> None:
        """Ask for so many sessions over all targets, or of one target alone; raises UsageError."""
        async with self._changing:
            targets = [self._target(address)] if address else self._opened(None)
            shares = share_out(count, len(targets))
            async for target, share in in_turns(zip(targets, shares, strict=True)):
                self._holder.ask(target, share)

    async def set_shares(self, start: int, shares: Sequence[int], processes: int) -> None:
        """Ask for so many sessions of each of some targets, in the order in which they were added, from `start` on.

        So many processes of ours, with this one, do that at the same time.
        """
        async with self._changing:
            self._holder.processes = processes
            targets = list(self._targets.values())[start : start + len(shares)]
            async for target, share in in_turns(zip(targets, shares, strict=True)):
                if share != target.share:
                    self._holder.ask(target, share)

    async def set_rate(self, rate: float | None) -> None:
        """Begin at most `rate` attempts a second, or as many as can be for None."""
        self._holder.opener.set_rate(rate)

    async def set_ping(self, enabled: bool | None) -> bool:
        """Switch ping on or off, or over for None; return whether it is on."""
        ping = self._holder.ping
        ping.switch(not ping.enabled if enabled is None else enabled)
        return ping.enabled

    async def set_ping_interval(self, interval: tuple[float, float]) -> None:
        """Ping each session after a time drawn from this interval, in seconds."""
        self._holder.ping.set_interval(interval)

    async def set_lifetime(self, seconds: float | None) -> None:
        """Close and replace each session so many seconds after its establishment, or never for None."""
        self._holder.lifetime.set(seconds)

    async def set_dump(self, dump: Dump | None) -> Dump | None:
        """Show traffic, or stop; return what was shown before."""
        before, self._holder.dump = self._holder.dump, dump
        return before

    async def set_hashsize(self, hashsize: int, address: Address | None) -> None:
        """Resize the table of one target or of all, a few buckets at a time; raises UsageError."""
        targets = [self._target(address)] if address else list(self._targets.values())
        async for target in in_turns(targets):
            target.table.resize(hashsize)
        self._reactor.start(_resize(targets))

    async def drop(self, what: int | Address, reset: bool) -> int:
        """End so many sessions, or those of a target or of one local address, by FIN or by RST; return how many.

        They are replaced. Raises UsageError for an address that no target and no session has.
        """
        most, target = (what, None) if isinstance(what, int) else (len(self._reactor.handlers), None)
        if isinstance(what, Address):
            target = self._targets.get(what)
            if not target:
                self._holder.drop(await self._session(what), reset)
                return 1
        begin, dropped = monotonic(), 0

        def visit(handler: Handler) -> bool:
            nonlocal dropped
            if dropped < most and _is_held(handler, target) and handler.since <= begin:
                self._holder.drop(handler, reset)
                dropped += 1
            return dropped >= most

        await self._reactor.run(self._reactor.walk(visit))
        return dropped

    async def wait_held(self) -> None:
        """Return when as many sessions are held as are asked for."""
        await self._holder.wait_held()

    async def start_query(self, settings: QuerySettings, csv: QueryCsv | None = None) -> None:
        """Send queries over the held sessions, those of one target where one is given; raises SessionerError.

        A row for each query and each answer goes to `csv`, which begins if nothing stands in the way, or where there
        are several workers to the file that the settings name.
        """
        self._check_free(settings.target)
        if settings.csv is not None and settings.worker is not None:
            csv = FileCsv(settings.csv, settings.worker)
        if csv:
            csv.begin()
        holder = self._holder
        earlier = self._over_held_sessions()
        reserved = {session: ids for session, ids in self._reserved.items() if session.state in HELD}
        try:
            query = Query(
                self._reactor,
                holder.deadlines,
                settings,
                holder.latencies,
                holder.traffic,
                reserved,
                holder.ping.guard,
                csv,
            )
        except OSError as failure:
            if csv:
                csv.finish()
            raise _no_timer("query", failure) from None
        self._earlier, self._query, self._send, self._reserved = earlier, query, None, reserved
        self._own_sessions(query)

    async def change_query(self, schedule: Schedule) -> None:
        """Let the queries follow another schedule from now on; raises UsageError when none are sent."""
        self._sending_query().change(schedule)

    async def query_schedule(self) -> Schedule:
        """Return what is left of the schedule that queries follow; raises UsageError when none are sent."""
        return self._sending_query().schedule_left()

    async def stop_query(self) -> None:
        """Send no more queries, and take what is still answered; raises UsageError when none are sent."""
        self._running_query().stop()

    async def wait_query(self) -> None:
        """Return when the queries have ended; raises UsageError when none have been sent."""
        if self._query is None:
            raise UsageError("no queries have been sent; `query RATE` sends some")
        await asyncio.shield(self._query.done)

    async def start_send(self, settings: SendSettings) -> None:
        """Send messages over the held sessions, those of one target where one is given; raises SessionerError."""
        self._check_free(settings.target)
        holder = self._holder
        earlier = self._over_held_sessions()
        try:
            send = Send(
                self._reactor,
                holder.deadlines,
                settings,
                holder.latencies,
                holder.traffic,
                holder.read_at_most,
                holder.ping.guard,
            )
        except OSError as failure:
            raise _no_timer("send", failure) from None
        self._earlier, self._query, self._send = earlier, None, send
        self._own_sessions(send)

    async def change_send(self, rate: float) -> None:
        """Send so many messages a second and session from now on; raises UsageError when none are sent at a rate."""
        send = self._running_send()
        if send.settings.rate is None:
            raise UsageError("the messages are not sent at a rate; `stop send` ends them")
        if not send.is_sending():
            raise UsageError("the messages' time is over, and what they wait for is awaited; `wait send` waits for it")
        send.change(rate)

    async def stop_send(self) -> None:
        """Send no more messages, and take what is still answered; raises UsageError when none are sent."""
        self._running_send().stop()

    async def wait_send(self) -> None:
        """Return when the messages have ended; raises UsageError when none have been sent."""
        if self._send is None:
            raise UsageError("no messages have been sent; `send TEXT` sends some")
        await asyncio.shield(self._send.done)

    async def totals(self) -> Totals:
        """Return what became of the queries, messages and short sessions of all runs."""
        return self._over_held_sessions().plus(churn=self._rates())

    async def begin_rate(self, settings: ChurnSettings, rate: float, number: int) -> None:
        """Begin transactions at a rate (1/s), whose tally has this number; raises SessionerError."""
        targets = self._opened(settings.target)
        if (settings, targets) != self._goals_for:
            goals = [Goal(target) async for target in in_turns(targets)]
            self._goals = each_in_turn(goals, len(self._settings.source_ips), settings.seed)
            self._goals_for = settings, targets
        earlier = self._earlier.plus(churn=self._rates())
        try:
            self._churn = Churn(self._reactor, self._holder.dialer, self._goals, settings, rate, number)
        except OSError as failure:
            raise _no_timer("churn", failure) from None
        self._earlier = earlier

    async def wait_rate(self) -> None:
        """Return when its time is over, and no transaction is under way any more."""
        if self._churn:
            await asyncio.shield(self._churn.done)

    async def stop_rate(self) -> None:
        """Begin no more transactions, and give up those under way."""
        if self._churn:
            self._churn.stop()

    def tally(self) -> Tally | None:
        """Return what has become of the transactions at the rate that is tried, or was last."""
        return self._churn.tally() if self._churn else None

    def check_open(self, target: Address | None) -> None:
        """Raise UsageError where there is nothing that sessions could be opened to."""
        check_plain(self._settings)
        self._opened(target)

    def make_probe(self, settings: ProbeSettings) -> Probe:
        """Return a probe that has all its sessions here."""
        targets = self._opened(settings.target)
        if isinstance(settings, IdleSettings):
            return FindIdle(self._own_of(settings, targets), settings)
        part = part_of(settings, self._reactor, self._own_of(settings, targets), targets)
        return divided_probe(settings, OnePart(part), [target.address for target in targets])

    async def begin_part(self, name: str, number: int, settings: DividedSettings) -> bool:
        """Have a part, of this number, in a probe; targets have their turn from another one on in each."""
        await self.end_part(name, number)
        targets = self._opened(settings.target)
        turn = number % len(targets)
        targets = targets[turn:] + targets[:turn]
        self._parts[name, number] = part_of(settings, self._reactor, self._own_of(settings, targets), targets)
        return True

    async def in_part(self, name: str, number: int, method: str, *arguments: Any) -> Any:
        """Return what a method of a part returns."""
        return await getattr(self._parts[name, number], method)(*arguments)

    async def end_part(self, name: str, number: int) -> None:
        """End all sessions of a part, if there is one."""
        part = self._parts.pop((name, number), None)
        if part:
            await part.close()

    async def ages(self, address: Address | None) -> AgesFigures:
        """Return how old the lost sessions were, those of one target where one is given; raises UsageError."""
        if address:
            self._target(address)
        return self._holder.ages.figures(address)

    async def settings(self) -> Settings:
        """Return what the process was started with."""
        return self._settings

    @property
    def measured(self) -> Latencies:
        """The latencies themselves, which go on counting: for whoever looks at them at once."""
        return self._holder.latencies

    async def latencies(self) -> Latencies:
        """Return the counts of this moment."""
        return self._holder.latencies.copy()

    async def sample_segments(self, most: int) -> Segments:
        """Return the segments of at most so many held sessions, drawn at random, in slices."""
        counts: list[tuple[int, int, int]] = []
        await self._reactor.run(self._draw_segments(most, counts))
        return Segments(len(counts), *(sum(column) for column in zip((0, 0, 0), *counts, strict=True)))

    async def reset_latencies(self, name: str | None = None) -> None:
        """Start all latencies afresh, or one of them."""
        latencies = self._holder.latencies
        (getattr(latencies, name) if name else latencies).reset()

    async def refresh(self) -> None:
        """Do nothing: a snapshot is of its moment."""

    async def snapshot(self) -> Snapshot:
        """Return the figures of this moment; those of many targets are added up in slices."""
        holder, opener = self._holder, self._holder.opener
        hashsize, max_depth, pausing = await self._over_targets()
        p50, p99 = holder.ping.round_trips.percentiles((50, 99))
        return Snapshot(
            age=0.0,
            asked=self._holder.asked,
            held=holder.held,
            targets=len(self._targets),
            descriptors=descriptor_limits(),
            ping=holder.ping.enabled,
            rate=self._rate.per_second,
            attempts=opener.attempts,
            established=holder.established,
            confirmed=holder.confirmed.ever,
            confirmed_last_minute=holder.confirmed.last_minute(monotonic()),
            losses=dict(holder.losses),
            failures=dict(opener.failures),
            pausing_targets=pausing,
            exhausted=tuple(sorted(opener.shortages.kinds)),
            targets_without_ports=len(opener.without_ports),
            pings_answered=holder.ping.round_trips.count,
            round_trip_p50=p50,
            round_trip_p99=p99,
            hashsize=hashsize,
            max_depth=max_depth,
            longest_pause=self._reactor.longest_pause,
            traffic=replace(holder.traffic),
            receive_rate=self._traffic_rates[0].per_second,
            send_rate=self._traffic_rates[1].per_second,
            query=self._query.figures() if self._query else None,
            query_p95=holder.latencies.query.corrected.percentiles((95,))[0],
            send=self._send.figures() if self._send else None,
            message_p95=holder.latencies.message.corrected.percentiles((95,))[0],
            lifetime=holder.lifetime.seconds,
            replaced=holder.lifetime.replaced,
            dump=str(holder.dump) if holder.dump else None,
            churn=self.churn_figures(),
            probes=self.probes(),
            connect_rate=opener.rate,
            ping_interval=holder.ping.interval,
        )

    async def target_page(self, start: int) -> Page[TargetSnapshot]:
        """Return a page of the targets, in the order they were added."""
        return page_of(list(self._targets.values()), start, self._describe)

    async def session_page(self, address: Address | None, start: int) -> Page[SessionRow]:
        """Return a page of the held sessions, those of one target or of one local address where one is given.

        Raises UsageError for an address that no target and no session has.
        """
        target = self._targets.get(address) if address else None
        if address and not target:
            session = await self._session(address)
            return Page([self._row(session, monotonic())], None)
        now = monotonic()

        def row(handler: Handler | None) -> SessionRow | None:
            return self._row(handler, now) if _is_held(handler, target) else None

        return page_of(self._reactor.handlers, start, row)

    async def demand(self, sessions: int | None) -> Demand:
        """Return what so many sessions, or those asked for, demand of the operating system."""
        sources = max(1, len(self._settings.source_ips))
        return Demand(
            sessions=self._holder.asked if sessions is None else sessions,
            tuples=len(self._targets) * sources,
            held=self._holder.held,
            user_bytes=self._settings.user_bytes,
        )

    async def aclose(self) -> None:
        """Close every session and stop."""
        if self._query:
            await self._query.aclose()
        if self._send:
            self._send.close()
        await self.end_campaign()
        if self._churn:
            self._churn.stop()
            await self._churn.done
        await self.end_probes()
        for name, number in list(self._parts):
            await self.end_part(name, number)
        self._reactor.close()
        self._holder.close_all()

    async def _hold(self, targets: Iterable[tuple[SocketAddress, int, int]]) -> None:
        async for item, hashsize, share in in_turns(targets):
            target = Target(item, hashsize, self._holder)
            self._targets[item.address] = target
            self._holder.ask(target, share)

    async def _forget(self, addresses: Sequence[Address]) -> None:
        async for address in in_turns(addresses):
            target = self._targets.pop(address)
            self._holder.ask(target, 0)

    def _over_held_sessions(self) -> Totals:
        """Return the totals of all runs but the churn that is under way, or was last."""
        query, send = self._query, self._send
        return self._earlier.plus(query.figures() if query else None, send.figures() if send else None)

    def _rates(self) -> list[Tally]:
        """Return what has become of the rate of churn that is under way, or was last, if there is one."""
        return [self._churn.tally()] if self._churn else []

    async def _over_targets(self) -> tuple[int, int, int]:
        """Return all buckets of the targets' tables, the longest chain, and how many of them pause."""
        targets = list(self._targets.values())
        hashsize = max_depth = pausing = 0

        def add_up() -> Job:
            nonlocal hashsize, max_depth, pausing
            for start in range(0, len(targets), _ADDED_UP):
                some = targets[start : start + _ADDED_UP]
                hashsize += sum(target.table.hashsize for target in some)
                max_depth = max(max_depth, *(target.table.max_depth for target in some))
                pausing += sum(1 for target in some if target.due)
                yield

        if len(targets) > _ADDED_UP:
            await self._reactor.run(add_up())
        else:
            for _ in add_up():
                pass
        return hashsize, max_depth, pausing

    def _draw_segments(self, most: int, counts: list[tuple[int, int, int]]) -> Job:
        """Put the segments of so many held sessions, or of all there are, into a list; each is drawn once at most.

        A step that has no divisor in common with the number of descriptors leads to all of them.
        """
        handlers = self._reactor.handlers
        length = len(handlers)
        if not length:
            return
        step = next(step for step in iter(lambda: random.randint(1, length), None) if gcd(step, length) == 1)
        place = random.randrange(length)
        for drawn in range(1, length + 1):
            handler = handlers[place]
            if len(counts) == most:
                return
            if _is_held(handler, None):
                counts.append(segments(handler.descriptor))
            place = (place + step) % length
            if drawn % _DRAWN == 0:
                yield

    def _check_free(self, target: Address | None) -> None:
        """Raise UsageError when a workload owns the sessions, or the one wanted is to be on no target of ours."""
        if target:
            self._target(target)
        elif not self._targets:
            raise no_target()
        running = self._query if self._holder.workload is self._query else self._send
        if self._holder.workload:
            what, name = ("queries", "query") if running is self._query else ("messages", "send")
            raise UsageError(f"{what} are being sent over the sessions already; `stop {name}` ends them")

    def _own_sessions(self, run: Query | Send) -> None:
        """Let a workload join every session that is held, and those to come.

        One whose ping is awaited joins when that is answered: the answer would not be what the workload expects.
        """
        self._holder.workload = run

        def join(handler: Handler) -> None:
            if isinstance(handler, Session) and handler.state is State.HELD and not run.done.done():
                self._holder.join(run, handler)

        joining = self._reactor.walk(join)
        next(joining, None)  # what is due before the loop goes on has somewhere to go
        self._reactor.start(joining)

    def _running_send(self) -> Send:
        if self._send is None or self._send.done.done():
            raise UsageError("no messages are being sent; `send TEXT` sends some")
        return self._send

    def _opened(self, address: Address | None) -> list[Target]:
        """Return the target of an address, or all; raises UsageError where there is none."""
        targets = [self._target(address)] if address else list(self._targets.values())
        if not targets:
            raise no_target()
        return targets

    def _own_of(self, settings: ProbeSettings, targets: Sequence[Target]) -> OwnSessions:
        fleeting = isinstance(settings, RateSettings)
        return OwnSessions(self._reactor, self._holder.dialer, targets, self._settings.connect_timeout, fleeting)

    def _running_query(self) -> Query:
        if self._query is None or self._query.ended:
            raise UsageError("no queries are being sent; `query RATE` sends some")
        return self._query

    def _sending_query(self) -> Query:
        query = self._running_query()
        if not query.is_sending():
            raise UsageError("the queries' time is over, and what they wait for is awaited; `wait query` waits for it")
        return query

    def _target(self, address: Address) -> Target:
        target = self._targets.get(address)
        if target is None:
            raise not_a_target(address)
        return target

    async def _session(self, address: Address) -> Session:
        """Return the held session with this local address."""
        key = address_key(*address)
        async for target in in_turns(list(self._targets.values())):
            for session in target.table.find(key):
                return session
        raise UsageError(f"no target and no session has the address {address}; `details` and `list` show them")

    def _describe(self, target: Target) -> TargetSnapshot:
        return TargetSnapshot(
            target=str(target.address),
            share=target.share,
            held=target.held,
            hashsize=target.table.hashsize,
            max_depth=target.table.max_depth,
            attempts=target.attempts,
            established=target.established,
            losses=dict(target.losses),
            failures=dict(target.failures),
            pausing=bool(target.due),
            without_ports=target in self._holder.opener.without_ports,
        )

    def _tell_buffers(self) -> None:
        """Say which buffers the kernel cuts, from a socket like those to come."""
        with socket(AF_INET, SOCK_STREAM) as sock:
            for option in socket_options(self._settings, AF_INET):
                sock.setsockopt(*option)
            for line in cut_buffers(sock, self._settings):
                log.warning("%s", line)

    def _beat(self) -> None:
        now, traffic = self._reactor.now, self._holder.traffic
        self._rate.sample(now, self._holder.established)
        self._traffic_rates[0].sample(now, traffic.received)
        self._traffic_rates[1].sample(now, traffic.sent)
        for run in (self._query, self._send):
            if run and not run.done.done():
                run.beat()
                if run.done.done():
                    self._holder.workload = None
        if self._churn:
            self._churn.beat()

    def _row(self, session: Session, now: float) -> SessionRow:
        sent, heard = session.sent, session.heard and max(session.heard, session.since)
        if heard < sent < heard + _HEARD_OFF:
            # Which was later is not known: they are told alike, and an answer never as older than what it answers.
            sent = heard
        return SessionRow(
            local=str(key_address(session.key)),
            remote=str(session.target.address),
            age=now - session.since,
            sent_ago=now - sent if sent else None,
            heard_ago=now - heard if heard else None,
            confirmed=self._holder.is_confirmed(session),
        )


def _no_timer(name: str, failure: OSError) -> SessionerError:
    return SessionerError(f"{name}: no timer could be made: {failure.strerror}")


def _resize(targets: Sequence[Target]) -> Job:
    """Bring tables to the size they are to have."""
    for target in targets:
        yield from target.table.finish(_RESIZE_STEPS)


def _is_held(handler: Handler | None, target: Target | None) -> TypeGuard[Session]:
    return (
        isinstance(handler, Session)
        and (handler.state is State.HELD or handler.state is State.ASKED)
        and (target is None or handler.target is target)
    )
