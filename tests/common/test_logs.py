"""Tests of what is logged, and of how much of it is shown."""

import logging
import re
from collections.abc import Iterator

import pytest

from common.logs import COMMANDS, ROOT, Logs

log = logging.getLogger(f"{ROOT}.test")

# More records than are shown in a second.
MANY = 1_000


class Clock:
    """The time as the tests set it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give a clock that stands still unless it is moved."""
    made = Clock()
    monkeypatch.setattr("common.logs.monotonic", made)
    return made


@pytest.fixture
def shown() -> list[str]:
    """Give what the console was given."""
    return []


@pytest.fixture
def written() -> list[str]:
    """Give what the log file was given."""
    return []


@pytest.fixture
def logs(clock: Clock, shown: list[str]) -> Iterator[Logs]:
    """Give the logs of a process that has a console alone."""
    assert clock.now
    made = Logs(shown.append)
    yield made
    made.close()


def warn(count: int, text: str = "careful") -> None:
    """Log so many warnings."""
    for _ in range(count):
        log.warning(text)


def left_out(text: str) -> list[int]:
    """Return the numbers of records that a text says were left out."""
    return [int(number) for number in re.findall(r"\((\d+) lines like the next one were left out\)\n", text)]


def test_a_warning_is_shown_as_it_is(logs: Logs, shown: list[str]) -> None:
    """The console shows what the operator must know, without time and level."""
    log.warning("Out of %s: %d left", "ports", 3)
    assert not logs.debug
    assert shown == ["Out of ports: 3 left\n"]


def test_a_bug_is_shown_with_its_traceback(logs: Logs, shown: list[str]) -> None:
    """An error that nobody expected is told with where it came from."""
    try:
        raise ValueError("surprise")
    except ValueError:
        log.exception("This is a bug:")
    assert not logs.debug
    (text,) = shown
    assert text.startswith("This is a bug:\nTraceback (most recent call last):\n")
    assert text.endswith("ValueError: surprise\n")


def test_the_console_is_spared_what_is_for_the_file(logs: Logs, shown: list[str]) -> None:
    """Losses and debug output are not shown unless they are asked for, and cost no more than a comparison."""
    states = []
    for enabled in (False, True, False):
        logs.set_debug(enabled)
        states.append((logs.debug, log.isEnabledFor(logging.INFO), log.isEnabledFor(logging.DEBUG)))
        log.info("Lost it")
        log.debug("Sent it")
    assert states == [(False, False, False), (True, True, True), (False, False, False)]
    assert shown == ["Lost it\n", "Sent it\n"]


def test_the_file_has_times_and_levels(logs: Logs, written: list[str]) -> None:
    """The log file keeps commands, losses and warnings, and never debug output."""
    logs.write_to(written.append)
    log.warning("careful")
    log.info("Lost it")
    logging.getLogger(COMMANDS).info("Command: %s", "set 5")
    logs.set_debug(True)
    log.debug("Sent it")
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
    wanted = [rf"{stamp} WARNING careful\n", rf"{stamp} INFO Lost it\n", rf"{stamp} INFO Command: set 5\n"]
    assert len(written) == len(wanted)
    for form, text in zip(wanted, written, strict=True):
        assert re.fullmatch(form, text)


def test_commands_are_not_repeated_to_who_typed_them(logs: Logs, shown: list[str]) -> None:
    """Even with debug output the console does not show the commands."""
    logs.set_debug(True)
    logging.getLogger(COMMANDS).info("Command: set 5")
    assert shown == []


def test_nothing_is_shown_after_the_end(shown: list[str], written: list[str]) -> None:
    """Logs that are closed leave nothing behind."""
    logs = Logs(shown.append)
    logs.write_to(written.append)
    logs.close()
    assert logging.getLogger(ROOT).handlers == []
    log.propagate = False  # or logging itself would write to standard error
    warn(1)
    log.propagate = True
    assert (shown, written) == ([], [])


def test_no_more_is_shown_in_a_second_than_a_terminal_takes(logs: Logs, clock: Clock, shown: list[str]) -> None:
    """Of too many records in a second some are shown, and the next one says how many were left out."""
    warn(MANY)
    assert not logs.debug
    assert 10 < len(shown) < MANY // 2
    some = len(shown)
    clock.now += 0.999
    warn(1)
    assert len(shown) == some
    clock.now += 0.001
    warn(2, "again")
    assert shown[some:] == [f"({MANY + 1 - some} lines like the next one were left out)\nagain\n", "again\n"]


def test_what_was_left_out_is_told_after_a_quiet_time_too(logs: Logs, clock: Clock, shown: list[str]) -> None:
    """However long it is until the next record, it tells."""
    warn(MANY)
    assert not logs.debug
    some = len(shown)
    clock.now += 3_600
    warn(1)
    assert left_out(shown[-1]) == [MANY - some]


def test_nothing_is_told_where_nothing_was_left_out(logs: Logs, clock: Clock, shown: list[str]) -> None:
    """As many records as may be shown are shown, second after second, without a word more."""
    warn(MANY)
    most = len(shown)
    shown.clear()
    clock.now += 1
    warn(1)
    shown.clear()
    for _ in range(3):
        clock.now += 1
        warn(most)
    assert not logs.debug
    assert shown == ["careful\n"] * (3 * most)


def test_many_records_of_one_level_leave_room_for_the_others(logs: Logs, shown: list[str]) -> None:
    """A flood of debug output hides no warning."""
    logs.set_debug(True)
    for _ in range(MANY):
        log.debug("Sent it")
    warn(1)
    assert shown[-1] == "careful\n"


def test_what_was_left_out_is_told_beside_any_text(logs: Logs, clock: Clock, shown: list[str]) -> None:
    """A record with values, or with a per cent sign and none, is told whole behind the number left out."""
    assert not logs.debug
    for arguments, text in ((("%d of %s", 3, "5%"), "3 of 5%\n"), (("50% done",), "50% done\n")):
        warn(MANY)
        clock.now += 1
        log.warning(*arguments)
        assert left_out(shown[-1])
        assert shown[-1].endswith(f"\n{text}")
        clock.now += 1


def test_console_and_file_each_tell_once_what_they_left_out(
    logs: Logs, clock: Clock, shown: list[str], written: list[str]
) -> None:
    """What the console left out is no part of what the file says, nor the other way round."""
    logs.write_to(written.append)
    warn(MANY)
    some = len(shown)
    clock.now += 1
    warn(1)
    assert left_out(shown[-1]) == [MANY - some]
    assert left_out(written[-1]) == [MANY - some]


def test_the_file_says_nothing_of_what_the_console_alone_left_out(
    logs: Logs, clock: Clock, shown: list[str], written: list[str]
) -> None:
    """A file that is opened later lacks nothing that the console left out before."""
    warn(MANY)
    logs.write_to(written.append)
    clock.now += 1
    warn(1)
    assert left_out(shown[-1])
    assert left_out(written[-1]) == []


def test_commands_are_not_counted_where_they_are_not_shown(logs: Logs, clock: Clock, shown: list[str]) -> None:
    """The console does not tell of commands left out, for it shows none."""
    logs.set_debug(True)
    for _ in range(MANY):
        logging.getLogger(COMMANDS).info("Command: status")
    log.info("Lost it")
    clock.now += 1
    log.info("Lost it")
    assert shown == ["Lost it\n"] * 2
