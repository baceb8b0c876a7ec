"""Tests of the probes' figures as text."""

from dataclasses import replace

import pytest

from initiator.find_render import ages_text, found_table, found_text, progress_text
from initiator.probes.ages import AgeBucket, AgesFigures, AgesRow
from initiator.probes.figures import (
    BenchFigures,
    BenchRound,
    BenchSettings,
    IdleFigures,
    IdleSettings,
    KeepaliveFigures,
    ProbeFigures,
    Progress,
    RateFigures,
    RateSettings,
    RateTrial,
    SessionsFigures,
    SessionsSettings,
    Spread,
)
from initiator.probes.idleness import Memory
from initiator.reports.history import Row

SPREAD = Spread(0.0001, 0.001, 0.002, 0.003, 0.2)
SPREAD_TEXT = "min 0.100 ms  p50 1.0 ms  p95 2.0 ms  p99 3.0 ms  max 200 ms"
KEEPALIVE = ("keepalive every", "silent for", "answered", "failed", "verdict")
TIMES = {"min": "0.100 ms", "p50": "1.0 ms", "p95": "2.0 ms", "p99": "3.0 ms", "max": "200 ms"}

BENCH = BenchFigures(
    BenchSettings(100, 2), False, 0.51, 199, {"rst": 1}, SPREAD, SPREAD, SPREAD,
    [BenchRound(1, 100, {}, SPREAD, SPREAD), BenchRound(2, 99, {"rst": 1}, SPREAD, SPREAD)],
)  # fmt: skip
SESSIONS = SessionsFigures(
    SessionsSettings(), False, 5.8, 1048, 1000, 999, 2.04, 10, {"timeout": 48}, {"rst": 1}, 0, "path"
)
RATE = RateFigures(
    RateSettings(2.0), False, True, 30.0, 485.0, 514.0, 499.9, 29.7, False, False, SPREAD,
    [
        RateTrial("ramp", 800.0, 400, 797.8, 2, {"timeout": 3}),
        RateTrial("try", 485.0, 970, 485.0, 0, {}),
    ],
)  # fmt: skip
IDLE = IdleFigures(
    IdleSettings(6.0), False, True, 5.3, 318, {}, 82, Memory(2.97, 3.06, {"timeout": 9}, {}, 0),
    [
        KeepaliveFigures(1, 4.2, 3, {}),
        KeepaliveFigures(2, 4.2, 1, {"rst": 2}),
        KeepaliveFigures(5, 4.2, 0, {"timeout": 3}),
    ],
)  # fmt: skip


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (Progress("bench", "round 2 of 9", None), "bench: round 2 of 9"),
        (Progress("find", "holding 7 sessions", 4.04), "find: holding 7 sessions, 4.0s left"),
        (Progress("find", "holding 7 sessions", -1.0), "find: holding 7 sessions, 0.0s left"),
    ],
)
def test_the_toolbar_says_what_is_tried_and_how_long_it_takes(now: Progress, text: str) -> None:
    assert progress_text(now) == text


def test_a_bench() -> None:
    assert list(found_text(BENCH)) == [
        "Bench                    : 2 rounds of 100 sessions, 2 made in 0.5s",
        "Echoes verified          : 199 of 200",
        "Failed                   : 1 (rst 1)",
        f"Establishment            : {SPREAD_TEXT}",
        f"Echo from the barrier    : {SPREAD_TEXT}",
        f"Echo from its sending    : {SPREAD_TEXT}",
        f"Round 1                  : {SPREAD_TEXT}",
        f"Round 2                  : {SPREAD_TEXT}, failed 1 (rst 1)",
    ]


def test_a_bench_in_which_nothing_was_measured_shows_no_latency() -> None:
    done = BenchRound(1, 0, {"timeout": 100}, None, None)
    bench = replace(BENCH, answered=0, connect=None, corrected=None, raw=None, rounds=[done])
    lines = list(found_text(bench))
    assert lines[3:] == [
        "Establishment            : -",
        "Echo from the barrier    : -",
        "Echo from its sending    : -",
        "Round 1                  : -, failed 100 (timeout 100)",
    ]
    assert found_table(bench).rows == [
        {"round": 1, "answered": 0, "failed": "100 (timeout 100)", **dict.fromkeys(TIMES)},
    ]


def test_room_for_sessions() -> None:
    assert list(found_text(SESSIONS)) == [
        "Sessions the path takes  : 1000, each confirmed by an echo",
        "Held beside them         : 10",
        "Confirmed after holding  : 999 after 2.0s",
        "New sessions tried       : 1048 in 5.8s",
        "New sessions refused     : 48 (timeout 48)",
        "Older sessions lost      : 1 (rst 1)",
        "Older ones make room     : no",
        "The search ended by      : the path, which takes no more",
    ]


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (None, "being stopped"),
        ("limit", "the limit that was asked for"),
        ("descriptors", "descriptors of this host"),
    ],
)
def test_a_search_that_the_path_did_not_end_says_at_least(bound: str | None, text: str) -> None:
    lines = list(found_text(replace(SESSIONS, bound=bound, evicted=3, held_for=0.0)))
    assert lines[0] == "Sessions the path takes  : at least 1000, each confirmed by an echo"
    assert lines[-1] == f"The search ended by      : {text}"
    assert lines[-2] == "Older ones make room     : yes: 3 lost while others were opened"
    assert not any("holding" in line for line in lines)


def test_a_rate() -> None:
    assert list(found_text(RATE)) == [
        "ramp 800.0 a second: 797.8 sent, failed 3 (timeout 3), 2 not sent in time",
        "try 485.0 a second: 485.0 sent, none failed",
        "Highest rate             : 485.0 a second for 2.0s without a failure",
        "Lowest rate that failed  : 514.0 a second",
        "Taken when overloaded    : 499.9 a second",
        "Burst beyond that rate   : 29 sessions or more, used up before each try",
        f"Establishment            : {SPREAD_TEXT}",
    ]


def test_a_rate_that_this_host_bounds_or_that_was_not_found() -> None:
    trials = [replace(trial, failures={}) for trial in RATE.trials]
    lines = list(found_text(replace(RATE, trials=trials, bad=None, taken=None, burst=None, host_bound=True)))
    assert lines[2:5] == [
        "Highest rate             : at least 485.0 a second for 2.0s without a failure",
        "Lowest rate that failed  : none",
        "Burst beyond that rate   : not known: a limit that lets 1370 through at first would not have shown",
    ]
    assert lines[-1] == "The search ended by      : this host, which can send no faster"
    lines = list(found_text(replace(RATE, host_bound=True)))
    assert lines[-1] == "The search ended by      : this host, which cannot send more of them evenly enough"
    lines = list(found_text(replace(RATE, trials=[], good=0.0, taken=0.0, burst=0.0)))
    assert lines[3] == "Burst beyond that rate   : none"
    lines = list(found_text(replace(RATE, trials=[], good=0.0, done=False)))
    assert lines[0] == "Highest rate             : none found for 2.0s without a failure"
    assert lines[-1] == "The search ended by      : being stopped"


@pytest.mark.parametrize("trials", [[], [RateTrial("ramp", 100.0, 0, 0.0, 50, {})], RATE.trials])
@pytest.mark.parametrize(("running", "text"), [(True, "not known yet"), (False, "not known")])
def test_a_burst_is_not_known_before_any_was_sent_or_once_some_failed(
    trials: list[RateTrial], running: bool, text: str
) -> None:
    now = replace(RATE, trials=trials, running=running, done=False, taken=None, burst=None)
    assert f"Burst beyond that rate   : {text}" in list(found_text(now))
    assert found_table(now).summary.endswith(f"burst beyond that rate: {text}")


def test_a_memory() -> None:
    assert list(found_text(IDLE)) == [
        "Idle sessions remembered : for 2.97 s, and forgotten after 3.06 s",
        "Then answered by         : silence (9)",
        "Keepalive every 1 s      : holds those silent for 4.2 s: 3 answered, failed 0",
        "Keepalive every 2 s      : holds some of those silent for 4.2 s: 1 answered, failed 2 (rst 2)",
        "Keepalive every 5 s      : does not hold those silent for 4.2 s: 0 answered, failed 3 (timeout 3)",
        "Tried                    : 82 groups spoken on, 318 sessions, in 5.3s",
        "Could not be opened      : 0",
    ]


@pytest.mark.parametrize(
    ("memory", "lines"),
    [
        (Memory(6.0, None, {}, {}, 0), ["at least for 6.00 s", "nothing"]),
        (Memory(0.0, None, {}, {}, 0), ["nothing known", "nothing"]),
        (
            Memory(0.0, 0.3, {"rst": 3, "fin": 1}, {}, 0),
            ["for none of the times tried, and forgotten after 0.30 s", "a reset (3), fin (1)"],
        ),
    ],
)
def test_a_memory_without_one_of_its_bounds(memory: Memory, lines: list[str]) -> None:
    text = list(found_text(replace(IDLE, memory=memory, keepalive=[], done=False)))
    assert [line.partition(": ")[2] for line in text[:2]] == lines
    assert text[2] == "Keepalive                : not tried: the search ended before"
    assert text[3].endswith(", then stopped")


@pytest.mark.parametrize(
    ("running", "done", "groups", "forgotten", "up_to", "why"),
    [
        (True, False, 0, None, 6.0, "not tried yet: at the end, if the path has forgotten any group"),
        (False, False, 0, None, 6.0, "not tried: the search ended before"),
        (False, False, 82, 3.0, 6.0, "not tried: the search ended before"),
        (False, True, 0, None, 6.0, "not tried: no session could be opened"),
        (False, True, 82, None, 6.0, "not tried: nothing was forgotten that it could have held"),
        (False, True, 82, 0.5, 1.0, "not tried: it takes 1 s at least, and an up-to that is longer"),
        (False, True, 82, 3.0, 6.0, "not tried: its sessions could not be opened"),
    ],
)
def test_where_keepalive_was_not_tried_it_is_said_why(
    running: bool, done: bool, groups: int, forgotten: float | None, up_to: float, why: str
) -> None:
    memory = Memory(0.2, forgotten, {}, {}, 0)
    settings = IdleSettings(up_to)
    now = replace(IDLE, settings=settings, running=running, done=done, groups=groups, memory=memory, keepalive=[])
    assert f"Keepalive                : {why}" in list(found_text(now))
    assert found_table(now).summary.endswith(f"; keepalive {why}")


def test_sessions_that_ended_by_themselves_are_told() -> None:
    text = list(found_text(replace(IDLE, memory=Memory(1.0, 2.0, {}, {"fin": 9}, 4))))
    assert text[2:4] == ["Ended while idle         : 9 (fin 9)", "Remembered for longer    : 4 groups"]


def test_ages() -> None:
    buckets = [AgeBucket(0.5, 1.0, 10), AgeBucket(1.0, 2.0, 30)]
    rows = [AgesRow("10.0.0.1:5", "rst", 40, buckets)] * 22
    assert list(ages_text(AgesFigures({"rst": buckets, "fin": [AgeBucket(0.0, 0.125, 1)]}, rows)))[:6] == [
        "Lost by rst: 40",
        "   0.5s to 1.0s            10  [#####               ]",
        "   1.0s to 2.0s            30  [###############     ]",
        "Lost by fin: 1",
        "   0ms to 125ms             1  [####################]",
        "10.0.0.1:5            : rst 40, most at 1.0s to 2.0s (30)",
    ]
    assert list(ages_text(AgesFigures({}, rows)))[-1].startswith("... and 2 more")
    assert list(ages_text(AgesFigures({}, []))) == ["No session has been lost"]
    assert "97d02h or more" in list(ages_text(AgesFigures({"rst": [AgeBucket(8388608.0, None, 1)]}, [])))[1]


@pytest.mark.parametrize(
    ("now", "summary", "rows"),
    [
        (
            BENCH,
            "Echoes verified: 199 of 200, in 0.5s; failed: 1 (rst 1)",
            [
                {"round": 1, "answered": 100, "failed": "0", **TIMES},
                {"round": 2, "answered": 99, "failed": "1 (rst 1)", **TIMES},
            ],
        ),
        (
            SESSIONS,
            "Sessions the path takes: 1000, ended by the path, which takes no more",
            [
                {
                    "tried": 1048,
                    "refused": "48 (timeout 48)",
                    "held beside": 10,
                    "still confirmed": 999,
                    "after": "2.0s",
                    "lost": "1 (rst 1)",
                    "lost while opening": 0,
                }
            ],
        ),
        (
            replace(SESSIONS, bound="descriptors"),
            "Sessions the path takes: at least 1000, ended by descriptors of this host",
            None,
        ),
        (
            RATE,
            "Highest rate: 485.0 a second for 2.0s without a failure; lowest rate that failed: 514.0 a second;"
            " burst beyond that rate: 29 sessions or more, used up before each try",
            [
                {
                    "trial": "ramp",
                    "rate": "800.0/s",
                    "sent": 400,
                    "sent/s": "797.8",
                    "not sent in time": 2,
                    "failed": "3 (timeout 3)",
                },
                {
                    "trial": "try",
                    "rate": "485.0/s",
                    "sent": 970,
                    "sent/s": "485.0",
                    "not sent in time": 0,
                    "failed": "0",
                },
            ],
        ),
        (
            IDLE,
            "Idle sessions remembered for 2.97 s, and forgotten after 3.06 s; then answered by silence (9);"
            " 82 groups spoken on, 318 sessions",
            [
                dict(zip(KEEPALIVE, row, strict=True))
                for row in (
                    ("1.0s", "4.2s", 3, "0", "holds"),
                    ("2.0s", "4.2s", 1, "2 (rst 2)", "holds some"),
                    ("5.0s", "4.2s", 0, "3 (timeout 3)", "does not hold"),
                )
            ],
        ),
    ],
)
def test_a_report_has_what_matters_most(now: ProbeFigures, summary: str, rows: list[Row] | None) -> None:
    table = found_table(now)
    assert table.summary == summary
    if rows is not None:
        assert table.rows == rows
