"""Tests of what runs behind the prompt."""

import asyncio
from functools import partial

import pytest

from common.errors import SessionerError, UsageError
from common.shell import Shell
from initiator.reports.history import Table
from initiator.runs import Outcome, Run, Runs
from tests.initiator.figures import NO_SESSIONS
from tests.support import Lines

pytestmark = pytest.mark.usefixtures("run")


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _nothing() -> None:
    pass


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _known() -> Outcome:
    return Outcome(None, ["what is known"], Table([]))


async def _gone() -> Outcome:
    raise SessionerError("its worker has ended")


async def _bug() -> None:
    raise RuntimeError("a bug")


async def _known_bug() -> Outcome:
    raise RuntimeError("a bug")


def _runs() -> tuple[Runs, Shell, Lines]:
    shell, lines = Shell(), Lines()
    shell.sink = lines
    return Runs(shell), shell, lines


async def test_a_run_that_has_ended_is_told() -> None:
    runs, shell, lines = _runs()
    runs.begin(Run("churn", "churn 1", _nothing, _known, _nothing))
    await runs.wait("churn", None)
    assert lines.text == "Churn (churn 1):\nwhat is known\n"
    assert [run.title for run in runs.finished] == ["churn"]
    assert shell.exit_code == 0


@pytest.mark.parametrize(
    ("typed", "further", "held_up"), [(False, False, True), (True, True, True), (True, False, False)]
)
async def test_stop_waits_for_the_end_where_lines_may_follow_that_are_about_it(
    typed: bool, further: bool, held_up: bool
) -> None:
    """A script's `report` behind it is to be whole; whoever types is told when it is over."""
    runs, shell, lines = _runs()
    shell.typed = typed
    if further:
        shell.further_line.set()
    stopped, answered = asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        stopped.set()

    async def ended() -> None:
        await answered.wait()

    runs.begin(Run("query", "query 1", ended, _known, stop))
    stopping = asyncio.create_task(runs.stop("query"))
    await stopped.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    assert (stopping.done(), lines.text) == (not held_up, "")
    answered.set()
    await stopping
    await runs.wait("query", None)
    assert lines.text == "Queries (query 1):\nwhat is known\n"


@pytest.mark.parametrize("typed", [False, True])
async def test_whoever_types_is_told_what_a_line_waits_for(typed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("initiator.runs._SOON", 0)
    runs, shell, lines = _runs()
    shell.typed = typed
    answered = asyncio.Event()
    runs.begin(Run("query", "query 1", partial(_set, answered), _known, _nothing))
    settling = asyncio.create_task(runs.settle(NO_SESSIONS))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not settling.done()
    assert lines.text.startswith("Waiting for the last answers of the `query` before this one") == typed
    answered.set()
    await settling
    assert lines.text.endswith("what is known\n")


async def test_a_run_that_nothing_is_known_of_any_more_is_not_listed_as_running() -> None:
    runs, shell, lines = _runs()
    runs.begin(Run("churn", "churn 1", _nothing, _gone, _nothing))
    await runs.wait("churn", None)
    assert "its worker has ended" in lines.text
    assert shell.exit_code == 1
    assert not runs.finished
    await runs.refuse("churn")


async def test_one_whose_figures_are_not_told_yet_keeps_another_from_beginning() -> None:
    """It is over for the engine, but its files are written still."""
    runs, shell, _ = _runs()
    shell.typed = True
    written = asyncio.Event()
    runs.begin(Run("churn", "churn 1", partial(_set, written), _known, _nothing))
    with pytest.raises(UsageError, match="churn: churn runs already; `stop churn` ends it"):
        await runs.refuse("churn", "saturate")
    with pytest.raises(UsageError, match="churn: one runs already; `stop churn` ends it"):
        await runs.refuse("churn")
    with pytest.raises(UsageError, match="saturate: churn runs already; `stop churn` ends it"):
        await runs.refuse("saturate", "churn")
    await runs.refuse("bench")
    # One that is stopped will soon be told.
    await runs.stop("churn")
    refusing = asyncio.create_task(runs.refuse("saturate", "churn"))
    await asyncio.sleep(0)
    assert not refusing.done()
    written.set()
    await refusing
    assert len(runs.finished) == 1


@pytest.mark.parametrize("where", ["ended", "outcome"])
async def test_a_bug_in_a_run_is_logged_and_the_run_is_over(where: str, caplog: pytest.LogCaptureFixture) -> None:
    runs, shell, lines = _runs()
    runs.begin(Run("churn", "churn 1", _bug if where == "ended" else _nothing, _known_bug, _nothing))
    await runs.wait("churn", None)
    await runs.refuse("churn")
    assert (shell.exit_code, lines.text) == (1, "")
    assert "This is a bug" in caplog.text
    runs.begin(Run("churn", "churn 1", _bug, _known, _nothing))
    await runs.wait("churn", None)
    assert lines.text == "Churn (churn 1):\nwhat is known\n"


async def test_at_the_end_a_bug_in_one_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    runs, _, lines = _runs()
    for name, outcome in (("churn", _known_bug), ("bench", _known)):
        runs.begin(Run(name, name, _for_ever, outcome, _nothing))
    await runs.close()
    assert lines.text == "Bench (bench):\nwhat is known\n"
    assert "This is a bug" in caplog.text


async def test_at_the_end_one_that_nothing_is_known_of_does_not_hide_the_others() -> None:
    runs, _, lines = _runs()
    for name, outcome in (("churn", _gone), ("bench", _known)):
        runs.begin(Run(name, name, _for_ever, outcome, _nothing))
    await runs.close()
    assert lines.text == "Bench (bench):\nwhat is known\n"
