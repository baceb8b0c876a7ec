"""Tests of how the figures of an initiator's workers become those of the whole."""

from collections.abc import Sequence
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.histogram import Histogram
from initiator.churn_figures import Tally
from initiator.latencies import Latencies, Latency
from initiator.merging import (
    GAUGES,
    PERCENTILES,
    RULES,
    merge_latency,
    merge_snapshots,
    remaining_tally,
    remaining_totals,
    remains,
    without_runs,
)
from initiator.snapshot import QueryFigures, SendFigures, Snapshot
from initiator.totals import Totals
from initiator.traffic import Traffic

LATENCIES = st.lists(st.lists(st.floats(0.000_001, 99.0), max_size=50), min_size=1, max_size=4)


def query(**changes: object) -> QueryFigures:
    """Return figures of queries that say nothing but these."""
    values = dict.fromkeys((field.name for field in fields(QueryFigures)), 0)
    others = {"running": True, "rcodes": {}, "traffic": Traffic(), "csv_not_written": None}
    return QueryFigures(**{**values, **others, **changes})  # type: ignore[arg-type]


def snapshot(**changes: object) -> Snapshot:
    """Return figures that say nothing but these."""
    values: dict[str, object] = dict.fromkeys((field.name for field in fields(Snapshot)), 0)
    values |= {"descriptors": (100, 200), "ping": False, "losses": {}, "failures": {}, "exhausted": ()}
    values |= {"traffic": Traffic(), "query": None, "send": None, "churn": None, "workers": None}
    values |= {"lifetime": None, "dump": None, "probes": ()}
    return Snapshot(**{**values, **changes})  # type: ignore[arg-type]


def latency(seconds: Sequence[float]) -> Latency:
    made = Latency()
    made.corrected.record_many(seconds)
    made.raw.record_many(seconds)
    return made


def test_every_rule_is_of_a_figure_that_there_is() -> None:
    known = {field.name for kind in (Snapshot, QueryFigures, SendFigures) for field in fields(kind)}
    known |= {f"{kind.__name__}.{field.name}" for kind in (QueryFigures, SendFigures) for field in fields(kind)}
    assert {*RULES, *GAUGES, *PERCENTILES} <= known
    assert {name for name, _, _ in PERCENTILES.values()} <= set(Latencies.__slots__)


def test_figures_are_of_the_whole() -> None:
    one = snapshot(age=0.2, held=3, targets=7, losses={"rst": 1}, query=query(due=5, asked_rate=10.0, seconds=2.0))
    two = snapshot(age=0.9, held=4, targets=7, exhausted=("ports",), query=query(due=6, asked_rate=5.0, seconds=2.1))
    whole = merge_snapshots([one, two], {name: Latency() for name in Latencies.__slots__})
    assert (whole.age, whole.held, whole.targets, whole.losses) == (0.9, 7, 7, {"rst": 1})
    assert (whole.exhausted, whole.descriptors) == (("ports",), (100, 200))
    assert whole.query == query(due=11, asked_rate=15.0, seconds=2.1)


@pytest.mark.parametrize(("running", "rates"), [(True, [50.0, 17.0]), (False, [50.0, 50.0])])
def test_when_all_have_ended_the_rates_are_those_of_the_whole_run(running: bool, rates: list[float]) -> None:
    """The seconds are those of the longest, so what each achieved cannot be added up."""
    one = query(answered=60, seconds=2.0, answered_rate=7.0, running=running)
    two = query(answered=40, seconds=1.0, answered_rate=10.0, running=False)
    whole = merge_snapshots(
        [snapshot(query=one), snapshot(query=two)], {name: Latency() for name in Latencies.__slots__}
    )
    assert whole.query
    assert [whole.query.achieved_rate, whole.query.answered_rate] == rates


@given(LATENCIES)
def test_percentiles_are_those_of_all_that_was_measured(parts: list[list[float]]) -> None:
    everything = Histogram()
    for part in parts:
        everything.record_many(part)
    whole = merge_latency([latency(part) for part in parts])
    assert whole.corrected.sparse() == whole.raw.sparse() == everything.sparse()
    assert whole.raw.total == everything.total
    latencies = {name: Latency() for name in Latencies.__slots__} | {"query": whole}
    merged = merge_snapshots([snapshot(query_p95=9.0) for _ in parts], latencies)
    assert merged.query_p95 == everything.percentiles((95,))[0]


def test_what_a_worker_held_when_it_ended_is_lost_and_its_counts_remain() -> None:
    one = snapshot(
        held=5, asked=5, established=9, confirmed=4, losses={"rst": 2}, query=query(sent=8, outstanding=3, lost=1)
    )
    left = remains(one)
    assert (left.held, left.asked, left.established, left.confirmed) == (0, 0, 9, 0)
    assert left.losses == {"rst": 2, "worker": 5}
    assert left.query == query(sent=8, lost=4, running=False)


def send(**changes: object) -> SendFigures:
    """Return figures of messages that say nothing but these."""
    values = dict.fromkeys((field.name for field in fields(SendFigures)), 0)
    others = {"running": True, "awaiting": True, "unit": "messages", "missed": {}, "wrong": {}, "told": ()}
    return SendFigures(**{**values, **others, "stopped_on": "", "traffic": Traffic(), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({}, 1 + 40),
        ({"wrong": {"foreign": 9, "repeated": 8, "altered": 3, "missing": 2}}, 1 + 26),
        ({"awaiting": False}, 1),
        ({"running": False}, 1),
    ],
)
def test_what_had_no_answer_when_a_worker_ended_is_lost_in_its_figures_and_in_its_totals(
    changes: dict[str, object], lost: int
) -> None:
    one = snapshot(send=send(sent=100, answered=50, unanswered=9, lost=1, **changes))
    left = remains(one)
    assert left.send
    assert (left.send.sent, left.send.lost) == (100, lost)
    assert one.send
    totals = Totals().plus(query(lost=2), one.send)
    assert remaining_totals(totals, one, None).messages == replace(totals.messages, lost=lost)


def test_what_was_under_way_when_a_worker_ended_has_failed() -> None:
    one = snapshot(query=query(sent=8, outstanding=3, lost=1))
    assert one.query
    assert remaining_totals(Totals().plus(one.query), one, None).queries.lost == 4
    churned = tally(due=10, begun=9, completed=3, failed={"rst": 1}, under_way=5)
    left = remaining_tally(churned)
    assert (left.failed, left.under_way, left.begun) == ({"rst": 1, "worker": 5}, 0, 9)
    totals = remaining_totals(Totals().plus(churn=[churned]), snapshot(), churned)
    assert totals == Totals().plus(churn=[left])


def tally(**changes: object) -> Tally:
    """Return a tally that says nothing but these."""
    values: dict[str, object] = dict.fromkeys((field.name for field in fields(Tally)), 0)
    values |= {"failed": {}, "late": Histogram(), "time_wait": None}
    values |= {name: Latency() for name in ("connect", "first_byte", "whole")}
    return Tally(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["query", "send"])
def test_a_run_over_the_sessions_takes_the_place_of_the_one_before(name: str) -> None:
    one = snapshot(held=5, query=query())
    assert without_runs(one, name) == replace(one, query=None)
