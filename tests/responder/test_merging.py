"""Tests of how the figures of a responder's workers become those of the whole."""

from dataclasses import fields

from common.histogram import Histogram
from responder.merging import GAUGES, RULES, merge_snapshots, remains
from responder.snapshot import ListenerRow, MarkerFigures, Snapshot


def snapshot(**changes: object) -> Snapshot:
    """Return figures that say nothing but these."""
    values: dict[str, object] = dict.fromkeys((field.name for field in fields(Snapshot)), 0)
    values |= {"descriptors": (100, 200), "losses": {}, "exhausted": (), "paused": False}
    values |= {"dump": None, "marker": None, "workers": None}
    return Snapshot(**{**values, **changes})  # type: ignore[arg-type]


def histogram(*seconds: float) -> Histogram:
    made = Histogram()
    made.record_many(seconds)
    return made


def test_every_rule_is_of_a_figure_that_there_is() -> None:
    known = {field.name for kind in (Snapshot, ListenerRow, MarkerFigures) for field in fields(kind)}
    assert {*RULES, *GAUGES} <= known


def test_figures_are_of_the_whole() -> None:
    one = snapshot(held=3, listeners=10, accepted=5, marker=MarkerFigures(2, 1.0, 0.1, 0.1, 0))
    two = snapshot(held=4, listeners=10, accepted=6, paused=True, marker=MarkerFigures(1, 2.0, 0.3, 0.3, 1))
    whole = merge_snapshots([one, two], [histogram(0.1, 0.1), histogram(0.3)])
    assert (whole.held, whole.listeners, whole.accepted, whole.paused) == (7, 10, 11, True)
    assert whole.marker
    assert (whole.marker.messages, whole.marker.rate, whole.marker.ahead) == (3, 3.0, 1)
    assert [round(value, 2) for value in (whole.marker.p50, whole.marker.p99)] == [0.1, 0.3]


def test_what_a_worker_held_when_it_ended_is_lost_and_its_counts_remain() -> None:
    left = remains(snapshot(held=5, accepted=9, received=7, paused=True, dump="all clients", losses={"fin": 1}))
    assert left == snapshot(accepted=9, received=7, losses={"fin": 1, "worker": 5})


def test_a_worker_that_held_nothing_costs_no_losses() -> None:
    assert remains(snapshot(accepted=9, losses={"fin": 9})).losses == {"fin": 9}
