"""Tests of the figures of churn as text."""

from dataclasses import replace

from initiator.churn_figures import ChurnFigures, Phase, Summary, Verdict
from initiator.churn_render import churn_table, churn_text, toolbar_part
from tests.initiator.workloads.test_saturation import row

RUN = ChurnFigures("churn", running=False, rows=(row(100),), now=None, seconds_left=0.0, verdict=None)


def test_a_rate_has_its_counts_and_every_latency() -> None:
    first = Summary(1000, 0.0001, 0.0002, 0.0003, 0.0004, 0.5, 0.00025)
    run = replace(RUN, rows=(row(100, whole=Phase(first, first), failed={"rst": 2}, unbegun=1, empty=3),))
    lines = list(churn_text(run))
    assert lines[:3] == [
        "Churn                    : 100 a second asked, 100.0 achieved, over 10s",
        "Transactions             : 1000 due, 1000 completed, failed: 3 (rst 2, not begun in time 1)",
        "Without an answer        : 3",
    ]
    assert [line.split()[:2] for line in lines[3:7]] == [
        ["connect", "corrected"],
        ["connect", "raw"],
        ["first", "byte"],
        ["first", "byte"],
    ]
    assert lines[7] == (
        "   whole      corrected min 0.100 ms  p50 0.200 ms  p90 0.300 ms  p99 0.400 ms  max 500 ms  mean 0.250 ms"
    )


def test_without_a_sample_there_is_no_latency() -> None:
    none = Phase(Summary(0, 0, 0, 0, 0, 0, 0), Summary(0, 0, 0, 0, 0, 0, 0))
    run = replace(RUN, rows=(row(100, completed=0, connect=none, first_byte=none, whole=none, failed={"timeout": 5}),))
    assert len(list(churn_text(run))) == 2


def test_several_rates_have_a_line_each_to_compare_them() -> None:
    slow = Summary(970, 0.0001, 0.002, 0.003, 0.0304, 0.5, 0.00025)
    none = Summary(0, 0, 0, 0, 0, 0, 0)
    rows = (
        row(100, completed=970, failed={"rst": 30}, whole=Phase(slow, slow)),
        row(2500, achieved=0.0, completed=0, failed={"timeout": 20_000}, whole=Phase(none, none)),
    )
    assert list(churn_text(replace(RUN, rows=rows)))[-3:] == [
        "   asked/s  achieved/s  completed        p50        p99  failed",
        "       100       100.0        970     2.0 ms    30.4 ms  30 (rst 30)",
        "      2500         0.0          0          -          -  20000 (timeout 20000)",
    ]
    assert not any("asked/s" in line for line in churn_text(RUN))


def test_what_was_achieved_is_told_over_no_less_than_a_tenth_of_a_second() -> None:
    rows = (row(100, seconds=0.05, achieved=1123.3), row(200))
    first, *_, compared, _ = churn_text(replace(RUN, rows=rows))
    assert first == "Churn                    : 100 a second asked, - achieved, over 0.1s"
    assert compared.split()[:3] == ["100", "-", "1000"]
    assert [each["achieved/s"] for each in churn_table(replace(RUN, rows=rows)).rows] == [None, "200.0"]


def test_a_lack_of_ports_has_its_remedy() -> None:
    run = replace(RUN, rows=(row(100, failed={"out of ports": 5}, time_wait=28_000),))
    (line,) = (line for line in churn_text(run) if "out of ports (" in line)
    assert "(28000 sessions here are in TIME_WAIT)" in line
    assert "--source-ip" in line
    assert "net.ipv4.tcp_tw_reuse=1" in line


def test_a_search_has_a_line_for_each_rate_and_its_verdict() -> None:
    run = replace(RUN, name="saturate", rows=(row(50), row(100)), verdict=Verdict(50.0, 100.0, "2.0% failed"))
    assert list(churn_text(run)) == [
        "   50.0 a second: 50.0 achieved, median 1.0 ms, failed: 0",
        "   100.0 a second: 100.0 achieved, median 1.0 ms, failed: 0",
        "Saturated                : 50.0 a second does, 100.0 does not: 2.0% failed",
    ]
    for verdict, said in (
        (Verdict(100.0, None, ""), "not yet; 100.0 a second does"),
        (Verdict(0.0, 3.0, "x"), "no rate does, 3.0 does not: x"),
    ):
        assert list(churn_text(replace(run, verdict=verdict)))[-1] == f"Saturated                : {said}"


def test_the_toolbar_shows_what_is_tried_and_the_time_left() -> None:
    run = replace(RUN, running=True, now=row(100), seconds_left=4.0)
    assert toolbar_part(run) == "churn: 100 of 100/s, 4.0s left"
    assert toolbar_part(replace(run, seconds_left=0.0, now=row(100, under_way=7))) == "churn: 100 of 100/s, 7 under way"
    assert toolbar_part(replace(run, now=None)) == "churn: resting, 4.0s left"


def test_a_report_has_a_row_for_each_rate_with_what_matters_most() -> None:
    slow = Summary(970, 0.0001, 0.002, 0.003, 0.0304, 0.5, 0.00025)
    none = Summary(0, 0, 0, 0, 0, 0, 0)
    rows = (
        row(100, completed=970, failed={"rst": 30}, whole=Phase(slow, slow)),
        row(2000, achieved=0.0, completed=0, failed={"timeout": 20_000}, whole=Phase(none, none), busy=0.99),
    )
    table = churn_table(replace(RUN, rows=rows, now=row(7)))
    assert table.rows == [
        {
            "asked/s": "100.0",
            "achieved/s": "100.0",
            "completed": 970,
            "failed": "30 (rst 30)",
            "p50": "2.0 ms",
            "p99": "30.4 ms",
            "max": "500 ms",
            "busy": "20%",
            "own limit": False,
        },
        {
            "asked/s": "2,000.0",
            "achieved/s": "0.0",
            "completed": 0,
            "failed": "20000 (timeout 20000)",
            "p50": None,
            "p99": None,
            "max": None,
            "busy": "99%",
            "own limit": True,
        },
    ]
    assert table.summary == ""


def test_a_report_says_where_a_search_ended() -> None:
    verdict = Verdict(50.0, 100.0, "2.0% failed")
    table = churn_table(replace(RUN, name="saturate", verdict=verdict))
    assert table.summary == "Saturated: 50.0 a second does, 100.0 does not: 2.0% failed"
