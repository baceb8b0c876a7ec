"""Tests of the initiator's workers on real processes."""

import asyncio
import csv
import inspect
import logging
import os
import resource
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from common.addresses import Address, Endpoint
from common.dump import LEVEL, Dump
from common.errors import SessionerError, UsageError
from common.options import Process
from common.paging import all_rows
from common.resolver import resolve
from common.shortages import highest_descriptor
from common.workers.calls import Caller
from common.workers.process import Zygote
from common.workers.serving import Birth
from initiator.churn_figures import failed_of
from initiator.engine import Engine
from initiator.probes.figures import FIND, IdleSettings
from initiator.settings import Settings
from initiator.workers import Workers, open_engine
from initiator.workloads.churn import ChurnSettings
from initiator.workloads.expressions import parse_message
from initiator.workloads.query import QuerySettings
from initiator.workloads.questions import build_question
from initiator.workloads.saturation import Search
from initiator.workloads.schedule import constant, parse_schedule
from initiator.workloads.send import SendSettings
from responder.engine import Engine as Responder
from responder.settings import Settings as ResponderSettings
from tests.support import Peer, until

pytestmark = pytest.mark.usefixtures("run")

# Methods of the engine that its workers' console calls, and nobody else.
WITHIN = {"hold_targets", "forget_targets", "set_shares", "begin_part", "in_part", "end_part"}


class Scattered(Zygote):
    """Processes that come back when `there` is set, as the nodes of a fleet do; until then the others do their part."""

    covers = True

    def __init__(self, module: str, loop: str) -> None:
        super().__init__(module, loop)
        self.there = asyncio.Event()
        self.there.set()

    async def begin(self, number: int, birth: Birth, told: Callable[[Any], None]) -> Caller:
        await self.there.wait()
        return await super().begin(number, birth, told)


@asynccontextmanager
async def both(
    count: int | None, ports: int = 2, kind: type[Zygote] = Zygote, **settings: Any
) -> AsyncIterator[tuple[Workers, Responder, list[Endpoint]]]:
    """Give so many workers, or as many as are needed, with targets at a responder."""
    async with aclosing(Responder(ResponderSettings())) as responder:
        found = [await responder.add_listeners(Endpoint("127.0.0.1", 0, 0)) for _ in range(ports)]
        endpoints = [Endpoint(host, port, port) for ((host, port),) in found]
        origin = kind("initiator.worker", "asyncio")
        async with aclosing(Workers(Settings(seed=1, **settings), count, origin)) as workers:
            await workers.open()
            for endpoint in endpoints:
                await workers.add_targets(endpoint, 10)
            yield workers, responder, endpoints


@asynccontextmanager
async def before_silence() -> AsyncIterator[Workers]:
    """Give two workers that hold four sessions to a peer that says nothing."""
    with Peer() as silent:
        async with both(2, 0) as (workers, _, _):
            await workers.add_targets(silent.endpoint, None)
            await workers.set_sessions(4, None)
            await workers.wait_held()
            yield workers


async def test_workers_have_every_method_of_the_engine() -> None:
    for name, method in inspect.getmembers(Engine, inspect.iscoroutinefunction):
        if name.startswith("_") or name in WITHIN:
            continue
        ours = getattr(Workers, name)
        assert inspect.iscoroutinefunction(ours), name
        expected, taken = inspect.signature(method).parameters, inspect.signature(ours).parameters
        assert list(expected)[1:] == list(taken)[1:] or "args" in taken or len(expected) == len(taken), name


async def test_one_process_is_the_engine_itself() -> None:
    process = Process([], None, False, None, False, False, "uvloop")
    async with aclosing(await open_engine(Settings(seed=1), process)) as engine:
        assert isinstance(engine, Engine)


async def test_sessions_are_spread_over_workers_and_targets() -> None:
    async with both(2, 3) as (workers, _, endpoints):
        await workers.wait_held()
        now = await workers.snapshot()
        assert (now.asked, now.held, now.targets) == (3, 3, 3)
        await workers.set_sessions(31, None)
        await workers.wait_held()
        rows = [row async for row in all_rows(workers.target_page)]
        assert [row.share for row in rows] == [row.held for row in rows] == [11, 10, 10]
        assert [told.state.snapshot.held for told in workers.pool.states()] in ([15, 16], [16, 15])
        host, port, _ = endpoints[1]
        await workers.set_sessions(0, Address(host, port))
        await workers.wait_held()
        assert (await workers.snapshot()).held == 21
        with pytest.raises(UsageError, match="is no target"):
            await workers.set_sessions(1, Address("127.0.0.1", 1))


async def test_as_many_as_are_needed_are_begun_up_to_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into those is asked for all the same, as with a number of them."""
    monkeypatch.setattr("common.workers.division.MOST_WORKERS", len(os.sched_getaffinity(0)) + 1)
    async with both(None, 1, connect_rate=1.0) as (workers, _, _):
        asked = 20 * highest_descriptor()
        await workers.set_sessions(asked, None)
        now = await workers.snapshot()
        assert (now.asked, len(workers.pool.members)) == (asked, len(os.sched_getaffinity(0)) + 1)
        assert (await workers.demand(None)).workers == len(workers.pool.members)


async def test_segments_are_of_as_many_sessions_as_are_wanted_wherever_they_are_held() -> None:
    async with both(2, 1) as (workers, _, _):
        await workers.set_sessions(20, None)
        await workers.wait_held()
        await workers.set_sessions(3, None)
        await workers.wait_held()
        assert [(await workers.sample_segments(most)).sessions for most in (0, 1, 3, 200)] == [0, 1, 3, 3]
        await workers.set_sessions(0, None)
        await workers.wait_held()
        assert (await workers.sample_segments(200)).sessions == 0


async def test_what_is_dropped_is_what_was_asked_for() -> None:
    async with both(3) as (workers, _, endpoints):
        await workers.set_sessions(10, None)
        await workers.wait_held()
        assert await workers.drop(7, reset=False) == 7
        await workers.wait_held()
        assert (await workers.snapshot()).established == 17
        host, port, _ = endpoints[0]
        await workers.set_sessions(0, Address(host, port))
        await workers.set_sessions(1, Address(endpoints[1].host, endpoints[1].first))
        await workers.wait_held()
        # Two of three workers hold nothing.
        assert await workers.drop(5, reset=True) == 1


async def test_draws_repeat_and_differ_between_workers() -> None:
    async with both(2, source_ips=("127.0.0.2", "127.0.0.3")) as (workers, _, _):
        await workers.set_sessions(8, None)
        await workers.wait_held()
        rows = [row async for row in all_rows(lambda start: workers.session_page(None, start))]
        hosts = [row.local.partition(":")[0] for row in rows]
        assert sorted(hosts) == ["127.0.0.2"] * 4 + ["127.0.0.3"] * 4
        parts = [workers.settings_of(number) for number in range(2)]
        assert parts == [workers.settings_of(number) for number in range(2)]
        assert len({part.seed for part in parts}) == 2
        places = sorted(part.place or 0.0 for part in parts)
        assert places[1] - places[0] == pytest.approx(0.5)


async def test_a_replacement_has_tables_of_the_size_that_was_asked_for_last() -> None:
    async with both(2) as (workers, _, endpoints):
        host, port, _ = endpoints[1]
        await workers.set_hashsize(40, None)
        await workers.set_hashsize(60, Address(host, port))

        async def sizes() -> list[int]:
            await workers.refresh()
            return [row.hashsize async for row in all_rows(workers.target_page)]

        async def are_resized() -> bool:
            return await sizes() == [40, 60]

        await until(are_resized)
        os.kill(workers.pool.states()[0].process, signal.SIGKILL)
        await until(lambda: _replaced(workers, 1))
        assert await sizes() == [40, 60]
        with pytest.raises(UsageError, match="is no target"):
            await workers.set_hashsize(1, Address("127.0.0.1", 1))


async def test_targets_that_two_add_or_remove_at_the_same_time_are_added_and_removed_once() -> None:
    async with both(2, 1) as (workers, responder, _):
        (address,) = await responder.add_listeners(Endpoint("127.0.0.1", 0, 0))
        endpoint = Endpoint(address.host, address.port, address.port)

        async def twice(change: Callable[[], Coroutine[Any, Any, int]]) -> list[int | BaseException]:
            """Let both be under way before one of them can go on."""
            async with workers.pool.changing:
                changes = [asyncio.create_task(change()) for _ in range(2)]
                for _ in range(5):
                    await resolve(endpoint)
            return await asyncio.gather(*changes, return_exceptions=True)

        found = await twice(lambda: workers.add_targets(endpoint, 10))
        assert sorted(map(str, found)) == ["1", f"{endpoint} is a target already; `set N TARGET` changes its share"]
        await workers.wait_held()
        await workers.refresh()
        assert (await workers.snapshot()).held == 2
        found = await twice(lambda: workers.remove_targets(endpoint))
        assert sorted(map(str, found)) == ["1", f"{endpoint} is no target; `details` shows the targets"]


async def test_others_have_turns_while_many_targets_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one call tells a worker is made, and sent, in one turn."""
    longest: Counter[str] = Counter()
    asked: set[int] = set()

    class Noting(Caller):
        async def call(self, method: str, arguments: Sequence[Any], *rest: Any, **more: Any) -> Any:
            if isinstance(arguments[0] if arguments else None, list):
                longest[method] = max(longest[method], len(arguments[0]))
            return await super().call(method, arguments, *rest, **more)

    async def watch(workers: Workers) -> None:
        while True:
            await asyncio.sleep(0)
            asked.add((await workers.snapshot()).asked)

    monkeypatch.setattr("common.workers.process.Caller", Noting)
    many = Endpoint("127.0.0.1", 2000, 3999)
    async with both(2, 0, connect_rate=0.1) as (workers, _, _):
        await workers.add_targets(many, 1)
        await workers.set_sessions(6000, None)
        await workers.set_sessions(1, Address("127.0.0.1", 2000))
        assert (await workers.snapshot()).asked == 5998
        watching = asyncio.create_task(watch(workers))
        await workers.remove_targets(many)
        watching.cancel()
        await asyncio.wait([watching])
        assert (await workers.snapshot()).asked == 0
    assert len(asked) > 10
    assert longest == {"hold_targets": 512, "forget_targets": 512}


async def test_a_worker_that_dies_twice_is_replaced_twice() -> None:
    async with both(2) as (workers, _, _):
        await workers.set_sessions(20, None)
        await workers.wait_held()
        for times in (1, 2):
            os.kill(workers.pool.states()[0].process, signal.SIGKILL)

            async def is_replaced(times: int = times) -> bool:
                return (await workers.snapshot()).workers.replaced == times  # type: ignore[union-attr]

            await until(is_replaced)
            await workers.wait_held()
            now = await workers.snapshot()
            assert (now.held, now.established, now.losses) == (20, 20 + 10 * times, {"worker": 10 * times})


async def test_a_search_for_idle_times_ends_with_the_worker_that_has_its_groups() -> None:
    async with both(2) as (workers, _, _):
        await workers.start_probe(IdleSettings())
        waiting = asyncio.create_task(workers.wait_probe(FIND))
        await until(lambda: _probes(workers))
        os.kill(workers.pool.states()[0].process, signal.SIGKILL)
        with pytest.raises(SessionerError, match="a worker has ended or does not answer, and the search with it"):
            await waiting


async def _probes(workers: Workers) -> bool:
    return bool((await workers.snapshot()).probes)


async def test_churn_is_done_by_all_workers_together() -> None:
    async with both(2) as (workers, responder, _):
        await workers.wait_held()
        await workers.start_churn((100.0, 200.0), ChurnSettings(seconds=0.5, request=b"hello", seed=3))
        with pytest.raises(UsageError, match="churn runs already"):
            await workers.start_churn((1.0,), ChurnSettings())
        await workers.wait_churn()
        figures = (await workers.snapshot()).churn
        assert figures
        assert not figures.running
        assert [(row.asked, row.due, row.completed, row.failed) for row in figures.rows] == [
            (100, 50, 50, {}),
            (200, 100, 100, {}),
        ]
        assert [row.whole.corrected.count for row in figures.rows] == [50, 100]
        assert [row.received for row in figures.rows] == [250, 500]
        assert [told.state.churn and told.state.churn.due for told in workers.pool.states()] == [50, 50]
        assert (await responder.snapshot()).held == 2


async def test_what_a_worker_had_begun_when_it_ended_is_in_the_row_and_in_the_totals() -> None:
    with Peer() as silent:
        async with both(2, 0) as (workers, _, _):
            await workers.add_targets(silent.endpoint, None)
            await workers.set_sessions(0, None)
            await workers.start_churn((100.0,), ChurnSettings(seconds=1.5, request=b"hello", timeout=0.5, seed=3))

            async def is_under_way() -> bool:
                told = [told.state.churn for told in workers.pool.states()]
                return all(tally and tally.begun > 10 for tally in told)

            await until(is_under_way)
            os.kill(workers.pool.states()[0].process, signal.SIGKILL)
            await workers.wait_churn()
            await workers.refresh()
            figures, totals = (await workers.snapshot()).churn, (await workers.totals()).churn
            assert figures
            (row,) = figures.rows
            assert (row.asked, row.under_way) == (100, 0)
            assert row.due > 75 + 10
            assert row.failed["worker"] > 0
            assert row.due == row.completed + sum(failed_of(row).values())
            assert (totals.due, totals.begun, dict(totals.failed)) == (row.due, row.begun, failed_of(row))
            # The next rate begins with nothing.
            await workers.start_churn((100.0,), ChurnSettings(seconds=0.2, request=b"hello", timeout=0.2, seed=3))
            await workers.wait_churn()
            figures = (await workers.snapshot()).churn
            assert figures
            assert (figures.rows[0].due, set(figures.rows[0].failed)) == (20, {"timeout"})


async def test_messages_that_a_worker_had_no_answer_to_are_lost() -> None:
    async with before_silence() as workers:
        message = parse_message(b"hello;", 1)
        await workers.start_send(SendSettings(seed=1, messages=(message,), rate=50.0, marker=message, seconds=30.0))

        async def are_sent() -> bool:
            told = [told.state.snapshot.send for told in workers.pool.states()]
            return all(send and send.sent > 10 for send in told)

        await until(are_sent)
        os.kill(workers.pool.states()[0].process, signal.SIGKILL)
        await until(lambda: _replaced(workers, 1))
        await workers.stop_send()
        await workers.wait_send()
        await workers.refresh()
        send, totals = (await workers.snapshot()).send, (await workers.totals()).messages
        assert send
        assert send.lost > 0
        assert send.sent == send.lost + send.unanswered
        assert (totals.sent, totals.lost, totals.unanswered) == (send.sent, send.lost, send.unanswered)


async def test_queries_whose_rate_was_changed_end_with_their_schedule_in_a_replacement_as_well() -> None:
    async with before_silence() as workers:
        question = build_question("a.example", "A")
        schedule = parse_schedule("4s 20\n")
        await workers.start_query(QuerySettings(schedule, 1, (question,), timeout=0.1))
        await workers.change_query(constant(40.0))
        os.kill(workers.pool.states()[0].process, signal.SIGKILL)

        await until(lambda: _replaced(workers, 1))
        await workers.wait_query()
        await workers.refresh()
        queries = [told.state.snapshot.query for told in workers.pool.states()]
        assert not any(query and query.sending for query in queries)


async def test_queries_to_what_is_no_target_are_refused_or_sent_no_more() -> None:
    async with before_silence() as workers:
        asked = QuerySettings(constant(40.0), 1, (build_question("a.example", "A"),), timeout=0.1)
        with pytest.raises(UsageError, match=r"127\.0\.0\.1:1 is no target"):
            await workers.start_query(replace(asked, target=Address("127.0.0.1", 1)))
        (target,) = [row async for row in all_rows(workers.target_page)]
        host, port = target.target.split(":")
        await workers.start_query(replace(asked, target=Address(host, int(port))))
        await workers.remove_targets(Endpoint(host, int(port), int(port)))
        await workers.change_query(constant(20.0))
        await workers.stop_query()
        await workers.wait_query()


async def _replaced(workers: Workers, times: int) -> bool:
    return (await workers.snapshot()).workers.replaced == times  # type: ignore[union-attr]


@contextmanager
def without_room(process: int) -> Iterator[None]:
    """Let a worker open no descriptor."""
    limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
    opened = {int(path.name) for path in Path(f"/proc/{process}/fd").iterdir()}
    lowest = next(number for number in count() if number not in opened)
    resource.prlimit(process, resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)


async def test_what_one_worker_has_no_room_for_begins_in_none() -> None:
    query = QuerySettings(constant(100), 1, (build_question("a.example", "A"),))
    send = SendSettings(seed=1, messages=(parse_message(b"hello;", 1),), rate=10.0)
    async with both(2) as (workers, _, _):
        await workers.set_sessions(10, None)
        await workers.wait_held()
        with without_room(workers.pool.states()[0].process):
            with pytest.raises(SessionerError, match="query: no timer could be made"):
                await workers.start_query(query)
            await workers.wait_query()
            with pytest.raises(SessionerError, match="send: no timer could be made"):
                await workers.start_send(send)
            await workers.wait_send()
        assert not workers.runs
        await workers.start_send(send)
        await workers.stop_send()
        await workers.wait_send()


async def test_a_rate_that_one_worker_has_no_room_for_is_tried_by_none() -> None:
    async with both(2) as (workers, _, _):
        await workers.wait_held()
        with without_room(workers.pool.states()[0].process):
            await workers.start_churn((100.0,), ChurnSettings(seconds=10.0, request=b"hello", seed=3))
            with pytest.raises(SessionerError, match="churn: no timer could be made"):
                await workers.wait_churn()
            await workers.wait_rate()
        await workers.refresh()
        tally = workers.tally()
        assert tally
        assert tally.due < 500


async def test_what_cannot_be_done_is_refused_when_no_worker_answers_as_well() -> None:
    async with both(2) as (workers, _, _):
        await workers.wait_held()
        processes = [told.process for told in workers.pool.states()]
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(UsageError, match="is no target"):
                await workers.set_hashsize(10, Address("127.0.0.1", 1))
            with pytest.raises(UsageError, match="no messages are being sent"):
                await workers.change_send(5.0)
            with pytest.raises(UsageError, match="no queries are being sent"):
                await workers.change_query(constant(5.0))
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)


async def test_workers_that_were_there_are_not_told_again_what_is_the_same(
    monkeypatch: pytest.MonkeyPatch, logged: list[logging.LogRecord]
) -> None:
    """A session that is followed is followed on."""
    monkeypatch.setattr("initiator.workers.highest_descriptor", lambda: 40 + 20)  # 20 sessions each

    def followed() -> set[str]:
        return {record.getMessage().split()[1] for record in logged if record.levelno == LEVEL}

    async def is_followed() -> bool:
        return bool(followed())

    async with both(None, 1) as (workers, _, _):
        await workers.set_sessions(20 * len(workers.pool.members), None)
        await workers.wait_held()
        await workers.set_ping_interval((0.02, 0.04))
        await workers.set_ping(True)
        await workers.set_dump(Dump(every=False, incoming=False, outgoing=True))
        await until(is_followed)
        one, before = followed(), len(workers.pool.members)
        await workers.set_sessions(20 * len(workers.pool.members) + 20, None)
        assert len(workers.pool.members) > before
        logged.clear()
        await until(is_followed)
        assert followed() == one


async def test_a_worker_that_is_silent_when_a_rate_begins_tells_nothing_of_it() -> None:
    settings = ChurnSettings(seconds=0.5, request=b"hello", seed=3)
    async with both(2) as (workers, _, _):
        await workers.wait_held()
        await workers.start_churn((100.0,), settings)
        await workers.wait_churn()
        silent = workers.pool.states()[0].process
        os.kill(silent, signal.SIGSTOP)

        async def is_under_way() -> bool:
            figures = (await workers.snapshot()).churn
            return bool(figures and figures.now)

        try:
            await workers.start_churn((100.0,), settings)
            await until(is_under_way)
            tally = workers.tally()
        finally:
            os.kill(silent, signal.SIGCONT)
        assert tally
        assert tally.asked == 50.0
        await workers.wait_churn()
        figures = (await workers.snapshot()).churn
        assert figures
        assert [(row.asked, row.due) for row in figures.rows] == [(100.0, 50)]


async def test_churn_of_workers_is_stopped() -> None:
    async with both(2) as (workers, _, _):
        await workers.start_saturation(Search(50.0), ChurnSettings(seconds=20, seed=1))

        async def is_under_way() -> bool:
            figures = (await workers.snapshot()).churn
            return bool(figures and figures.now and figures.now.completed > 10)

        await until(is_under_way)
        await workers.stop_churn()
        figures = (await workers.snapshot()).churn
        assert figures
        assert (figures.running, figures.now, len(figures.rows)) == (False, None, 1)
        assert figures.rows[0].completed > 10
        with pytest.raises(UsageError, match="no churn runs"):
            await workers.stop_churn()


async def test_workers_write_rows_to_one_file(tmp_path: Path) -> None:
    """Each row is whole, and a query and its answer are found by worker, session and identifier."""
    questions = (build_question("example.com", "A"),)
    path = tmp_path / "rows"
    settings = QuerySettings(constant(1000), 1, questions, "constant", 0.5, csv=str(path))
    async with both(2) as (workers, _, _):
        await workers.set_sessions(10, None)
        await workers.wait_held()
        with pytest.raises(UsageError, match="rows go to a file alone"):
            await workers.start_query(replace(settings, csv="-"))
        with pytest.raises(UsageError, match="cannot be written: No such file"):
            await workers.start_query(replace(settings, csv=str(tmp_path / "none" / "rows")))
        with pytest.raises(UsageError, match="is no file"):
            await workers.start_query(replace(settings, csv="/dev/null"))
        await workers.start_query(settings)
        await workers.wait_query()
        now = (await workers.snapshot()).query
    assert now
    rows = list(csv.DictReader(path.read_text().splitlines()))
    keys = {
        kind: [(row["poisson_id"], row["connection_id"], row["query_id"]) for row in rows if row["type"] == kind]
        for kind in "QA"
    }
    assert len(keys["Q"]) == now.due == 500
    assert sorted(keys["Q"]) == sorted(keys["A"])
    assert {key[0] for key in keys["Q"]} == {"0", "1"}


async def test_a_demand_is_divided_among_those_that_would_hold_it() -> None:
    async with both(2) as (workers, _, _):
        demand = await workers.demand(1000)
        assert (demand.sessions, demand.workers, demand.tuples) == (1000, 2, 2)
        assert demand.descriptors < 1000


async def test_what_one_that_is_away_held_the_others_hold_until_it_is_back() -> None:
    async with both(3, kind=Scattered, connect_rate=3000.0) as (workers, responder, endpoints):
        origin = cast(Scattered, workers.pool._origin)
        await workers.set_sessions(60, None)
        await workers.wait_held()
        await workers.start_query(QuerySettings(constant(60.0), 1, (build_question("a.example", "A"),)))
        origin.there.clear()
        os.kill(workers.pool.states()[1].process, signal.SIGKILL)

        async def missing() -> list[str]:
            return list((await workers.snapshot()).workers.missing)  # type: ignore[union-attr]

        async def is_away() -> bool:
            return bool(await missing())

        async def is_back() -> bool:
            return not await missing()

        async def held() -> list[int]:
            await workers.wait_held()
            await workers.pool.refresh()
            return [told.state.snapshot.held for told in workers.pool.states()]

        async def asked_rates() -> list[float]:
            await workers.pool.refresh()
            return [told.state.snapshot.query.asked_rate for told in workers.pool.states() if told.state.snapshot.query]

        await until(is_away)
        assert await missing() == ["Worker 2"]
        assert await held() == [30, 30]
        assert (await workers.snapshot()).losses == {"worker": 20}
        assert await asked_rates() == [30.0, 30.0]

        # All that can be asked for can be asked for meanwhile.
        await workers.set_sessions(90, None)
        assert await held() == [45, 45]
        assert await workers.drop(10, reset=False) == 10
        await workers.remove_targets(endpoints[0])
        assert sum(await held()) == 45
        assert await workers.set_ping(None)
        await workers.change_query(constant(90.0))
        assert sum(await asked_rates()) == pytest.approx(90.0)

        origin.there.set()
        await until(is_back)
        async with workers.pool.changing:
            pass  # it does its part by then
        now = await held()
        assert (sum(now), min(now) > 0) == (45, True)
        assert (await workers.snapshot()).ping
        rates = await asked_rates()
        assert len(rates) == 3
        assert sum(rates) == pytest.approx(90.0)
        await until(lambda: _holds(responder, 45))


async def test_when_all_are_away_nothing_is_lost_of_what_was_asked_for() -> None:
    async with both(2, kind=Scattered) as (workers, _, _):
        origin = cast(Scattered, workers.pool._origin)
        await workers.set_sessions(20, None)
        await workers.wait_held()
        origin.there.clear()
        for told in workers.pool.states():
            os.kill(told.process, signal.SIGKILL)

        async def all_are_away() -> bool:
            return not workers.pool.present()

        await until(all_are_away)
        with pytest.raises(SessionerError, match="no worker answers"):
            await workers.set_ping(None)
        assert not workers.settings_of(0).ping
        await workers.set_sessions(30, None)
        origin.there.set()

        async def all_are_held() -> bool:
            return len(workers.pool.present()) == 2 and (await workers.snapshot()).held == 30

        await until(all_are_held)


async def _holds(responder: Responder, count: int) -> bool:
    return (await responder.snapshot()).held == count
