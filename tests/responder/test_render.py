"""Tests of the responder's figures as text."""

from dataclasses import replace

import pytest

from responder.render import client_text, greeting_text, listener_text, status_text, toolbar_text
from responder.settings import Settings, Tls
from responder.snapshot import ClientRow, ListenerRow, MarkerFigures, Snapshot

QUIET = Snapshot(
    age=0.0,
    held=15,
    listeners=1,
    hashsize=100_000,
    max_depth=1,
    listeners_max_depth=1,
    descriptors=(1_048_576, 1_048_576),
    rate=0.0,
    accepted=15,
    losses={},
    received=0,
    sent=0,
    accept_errors=0,
    exhausted=(),
    paused=False,
    longest_pause=0.0,
    echoed=0,
    messages=0,
    missed=0,
    dump=None,
    marker=None,
)

BUSY = Snapshot(
    age=12.0,
    held=64_073,
    listeners=100,
    hashsize=10_000,
    max_depth=9,
    listeners_max_depth=2,
    descriptors=(20_000, 30_000),
    rate=19_999.6,
    accepted=70_000,
    losses={"fin": 5_000, "rst": 927},
    received=1_200,
    sent=1_196,
    accept_errors=3,
    exhausted=("descriptors",),
    paused=True,
    longest_pause=0.1234,
    echoed=1_100,
    messages=12,
    missed=3,
    dump="one client, in",
    marker=MarkerFigures(messages=500, rate=99.6, p50=0.000043, p99=0.0127, ahead=2),
)


def test_status_begins_with_the_lines_that_scripts_read() -> None:
    """The first seven lines are those of the C sessioner, to the character."""
    assert list(status_text(QUIET, debug=False))[:7] == [
        "Connected clients        : 15",
        "Active listeners         : 1",
        "Clients hash size        : 100000",
        "Clients hash max depth   : 1",
        "Listeners hash max depth : 1",
        "Max descriptors limit    : 1048576/1048576",
        "Debug output             : no",
    ]


def test_status_shows_what_is_switched_on() -> None:
    """Debug output is a switch, shown as such."""
    assert list(status_text(QUIET, debug=True))[6] == "Debug output             : yes"


def test_status_goes_on_with_what_became_of_it() -> None:
    """What was accepted, lost and echoed stands behind what is connected."""
    assert list(status_text(BUSY, debug=False))[7:] == [
        "Sessions per second      : 20000",
        "Accepted sessions        : 70000",
        "Lost sessions            : 5927 (fin 5000, rst 927)",
        "Bytes received           : 1200",
        "Bytes echoed             : 1100",
        "Accept errors            : 3",
        "Exhausted                : descriptors (listeners are paused)",
        "Longest pause            : 123 ms",
        "Age of these figures     : 12s",
        "Bytes sent               : 1196",
        "Messages sent            : 12",
        "Messages missed          : 3",
        "Dump of traffic          : one client, in",
        "Messages with a marker   : 500, 100 per second, 2 of them ahead of our clock",
        "One-way latency          : p50 0.043 ms, p99 12.7 ms, by one host's clock",
    ]


@pytest.mark.parametrize(
    ("marker", "lines"),
    [
        (None, ["Dump of traffic          : no"]),
        (
            MarkerFigures(0, 0.0, 0.0, 0.0, 0),
            ["Messages with a marker   : 0, 0 per second", "One-way latency          : none yet"],
        ),
        (
            MarkerFigures(7, 0.0, 0.0, 0.0, 7),
            [
                "Messages with a marker   : 7, 0 per second, 7 of them ahead of our clock",
                "One-way latency          : none yet",
            ],
        ),
    ],
)
def test_status_shows_what_markers_tell_while_they_are_looked_for(
    marker: MarkerFigures | None, lines: list[str]
) -> None:
    """No latency is shown that was not measured."""
    assert list(status_text(replace(QUIET, marker=marker), debug=False))[-len(lines) :] == lines


@pytest.mark.parametrize(
    ("exhausted", "paused", "text"),
    [
        ((), False, "nothing"),
        (("descriptors",), False, "descriptors"),
        (("descriptors", "memory"), True, "descriptors, memory (listeners are paused)"),
    ],
)
def test_status_tells_what_has_run_out(exhausted: tuple[str, ...], paused: bool, text: str) -> None:
    """What has run out is named, with what follows from it."""
    snapshot = replace(QUIET, exhausted=exhausted, paused=paused)
    assert f"Exhausted                : {text}" in status_text(snapshot, debug=False)


@pytest.mark.parametrize("snapshot", [QUIET, BUSY])
def test_every_line_of_status_has_its_colon_in_one_column(snapshot: Snapshot) -> None:
    """No label is longer than the column of labels."""
    lines = list(status_text(snapshot, debug=False))
    assert {line.index(": ") for line in lines} == {25}
    assert len({line[:25] for line in lines}) == len(lines)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (
            ClientRow("127.0.0.1:49496", "127.0.0.1:6000", 107.0, 200.0),
            "127.0.0.1:49496->127.0.0.1:6000 : last action 107 seconds ago",
        ),
        (
            ClientRow("127.0.0.1:49498", "127.0.0.1:6000", 93.9, 200.0),
            "127.0.0.1:49498->127.0.0.1:6000 : last action 93 seconds ago",
        ),
        (ClientRow("[::1]:49500", "[::1]:6000", 0.2, 0.2), "[::1]:49500->[::1]:6000 : last action 0 seconds ago"),
    ],
)
def test_a_client_is_the_line_of_list_that_scripts_read(row: ClientRow, line: str) -> None:
    """Both ends and the whole seconds since the last action, to the character."""
    assert list(client_text(row)) == [line]


def test_a_listener_is_the_line_of_listeners_that_scripts_read() -> None:
    """A listener with what it has accepted since its start, to the character; our own figures follow."""
    row = ListenerRow("127.0.0.1:6000", 28_247, 15, "active", 1_200, 36, 12)
    (line,) = listener_text(row)
    assert line == (
        "127.0.0.1:6000 : 28247 accepted connections, 15 held, mode active, "
        "1200 bytes received, 36 bytes sent, 12 messages sent"
    )


def test_the_greeting_is_all_that_repeats_the_run() -> None:
    """The first line of a run tells its settings."""
    text = greeting_text(BUSY, Settings(backlog=512), 4096)
    assert text == "100 listeners, backlog 512, at most 20000 descriptors"
    assert ", TLS with a.pem, " in greeting_text(BUSY, Settings(tls=Tls("a.pem", "a.key")), 4096)


def test_the_greeting_says_what_the_system_cuts_the_backlog_to() -> None:
    """A backlog above net.core.somaxconn is not told as if it were in force."""
    text = greeting_text(BUSY, Settings(backlog=512), 128)
    assert text == "100 listeners, backlog 128 (net.core.somaxconn allows no more), at most 20000 descriptors"


@pytest.mark.parametrize(
    ("snapshot", "text"),
    [
        (QUIET, "15 clients  0/s  0 lost"),
        (replace(QUIET, rate=7.4, losses={"rst": 2, "fin": 1}), "15 clients  7/s  3 lost"),
        (BUSY, "64073 clients  20000/s  5927 lost  out of descriptors (listeners are paused)"),
    ],
)
def test_the_toolbar_shows_how_things_stand(snapshot: Snapshot, text: str) -> None:
    """The line below the prompt has the clients, their rate, those lost, and what has run out."""
    assert toolbar_text(snapshot) == text
