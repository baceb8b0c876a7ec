"""Tests of how the figures of an initiator's workers become those of the whole."""

from collections.abc import Sequence
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.histogram import Histogram
from initiator.latencies import Latencies, Latency
from initiator.merging import (
    GAUGES,
    PERCENTILES,
    RULES,
    merge_latencies,
    merge_snapshots,
    remains,
    without_runs,
)
from initiator.snapshot import QueryFigures, SendFigures, Snapshot
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


@given(LATENCIES)
def test_percentiles_are_those_of_all_that_was_measured(parts: list[list[float]]) -> None:
    everything = Histogram()
    for part in parts:
        everything.record_many(part)
    whole = merge_latencies([Latencies(query=latency(part)) for part in parts])
    assert whole.query.corrected.sparse() == whole.query.raw.sparse() == everything.sparse()
    assert whole.query.raw.total == everything.total
    latencies = {name: getattr(whole, name) for name in Latencies.__slots__}
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


@pytest.mark.parametrize("name", ["query", "send"])
def test_a_run_over_the_sessions_takes_the_place_of_the_one_before(name: str) -> None:
    one = snapshot(held=5, query=query())
    assert without_runs(one, name) == replace(one, query=None)
