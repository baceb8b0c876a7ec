"""Tests of the initiator's figures as text."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from initiator.render import greeting_text, session_text, status_text, target_text, toolbar_text
from initiator.settings import Settings, Tls
from initiator.snapshot import SessionRow, Snapshot, TargetSnapshot
from initiator.traffic import Traffic
from tests.initiator.figures import NO_SESSIONS

QUIET = replace(
    NO_SESSIONS,
    asked=40,
    held=40,
    targets=4,
    descriptors=(1_048_576, 1_048_576),
    established=40,
    hashsize=400,
    max_depth=1,
)

BUSY = replace(
    NO_SESSIONS,
    age=0.04,
    asked=100_000,
    held=33_900,
    targets=100,
    descriptors=(20_000, 30_000),
    ping=True,
    rate=26_512.4,
    attempts=64,
    established=34_000,
    confirmed=500,
    confirmed_last_minute=400,
    losses={"rst": 5, "timeout": 2},
    failures={"refused": 7},
    pausing_targets=3,
    exhausted=("descriptors", "ports"),
    targets_without_ports=2,
    pings_answered=1_234,
    round_trip_p50=0.000043,
    round_trip_p99=0.0127,
    hashsize=10_000,
    max_depth=7,
    longest_pause=0.0042,
    traffic=Traffic(received=5_000, sent=4_000, reads=50, writes=40),
    receive_rate=100.0,
    send_rate=80.0,
)

TARGET = TargetSnapshot(
    target="127.0.0.1:6000",
    share=10,
    held=9,
    hashsize=100,
    max_depth=1,
    attempts=1,
    established=12,
    losses={"rst": 3},
    failures={},
    pausing=False,
    without_ports=False,
)

ROW = SessionRow("10.0.0.1:32768", "10.0.0.2:5000", 65.0, None, None, False)


def test_status_begins_with_the_lines_that_scripts_read() -> None:
    """The first six lines are those of the C sessioner, to the character."""
    assert list(status_text(QUIET, debug=False))[:6] == [
        "Connections requested    : 40",
        "Connected clients        : 40",
        "Configured targets       : 4",
        "Max descriptors limit    : 1048576/1048576",
        "Ping through connections : no",
        "Debug output             : no",
    ]


def test_status_shows_what_is_switched_on() -> None:
    """Ping and debug output are switches, shown as such."""
    assert list(status_text(replace(QUIET, ping=True), debug=True))[4:6] == [
        "Ping through connections : yes",
        "Debug output             : yes",
    ]


def test_status_goes_on_with_what_became_of_it() -> None:
    """What was achieved, what failed and why stand behind what was asked for."""
    assert list(status_text(BUSY, debug=False))[6:] == [
        "Sessions per second      : 26512",
        "Attempts under way       : 64",
        "Confirmed by an answer   : 500 ever, 400 in the last minute",
        "Lost sessions            : 7 (rst 5, timeout 2)",
        "Failed attempts          : 7 (refused 7)",
        "Pausing targets          : 3",
        "Exhausted                : descriptors, ports (2 targets)",
        "Ping round trip          : p50 0.043 ms, p99 12.7 ms, 1234 answers",
        "Bytes sent and received  : 4000, 5000",
        "Sessions hash size       : 10000",
        "Sessions hash max depth  : 7",
        "Longest pause            : 4.2 ms",
        "Age of these figures     : 0.0s",
    ]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"lifetime": 10.0}, "Replaced sessions        : 0 (lifetime 10s)"),
        ({"lifetime": 0.5, "replaced": 7}, "Replaced sessions        : 7 (lifetime 0.5s)"),
        ({"replaced": 7}, "Replaced sessions        : 7 (lifetime off)"),
        ({"dump": "one session, in"}, "Dump of traffic          : one session, in"),
    ],
)
def test_status_tells_of_what_is_asked_for_alone(changes: dict[str, Any], line: str) -> None:
    quiet = set(status_text(QUIET, debug=False))
    assert set(status_text(replace(QUIET, **changes), debug=False)) - quiet == {line}


def test_status_says_where_there_is_nothing() -> None:
    """Figures that are not there yet are not shown as numbers."""
    lines = list(status_text(QUIET, debug=False))
    assert "Exhausted                : nothing" in lines
    assert "Ping round trip          : no answers yet" in lines
    assert "Lost sessions            : 0" in lines


@pytest.mark.parametrize("snapshot", [QUIET, BUSY])
def test_every_line_of_status_has_its_colon_in_one_column(snapshot: Snapshot) -> None:
    """No label is longer than the column of labels."""
    lines = list(status_text(snapshot, debug=False))
    assert {line.index(": ") for line in lines} == {25}
    assert len({line[:25] for line in lines}) == len(lines)


def test_details_begin_with_the_lines_that_scripts_read() -> None:
    """The first four lines of each target are those of the C sessioner, to the character."""
    assert list(target_text(replace(TARGET, held=10)))[:4] == [
        "Target 127.0.0.1:6000:",
        "   Maximum allowed connections       : 10",
        "   Currently established connections : 10",
        "   Session hash max depth            : 1",
    ]


def test_details_go_on_with_what_became_of_it() -> None:
    """Attempts and losses of each target are told below."""
    lines = list(target_text(TARGET))
    assert lines[4:] == [
        "   Session hash size                 : 100",
        "   Attempts under way                : 1",
        "   Lost sessions                     : 3 (rst 3)",
        "   Failed attempts                   : 0",
    ]
    assert {line.index(": ") for line in lines[1:]} == {37}


@pytest.mark.parametrize(
    ("pausing", "without_ports", "state"),
    [
        (False, False, ""),
        (True, False, " (pausing after a failure)"),
        (True, True, " (out of ports, pausing)"),
        (False, True, " (out of ports, pausing)"),
    ],
)
def test_details_tell_why_a_target_pauses(pausing: bool, without_ports: bool, state: str) -> None:
    """A target that is not tried for now says so."""
    target = replace(TARGET, attempts=0, pausing=pausing, without_ports=without_ports)
    assert f"   Attempts under way                : 0{state}" in target_text(target)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (ROW, "10.0.0.1:32768->10.0.0.2:5000 : age 1m05s, last sent never, last heard never"),
        (
            replace(ROW, sent_ago=12.0, heard_ago=11.9, confirmed=True),
            "10.0.0.1:32768->10.0.0.2:5000 : age 1m05s, last sent 12s ago, last heard 12s ago",
        ),
        (
            SessionRow("[::1]:1", "[::1]:2", 0.04, 0.0, None, False),
            "[::1]:1->[::1]:2 : age 0.0s, last sent 0.0s ago, last heard never",
        ),
    ],
)
def test_a_session_is_one_line_of_list(row: SessionRow, line: str) -> None:
    """Both ends of a session and its times are shown, ours first."""
    assert list(session_text(row)) == [line]


def test_the_greeting_is_all_that_repeats_the_run() -> None:
    """The first line of a run tells its settings and its seed."""
    settings = Settings(seed=7, connect_timeout=2.5, ping=True, ping_timeout=30.0)
    assert greeting_text(BUSY, settings) == (
        "100 targets, connect timeout 2.5s, ping on, ping timeout 30s, at most 20000 descriptors, seed 7"
    )
    assert ", ping off, " in greeting_text(QUIET, Settings(seed=7))
    assert " targets, TLS, connect " in greeting_text(QUIET, Settings(seed=7, tls=Tls("ca.pem")))
    assert " targets, TLS that verifies nothing, " in greeting_text(QUIET, Settings(seed=7, tls=Tls(verify=False)))


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        (QUIET, "40 sessions held  0 lost"),
        (replace(QUIET, losses={"rst": 2, "fin": 1}), "40 sessions held  3 lost"),
        (replace(QUIET, held=20), "[##########          ] 20/40 sessions  0/s  0 lost"),
        (replace(QUIET, held=20, rate=5.0), "[##########          ] 20/40 sessions  5/s  4.0s left  0 lost"),
        (replace(QUIET, held=60, rate=5.0), "[####################] 60/40 sessions  5/s  0 lost"),
        (
            BUSY,
            "[######              ] 33900/100000 sessions  26512/s  2.5s left  7 lost  "
            "3 of 100 targets pausing  out of descriptors, ports (2 targets)",
        ),
    ],
)
def test_the_toolbar_shows_progress_while_there_is_some_to_make(snapshot: Snapshot, text: str) -> None:
    """Until all is held, the toolbar tells how far it is and how long it will take; then that all is held."""
    assert toolbar_text(snapshot) == text


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.floats(0, 1e6))
def test_the_toolbar_is_one_line_whatever_the_figures(asked: int, held: int, rate: float) -> None:
    """No figure breaks the toolbar."""
    text = toolbar_text(replace(BUSY, asked=asked, held=held, rate=rate))
    assert "\n" not in text
    assert (" left" in text) == (held < asked and rate >= 1)
