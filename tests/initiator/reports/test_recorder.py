"""Tests of the recorder, on an engine with real sessions."""

import asyncio
from contextlib import aclosing, closing

import pytest

from common.commands import Registry
from common.logs import Logs
from common.shell import Shell
from initiator.commands import Commands
from initiator.engine import Engine
from initiator.reports.recorder import Recorder
from initiator.settings import Settings
from initiator.totals import Totals
from tests.support import Lines, Peer, until

pytestmark = pytest.mark.usefixtures("run")

SETTINGS = Settings(seed=1)


async def test_a_sample_has_the_figures_of_its_moment() -> None:
    with Peer() as peer:
        async with aclosing(Engine(SETTINGS)) as engine:
            await engine.add_targets(peer.endpoint, None)
            recorder = Recorder(engine)
            await engine.set_sessions(7, None)
            await engine.wait_held()
            now, latencies = await recorder.sample()
            (sample,) = recorder.timeline.samples
            assert (sample.asked, sample.held, sample.established) == (7, 7, 7)
            assert (now.asked, now.held, now.established) == (7, 7, 7)
            assert latencies.connect.raw.count == 7
            await recorder.close()


async def test_samples_come_by_themselves_until_it_is_closed() -> None:
    async with aclosing(Engine(SETTINGS)) as engine:
        recorder = Recorder(engine)
        recorder.start(Shell())

        async def several() -> bool:
            return len(recorder.timeline.samples) == 3

        await until(several)
        await recorder.close()
        times = [sample.time for sample in recorder.timeline.samples]
        # At whole seconds, however long the ones before took; never early but for the clock's grain.
        seconds = [int(time + 0.01) for time in times]
        assert seconds == sorted(set(seconds))
        assert seconds[0] == 0


class Broken(Engine):
    """An engine whose totals cannot be told for a while, by a bug."""

    broken = True
    asked = 0

    async def totals(self) -> Totals:
        self.asked += 1
        if self.broken:
            raise RuntimeError("a bug")
        return await super().totals()


async def test_a_bug_leaves_a_gap_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with aclosing(Broken(SETTINGS)) as engine:
        recorder = Recorder(engine)
        recorder.start(Shell())

        async def was_asked_again() -> bool:
            return engine.asked > 2

        async def is_sampled() -> bool:
            return bool(recorder.timeline.samples)

        await until(was_asked_again)
        assert caplog.text.count("This is a bug") == 1
        engine.broken = False
        await until(is_sampled)
        await recorder.close()


async def test_what_changed_something_is_marked_and_nothing_else() -> None:
    """Neither what is refused by its handler, which nobody knows before, nor what only looks, also when watched."""
    shell, sink = Shell(), Lines()
    shell.sink = sink
    with closing(Logs(sink.note)) as logs:
        async with aclosing(Engine(SETTINGS)) as engine:
            commands = Commands(engine, shell, logs, None)
            shell.registry = Registry(commands.rows())
            recorder = Recorder(engine)
            recorder.start(shell)
            shell.further_line.set()  # nothing is watched for longer than once
            for line in (
                *("rate 5", "", "nonsense", "rate x", "  sleep 1ms ", "report", "status --json", "help drop", "list"),
                *("find idle limit 5", "drop 10.0.0.1", "watch status 1h", " watch drop 5 1h ", "wait held", "reset"),
                *("percentiles 50", "expect held > 5"),
            ):
                await shell.execute(line)
            await recorder.close()
            marks = list(recorder.timeline.marks)
            assert [(mark.text, mark.times) for mark in marks] == [
                ("rate 5", 2),
                ("watch drop 5 1h", 1),
                ("reset", 1),
            ]
            assert marks == sorted(marks, key=lambda mark: mark.time)
            await commands.close()


async def test_a_recorder_that_was_not_started_is_closed_all_the_same() -> None:
    async with aclosing(Engine(SETTINGS)) as engine:
        await Recorder(engine).close()
        assert len(asyncio.all_tasks()) == 1
