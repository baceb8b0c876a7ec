"""Tests of the totals of several runs."""

from dataclasses import fields, replace

from initiator.snapshot import QueryFigures, SendFigures
from initiator.totals import MessageTotals, QueryTotals, Totals
from initiator.traffic import Traffic

RUN = QueryFigures(
    asked_rate=10.0,
    answered_rate=9.0,
    seconds=1.0,
    running=False,
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
    traffic=Traffic(),
)


def test_every_count_of_every_run_is_in_the_totals() -> None:
    totals = QueryTotals().plus(RUN).plus(replace(RUN, rcodes={"NOERROR": 1, "SERVFAIL": 2}))
    assert totals.rcodes == {"NOERROR": 4, "SERVFAIL": 2}
    for item in fields(totals):
        if item.name != "rcodes":
            assert getattr(totals, item.name) == 2 * getattr(RUN, item.name)


MESSAGES = SendFigures(
    asked_rate=10.0,
    rate=5.0,
    sent_rate=9.0,
    answered_rate=9.0,
    seconds=1.0,
    running=False,
    sessions=2,
    unit="messages",
    due=1,
    sent=2,
    missed={"late": 3, "session full": 4},
    awaiting=True,
    answered=5,
    lost=6,
    unanswered=7,
    unexpected=8,
    wrong={"foreign": 9},
    told=(),
    stopped_on="",
    traffic=Traffic(),
)


def test_every_count_of_messages_is_in_the_totals() -> None:
    totals = Totals().plus(None, MESSAGES).plus(RUN, replace(MESSAGES, unit="bytes")).messages
    assert (totals.sent, totals.answered, totals.lost, totals.unanswered, totals.unexpected) == (4, 10, 12, 14, 16)
    assert totals.wrong == {"foreign": 18}
    assert totals.missed == {"late": 3, "session full": 4}  # bytes are no messages
    assert MessageTotals() == Totals().plus(RUN, None).messages
