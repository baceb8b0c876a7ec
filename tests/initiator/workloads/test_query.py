"""The query workload over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from struct import pack, unpack_from
from time import monotonic
from typing import Any

import pytest

from common.addresses import Address, Endpoint
from common.errors import UsageError
from common.reactor import Job, Reactor
from common.timer import Timer
from initiator.engine import Engine
from initiator.settings import Settings
from initiator.snapshot import QueryFigures, Snapshot
from initiator.workloads.ping import PAYLOAD
from initiator.workloads.query import QuerySettings
from initiator.workloads.questions import build_question
from initiator.workloads.schedule import Schedule, constant, parse_schedule
from responder.engine import Engine as Responder
from responder.settings import Settings as ResponderSettings
from tests.initiator.pauses import held_up
from tests.support import until

pytestmark = pytest.mark.usefixtures("run")

QUESTIONS = (build_question("example.com", "A"),)


def settings(schedule: Schedule, **more: Any) -> QuerySettings:
    return QuerySettings(schedule, 1, more.pop("questions", QUESTIONS), **more)


@asynccontextmanager
async def holding(sessions: int) -> AsyncIterator[Engine]:
    """Give an initiator that holds so many sessions to a responder."""
    async with aclosing(Responder(ResponderSettings())) as responder, aclosing(Engine(Settings(seed=1))) as engine:
        ((host, port),) = await responder.add_listeners(Endpoint("127.0.0.1", 0, 0))
        await engine.add_targets(Endpoint(host, port, port), None)
        await engine.set_sessions(sessions, None)
        await engine.wait_held()
        yield engine


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def against(answer: Answer, **more: Any) -> AsyncIterator[Engine]:
    """Give an initiator with one session to a server that answers as it is told."""
    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        with suppress(ConnectionError):
            await answer(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        async with aclosing(Engine(Settings(seed=1, **more))) as engine:
            port = server.sockets[0].getsockname()[1]
            await engine.add_targets(Endpoint("127.0.0.1", port, port), None)
            await engine.wait_held()
            yield engine
    finally:
        server.close()
        await asyncio.gather(*filter(None, served))
        await server.wait_closed()


async def figures(engine: Engine) -> QueryFigures:
    found = (await engine.snapshot()).query
    assert found
    return found


async def reached(engine: Engine, check: Callable[[QueryFigures], bool]) -> QueryFigures:
    """Return the first figures that a check holds of."""
    found: list[QueryFigures] = []

    async def checked() -> bool:
        found[:] = [await figures(engine)]
        return check(found[0])

    await until(checked)
    return found[0]


async def queries(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the queries that come, without their lengths, until the end."""
    try:
        while True:
            (length,) = unpack_from(">H", await reader.readexactly(2))
            yield await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return


def framed(message: bytes) -> bytes:
    return pack(">H", len(message)) + message


def answer_to(query: bytes, flags: int) -> bytes:
    return framed(query[:2] + pack(">H", flags) + query[4:])


def echoing_after(release: asyncio.Event) -> Answer:
    """Return what sends back every query, as soon as it is let."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for query in queries(reader):
            await release.wait()
            writer.write(framed(query))

    return answer


async def test_every_query_is_answered_once_and_measured() -> None:
    async with holding(20) as engine:
        await engine.start_query(settings(parse_schedule("200ms 1000\n200ms 3000"), arrivals="constant"))
        await engine.wait_query()
        now = await figures(engine)
        assert (now.due, now.sent, now.answered) == (800, 800, 800)
        assert (now.timeouts, now.lost, now.unsent, now.unknown, now.late, now.malformed) == (0, 0, 0, 0, 0, 0)
        assert now.rcodes == {"echo": 800}
        assert (now.traffic.sent, now.traffic.received) == (800 * 31, 800 * 31)
        latencies = await engine.latencies()
        assert (latencies.query.corrected.count, latencies.query.raw.count, latencies.late.raw.count) == (800, 800, 800)
        assert latencies.query.corrected.total >= latencies.query.raw.total


async def test_queries_are_joined_in_many_to_a_write_when_many_are_due() -> None:
    async with holding(2) as engine:
        await engine.start_query(settings(constant(200_000), seconds=0.2, arrivals="constant"))
        await engine.wait_query()
        now = await figures(engine)
        assert now.sent == now.answered == 40_000
        assert now.traffic.writes < now.sent / 4


async def test_of_many_answers_heard_together_each_counts_once() -> None:
    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = await reader.readexactly(20 * 31)
        writer.write(message * 2)
        await reader.read()

    async with against(twice) as engine:
        await engine.start_query(settings(constant(1000), arrivals="constant"))
        now = await reached(engine, lambda now: now.unknown > 0)
        assert (now.answered, now.unknown) == (20, 20)
        assert (await engine.latencies()).query.raw.count == 20


async def test_no_session_is_left_out() -> None:
    async with holding(10) as engine:
        await engine.start_query(settings(constant(5000)))

        async def all_asked() -> bool:
            now = await engine.snapshot()
            return now.confirmed == now.held == 10

        await until(all_asked)


async def test_many_names_are_all_asked_for() -> None:
    asked: set[bytes] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for query in queries(reader):
            asked.add(query[2:])
            writer.write(framed(query))

    names = tuple(build_question(f"{name}.example", "TXT") for name in "abc")
    async with against(echo) as engine:
        await engine.start_query(settings(constant(500), seconds=0.3, questions=names))
        await engine.wait_query()
        now = await figures(engine)
        assert now.answered == now.sent
    assert asked == {name.rest for name in names}


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7, 30, 32])
async def test_answers_may_come_in_any_pieces(cut: int) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = b""
        async for query in queries(reader):
            left += answer_to(query, 0x8000)
            while len(left) > cut:
                writer.write(left[:cut])
                await writer.drain()
                left = left[cut:]
            if reader.at_eof() or len(left) <= cut:
                writer.write(left)
                left = b""

    async with against(drip) as engine:
        await engine.start_query(settings(constant(300), seconds=0.2))
        await engine.wait_query()
        now = await figures(engine)
        assert now.rcodes == {"NOERROR": now.sent}
        assert now.sent


@pytest.mark.parametrize("size", [500, 1000, 20_000, 65_535])
async def test_long_answers_come_in_parts(size: int) -> None:
    async def answer_at_length(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for query in queries(reader):
            answer = framed((query[:2] + pack(">H", 0x8000) + query[4:]).ljust(size, b"x"))
            writer.write(answer[:450])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(answer[450:])

    async with against(answer_at_length) as engine:
        await engine.start_query(settings(constant(100), seconds=0.2, arrivals="constant"))
        await engine.wait_query()
        now = await figures(engine)
        assert now.rcodes == {"NOERROR": 20}
        assert (now.timeouts, now.malformed, now.unknown) == (0, 0, 0)


async def test_answers_may_come_out_of_order_and_with_any_code() -> None:
    async def shuffle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        batch = []
        async for query in queries(reader):
            batch.append(query)
            if len(batch) == 10:
                for at, held in enumerate(reversed(batch)):
                    writer.write(answer_to(held, 0x8000 | (3 if at % 2 else 0) | (0x0200 if at == 0 else 0)))
                batch = []

    async with against(shuffle) as engine:
        await engine.start_query(settings(constant(500), seconds=0.2, arrivals="constant"))
        await engine.wait_query()
        now = await figures(engine)
        assert now.rcodes == {"NOERROR": 50, "NXDOMAIN": 50}
        assert now.truncated == 10


async def test_what_nobody_asked_for_and_what_is_no_dns_is_counted_apart() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for query in queries(reader):
            unknown = pack(">H", unpack_from(">H", query)[0] ^ 0x8000) + query[2:]
            writer.write(framed(unknown) + framed(b"short") + answer_to(query, 0x8005))

    async with against(babble) as engine:
        await engine.start_query(settings(constant(100), seconds=0.2, arrivals="constant"))
        await engine.wait_query()
        now = await figures(engine)
        assert now.rcodes == {"REFUSED": 20}
        assert (now.answered, now.unknown, now.malformed) == (20, 20, 20)


async def test_an_answer_that_does_not_come_is_a_timeout_and_late_when_it_does() -> None:
    release = asyncio.Event()
    async with against(echoing_after(release)) as engine:
        await engine.start_query(settings(constant(50), timeout=0.2, arrivals="constant"))
        now = await reached(engine, lambda now: now.timeouts >= 5)
        assert now.answered == 0
        release.set()
        now = await reached(engine, lambda now: now.late == now.timeouts and now.answered > 0)
        assert now.unknown == 0
        await engine.stop_query()
        await engine.wait_query()
        now = await figures(engine)
        assert now.sent == now.answered + now.timeouts + now.lost


async def test_a_run_has_sessions_before_anything_else_has_a_turn() -> None:
    async with holding(5) as engine:
        await engine.start_query(settings(constant(50)))
        assert (await figures(engine)).sessions == 5


async def test_late_answers_to_one_run_are_none_to_the_next_one() -> None:
    release = asyncio.Event()
    async with against(echoing_after(release)) as engine:
        await engine.start_query(settings(constant(50), seconds=0.2, timeout=0.2, arrivals="constant"))
        await engine.wait_query()
        assert (await figures(engine)).timeouts == 10
        await engine.start_query(settings(constant(50), seconds=0.2, arrivals="constant"))
        await reached(engine, lambda now: now.sent == 10)
        assert (await figures(engine)).answered == 0
        release.set()
        await engine.wait_query()
        now = await figures(engine)
        assert (now.answered, now.late, now.unknown) == (10, 10, 0)


async def test_no_timer_is_set_to_a_time_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the last answers are awaited nothing is done again and again."""
    late: list[float] = []

    def armed(timer: Timer, when: float) -> None:
        late.append(monotonic() - when)
        arm(timer, when)

    arm = Timer.arm
    monkeypatch.setattr(Timer, "arm", armed)

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with against(silent) as engine:
        await engine.start_query(settings(constant(50), seconds=0.2, timeout=0.5))
        await engine.wait_query()
        assert (await figures(engine)).timeouts > 0
    over = [seconds for seconds in late if seconds > 0.1]
    assert len(late) > 5
    assert len(over) <= 1


async def test_what_is_left_of_the_schedule_can_be_made_another_one() -> None:
    async with holding(1) as engine:
        await engine.start_query(settings(parse_schedule("1h 50\n1h 150")))
        left = (await engine.query_schedule()).scaled(2)
        assert (left.rate_at(0.0), left.rate_at(5400.0)) == (100, 300)


async def test_the_schedule_is_no_more_changed_when_its_time_is_over() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with against(silent) as engine:
        await engine.start_query(settings(parse_schedule("100ms 50\n100ms 150"), timeout=1.0, arrivals="constant"))
        now = await reached(engine, lambda now: not now.sending)
        assert now.running
        assert now.asked_rate == pytest.approx(100)
        with pytest.raises(UsageError, match="time is over"):
            await engine.change_query(constant(1000))
        assert (await figures(engine)).due == 20
        await engine.wait_query()


async def test_the_rates_of_what_has_ended_are_those_of_the_whole_run() -> None:
    async with holding(3) as engine:
        await engine.start_query(settings(constant(400), seconds=0.3))
        running = await reached(engine, lambda now: now.answered > 0 and now.seconds >= 0.1)
        assert running.achieved_rate == running.answered / running.seconds
        await engine.wait_query()
        now = await figures(engine)
    assert now.answered_rate == now.achieved_rate == now.answered / now.seconds > 0


async def test_no_session_is_told_to_have_heard_its_answer_before_it_asked() -> None:
    """When it asked is known exactly, when it was answered is not."""
    async with holding(30) as engine:
        await engine.start_query(settings(constant(1000), seconds=0.3))
        await engine.wait_query()
        now = await figures(engine)
        rows = [row for row in (await engine.session_page(None, 0)).rows if row.sent_ago is not None]
    assert len(rows) > 20
    assert now.answered == now.sent
    assert all(row.heard_ago is not None and row.heard_ago <= row.sent_ago <= row.age for row in rows if row.sent_ago)


async def test_a_lost_session_loses_its_queries_and_its_replacement_joins_in() -> None:
    ended = 0

    async def end_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        async for query in queries(reader):
            if not ended:
                ended = 1
                break
            writer.write(framed(query))

    async with against(end_first) as engine:
        await engine.start_query(settings(constant(200)))
        now = await reached(engine, lambda now: now.answered > 20)
        assert now.lost >= 1
        assert (await engine.snapshot()).losses.get("fin", 0) + (await engine.snapshot()).losses.get("rst", 0) == 1


async def test_queries_wait_for_a_session_to_be_sent_on() -> None:
    async with holding(1) as engine:
        await engine.set_sessions(0, None)
        await engine.wait_held()
        await engine.start_query(settings(constant(100), seconds=1.0, arrivals="constant"))
        assert (await figures(engine)).sent == 0
        await engine.set_sessions(3, None)
        await engine.wait_query()
        now = await figures(engine)
        assert now.sent == now.answered == 100


@pytest.mark.parametrize("arrivals", ["constant", "poisson"])
async def test_what_was_due_while_there_was_no_session_is_counted_as_not_sent(arrivals: str) -> None:
    async with holding(1) as engine:
        await engine.set_sessions(0, None)
        await engine.wait_held()
        await engine.start_query(settings(constant(1000), seconds=0.1, arrivals=arrivals))
        await engine.wait_query()
        now = await figures(engine)
        assert (now.sent, now.due) == (0, now.unsent)
        assert now.due == 100 if arrivals == "constant" else 60 <= now.due <= 140


async def test_what_is_given_up_is_not_sent_on_a_session_that_joins_behind_the_end() -> None:
    over = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await over.wait()

    async with against(silent) as engine:
        await engine.start_query(settings(constant(1000)))
        await reached(engine, lambda now: now.sent > 0)
        # Its queries are awaited still, and keep the run from ending.
        await engine.set_sessions(0, None)
        since = (await reached(engine, lambda now: not now.sessions)).seconds
        await reached(engine, lambda now: now.seconds > since + 0.05)
        await engine.stop_query()
        given_up = await reached(engine, lambda now: now.unsent > 0)
        await engine.set_sessions(1, None)
        await engine.wait_held()
        await engine.wait_query()
        over.set()
        now = await figures(engine)
        assert (now.due, now.sent, now.unsent) == (given_up.due, given_up.sent, given_up.unsent)
        assert now.due == now.sent + now.unsent


async def test_a_target_narrows_the_sessions() -> None:
    async with holding(3) as engine:
        (row,) = (await engine.target_page(0)).rows
        host, _, port = row.target.rpartition(":")
        await engine.start_query(settings(constant(100), seconds=0.1, target=Address(host, int(port))))
        assert (await figures(engine)).sessions <= 3
        await engine.wait_query()
        with pytest.raises(UsageError, match="is no target"):
            await engine.start_query(settings(constant(100), target=Address("127.0.0.9", 9)))


async def test_the_rate_is_changed_while_it_runs() -> None:
    async with holding(5) as engine:
        await engine.start_query(settings(constant(10)))
        await engine.change_query(constant(2000))
        assert (await figures(engine)).asked_rate == 2000
        await reached(engine, lambda now: now.answered > 200)
        with pytest.raises(UsageError, match="already"):
            await engine.start_query(settings(constant(10)))
        await engine.stop_query()
        await engine.wait_query()
        now: Snapshot = await engine.snapshot()
        assert now.query
        assert not now.query.running
        with pytest.raises(UsageError, match="no queries are being sent"):
            await engine.stop_query()


async def test_a_change_of_the_rate_gives_up_nothing_that_could_be_sent() -> None:
    async with holding(5) as engine:
        await engine.start_query(settings(constant(200)))
        before = (await reached(engine, lambda now: now.sent > 0)).unsent
        for rate in range(200, 400):
            await engine.change_query(constant(rate))
            await asyncio.sleep(0.002)
        await engine.stop_query()
        await engine.wait_query()
        now = await figures(engine)
        assert now.due == now.sent + now.unsent
        assert now.sent > 20
        # Of 32 that are due at once, which takes a pause, some are given up.
        assert now.unsent == before or await held_up(engine) > 32 / 400


async def test_a_lower_rate_gives_up_what_could_not_be_sent() -> None:
    async with holding(1) as engine:
        await engine.set_sessions(0, None)
        await engine.wait_held()
        await engine.start_query(settings(constant(100_000), arrivals="constant"))
        await asyncio.sleep(0.05)
        await engine.change_query(constant(10))
        now = await figures(engine)
        assert now.unsent == now.due > 0
        assert now.sent == 0


async def test_pings_go_on_in_the_language_of_the_queries() -> None:
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for query in queries(reader):
            heard.append(query)
            writer.write(framed(query))

    async with against(echo) as engine:
        await engine.start_query(settings(constant(0.001)))
        await engine.set_ping_interval((0.1, 0.1))
        await engine.set_ping(True)

        async def answered() -> bool:
            return (await engine.snapshot()).pings_answered >= 3

        await until(answered)
        now = await figures(engine)
        assert (now.answered, now.unknown) == (0, 0)
    assert {query[2:] for query in heard} == {QUESTIONS[0].rest}


async def test_a_ping_under_way_is_answered_before_queries_begin_on_its_session() -> None:
    pinged, speaking = asyncio.Event(), asyncio.Event()
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ping = await reader.readexactly(len(PAYLOAD))
        pinged.set()
        await speaking.wait()
        writer.write(ping)
        async for query in queries(reader):
            heard.append(query)
            writer.write(framed(query))

    async with against(echo) as engine:
        await engine.set_ping_interval((0.05, 0.05))
        await engine.set_ping(True)
        await pinged.wait()
        await engine.set_ping(False)
        await engine.start_query(settings(constant(1000), seconds=0.1))
        speaking.set()
        await engine.wait_query()
        now = await figures(engine)
        assert (now.answered, now.malformed, now.unknown) == (len(heard), 0, 0)
        assert now.answered == now.due > 0
        assert (await engine.snapshot()).pings_answered == 1


async def test_answers_to_queries_are_none_to_a_ping() -> None:
    async def answer_all_but_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        async for query in queries(reader):
            number += 1
            if number != 2:
                writer.write(framed(query))

    async with against(answer_all_but_the_second, ping_timeout=0.5) as engine:
        # One query, so that the ping after it has another identifier than a stream begins with.
        await engine.start_query(settings(parse_schedule("20ms 50\n1h 0"), arrivals="constant"))
        await reached(engine, lambda now: now.answered == 1)
        await engine.set_ping_interval((0.05, 0.05))
        await engine.set_ping(True)

        async def is_asked() -> bool:
            return (await engine.snapshot()).traffic.writes > 1

        await until(is_asked)
        await engine.change_query(constant(500))

        async def is_lost() -> bool:
            return (await engine.snapshot()).losses == {"timeout": 1}

        await until(is_lost)
        assert (await figures(engine)).answered > 0


async def test_at_the_end_sessions_are_let_go_of_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []

    def started(reactor: Reactor, job: Job) -> None:
        def counted(number: int) -> Job:
            for pause in job:
                steps[number] += 1
                yield pause

        steps.append(0)
        start(reactor, counted(len(steps) - 1))

    start = Reactor.start
    async with holding(14) as engine:
        await engine.start_query(settings(constant(100)))
        await reached(engine, lambda now: now.sessions == 14)
        monkeypatch.setattr(Reactor, "start", started)
        monkeypatch.setattr("initiator.workloads.query._RELEASED_AT_ONCE", 2)
        await engine.stop_query()
        await engine.wait_query()
        assert 7 in steps
        # All of them are free for the next run.
        await engine.start_query(settings(constant(100)))
        await reached(engine, lambda now: now.sessions == 14)


async def test_none_sent_yet_is_said() -> None:
    async with holding(1) as engine:
        assert (await engine.snapshot()).query is None
        with pytest.raises(UsageError, match="no queries have been sent"):
            await engine.wait_query()
