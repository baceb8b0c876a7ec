"""The initiator's engine in several processes: the methods of the one engine, each divided among workers."""

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from operator import add, sub
from random import Random
from time import monotonic
from typing import Any, Final, TypeVar

from common.addresses import Address, Endpoint
from common.errors import SessionerError, UsageError
from common.fleet.console import Fleet, open_fleet
from common.limits import Demand
from common.options import Process
from common.paging import Page
from common.resolver import SocketAddress, resolve
from common.shares import share_out
from common.shortages import highest_descriptor
from common.turns import in_turns
from common.workers.division import divide_up, place_of, respread, seed_of, weights_of, workers_needed
from common.workers.every import Divided, begins, ends, every, nothing, same, shared, until_all
from common.workers.merge import merge_rows, merged
from common.workers.paging import follow_pages
from common.workers.pool import Member, Origin, Pool
from common.workers.process import Zygote
from initiator.churn_figures import Tally
from initiator.engine import Engine
from initiator.latencies import Latencies, Latency
from initiator.merging import (
    PERCENTILES,
    RULES,
    merge_latency,
    merge_snapshots,
    merge_tallies,
    remaining_tally,
    remaining_totals,
    remains,
    without_runs,
)
from initiator.probes.ages import merge_ages
from initiator.probes.figures import BENCH, FIND, BenchSettings, IdleSettings
from initiator.probes.running import Probe, ProbeSettings, Probing, divided_probe
from initiator.probes.shared import Elsewhere, Shared
from initiator.settings import Settings, check_plain
from initiator.snapshot import Segments, SessionRow, Snapshot, TargetSnapshot
from initiator.targets import known_targets, new_targets, no_target, not_a_target, table_size
from initiator.totals import Totals
from initiator.worker import LATENCIES, State
from initiator.workloads.campaign import Campaigns
from initiator.workloads.churn import ChurnSettings
from initiator.workloads.query import QuerySettings
from initiator.workloads.query_csv import QueryCsv, begin_rows
from initiator.workloads.rate_search import RateSearches
from initiator.workloads.schedule import Schedule
from initiator.workloads.send import SendSettings

T = TypeVar("T")

_MODULE: Final = "initiator.worker"

# Descriptors of a worker that are no sessions: its loop, its timers, its connection, sessions that end and are
# replaced at the same time.
_OWN: Final = 40

# Targets, and shares of targets, that all workers together are told before others have their turn: five milliseconds.
_TOLD_TARGETS: Final = 1024
_TOLD_SHARES: Final = 16_384

# Workers whose counts of a latency are added up before others have their turn: two milliseconds.
_MERGED: Final = 8


def _rate_part(_number: int, count: int, rate: float | None) -> Sequence[Any]:
    return (rate / count if rate else rate,)


def _hashsize_part(_number: int, count: int, hashsize: int, address: Address | None) -> Sequence[Any]:
    return divide_up(hashsize, count), address


def _query_part(workers: "Workers", number: int, count: int, settings: QuerySettings) -> QuerySettings:
    return replace(
        settings,
        schedule=settings.schedule.scaled(workers.weights(settings.target)[number]),
        seed=seed_of(settings.seed, number),
        phase=(number + settings.phase) / count,
        worker=number,
    )


def _query_seconds(settings: QuerySettings) -> float:
    """Return for how long queries are sent: their end stays when they follow another schedule."""
    return settings.schedule.seconds if settings.seconds is None else settings.seconds


def _no_queries() -> UsageError:
    return UsageError("no queries are being sent; `query RATE` sends some")


def _query_left(settings: QuerySettings, passed: float) -> QuerySettings | None:
    seconds = _query_seconds(settings) - passed
    return replace(settings, schedule=settings.schedule.after(passed), seconds=seconds) if seconds > 0 else None


def _send_part(_workers: "Workers", number: int, _count: int, settings: SendSettings) -> SendSettings:
    return replace(settings, seed=seed_of(settings.seed, number))


def _send_left(settings: SendSettings, passed: float) -> SendSettings | None:
    if settings.seconds is None:
        return settings
    return replace(settings, seconds=settings.seconds - passed) if passed < settings.seconds else None


def _churn_part(worker: int, count: int, settings: ChurnSettings, rate: float, number: int) -> Sequence[Any]:
    phase = (worker + settings.phase) / count
    return replace(settings, seed=seed_of(settings.seed, worker), phase=phase), rate / count, number


def _add_segments(parts: Sequence[Segments]) -> Segments:
    return merged([Segments(0, 0, 0, 0), *parts], {})


class Workers(Divided, Campaigns, RateSearches, Probing):
    """Targets whose sessions are spread over workers; None for `count` begins as many as are needed.

    `_shares` has a row for each target, and in it a number for each worker; `_asked` is their sum. `_parts` is what
    those hold that are not away: the same, unless some are. `_loads` are the sums of its columns.
    """

    def __init__(self, settings: Settings, count: int | None, origin: Origin) -> None:
        Divided.__init__(self)
        Campaigns.__init__(self)
        Probing.__init__(self)
        self._settings = settings
        self._auto = count is None
        self._least = count or len(os.sched_getaffinity(0))
        self._capacity = max(1, highest_descriptor() - _OWN)
        self._place = Random(settings.seed).random()
        self._targets: dict[Address, tuple[SocketAddress, int]] = {}
        self._shares: dict[Address, list[int]] = {}
        self._parts = self._shares
        self._loads: list[int] = []
        self._asked = 0
        self._rate_number = 0
        self._ping = settings.ping
        self._stopping: asyncio.Task[None] | None = None
        self._remains: list[Snapshot] = []
        self._remaining_totals: list[Totals] = []
        self._remaining_tallies: list[Tally] = []
        self._remaining_latencies: list[dict[str, Latency]] = []
        self._latencies: dict[str, tuple[list[object], Latency]] = {}
        self.pool: Pool[State] = Pool(origin, self.settings_of, self._lost, self._restore, self._cover)
        self.pool.on_told = self._look_at
        if settings.connect_rate:
            self.keep("set_rate", _rate_part, (settings.connect_rate,))

    async def open(self) -> None:
        """Begin the workers; raises SessionerError."""
        await self.pool.grow(self._least)

    set_rate = every(Engine.set_rate, nothing, _rate_part, keep=True)
    set_ping_interval = every(Engine.set_ping_interval, nothing, keep=True)
    drop = shared(Engine.drop, sum)
    wait_held = until_all(Engine.wait_held)
    sample_segments = shared(Engine.sample_segments, _add_segments)
    set_lifetime = every(Engine.set_lifetime, nothing, keep=True)
    ages = every(Engine.ages, merge_ages, needed=True)
    _start_query = begins(Engine.start_query, Engine.stop_query, "query", _query_part, _query_left)
    stop_query = ends(Engine.stop_query, "query")
    wait_query = until_all(Engine.wait_query)
    start_send = begins(Engine.start_send, Engine.stop_send, "send", _send_part, _send_left)
    stop_send = ends(Engine.stop_send, "send")
    wait_send = until_all(Engine.wait_send)
    _begin_rate = every(Engine.begin_rate, nothing, _churn_part, needed=True)
    wait_rate = until_all(Engine.wait_rate)
    stop_rate = every(Engine.stop_rate, nothing)

    async def add_targets(self, endpoint: Endpoint, hashsize: int | None) -> int:
        """Add targets as the engine does."""
        resolved = await resolve(endpoint)
        async with self.pool.changing:
            found = await new_targets(endpoint, resolved, self._targets)
            size = table_size(hashsize, len(found))
            await self._grow(self._asked + len(found))
            known = len(self._targets)
            async for item in in_turns(found):
                self._targets[item.address] = item, size
                self._shares[item.address] = [0] * len(self.pool.members)
            await self._spread({item.address: 1 for item in found})
            await self._hold(list(self._targets)[known:], self.pool.present())
        return len(found)

    async def remove_targets(self, endpoint: Endpoint) -> int:
        """Remove targets as the engine does."""
        resolved = await resolve(endpoint)
        async with self.pool.changing:
            known = await known_targets(endpoint, resolved, self._targets)
            async for address in in_turns(known):
                self._loads = list(map(sub, self._loads, self._parts[address]))
                self._asked -= sum(self._shares[address])
                del self._targets[address], self._shares[address]
                self._parts.pop(address, None)
            await self._tell(
                "forget_targets", known, _TOLD_TARGETS, self.pool.present(), lambda _member, _start, some: (some,)
            )
        return len(known)

    async def set_sessions(self, count: int, address: Address | None) -> None:
        """Ask for sessions as the engine does, from more workers where those there are cannot hold them."""
        async with self.pool.changing:
            if address:
                self._check_target(address)
                wanted = {address: count}
                others = self._asked - sum(self._shares[address])
            elif self._targets:
                wanted = dict(zip(self._targets, share_out(count, len(self._targets)), strict=True))
                others = 0
            else:
                raise no_target()
            await self._grow(count + others)
            await self._spread(wanted)
            await self._set_shares()

    async def set_ping(self, enabled: bool | None) -> bool:
        """Switch ping as the engine does."""
        async with self.pool.changing:
            wanted = not self._ping if enabled is None else enabled
            await self.ask("set_ping", same, (wanted,), keep=True)
            self._ping = wanted
        return wanted

    async def set_hashsize(self, hashsize: int, address: Address | None) -> None:
        """Resize tables as the engine does, in workers that begin later as well."""
        async with self.pool.changing:
            if address:
                self._check_target(address)
            await self.ask("set_hashsize", _hashsize_part, (hashsize, address))
            async for known in in_turns([address] if address else list(self._targets)):
                item, _ = self._targets[known]
                self._targets[known] = item, hashsize

    async def start_query(self, settings: QuerySettings, _csv: QueryCsv | None = None) -> None:
        """Send queries as the engine does, each worker a part of them; raises UsageError, also for rows to be shown."""
        if settings.csv == "-":
            raise UsageError("query: with workers rows go to a file alone, like: csv rows.csv")
        if settings.csv is not None:
            begin_rows(settings.csv)
        await self._start_query(settings)

    async def change_query(self, schedule: Schedule) -> None:
        """Let the queries follow another schedule as the engine does."""
        async with self.pool.changing:
            run = self.runs.get("query")
            if not run or run.stopped:
                raise _no_queries()
            weights = self.weights(run.settings.target)
            await self.ask("change_query", lambda number, _: (schedule.scaled(weights[number]),), ())
            left = _query_seconds(run.settings) - (monotonic() - run.begun)
            settings = replace(run.settings, schedule=schedule, seconds=left)
            self.runs["query"] = replace(run, settings=settings, begun=monotonic())

    async def query_schedule(self) -> Schedule:
        """Return what is left of the schedule that all queries follow, as the engine does."""
        run = self.runs.get("query")
        left = run.left(run.settings, monotonic() - run.begun) if run and not run.stopped else None
        if not left:
            raise _no_queries()
        schedule: Schedule = left.schedule
        return schedule

    async def change_send(self, rate: float) -> None:
        """Send so many messages a second and session as the engine does."""
        async with self.pool.changing:
            run = self.runs.get("send")
            if not run or run.stopped:
                raise UsageError("no messages are being sent; `send TEXT` sends some")
            await self.ask("change_send", same, (rate,))
            self.runs["send"] = replace(run, settings=replace(run.settings, rate=rate))

    async def begin_rate(self, settings: ChurnSettings, rate: float, number: int) -> None:
        """Begin transactions at a rate as the engine does, each worker a part of them."""
        self._rate_number = number
        self._remaining_tallies.clear()
        try:
            await self._begin_rate(settings, rate, number)
        except Exception:
            with suppress(SessionerError):
                await self.stop_rate()
            raise

    async def refresh(self) -> None:
        """Have the workers tell how they are now."""
        await self.pool.refresh()

    async def settings(self) -> Settings:
        """Return what the process was started with."""
        return self._settings

    def tally(self) -> Tally | None:
        """Return what has become of the transactions at a rate, as it was told last."""
        known = [tally for told in self.pool.states() if (tally := told.state.churn)]
        # One that is silent has told of an earlier rate last.
        found = [tally for tally in known if tally.number == self._rate_number] + self._remaining_tallies
        return merge_tallies(found) if found else None

    def check_open(self, target: Address | None) -> None:
        """Raise UsageError where there is nothing that sessions could be opened to."""
        check_plain(self._settings)
        if target:
            self._check_target(target)
        elif not self._targets:
            raise no_target()

    def make_probe(self, settings: ProbeSettings) -> Probe:
        """Return a probe that all workers make together, or one of them where it is small."""
        if isinstance(settings, IdleSettings):
            return Elsewhere(self.pool, settings)
        targets = [settings.target] if settings.target else list(self._targets)
        name = BENCH if isinstance(settings, BenchSettings) else FIND
        return divided_probe(settings, Shared(self.pool, name, settings, self._grow_beside, self.now), targets)

    def now(self) -> float | None:
        """Return this moment (monotonic seconds) by the clock of all workers."""
        return monotonic()

    async def totals(self) -> Totals:
        """Return what became of the queries, messages and short sessions of all runs, as it was told last."""
        return merged([*(told.state.totals for told in self.pool.states()), *self._remaining_totals], {})

    async def latencies(self) -> Latencies:
        """Return the counts of all workers, as they were told last."""
        return Latencies(**{name: await self._latency(name) for name in LATENCIES})

    async def reset_latencies(self, name: str | None = None) -> None:
        """Start all latencies afresh, or one of them."""
        async with self.pool.changing:
            self._remaining_latencies = [
                {known: Latency() if name in (None, known) else latency for known, latency in latencies.items()}
                for latencies in self._remaining_latencies
            ]
            self._latencies.clear()
            await self.ask("reset_latencies", same, (name,))

    async def snapshot(self) -> Snapshot:
        """Return the figures of all workers, as they were told last; O(workers)."""
        latencies = {name: await self._latency(name) for name, _, _ in PERCENTILES.values()}
        parts = [replace(each.state.snapshot, age=each.age) for each in self.pool.states()]
        whole = merge_snapshots([*parts, *self._remains], latencies)
        return replace(
            whole,
            asked=self._asked,
            targets=len(self._targets),
            churn=self.churn_figures(),
            probes=(*self.probes(), *whole.probes),
            workers=self.pool.figures(),
            # What was asked for is not to wait until they tell.
            lifetime=self.kept("set_lifetime", whole.lifetime),
            connect_rate=self.kept("set_rate", whole.connect_rate),
            ping_interval=self.kept("set_ping_interval", whole.ping_interval),
        )

    async def target_page(self, start: int) -> Page[TargetSnapshot]:
        """Return a page of the targets, in the order they were added."""
        pages = await self.ask("target_page", same, (start,), reading=True)
        return Page(merge_rows([page.rows for page in pages], "target", RULES), pages[0].next)

    async def session_page(self, address: Address | None, start: int) -> Page[SessionRow]:
        """Return a page of the held sessions, worker after worker; raises UsageError as the engine does."""
        return await follow_pages(self.pool, "session_page", (address,), start)

    async def demand(self, sessions: int | None) -> Demand:
        """Return what so many sessions, or those asked for, demand of the operating system."""
        asked = self._asked if sessions is None else sessions
        count = len(self.pool.members)
        sources = max(1, len(self._settings.source_ips))
        return Demand(
            sessions=asked,
            tuples=len(self._targets) * sources,
            held=(await self.snapshot()).held,
            workers=max(count, workers_needed(asked, self._capacity, count)) if self._auto else count,
            user_bytes=self._settings.user_bytes,
        )

    async def aclose(self) -> None:
        """Close every session and end the workers."""
        if self._stopping:
            self._stopping.cancel()
        await self.end_campaign()
        await self.end_probes()
        await self.pool.close()

    def weights(self, target: Address | None) -> list[float]:
        """Return which part of what goes over the sessions, or over those of a target, each worker is to do."""
        loads = self._parts.get(target) if target else self._loads
        return weights_of(loads or [0] * len(self.pool.present()))

    def forget_run(self, name: str) -> None:
        """Drop what workers that have ended left of earlier runs."""
        self._remains = [without_runs(snapshot, name) for snapshot in self._remains]

    def _check_target(self, address: Address) -> None:
        if address not in self._targets:
            raise not_a_target(address)

    def settings_of(self, number: int) -> Settings:
        """Return the settings of one worker."""
        settings, ips = self._settings, self._settings.source_ips
        turn = number % len(ips) if ips else 0
        place = (self._place + place_of(number, self._least)) % 1
        return replace(
            settings,
            seed=seed_of(settings.seed, number),
            ping=self._ping,
            source_ips=ips[turn:] + ips[:turn],
            connect_rate=settings.connect_rate and settings.connect_rate / max(self._least, len(self.pool.members)),
            place=place,
        )

    async def _tell(
        self,
        method: str,
        items: list[T],
        at_once: int,
        members: Sequence[Member[State]],
        part: Callable[[Member[State], int, list[T]], Sequence[Any]],
    ) -> None:
        """Call a method of some workers with a page of the items after the other, so many for all of them `at_once`.

        `part` gives one's arguments, from (the worker, where the page starts, its items). How a worker is then, it
        tells after the last page alone.
        """
        step = max(1, at_once // max(1, len(members)))
        for start in range(0, len(items), step):
            some = items[start : start + step]
            arguments = [part(member, start, some) for member in members]
            await self.pool.each(method, arguments, members, reading=start + step < len(items))

    async def _hold(self, addresses: list[Address], members: Sequence[Member[State]]) -> None:
        """Let some workers have these targets, each with its share of the sessions."""
        await self._tell(
            "hold_targets", addresses, _TOLD_TARGETS, members, lambda member, _, some: (self._rows_of(member, some),)
        )

    def _rows_of(self, member: Member[State], addresses: Sequence[Address]) -> list[tuple[SocketAddress, int, int]]:
        count, place = len(self.pool.members), self.pool.present().index(member)
        found = ((*self._targets[address], self._parts[address]) for address in addresses)
        return [(item, divide_up(hashsize, count), row[place]) for item, hashsize, row in found]

    async def _grow(self, sessions: int) -> None:
        """Begin the workers that so many sessions need."""
        count = workers_needed(sessions, self._capacity, self._least)
        if self._auto and count > len(self.pool.members):
            await self._take_in(await self.pool.grow(count))

    async def _take_in(self, begun: Sequence[Member[State]]) -> None:
        """Let workers that were begun have all targets, and no session yet, also while some are away.

        Raises SessionerError. They take no part in what runs: the others do all of what was asked for.
        """
        self._loads += [0] * len(begun)
        for table in [self._shares] if self._parts is self._shares else [self._shares, self._parts]:
            async for row in in_turns(table.values()):
                row += [0] * len(begun)
        for member in begun:
            await self._settle_in(member)
        await self.repeat(self.pool.members)

    async def _grow_beside(self, sessions: int) -> None:
        """Begin the workers that so many sessions beside those asked for need."""
        await self._grow(self._asked + sessions)

    async def _spread(self, wanted: dict[Address, int]) -> None:
        """Change the shares so that the targets have as many sessions as wanted."""
        rows = list(self._shares.values())
        shares = in_turns(self._shares.items())
        sums = [wanted[address] if address in wanted else sum(row) async for address, row in shares]
        async for _ in in_turns(respread(rows, sums)):
            pass
        self._asked = sum(sums)
        await self._part()

    async def _part(self) -> None:
        """Work out who holds what: each its own, and those that are there also what those that are away held."""
        present = [member.number for member in self.pool.present()]
        parts = self._shares
        if len(present) < len(self.pool.members):
            rows = [[row[number] for number in present] async for row in in_turns(self._shares.values())]
            sums = [sum(row) if present else 0 async for row in in_turns(self._shares.values())]
            async for _ in in_turns(respread(rows, sums)):
                pass
            parts = dict(zip(self._shares, rows, strict=True))
        loads = [0] * len(present)
        async for row in in_turns(parts.values()):
            loads = list(map(add, loads, row))
        self._parts, self._loads = parts, loads

    async def _set_shares(self) -> None:
        present = self.pool.present()

        def part(member: Member[State], start: int, rows: list[list[int]]) -> Sequence[Any]:
            place = present.index(member)
            return start, [row[place] for row in rows], len(present)

        await self._tell("set_shares", list(self._parts.values()), _TOLD_SHARES, present, part)

    async def _cover(self) -> None:
        """Let those that are there do what those that are away did."""
        await self._part()
        await self._set_shares()
        await self.repeat(self.pool.present())
        await self._divide_query(self.pool.present())

    async def _divide_query(self, members: Sequence[Member[State]]) -> None:
        """Let some workers send the parts of the queries that are theirs now."""
        run = self.runs.get("query")
        left = run.left(run.settings, monotonic() - run.begun) if run and not run.stopped else None
        if left:
            weights, present = self.weights(left.target), self.pool.present()
            parts = [(left.schedule.scaled(weights[present.index(member)]),) for member in members]
            with suppress(UsageError):  # they have ended
                await self.pool.each("change_query", parts, members)

    async def _latency(self, name: str) -> Latency:
        """Return the counts of all workers, worked out anew if there are others, in turns with everybody else."""
        told = self.pool.states()
        marks: list[object] = [(each.process, each.state.marks[name]) for each in told]
        known = self._latencies.get(name)
        if known and known[0] == marks:
            return known[1]
        whole = merge_latency([remaining[name] for remaining in self._remaining_latencies])
        for start in range(0, len(told), _MERGED):
            await asyncio.sleep(0)
            whole = merge_latency([whole, *(each.state.latency(name) for each in told[start : start + _MERGED])])
        self._latencies[name] = marks, whole
        return whole

    def _look_at(self, member: Member[State]) -> None:
        """End messages everywhere that one worker has stopped on what it heard."""
        run, send = self.runs.get("send"), member.told.state.snapshot.send if member.told else None
        stopping = self._stopping and not self._stopping.done()
        if run and not run.stopped and send and send.stopped_on and not stopping:
            self._stopping = asyncio.create_task(self._stop_send())

    async def _stop_send(self) -> None:
        with suppress(SessionerError):
            await self.stop_send()

    def _lost(self, member: Member[State]) -> None:
        """Keep the counts of a worker that has ended."""
        if member.told:
            state, tally = member.told.state, member.told.state.churn
            totals = remaining_totals(state.totals, state.snapshot, tally)
            remaining = {name: state.latency(name) for name in LATENCIES}
            self._remains = [merged([*self._remains, remains(state.snapshot)], RULES)]
            self._remaining_totals = [merged([*self._remaining_totals, totals], {})]
            if tally and tally.number == self._rate_number:
                self._remaining_tallies.append(remaining_tally(tally))
            if self._remaining_latencies:
                known = self._remaining_latencies[0]
                remaining = {name: merge_latency([known[name], latency]) for name, latency in remaining.items()}
            self._remaining_latencies = [remaining]

    async def _restore(self, member: Member[State]) -> None:
        """Let a new worker hold its shares, and do what the others do."""
        covered = self._parts is not self._shares
        await self._part()
        await self._settle_in(member)
        await self.resume(member)
        if covered:
            await self._set_shares()
            await self.repeat(self.pool.present())
            await self._divide_query([other for other in self.pool.present() if other is not member])

    async def _settle_in(self, member: Member[State]) -> None:
        await self._hold(list(self._targets), [member])
        await self.repeat([member])


AnyEngine = Engine | Workers | Fleet


async def open_engine(settings: Settings, process: Process) -> AnyEngine:
    """Return the engine, in this process or in as many as it is to have; raises SessionerError."""
    if process.fleet:
        return await open_fleet("initiator", settings, process)
    if process.workers == 1:
        return Engine(settings)
    workers = Workers(settings, process.workers, Zygote(_MODULE, process.loop))
    try:
        await workers.open()
    except BaseException:
        await workers.aclose()
        raise
    return workers
