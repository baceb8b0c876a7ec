"""The figures of the workloads as text, and in files for other programs."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.errors import UsageError
from initiator.find_render import found_text
from initiator.latencies import Latencies
from initiator.load_render import (
    latency_text,
    query_table,
    query_text,
    rate_found_table,
    rate_found_text,
    run_text,
    send_table,
    send_text,
)
from initiator.reports.report import Report, report_text, write_report
from initiator.snapshot import LatencyRow, RateFound, RateTried, Segments
from initiator.traffic import Traffic
from tests.initiator.figures import NO_QUERIES
from tests.initiator.test_churn_render import RUN as CHURN
from tests.initiator.test_find_render import BENCH, IDLE
from tests.initiator.test_totals import MESSAGES

ENDED = replace(
    NO_QUERIES,
    asked_rate=1000.0,
    seconds=10.0,
    due=10_000,
    sent=9_990,
    answered=9_900,
    unsent=10,
    timeouts=70,
    lost=20,
    late=5,
    unknown=2,
    malformed=1,
    truncated=3,
    rcodes={"NOERROR": 9_000, "NXDOMAIN": 900},
    traffic=Traffic(received=400_000, sent=300_000, reads=9_000, writes=9_500),
)

ROWS = [
    LatencyRow("query", "corrected", 9_900, 0.002, 0.5, {"50": 0.0012, "99.9": 0.25}),
    LatencyRow("query", "raw", 9_900, 0.001, 0.4, {"50": 0.0005, "99.9": 0.2}),
]

REPORT = Report(
    settings={"query": "1000 a second, seed 1", "churn": "100 a second, seed 2"},
    seconds=10.0,
    asked=20,
    held=20,
    established=22,
    losses={"rst": 2},
    failures={},
    traffic=ENDED.traffic,
    segments=Segments(20, 500, 480, 1),
    send=None,
    churn=None,
    bench=None,
    find=None,
    query=ENDED,
    latencies=ROWS,
)


def test_asked_achieved_and_failed_stand_side_by_side() -> None:
    assert list(query_text(ENDED)) == [
        "Queries                  : ended after 10s",
        "Queries due              : 10000 (1000.0 a second)",
        "Queries sent             : 9990 (999.0 a second)",
        "Queries answered         : 9900 (990.0 a second)",
        "Queries failed           : 100 (timeout 70, session lost 20, unsent 10)",
        "Answers by code          : 9900 (NOERROR 9000, NXDOMAIN 900)",
        "Answers truncated        : 3",
        "Answers not counted      : 8 (late 5, unknown id 2, malformed 1)",
    ]


def test_what_runs_says_what_is_outstanding() -> None:
    lines = list(query_text(replace(ENDED, running=True, outstanding=7, sessions=20)))
    assert lines[0] == "Queries                  : running"
    assert lines[-2:] == [
        "Queries outstanding      : 7",
        "Queries asked for        : 1000 a second, over 20 sessions",
    ]


def test_rows_that_were_not_written_are_told_where_rows_are_wanted() -> None:
    lines = list(query_text(replace(ENDED, csv_not_written=7)))
    assert [line for line in lines if line not in list(query_text(ENDED))] == ["csv rows not written     : 7"]


def test_a_latency_is_one_line() -> None:
    assert list(latency_text(ROWS)) == [
        "query       corrected  p50 1.2 ms  p99.9 250 ms  max 500 ms  (9900)",
        "query       raw        p50 0.500 ms  p99.9 200 ms  max 400 ms  (9900)",
    ]


def test_a_search_shows_what_it_tried() -> None:
    tried = [RateTried(100, 99.5, 0.001, True), RateTried(400, 390.0, 0.009, False)]
    assert list(rate_found_text(RateFound(0.005, 100, 400, tried))) == [
        "100.0 a second does: 99.5 answered a second, p95 1.0 ms",
        "400.0 a second is too much: 390.0 answered a second, p95 9.0 ms",
        "Highest rate             : 100.0 a second with p95 within 5.0 ms, 400.0 does not",
    ]
    assert list(rate_found_text(RateFound(0.005, 0, 100, []))) == [
        "Highest rate             : none with p95 within 5.0 ms, 100.0 does not"
    ]
    assert list(rate_found_text(RateFound(0.005, 0, 0, []))) == [
        "Highest rate             : not known, for it was stopped while the first was tried"
    ]


def test_a_report_has_both_ways_and_each_session() -> None:
    lines = list(report_text(REPORT))
    assert "Bandwidth                : 240.0 kbps up, 320.0 kbps down" in lines
    assert "Bandwidth of a session   : 12.0 kbps up, 16.0 kbps down" in lines
    assert "Bandwidth of a session   : no session is held" in report_text(replace(REPORT, held=0))
    assert "Segments out and in      : 500, 480, retransmitted 1 (of 20 sessions, since each was established)" in lines


def test_a_report_is_written_as_its_name_says(tmp_path: Path) -> None:
    write_report(tmp_path / "a.json", REPORT, Latencies())
    assert json.loads((tmp_path / "a.json").read_text())["query"]["due"] == 10_000
    write_report(tmp_path / "a.csv", REPORT, Latencies())
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "latency,kind,count,mean,max,p50,p99.9",
        "query,corrected,9900,0.002,0.5,0.0012,0.25",
        "query,raw,9900,0.001,0.4,0.0005,0.2",
    ]
    with pytest.raises(UsageError, match=r"ends with none of \.html, \.json, \.csv or \.hgrm"):
        write_report(tmp_path / "a.txt", REPORT, Latencies())


def test_a_report_has_one_row_of_a_run_of_queries() -> None:
    assert query_table(ENDED).rows == [
        {
            "duration": "10s",
            "due": 10_000,
            "due/s": "1,000.0",
            "answered": 9_900,
            "answered/s": "990.0",
            "failed": "100 (timeout 70, session lost 20, unsent 10)",
            "answers by code": "9900 (NOERROR 9000, NXDOMAIN 900)",
        }
    ]
    assert query_table(replace(ENDED, seconds=0.0, due=0)).rows[0]["due/s"] is None


def test_a_rate_is_told_over_no_less_than_a_tenth_of_a_second() -> None:
    """One that was stopped at once would have had thousands a second."""
    short = replace(ENDED, seconds=0.05, due=1, sent=1, answered=1)
    assert list(query_text(short))[1:4] == [
        "Queries due              : 1",
        "Queries sent             : 1",
        "Queries answered         : 1",
    ]
    messages = list(send_text(replace(MESSAGES, seconds=0.05, due=1, sent=1, missed={"late": 1})))
    assert messages[1:4] == [
        "Due                      : 1 message",
        "Missed                   : 1 (late 1) message",
        "Messages sent            : 1",
    ]
    assert "Bandwidth                : - up, - down" in messages
    lines = list(report_text(replace(REPORT, seconds=0.05)))
    assert "Bandwidth                : - up, - down" in lines
    assert "Bandwidth of a session   : - up, - down" in lines
    queries = replace(short, answered_rate=7.0).with_rates()
    sends = replace(MESSAGES, seconds=0.05, sent_rate=7.0, running=False).with_rates()
    assert (queries.achieved_rate, queries.answered_rate) == (None, 0.0)
    assert (sends.achieved_rate, sends.sent_rate) == (None, 0.0)
    assert list(query_text(replace(short, seconds=0.1)))[1] == "Queries due              : 1 (10.0 a second)"


@pytest.mark.parametrize(
    ("name", "lines", "told"),
    [
        ("query", query_text(replace(ENDED, seconds=0.5)), "Queries (20 a second, seed 7): ended after 0.5s"),
        ("send", send_text(replace(MESSAGES, seconds=0.5)), "Messages (20 a second, seed 7): ended after 0.5s"),
        ("query", rate_found_text(RateFound(0.005, 0, 0, [])), "Queries (20 a second, seed 7):"),
        ("saturate", ["   20.0 a second: 20.0 achieved"], "Saturate (20 a second, seed 7):"),
    ],
)
def test_what_is_told_of_a_run_begins_with_what_it_was(name: str, lines: Iterable[str], told: str) -> None:
    plain = list(lines)
    first, *rest = run_text(name, "20 a second, seed 7", plain)
    assert first == told
    assert rest == plain[first.endswith("0.5s") :]
    assert run_text(name, None, plain) == plain
    assert run_text(name, "20 a second, seed 7", []) == []


def test_each_run_of_a_report_has_its_own_settings() -> None:
    lines = list(report_text(replace(REPORT, churn=CHURN)))
    assert "Queries (1000 a second, seed 1): ended after 10s" in lines
    assert lines[lines.index("Churn (100 a second, seed 2):") + 1].startswith("Churn                    : 100 a second")


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        ({}, "duration due missed sent sent/s answered answered/s failed up down"),
        ({"unit": "bytes", "awaiting": False}, "duration due bytes missed bytes sent sent/s up down"),
        ({"due": 0}, "duration sent sent/s answered answered/s failed up down"),
    ],
)
def test_a_report_has_what_is_known_of_a_run_of_messages(changes: dict[str, Any], columns: str) -> None:
    (row,) = send_table(replace(MESSAGES, seconds=2.0, **changes)).rows
    assert " ".join(row) == columns
    assert row["sent/s"] == "1.0"
    assert row.get("failed") in (None, "22 (foreign 9, unanswered 7, session lost 6)")


def test_a_report_has_a_row_for_each_rate_that_was_tried() -> None:
    found = RateFound(0.005, 1000.0, None, [RateTried(1000.0, 998.5, 0.0021, does=True)])
    table = rate_found_table(found)
    assert table.rows == [{"rate": "1,000.0/s", "answered/s": "998.5", "p95": "2.1 ms", "does": True}]
    assert table.summary == "Highest rate: 1000.0 a second with p95 within 5.0 ms"


def test_the_last_bench_and_the_last_search_are_in_the_report() -> None:
    lines = list(report_text(replace(REPORT, query=None, bench=BENCH, find=IDLE)))
    for line in (*found_text(BENCH), *found_text(IDLE)):
        assert line in lines
