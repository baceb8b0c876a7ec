"""The message workload over real sockets."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack, aclosing, suppress
from itertools import pairwise
from threading import Thread
from typing import Any

import pytest

from common.addresses import Address, Endpoint
from common.deadlines import TICK
from common.errors import UsageError
from initiator.engine import Engine
from initiator.settings import Settings
from initiator.snapshot import SendFigures
from initiator.workloads.expressions import Template, parse_message
from initiator.workloads.send import SendSettings
from initiator.workloads.turns import TOLERANCE
from tests.initiator.pauses import held_up
from tests.initiator.workloads.test_query import against, holding
from tests.support import Peer, reset, stall, until

pytestmark = pytest.mark.usefixtures("run")

NOTHING_MISSED = {"late": 0, "session full": 0, "session gone": 0}


def settings(*messages: bytes, **more: Any) -> SendSettings:
    return SendSettings(1, tuple(map(template, messages)), **more)


def template(text: bytes) -> Template:
    return parse_message(text, 1)


async def figures(engine: Engine) -> SendFigures:
    found = (await engine.snapshot()).send
    assert found
    return found


async def ran(engine: Engine, run: SendSettings) -> tuple[SendFigures, float]:
    """Return what became of a run, and the longest pause of the loop."""
    await engine.start_send(run)
    await engine.wait_send()
    return await figures(engine), await held_up(engine)


async def reached(engine: Engine, check: Callable[[SendFigures], bool]) -> SendFigures:
    """Return the first figures that a check holds of."""
    found: list[SendFigures] = []

    async def checked() -> bool:
        found[:] = [await figures(engine)]
        return check(found[0])

    await until(checked)
    return found[0]


class Heard:
    """A server that keeps what it hears, and says what it is told to for each piece."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda _data: b"") -> None:
        self.data = b""
        self.answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            self.data += data
            writer.write(self.answer(data))
            await writer.drain()


async def test_messages_go_out_at_the_rate_in_sequence_after_the_first() -> None:
    heard = Heard()
    async with against(heard) as engine:
        await engine.start_send(settings(b"a.", b"bb.", first=(template(b"first;"),), rate=100.0, seconds=0.5))
        await engine.wait_send()
        now = await figures(engine)
        await until(lambda: _is(len(heard.data) == now.traffic.sent))
        pause = await held_up(engine)
    assert now.sent == now.due - sum(now.missed.values())
    assert 51 - 100 * pause <= now.due <= 51
    assert now.missed == NOTHING_MISSED or (pause > TOLERANCE and now.missed["session full"] == 0)
    assert heard.data == b"first;" + b"".join((b"a.", b"bb.")[number % 2] for number in range(now.sent - 1))


async def _is(truth: bool) -> bool:
    return truth


async def test_expressions_are_of_the_session_and_the_message() -> None:
    heard = Heard()
    async with against(heard) as engine:
        await engine.start_send(settings(rb"\{session}:\{message} ", rate=200.0, seconds=0.2))
        await engine.wait_send()
        now = await figures(engine)
        await until(lambda: _is(len(heard.data) == now.traffic.sent))
    numbers = [int(word.removeprefix(b"1:")) for word in heard.data.split()]
    assert numbers == list(range(1, now.sent + 1))


async def test_without_a_rate_it_sends_as_fast_as_it_is_taken_and_ends_with_a_whole_block() -> None:
    heard = Heard()
    async with against(heard) as engine:
        await engine.start_send(settings(b"0123456789", b"abc"))
        await reached(engine, lambda now: now.traffic.sent > 5_000_000)
        await engine.stop_send()
        await engine.wait_send()
        now = await figures(engine)
        await until(lambda: _is(len(heard.data) == now.traffic.sent))
        assert (await engine.snapshot()).held == 1
    assert heard.data == (b"0123456789abc" * (len(heard.data) // 13 + 1))[: len(heard.data)]
    assert abs(now.sent - len(heard.data) * 2 / 13) < 2


async def test_expressions_at_full_speed_are_whole_messages() -> None:
    heard = Heard()
    async with against(heard) as engine:
        await engine.start_send(settings(rb"n=\{message}" + b"x" * 500 + b"\n"))
        await reached(engine, lambda now: now.traffic.sent > 1_000_000)
        await engine.stop_send()
        await engine.wait_send()
        now = await figures(engine)
        await until(lambda: _is(len(heard.data) == now.traffic.sent))
    lines = heard.data.splitlines()
    assert [line.rstrip(b"x") for line in lines] == [b"n=%d" % number for number in range(1, now.sent + 1)]


async def test_a_bandwidth_is_kept() -> None:
    async with holding(3) as engine:
        now, pause = await ran(engine, settings(b"0123456789", up=100_000.0, seconds=1.0))
    assert now.unit == "bytes"
    assert now.traffic.sent + sum(now.missed.values()) == now.due
    assert 300_000 * (1 - pause) <= now.due <= 300_000 * 1.05
    assert now.missed == NOTHING_MISSED or (pause > TOLERANCE and now.missed["session full"] == 0)


@pytest.mark.parametrize("first", [(), (template(b"f" * 20_000),)])
async def test_a_bandwidth_is_kept_where_whole_messages_are_sent(first: tuple[Template, ...]) -> None:
    """What one is ahead by its messages to come make up for."""
    async with holding(2) as engine:
        await engine.start_send(settings(rb"\{message}" + b"x" * 5000, up=100_000.0, seconds=1.0, first=first))
        await engine.wait_send()
        now = await figures(engine)
    assert 0 <= now.traffic.sent + sum(now.missed.values()) - now.due < 2 * 5010


async def test_answers_are_matched_in_order_by_a_marker() -> None:
    async with holding(5) as engine:
        await engine.start_send(
            settings(b"ping ", rate=100.0, seconds=0.4, marker=template(b"ing"), skip=2, first=(template(b"first"),))
        )
        await engine.wait_send()
        now = await figures(engine)
        latencies = await engine.latencies()
    # The first two answers of each session are not looked at, so their messages stay without one.
    assert now.answered == now.sent - 5 - 10
    assert now.unanswered == 10
    assert latencies.message.corrected.count == latencies.message.raw.count == now.answered
    assert latencies.late.raw.count == now.sent - 5


async def test_answers_are_matched_by_number_where_the_marker_has_it() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            number = int(line)
            if number % 2 == 0:
                writer.write(b"<%d><%d>" % (number, number - 1 if number % 3 else number + 1000))

    async with against(answer) as engine:
        await engine.start_send(settings(b"\\{message}\n", rate=200.0, marker=template(rb"<\{message}>")))
        await reached(engine, lambda now: now.sent > 50)
        await engine.stop_send()
        now = await reached(engine, lambda now: now.answered + now.unexpected >= now.sent - now.sent % 2)
    # Each second message has two answers, and of each third of those one is to a message that was not sent.
    assert now.unexpected == now.sent // 6
    assert now.answered == now.sent // 2 * 2 - now.unexpected


async def test_more_answers_than_messages_are_counted_as_such() -> None:
    async with against(Heard(lambda data: data * 3)) as engine:
        await engine.start_send(settings(b"x", rate=50.0, seconds=0.3, marker=template(b"x")))
        await engine.wait_send()
        now = await reached(engine, lambda now: now.answered == now.sent)
    assert now.unanswered == 0


async def test_a_run_stops_on_what_it_must_not_hear() -> None:
    async with against(Heard(lambda data: b"..ERR" if b"9" in data else b"OK")) as engine:
        await engine.start_send(settings(rb"\{message} ", rate=200.0, stop_on=b"KO..ER"[2:]))
        await engine.wait_send()
        now = await figures(engine)
        assert "ERR" in now.stopped_on
        assert now.sent < 15


async def test_echoes_are_verified() -> None:
    async with holding(10) as engine:
        await engine.start_send(SendSettings(7, rate=50.0, check=100))
        await reached(engine, lambda now: now.sent > 100)
        await engine.stop_send()
        await engine.wait_send()
        now = await figures(engine)
        pause = await held_up(engine)
    assert now.answered == now.sent == now.due - sum(now.missed.values()) > 100
    assert now.missed == NOTHING_MISSED or (pause > TOLERANCE and now.missed["session full"] == 0)
    assert set(now.wrong.values()) == {0}


async def test_an_echo_that_is_wrong_is_told() -> None:
    def spoilt(data: bytes) -> bytes:
        return b"".join(data[at : at + 99] + b"!" for at in range(0, len(data), 100))

    async with against(Heard(spoilt)) as engine:
        await engine.start_send(SendSettings(7, rate=50.0, check=100, seconds=0.2))
        await engine.wait_send()
        now = await figures(engine)
    assert now.answered == 0
    assert now.wrong["altered"] == now.sent
    assert "came back as" in now.told[0]


async def test_what_is_said_on_a_session_that_waits_for_nothing_is_unexpected_and_fails_no_message() -> None:
    async with against(Heard(lambda data: data + b"Hi there")) as engine:
        await engine.start_send(SendSettings(7, rate=20.0, check=64, seconds=0.5))
        await engine.wait_send()
        now = await figures(engine)
        pause = await held_up(engine)
    assert now.answered + sum(now.wrong.values()) == now.sent > 0
    assert now.wrong["altered"] == 0 or pause > 0.05
    assert now.unexpected > 0
    assert "b'Hi there' came, 8 bytes, though no message waited for its echo" in now.told[0]


async def test_an_answer_of_another_session_is_told() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def crossed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        while data := await reader.read(1 << 16):
            writers[-1 if writer is writers[0] else 0].write(data)

    async with against(crossed) as engine:
        await engine.set_sessions(2, None)
        await engine.wait_held()
        await engine.start_send(SendSettings(7, rate=20.0, check=64))
        await reached(engine, lambda now: now.sent > 4)
        await engine.stop_send()
        await engine.wait_send()
        now = await figures(engine)
        assert now.wrong["foreign"] == now.sent > 4
        assert "of session" in now.told[0]


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send without end, from the first byte heard on."""
    await reader.read(1)
    while True:
        writer.write(bytes(1 << 16))
        await writer.drain()


@pytest.mark.parametrize("down", [200_000.0, 20_000.0, 0.0])
async def test_reading_is_paced_and_goes_on_at_full_speed_afterwards(down: float) -> None:
    async with against(flood) as engine:
        await engine.start_send(settings(b"x", rate=1.0, down=down, seconds=1.0))
        await engine.wait_send()
        received = (await figures(engine)).traffic.received
        assert received <= 1.2 * down
        assert received >= 0.8 * down or await held_up(engine) > TOLERANCE
        await reached_bytes(engine, 10_000_000)


async def test_what_was_left_of_the_run_before_is_read_at_the_pace_of_the_next() -> None:
    async with against(flood) as engine:
        await engine.start_send(settings(b"x", rate=1.0, down=0.0, seconds=0.2))
        await engine.wait_send()
        await reached_bytes(engine, 1_000_000)
        await engine.start_send(settings(b"x", rate=1.0, down=20_000.0, seconds=1.0))
        await engine.wait_send()
        now = await figures(engine)
    assert 0 < now.traffic.received <= 1.2 * 20_000


async def reached_bytes(engine: Engine, count: int) -> None:
    async def checked() -> bool:
        return (await engine.snapshot()).traffic.received > count

    await until(checked)


async def test_what_falls_due_in_a_stall_over_the_end_is_missed() -> None:
    async with holding(2) as engine:
        await engine.start_send(settings(b"x", rate=100.0, seconds=0.5))
        await reached(engine, lambda now: now.sent > 0)
        stall(0.8)
        await engine.wait_send()
        now = await figures(engine)
    assert now.due == 2 * 50
    assert now.sent + sum(now.missed.values()) == now.due
    assert now.missed["late"] > 0


@pytest.mark.parametrize("rate", [50.0, 5000.0])
async def test_nothing_is_missed_at_the_end_of_a_run_that_was_not_held_up(rate: float) -> None:
    async with holding(2) as engine:
        now, pause = await ran(engine, settings(b"x", rate=rate, seconds=0.4))
    assert now.due == now.sent + sum(now.missed.values())
    assert 2 * rate * (0.4 - pause) <= now.due <= 2 * rate * 0.4
    assert now.missed == NOTHING_MISSED or pause > TOLERANCE


async def test_messages_of_many_sessions_are_due_evenly_over_a_period() -> None:
    async with holding(200) as engine:
        now, pause = await ran(engine, settings(b"x", rate=0.5, seconds=1.0))
    assert 96 - 100 * pause <= now.due <= 104


async def test_nothing_is_due_while_there_is_no_session() -> None:
    async with holding(1) as engine:
        await engine.start_send(settings(b"x", rate=100.0))
        await reached(engine, lambda now: now.sent > 0)
        await engine.set_sessions(0, None)
        gone = await reached(engine, lambda now: now.sessions == 0)
        back = await reached(engine, lambda now: now.seconds > gone.seconds + 0.5)
        assert back.due == gone.due
        await engine.set_sessions(1, None)
        now = await reached(engine, lambda now: now.sent > gone.sent)
        assert now.due <= 100 * (now.seconds - back.seconds + gone.seconds) + 2


@pytest.mark.parametrize("combine", [True, False])
async def test_what_was_due_on_sessions_that_are_lost_is_missed_and_counted(combine: bool) -> None:
    async with holding(100) as engine:
        await engine.start_send(settings(b"x", rate=200.0, combine=combine))
        await reached(engine, lambda now: now.sent > 100)

        async def some_were_due() -> bool:
            stall(0.02)
            await engine.drop(100, reset=True)
            await engine.wait_held()
            return (await figures(engine)).missed["session gone"] > 0

        await until(some_were_due)
        await engine.stop_send()
        await engine.wait_send()
        now = await figures(engine)
    assert now.sent + sum(now.missed.values()) == now.due


@pytest.mark.parametrize("more", [{"rate": 2000.0}, {"rate": 2000.0, "combine": False}, {"up": 1e6}])
async def test_what_was_due_when_the_peer_ends_a_session_is_missed_and_counted(more: dict[str, Any]) -> None:
    with Peer() as peer:
        async with aclosing(Engine(Settings(seed=1))) as engine:
            await engine.add_targets(peer.endpoint, None)
            sock = await peer.accept()
            await engine.start_send(settings(b"x", **more))
            await reached(engine, lambda now: now.traffic.sent > 0)
            # What is due meanwhile is sent before anybody looks for a reset.
            stall(0.02)
            reset(sock)
            await reached(engine, lambda now: now.missed["session gone"] > 0)
            await engine.stop_send()
            await engine.wait_send()
            now = await figures(engine)
    assert (now.sent if "rate" in more else now.traffic.sent) + sum(now.missed.values()) == now.due


@pytest.mark.parametrize("by_reset", [True, False])
async def test_bytes_that_wait_on_a_session_that_ends_are_missed_and_counted(by_reset: bool) -> None:
    stopped = asyncio.Event()

    async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await stopped.wait()

    async with against(deaf) as engine:
        await engine.start_send(settings(b"x" * 1000, up=50e6))
        await reached(engine, lambda now: now.missed["session full"] > 0)
        await engine.drop(1, by_reset)
        await reached(engine, lambda now: now.missed["session gone"] > 0)
        await engine.set_sessions(0, None)
        await engine.stop_send()
        await engine.wait_send()
        now = await figures(engine)
        stopped.set()
    assert now.traffic.sent + sum(now.missed.values()) == now.due


async def test_a_rate_that_is_too_high_is_missed_for_the_rest_and_ends_in_time() -> None:
    async with holding(3) as engine:
        await engine.start_send(settings(b"x", rate=1_000_000.0, seconds=0.3))
        await engine.wait_send()
        now = await figures(engine)
    assert now.due <= 900_000
    assert now.sent + sum(now.missed.values()) == now.due
    assert now.missed["late"] > 0


async def test_what_was_asked_for_in_a_run_that_has_ended_is_what_was_due() -> None:
    async with holding(3) as engine:
        await engine.start_send(settings(b"x", rate=200.0, seconds=0.3))
        assert (await reached(engine, lambda now: now.sessions == 3)).asked_rate == 600.0
        await engine.wait_send()
        now = await figures(engine)
        pause = await held_up(engine)
    assert now.asked_rate == now.due / now.seconds
    assert now.sent_rate == now.achieved_rate == now.sent / now.seconds
    assert now.asked_rate == pytest.approx(600.0, rel=0.1) or pause > TOLERANCE


async def test_answers_are_read_where_reading_is_paced_when_all_is_sent() -> None:
    async with holding(3) as engine:
        await engine.start_send(settings(b"hello;", rate=200.0, down=1e6, marker=template(b"hello;"), seconds=0.3))
        await engine.wait_send()
        now = await figures(engine)
    assert now.answered == now.sent > 0
    assert now.unanswered == 0


async def test_a_session_that_is_closed_is_read_to_its_end_where_reading_is_paced() -> None:
    async def at_last(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())

    async with against(at_last) as engine:
        await engine.start_send(settings(b"x", rate=100.0, down=1e6, marker=template(b"x")))
        await reached(engine, lambda now: now.sent > 10)
        await engine.drop(1, reset=False)
        await reached(engine, lambda now: now.answered > 10)
        assert (await engine.snapshot()).losses == {}
        await engine.stop_send()


async def test_a_session_that_speaks_at_once_is_not_read_either() -> None:
    """Of many some have spoken when they are found to be established."""
    with socket.create_server(("127.0.0.1", 0), backlog=1000) as server:

        def speak() -> None:
            with ExitStack() as sessions, suppress(OSError):
                while True:
                    sessions.enter_context(server.accept()[0]).send(b"x")

        speaker = Thread(target=speak)
        speaker.start()
        try:
            async with aclosing(Engine(Settings(seed=1))) as engine:
                port = server.getsockname()[1]
                await engine.add_targets(Endpoint("127.0.0.1", port, port), None)
                await engine.set_sessions(0, None)
                await engine.wait_held()
                before = (await engine.snapshot()).traffic.received
                await engine.start_send(settings(b"x", rate=0.1, down=0.0))
                await engine.set_sessions(500, None)
                await engine.wait_held()
                assert (await engine.snapshot()).traffic.received == before
        finally:
            server.shutdown(socket.SHUT_RDWR)
            speaker.join()


async def test_the_end_of_a_session_is_noticed_though_it_is_never_read() -> None:
    async with holding(4) as engine:
        await engine.start_send(settings(b"x", rate=10.0, down=0.0))
        await engine.drop(2, reset=True)
        await engine.wait_held()
        now = await reached(engine, lambda now: now.sessions == 4 and now.sent > 20)
        assert now.running
        await engine.stop_send()


async def test_a_session_that_is_closed_is_no_loss_though_it_is_never_read() -> None:
    async with holding(3) as engine:
        await engine.start_send(settings(b"x", rate=100.0, down=0.0, marker=template(b"x")))
        await reached(engine, lambda now: now.sent > 6)
        await engine.drop(2, reset=False)
        await reached(engine, lambda now: now.lost > 0)
        await engine.wait_held()
        assert (await engine.snapshot()).losses == {}
        await engine.stop_send()


async def test_a_session_that_is_closed_in_its_delay_sends_nothing_more() -> None:
    begun = asyncio.Event()

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await begun.wait()
        writer.write(b"late")

    async with against(late) as engine:
        await engine.set_sessions(3, None)
        await engine.wait_held()
        await engine.start_send(settings(b"x", first=(template(b"hi"),), rate=5.0, delay=0.2))
        await engine.drop(2, reset=False)
        now = await reached(engine, lambda now: now.sent > 0)
        assert now.traffic.received == 0
        begun.set()

        async def heard_or_held_up() -> bool:
            return (await figures(engine)).traffic.received == 8 or await held_up(engine) > 0.5

        await until(heard_or_held_up)
        assert (await engine.snapshot()).losses == {}


async def test_a_session_that_is_replaced_begins_anew() -> None:
    heard = Heard()
    async with against(heard) as engine:
        await engine.start_send(
            settings(rb"\{session} ", first=(template(b"first "),), rate=100.0, marker=template(b"never"))
        )
        await reached(engine, lambda now: now.sent > 5)
        await engine.drop(1, reset=True)
        await reached(engine, lambda now: now.lost >= 5)
        await until(lambda: _is(b"first 2 2" in heard.data))
        assert heard.data.startswith(b"first 1 1 ")
        await engine.stop_send()


async def test_what_a_session_does_not_take_is_missed_and_counted() -> None:
    stopped = asyncio.Event()

    async def deaf(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await stopped.wait()

    async with against(deaf) as engine:
        await engine.start_send(settings(b"x" * 1_000_000, rate=50.0))
        now = await reached(engine, lambda now: now.missed["session full"] > 3)
        stopped.set()
        assert now.sent + sum(now.missed.values()) == now.due


async def test_the_first_byte_waits_for_the_delay() -> None:
    async with holding(2) as engine:
        now, pause = await ran(engine, settings(b"x", rate=100.0, delay=0.4, seconds=1.0))
    # Nothing is due before. It begins at the time of the last batch, and is over with the first beat behind its tick.
    assert now.due == now.sent + sum(now.missed.values())
    assert 60 - 100 * (TICK + 2 * pause) <= now.due / 2 <= 61 + 100 * pause
    assert now.missed == NOTHING_MISSED or pause > TOLERANCE


@pytest.mark.parametrize(("delay", "counted"), [(0.0, True), (0.1, False)])
async def test_a_first_byte_counts_where_the_first_message_followed_the_establishment(
    delay: float, counted: bool
) -> None:
    """Of a session that was idle before it would only tell for how long."""
    async with holding(1) as engine:
        await engine.reset_latencies()
        await engine.start_send(settings(b"x", first=(template(b"hello"),), rate=0.1, delay=delay))
        await engine.set_sessions(2, None)
        await reached(engine, lambda now: now.traffic.received >= 2 * len(b"hello"))
        assert bool((await engine.latencies()).first_byte.raw.count) == counted


async def test_a_first_byte_counts_where_the_peer_speaks_unasked() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready")
        await writer.drain()
        await reader.read()

    async with against(greet) as engine:

        async def heard() -> bool:
            return (await engine.latencies()).first_byte.raw.count == 1

        await until(heard)


@pytest.mark.parametrize("more", [{}, {"rate": 100.0}, {"up": 10_000.0}])
async def test_a_session_that_is_sent_on_is_listed_so(more: dict[str, Any]) -> None:
    async with holding(1) as engine:
        await engine.start_send(settings(b"x", **more))
        await reached(engine, lambda now: now.traffic.sent > 0)
        (row,) = (await engine.session_page(None, 0)).rows
        assert row.sent_ago is not None
        assert row.sent_ago <= row.age


async def test_a_rate_is_changed_while_it_runs() -> None:
    async with holding(2) as engine:
        await engine.start_send(settings(b"x", rate=0.1))
        await engine.change_send(200.0)
        now = await reached(engine, lambda now: now.sent > 50)
        assert now.asked_rate == 400.0
        await engine.stop_send()
        await engine.wait_send()


async def test_what_was_due_before_a_change_of_rate_is_as_late_as_it_was() -> None:
    async with holding(1) as engine:
        await engine.start_send(settings(b"x", rate=1000.0))
        before = await reached(engine, lambda now: now.sent > 0)
        await engine.reset_latencies("late")
        stall(0.08)
        await engine.change_send(1.0)
        await reached(engine, lambda now: now.sent > before.sent)
        await engine.stop_send()
        await engine.wait_send()
        late = (await engine.latencies()).late.raw
    assert late.count > 50
    assert late.mean > 0.02


async def test_a_rate_is_not_changed_while_only_answers_are_awaited() -> None:
    async with against(Heard()) as engine:
        await engine.start_send(settings(b"x", rate=100.0, seconds=0.1, marker=template(b"x")))
        await reached(engine, lambda now: now.running and not now.sending and now.sent > 0)
        with pytest.raises(UsageError, match="the messages' time is over"):
            await engine.change_send(5.0)


async def test_others_have_their_turn_while_sessions_are_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.reactor.SLICE", 0.0)
    async with holding(300) as engine:
        await engine.start_send(settings(b"x", rate=1.0, marker=template(b"x")))
        await reached(engine, lambda now: now.sessions == 300)
        await engine.stop_send()
        seen = {300}
        while (now := await figures(engine)).sessions:
            seen.add(now.sessions)
            await asyncio.sleep(0)
        assert len(seen) > 3
        await engine.wait_send()
        assert now.answered + now.unanswered == now.sent


async def test_one_workload_owns_the_sessions() -> None:
    async with holding(1) as engine:
        await engine.start_send(settings(b"x"))
        with pytest.raises(UsageError, match="messages are being sent over the sessions already"):
            await engine.start_send(settings(b"y"))
        with pytest.raises(UsageError, match="not sent at a rate"):
            await engine.change_send(5.0)
        await engine.stop_send()
        await engine.wait_send()
        with pytest.raises(UsageError, match="no messages are being sent"):
            await engine.stop_send()
        with pytest.raises(UsageError, match="is no target"):
            await engine.start_send(settings(b"x", target=Address("127.0.0.9", 9)))


async def test_the_highest_rate_within_a_latency_is_searched_for() -> None:
    async with holding(2) as engine:
        await engine.start_send(settings(b"x", rate=1.0, marker=template(b"x")))
        found = await engine.search_send_rate(1e-6)
        assert found.good == 0
        assert found.tried[0].rate == 10.0
        assert [tried.does for tried in found.tried] == [False] * len(found.tried)
        assert all(one.rate > other.rate for one, other in pairwise(found.tried))
        await engine.wait_send()
