"""Tests of the totals of several runs."""

from collections import Counter
from dataclasses import fields, replace

from common.workers.merge import merged
from initiator.totals import ChurnTotals, MessageTotals, QueryTotals, Totals
from tests.initiator.figures import NO_MESSAGES, NO_QUERIES
from tests.initiator.workloads.test_saturation import row

RUN = replace(
    NO_QUERIES,
    asked_rate=10.0,
    answered_rate=9.0,
    seconds=1.0,
    sessions=2,
    due=1,
    sent=2,
    answered=3,
    outstanding=50,
    unsent=4,
    timeouts=5,
    lost=6,
    late=7,
    unknown=8,
    malformed=9,
    truncated=10,
    rcodes={"NOERROR": 3},
)


def test_every_count_of_every_run_is_in_the_totals() -> None:
    totals = QueryTotals().plus(RUN).plus(replace(RUN, rcodes={"NOERROR": 1, "SERVFAIL": 2}))
    assert totals.rcodes == {"NOERROR": 4, "SERVFAIL": 2}
    for item in fields(totals):
        if item.name != "rcodes":
            assert getattr(totals, item.name) == 2 * getattr(RUN, item.name)


MESSAGES = replace(
    NO_MESSAGES,
    asked_rate=10.0,
    rate=5.0,
    sent_rate=9.0,
    answered_rate=9.0,
    seconds=1.0,
    sessions=2,
    due=1,
    sent=2,
    missed={"late": 3, "session full": 4},
    awaiting=True,
    answered=5,
    lost=6,
    unanswered=7,
    unexpected=8,
    wrong={"foreign": 9},
)


def test_every_count_of_messages_is_in_the_totals() -> None:
    totals = Totals().plus(None, MESSAGES).plus(RUN, replace(MESSAGES, unit="bytes")).messages
    assert (totals.sent, totals.answered, totals.lost, totals.unanswered, totals.unexpected) == (4, 10, 12, 14, 16)
    assert totals.wrong == {"foreign": 18}
    assert totals.missed == {"late": 3, "session full": 4}  # bytes are no messages
    assert MessageTotals() == Totals().plus(RUN, None).messages


def test_every_rate_of_churn_is_in_the_totals() -> None:
    rows = (row(10, completed=97, failed={"rst": 2}, unbegun=1, begun=99), row(20, completed=190, failed={"rst": 10}))
    now = row(30, completed=100, stopped=150, under_way=50)
    totals = Totals().plus(churn=[*rows, now]).plus(RUN).plus(churn=rows).churn
    assert totals == ChurnTotals(
        due=2 * (100 + 200) + 300,
        begun=2 * (99 + 200) + 300,
        completed=2 * (97 + 190) + 100,
        failed=Counter({"rst": 24, "not begun in time": 2, "stopped": 150}),
    )
    # All that was due has come to something, but for what is under way.
    assert totals.due == totals.completed + sum(totals.failed.values()) + now.under_way


def test_the_totals_of_workers_add_up() -> None:
    run = [row(10, failed={"rst": 2})]
    parts = [Totals().plus(RUN, MESSAGES, run), Totals().plus(RUN), Totals().plus(churn=run)]
    assert merged(parts, {}) == Totals().plus(RUN, MESSAGES, run).plus(RUN).plus(churn=run)


def test_what_failed_is_told_by_reason() -> None:
    assert QueryTotals().plus(RUN).failed == {"timeout": 5, "session lost": 6, "unsent": 4}
    assert MessageTotals().plus(MESSAGES).failed == {"session lost": 6, "unanswered": 7, "foreign": 9}
