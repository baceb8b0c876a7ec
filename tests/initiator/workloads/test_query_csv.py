"""Rows of real runs of queries, written to files and pipes or shown."""

import asyncio
import csv
import io
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from time import sleep, time
from typing import Any

import pytest

from common.addresses import Endpoint
from common.errors import UsageError
from initiator.engine import Engine
from initiator.settings import Settings
from initiator.snapshot import QueryFigures
from initiator.workloads.query import QuerySettings
from initiator.workloads.query_csv import HEADER, FileCsv, QueryCsv, ShownCsv
from initiator.workloads.questions import build_question
from initiator.workloads.schedule import constant
from responder.engine import Engine as Responder
from responder.settings import Settings as ResponderSettings
from tests.support import until

pytestmark = pytest.mark.usefixtures("run")


def settings(rate: float, **more: Any) -> QuerySettings:
    return QuerySettings(constant(rate), 1, (build_question("example.com", "A"),), **more)


@asynccontextmanager
async def holding(sessions: int) -> AsyncIterator[Engine]:
    """Give an initiator that holds so many sessions to a responder."""
    async with aclosing(Responder(ResponderSettings())) as responder, aclosing(Engine(Settings(seed=1))) as engine:
        ((host, port),) = await responder.add_listeners(Endpoint("127.0.0.1", 0, 0))
        await engine.add_targets(Endpoint(host, port, port), None)
        await engine.set_sessions(sessions, None)
        await engine.wait_held()
        yield engine


async def ran(engine: Engine, rate: float, rows: QueryCsv, **more: Any) -> QueryFigures:
    """Return the figures of a run to its end."""
    await engine.start_query(settings(rate, **{"seconds": 0.3, **more}), rows)
    await engine.wait_query()
    return await figures(engine)


async def figures(engine: Engine) -> QueryFigures:
    found = (await engine.snapshot()).query
    assert found
    return found


def read(text: str) -> list[dict[str, str]]:
    assert text.startswith(HEADER)
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize("arrivals", ["poisson", "constant"])
async def test_there_is_a_row_for_each_query_and_each_answer(tmp_path: Path, arrivals: str) -> None:
    begun = time()
    async with holding(7) as engine:
        now = await ran(engine, 1000, FileCsv(str(tmp_path / "rows")), arrivals=arrivals)
        rows = read((tmp_path / "rows").read_text())
    queries = {(row["connection_id"], row["query_id"]): row for row in rows if row["type"] == "Q"}
    answers = {(row["connection_id"], row["query_id"]): row for row in rows if row["type"] == "A"}
    assert (len(queries), len(answers), len(rows)) == (now.sent, now.answered, now.sent + now.answered)
    assert now.answered == now.sent > 200
    assert now.csv_not_written == 0
    assert {number for number, _ in queries} == {str(number) for number in range(7)}
    assert queries.keys() == answers.keys()
    for key, query in queries.items():
        answer = answers[key]
        assert begun <= float(query["due"]) <= float(query["timestamp"]) <= float(answer["timestamp"]) <= time()
        trip = float(answer["timestamp"]) - float(query["timestamp"])
        assert int(answer["rtt_us"]) == pytest.approx(trip * 1e6, abs=2)
        assert (answer["due"], answer["poisson_id"], answer["poisson_interval_us"]) == (query["due"], "", "")
        assert (query["poisson_id"], query["rtt_us"]) == ("0", "")


async def test_the_intervals_are_those_between_the_due_times(tmp_path: Path) -> None:
    async with holding(5) as engine:
        await ran(engine, 2000, FileCsv(str(tmp_path / "rows")))
    rows = [row for row in read((tmp_path / "rows").read_text()) if row["type"] == "Q"]
    # A float has a quarter of a microsecond here: two rows nearer than that could change places.
    rows.sort(key=lambda row: Decimal(row["due"]))
    for before, row in pairwise(rows):
        gap = float(Decimal(row["due"]) - Decimal(before["due"]))
        assert int(row["poisson_interval_us"]) == pytest.approx(gap * 1e6, abs=2)


async def test_a_pause_leaves_no_row_and_no_interval_out(tmp_path: Path) -> None:
    """What is due in it is taken from the schedule in several steps, of which the later find those before waiting."""
    async with holding(300) as engine:
        await engine.start_query(settings(20_000, arrivals="constant"), FileCsv(str(tmp_path / "rows")))
        await until_sent(engine, 100)
        asyncio.get_running_loop().call_soon(sleep, 0.4)
        await until_sent(engine, 8000)
        await engine.stop_query()
        await engine.wait_query()
        now = await figures(engine)
    rows = read((tmp_path / "rows").read_text())
    assert Counter(row["type"] for row in rows) == {"Q": now.sent, "A": now.answered}
    assert {row["poisson_interval_us"] for row in rows[1:] if row["type"] == "Q"} == {"50"}


async def test_a_change_of_the_rate_leaves_no_row_out(tmp_path: Path) -> None:
    """What is due then is taken while some of those before wait, where the loop was held up."""
    async with holding(100) as engine:
        await engine.start_query(settings(5000), FileCsv(str(tmp_path / "rows")))
        for rate in range(5000, 5020):
            await until_sent(engine, (await figures(engine)).sent + 10)
            asyncio.get_running_loop().call_soon(sleep, 0.04)
            for _ in range(1 + rate % 4):  # turns of the loop, in which some of what is due then is sent
                await asyncio.sleep(0)
            await engine.change_query(constant(rate))
        await engine.stop_query()
        await engine.wait_query()
        now = await figures(engine)
    rows = read((tmp_path / "rows").read_text())
    assert Counter(row["type"] for row in rows) == {"Q": now.sent, "A": now.answered}


async def test_a_session_that_joins_later_has_a_number_of_its_own(tmp_path: Path) -> None:
    async with holding(2) as engine:
        await engine.start_query(settings(2000), FileCsv(str(tmp_path / "rows")))
        await until_sent(engine, 100)
        await engine.drop(1, reset=True)
        await engine.wait_held()
        await until_sent(engine, (await figures(engine)).sent + 100)
        await engine.stop_query()
        await engine.wait_query()
        now = await figures(engine)
    rows = read((tmp_path / "rows").read_text())
    assert Counter(row["type"] for row in rows) == {"Q": now.sent, "A": now.answered}
    assert {row["connection_id"] for row in rows} == {"0", "1", "2"}


async def until_sent(engine: Engine, count: int) -> None:
    async def checked() -> bool:
        return (await figures(engine)).sent >= count

    await until(checked)


async def test_what_is_answered_twice_has_one_row(tmp_path: Path) -> None:
    served: list[asyncio.Task[None] | None] = []

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        while message := await reader.read(31):
            writer.write(message * 2)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(twice, "127.0.0.1", 0)
    async with aclosing(Engine(Settings(seed=1))) as engine:
        port = server.sockets[0].getsockname()[1]
        await engine.add_targets(Endpoint("127.0.0.1", port, port), None)
        await engine.wait_held()
        now = await ran(engine, 500, FileCsv(str(tmp_path / "rows")))
    server.close()
    await asyncio.gather(*filter(None, served))
    await server.wait_closed()
    counts = Counter(row["type"] for row in read((tmp_path / "rows").read_text()))
    assert counts == {"Q": now.sent, "A": now.answered}
    assert now.answered == now.sent


@pytest.mark.parametrize("name", ["", "missing/rows", ".", "pipe"])
async def test_what_cannot_be_written_is_refused_before_anything_begins(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")  # nobody reads it
    path = str(tmp_path / name) if name else ""
    async with holding(1) as engine:
        with pytest.raises(UsageError, match=r"^query: csv .* cannot be written: "):
            await engine.start_query(settings(100), FileCsv(path))
        assert (await engine.snapshot()).query is None
        await engine.start_query(settings(100))


async def test_a_run_that_is_refused_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    async with holding(1) as engine:
        await engine.start_query(settings(1000), FileCsv(str(path)))
        with pytest.raises(UsageError, match="are being sent over the sessions already"):
            await engine.start_query(settings(1000), FileCsv(str(path)))
        await until_sent(engine, 50)
    counts = Counter(row["type"] for row in read(path.read_text()))
    assert counts["Q"] >= 50


async def test_a_disk_that_is_full_ends_the_rows_alone(logged: list[logging.LogRecord]) -> None:
    async with holding(3) as engine:
        now = await ran(engine, 1000, FileCsv("/dev/full"))
    assert now.answered == now.sent > 200
    assert now.csv_not_written == now.sent + now.answered
    said = [record.getMessage() for record in logged if record.levelno == logging.WARNING]
    assert said == ["csv /dev/full ends, the queries go on: No space left on device"]


@asynccontextmanager
async def piped(path: Path) -> AsyncIterator[int]:
    """Give the end of a new named pipe that is read from."""
    os.mkfifo(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def test_a_pipe_that_nobody_reads_holds_nothing_up(tmp_path: Path) -> None:
    async with piped(tmp_path / "pipe") as reader, holding(3) as engine:
        now = await ran(engine, 3000, FileCsv(str(tmp_path / "pipe")), seconds=0.5)
        assert now.answered == now.sent > 1000
        taken = b""
        while data := os.read(reader, 1 << 16):
            taken += data
        rows = taken.count(b"\n") - 1
        assert now.csv_not_written == now.sent + now.answered - rows > 0


async def test_a_pipe_whose_reader_goes_ends_the_rows_alone(tmp_path: Path, logged: list[logging.LogRecord]) -> None:
    async with holding(3) as engine:
        async with piped(tmp_path / "pipe") as reader:
            await engine.start_query(settings(1000, seconds=1.0), FileCsv(str(tmp_path / "pipe")))
            await until_sent(engine, 100)
            assert os.read(reader, 1 << 16).startswith(HEADER.encode())
        await engine.wait_query()
        now = await figures(engine)
        assert now.answered == now.sent
        assert now.csv_not_written
    (said,) = [record.getMessage() for record in logged if record.levelno == logging.WARNING]
    assert said.endswith("pipe ends, the queries go on: Broken pipe")


async def test_at_the_end_of_the_process_the_file_is_whole(tmp_path: Path) -> None:
    async with holding(3) as engine:
        await engine.start_query(settings(5000), FileCsv(str(tmp_path / "rows")))
        await until_sent(engine, 500)
    text = (tmp_path / "rows").read_text()
    assert text.endswith("\n")
    assert Counter(row["type"] for row in read(text))["Q"] >= 500


async def test_rows_can_be_shown() -> None:
    shown: list[str] = []

    async def show(text: str) -> None:
        shown.append(text)

    async with holding(3) as engine:
        now = await ran(engine, 1000, ShownCsv(show))
    assert Counter(row["type"] for row in read("".join(shown))) == Counter(Q=now.sent, A=now.answered)
    assert now.csv_not_written == 0


async def test_where_they_cannot_be_shown_that_is_told(logged: list[logging.LogRecord]) -> None:
    async def show(_text: str) -> None:
        raise RuntimeError("nothing is shown any more")

    async with holding(3) as engine:
        now = await ran(engine, 1000, ShownCsv(show))
        assert now.csv_not_written == now.sent + now.answered > 200
    said = [record.getMessage() for record in logged if record.levelno == logging.WARNING]
    assert said == ["csv - ends, the queries go on: RuntimeError: nothing is shown any more"]


async def test_a_bug_in_whoever_writes_is_told_as_any_failure(tmp_path: Path, logged: list[logging.LogRecord]) -> None:
    rows = FileCsv(str(tmp_path / "rows"))
    rows.begin()
    rows.sent(0, [1], [2.0], 3.0)  # was never due
    rows.finish()

    async def finished() -> bool:
        return rows.beat()

    await until(finished)
    assert rows.not_written == 1
    (said,) = [record.getMessage() for record in logged if record.levelno == logging.WARNING]
    assert said.endswith("rows ends, the queries go on: KeyError: 2.0")


async def test_what_nobody_takes_is_given_up_at_the_end() -> None:
    never = asyncio.Event()

    async def show(_text: str) -> None:
        await never.wait()

    async with holding(3) as engine:
        now = await ran(engine, 1000, ShownCsv(show))
        assert now.csv_not_written == now.sent + now.answered > 200


async def test_what_finds_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("initiator.workloads.query_csv._MOST", 50)
    room = asyncio.Event()
    shown: list[str] = []

    async def show(text: str) -> None:
        await room.wait()
        shown.append(text)

    async with holding(3) as engine:
        await engine.start_query(settings(1000, seconds=0.5), ShownCsv(show))
        await until_sent(engine, 200)
        room.set()
        await engine.wait_query()
        now = await figures(engine)
        assert now.csv_not_written
        assert len(read("".join(shown))) == now.sent + now.answered - now.csv_not_written
