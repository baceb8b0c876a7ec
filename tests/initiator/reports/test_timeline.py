"""Tests of the timeline: nothing is lost when neighbours become one, and what is kept is bounded."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.histogram import Histogram
from initiator.churn_figures import ChurnFigures
from initiator.latencies import Latencies
from initiator.reports.timeline import Mark, Sample, Timeline, columns
from initiator.totals import Totals
from initiator.traffic import Traffic
from tests.initiator.figures import NO_MESSAGES, NO_QUERIES, NO_SAMPLE, NO_SESSIONS
from tests.initiator.workloads.test_saturation import row

NOW = replace(
    NO_SESSIONS,
    asked=20,
    held=18,
    targets=1,
    descriptors=(100, 1000),
    established=25,
    losses={"rst": 2},
    failures={"refused": 1},
    hashsize=100,
    max_depth=1,
    traffic=Traffic(100, 200, 1, 2),
)

QUERY = replace(
    NO_QUERIES,
    asked_rate=50.0,
    answered_rate=40.0,
    seconds=2.0,
    running=True,
    sending=True,
    sessions=18,
    due=100,
    sent=98,
    answered=90,
    outstanding=3,
    unsent=2,
    timeouts=4,
    lost=1,
)

SEND = replace(
    NO_MESSAGES,
    asked_rate=36.0,
    rate=2.0,
    sent_rate=30.0,
    answered_rate=30.0,
    seconds=2.0,
    running=True,
    sending=True,
    sessions=18,
    due=72,
    sent=70,
    missed={"late": 2, "session full": 0},
    awaiting=True,
    answered=60,
    lost=3,
    unanswered=4,
    wrong={"altered": 1},
)

CHURN = ChurnFigures(
    name="churn",
    running=True,
    rows=(row(100, failed={"rst": 2}),),
    now=row(50, completed=100, unbegun=1),
    seconds_left=4.0,
    verdict=None,
)


def sample(time: float, held: int = 0, counted: int = 0, p95: float | None = None) -> Sample:
    """Return a sample whose totals are all alike."""
    return NO_SAMPLE._replace(
        time=time,
        asked=held,
        held=held,
        lowest_held=held,
        highest_held=held,
        established=counted,
        losses={"rst": counted},
        failures={"refused": counted},
        sent=counted,
        received=counted,
        queries_asked_rate=1.0,
        queries_answered=counted,
        messages_asked_rate=1.0,
        messages_sent=counted,
        messages_answered=counted,
        transactions_asked_rate=1.0,
        transactions_completed=counted,
        query_p50=p95,
        query_p95=p95,
        message_p95=p95,
    )


def histogram(*milliseconds: float) -> Histogram:
    made = Histogram()
    made.record_many([(value + 0.0001) / 1000 for value in milliseconds])
    return made


steps = st.tuples(
    st.sampled_from([0.001, 0.4, 0.999, 1.0, 1.0, 1.0, 1.001, 7.0]),
    st.integers(0, 50),
    st.integers(0, 9),
    st.none() | st.floats(0.001, 9),
)


@given(st.lists(steps, min_size=1, max_size=300), st.integers(2, 20))
def test_what_is_thinned_out_keeps_totals_extremes_and_order(
    path: list[tuple[float, int, int, float | None]], most: int
) -> None:
    timeline, given_samples, time, counted = Timeline(most), [], 0.0, 0
    for passed, held, more, p95 in path:
        time, counted = time + passed, counted + more
        given_samples.append(sample(time, held, counted, p95))
        timeline.add(given_samples[-1])
    kept = timeline.samples
    assert len(kept) <= most
    assert all(one.time < other.time for one, other in pairwise(kept))
    last = given_samples[-1]
    assert (kept[-1].time, kept[-1].held, kept[-1].established) == (last.time, last.held, last.established)
    # What has grown in each stretch adds up to all that has.
    grown = [other.established - one.established for one, other in pairwise(kept)]
    assert kept[0].established + sum(grown) == counted
    assert min(grown, default=0) >= 0
    assert min(one.lowest_held for one in kept) == min(one.held for one in given_samples)
    assert max(one.highest_held for one in kept) == max(one.held for one in given_samples)
    known = [one.query_p95 for one in given_samples if one.query_p95 is not None]
    for name in ("query_p50", "query_p95", "message_p95"):
        seen = [value for one in kept if (value := getattr(one, name)) is not None]
        assert max(seen, default=None) == max(known, default=None)
    # A sample that is kept was given, but for what it says of its stretch.
    times = {one.time: one for one in given_samples}
    assert all(times[one.time].losses == one.losses and times[one.time].held == one.held for one in kept)


@pytest.mark.parametrize("jitter", [0.0, 0.0004, -0.0004])
def test_a_run_of_days_has_between_half_and_all_of_the_samples(jitter: float) -> None:
    timeline = Timeline(100)
    for second in range(20_000):
        timeline.add(sample(second + (jitter if second else 0)))
        if second > 100:
            assert 50 <= len(timeline.samples) <= 100
    between = {round(other.time - one.time) for one, other in pairwise(timeline.samples[1:-1])}
    assert between == {256}


def test_figures_of_a_moment_become_a_sample() -> None:
    timeline = Timeline()
    timeline.take(1.23456, NOW, Totals(), Latencies())
    assert timeline.samples == [
        NO_SAMPLE._replace(
            time=1.235,
            asked=20,
            held=18,
            lowest_held=18,
            highest_held=18,
            established=25,
            losses={"rst": 2},
            failures={"refused": 1},
            sent=200,
            received=100,
            queries_failed={"timeout": 0, "session lost": 0, "unsent": 0},
            messages_failed={"session lost": 0, "unanswered": 0},
        )
    ]


def test_queries_of_one_run_after_another_add_up() -> None:
    timeline, before = Timeline(), Totals()
    ended = replace(QUERY, running=False, sending=False, due=120, answered=110)
    begun = replace(QUERY, due=0, answered=0, timeouts=0, lost=0, unsent=0)
    later = replace(begun, due=300, answered=200, timeouts=5)
    for second, query in enumerate((None, QUERY, ended, ended, begun, later, later)):
        if query is begun:
            before = before.plus(ended)
        timeline.take(second, replace(NOW, query=query), before.plus(query), Latencies())
    assert [one.queries_answered for one in timeline.samples] == [0, 90, 110, 110, 110, 310, 310]
    assert [one.queries_asked_rate for one in timeline.samples] == [0, 50, 0, 0, 50, 50, 50]
    assert [one.queries_failed["timeout"] for one in timeline.samples] == [0, 4, 4, 4, 4, 9, 9]
    assert timeline.samples[-1].queries_failed == {"timeout": 9, "session lost": 1, "unsent": 2}


def test_messages_and_short_sessions_become_figures_of_a_sample() -> None:
    timeline = Timeline()
    runs = ((SEND, CHURN), (replace(SEND, running=False, sending=False), replace(CHURN, now=None)))
    for time, (send, churn) in enumerate(runs):
        timeline.take(
            time, replace(NOW, send=send, churn=churn), Totals().plus(None, send, churn.all_rows), Latencies()
        )
    timeline.take(2, replace(NOW, send=replace(SEND, asked_rate=None)), Totals(), Latencies())
    timeline.take(3, replace(NOW, churn=replace(CHURN, seconds_left=0.0)), Totals(), Latencies())
    with_both, after = timeline.samples[:2]
    assert [one.messages_asked_rate for one in timeline.samples] == [36, 0, 0, 0]
    assert [one.transactions_asked_rate for one in timeline.samples] == [50, 0, 0, 0]
    assert (with_both.messages_sent, with_both.messages_answered) == (70, 60)
    assert with_both.messages_failed == {
        "not sent, late": 2,
        "session lost": 3,
        "unanswered": 4,
        "altered": 1,
    }
    assert (with_both.transactions_completed, after.transactions_completed) == (1100, 1000)
    assert with_both.transactions_failed == {"rst": 2, "not begun in time": 1}
    assert after.transactions_failed == {"rst": 2}


@pytest.mark.parametrize("name", ["query", "message"])
def test_percentiles_are_those_of_what_came_since_the_last_time(name: str) -> None:
    timeline, latencies = Timeline(), Latencies()
    latency = getattr(latencies, name).corrected
    latency.merge(histogram(1, 1, 1))
    latencies.ping.corrected.merge(histogram(900))
    steps: list[list[float]] = [[], [8], [], [2, 2, 2], [4], [5]]
    for second, more in enumerate(steps):
        if second == 4:
            latency.reset()
        latency.merge(histogram(*more))
        timeline.take(second, NOW, Totals(), latencies.copy())
    p50 = [getattr(one, f"{name}_p50") for one in timeline.samples]
    assert [value and round(value * 1000) for value in p50] == [1, 8, None, 2, 4, 5]
    other = "message" if name == "query" else "query"
    assert not any(getattr(one, f"{other}_p95") for one in timeline.samples)


def test_commands_are_kept_with_how_often_they_came_in_succession() -> None:
    timeline = Timeline(marks=3)
    for second, text in enumerate(("set 1", "status", "status", "status", "set 2", "status", "set 3")):
        timeline.mark(second, text)
    assert list(timeline.marks) == [Mark(4, "set 2"), Mark(5, "status"), Mark(6, "set 3")]
    assert timeline.earlier == 2
    timeline.mark(7, "set 3")
    assert timeline.marks[-1] == Mark(6, "set 3", 2)
    assert timeline.earlier == 2


def test_columns_have_a_list_for_each_figure_and_reason() -> None:
    samples = [sample(0, 1), sample(1, 2, 3), sample(2, 4, 5)._replace(failures={"timeout": 7})]
    made = columns(samples)
    assert list(made) == list(Sample._fields)
    assert made["time"] == [0, 1, 2]
    assert made["losses"] == {"rst": [0, 3, 5]}
    assert made["failures"] == {"refused": [0, 3, 0], "timeout": [0, 0, 7]}
    assert made["queries_failed"] == {}
