"""Tests of the commands of the query workload, on real sessions."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from common.errors import UsageError
from common.shell import Shell
from initiator.engine import Engine
from initiator.query_commands import QueryCommands
from initiator.runs import Runs
from initiator.settings import Settings
from initiator.workloads.expressions import parse_message
from initiator.workloads.send import SendSettings
from tests.initiator.test_engine import status
from tests.support import Lines, Peer

pytestmark = pytest.mark.usefixtures("run")


@asynccontextmanager
async def unanswered() -> AsyncIterator[tuple[QueryCommands, Engine, Runs]]:
    """Give the commands of an initiator with one session to a peer that answers nothing."""
    shell = Shell()
    shell.sink = Lines()
    shell.typed = True
    runs = Runs(shell)
    with Peer() as peer:
        async with aclosing(Engine(Settings(seed=1))) as engine:
            await engine.add_targets(peer.endpoint, None)
            await engine.wait_held()
            yield QueryCommands(engine, shell, runs), engine, runs
            await runs.close()


@pytest.mark.parametrize("what", ["query", "send"])
async def test_the_rate_of_what_sends_no_more_is_refused_while_its_last_answers_are_awaited(what: str) -> None:
    async with unanswered() as (commands, engine, runs):
        if what == "query":
            await commands.query(rate=100.0, timeout=60.0)
        else:
            message = parse_message(b"x", 1)
            await engine.start_send(SendSettings(1, (message,), rate=100.0, marker=message))
        await status(engine, lambda now: now.traffic.sent > 0)
        await (engine.stop_query if what == "query" else engine.stop_send)()
        with pytest.raises(UsageError, match="nothing runs whose rate could be changed"):
            await commands.faster()
        assert not runs.finished


async def test_a_schedule_that_is_over_has_no_rate_that_could_be_changed(tmp_path: Path) -> None:
    (tmp_path / "steps").write_text("10ms 100\n")
    async with unanswered() as (commands, engine, _):
        await commands.query(schedule=str(tmp_path / "steps"), for_=60.0, arrivals="constant")
        await status(engine, lambda now: bool(now.query and not now.query.asked_rate))
        with pytest.raises(UsageError, match="the schedule is over"):
            await commands.faster()
        assert await commands.query(rate=50.0) == "Queries: 50 a second from now on"
        assert await commands.faster(100.0) == "Queries: 100 a second from now on"


async def test_slower_undoes_faster() -> None:
    async with unanswered() as (commands, _, __):
        await commands.query(rate=100.0)
        said = [await commands.faster(50.0), await commands.slower(50.0), await commands.slower(100.0)]
        assert said == [f"Queries: {rate} a second from now on" for rate in (150, 100, 50)]
