"""Tests of the commands of the message workload, on real sessions."""

from contextlib import aclosing

import pytest

from common.errors import UsageError
from common.shell import Shell
from initiator.engine import Engine
from initiator.runs import Runs
from initiator.send_commands import SendCommands
from initiator.settings import Settings
from tests.initiator.test_engine import status
from tests.support import Lines, Peer

pytestmark = pytest.mark.usefixtures("run")


async def test_a_rate_alone_is_refused_while_the_last_answers_are_awaited_and_what_begins_anew_is_said() -> None:
    shell = Shell()
    shell.sink = Lines()
    runs = Runs(shell)
    with Peer() as peer:
        async with aclosing(Engine(Settings(seed=1))) as engine:
            await engine.add_targets(peer.endpoint, None)
            await engine.wait_held()
            commands = SendCommands(engine, runs)
            await commands.send(text=["x"], rate=(100.0, None), marker="x")
            assert await commands.send(rate=(50.0, None)) == "Messages: 50 a second and session from now on"
            await status(engine, lambda now: now.traffic.sent > 0)
            await engine.stop_send()
            with pytest.raises(UsageError, match=r"`wait send`, then `send TEXT rate 5` begins anew"):
                await commands.send(rate=(5.0, None))
            await runs.close()
