"""Tests of what a worker of the initiator tells."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import fields, replace
from typing import Any

import pytest

from common.addresses import Endpoint
from initiator.churn_figures import ChurnCounts
from initiator.engine import Engine
from initiator.settings import Settings
from initiator.worker import CHURN, LATENCIES, State, state_of, tally_mark
from initiator.workloads.churn import ChurnSettings

pytestmark = pytest.mark.usefixtures("run")


def counts(state: State) -> dict[str, int]:
    """Return how many there are of each latency that there are any of."""
    found = {name: state.latency(name).raw.count for name in LATENCIES}
    return {name: count for name, count in found.items() if count}


async def test_counts_are_told_when_they_change_and_known_afterwards() -> None:
    async with aclosing(Engine(Settings(seed=1))) as engine:
        whole = before = await state_of(engine, None)
        assert set(whole.counts) == {*LATENCIES, CHURN}
        assert (counts(whole), whole.churn) == ({}, None)
        steps: Sequence[tuple[str, dict[str, int]]] = (
            ("ping", {"ping": 1}),
            ("ping", {"ping": 2}),
            ("connect", {"ping": 2, "connect": 1}),
            ("", {"ping": 2, "connect": 1}),
        )
        for name, known in steps:
            if name:
                getattr(engine.measured, name).raw.record(0.001)
            before = await state_of(engine, before)
            assert set(before.counts) == ({name} if name else set())
            whole = before.after(whole)
            assert counts(whole) == known
        await engine.reset_latencies("ping")
        before = await state_of(engine, before)
        assert set(before.counts) == {"ping"}
        assert counts(before.after(whole)) == {"connect": 1}
        engine.measured.query.corrected.record(0.5)
        engine.measured.late.raw.record(0.5)
        assert set((await state_of(engine, before)).counts) == {"query", "late"}


@pytest.mark.parametrize(
    "name",
    [*(field.name for field in fields(ChurnCounts)), "number", "asked", "seconds", "sent", "received", "time_wait"],
)
async def test_the_mark_of_a_tally_has_every_count(name: str) -> None:
    """Out of ports, say, nothing else changes while `seconds` stand still."""
    async with aclosing(Engine(Settings(seed=1))) as engine:
        await engine.add_targets(Endpoint("127.0.0.1", 1, 1), None)
        await engine.set_sessions(0, None)
        await engine.begin_rate(ChurnSettings(seconds=0.01), 1.0, 1)
        await engine.wait_rate()
        tally = engine.tally()
    assert tally
    assert tally_mark(tally) == tally_mark(replace(tally))
    other: dict[str, Any] = {name: {"odd": 1} if name == "failed" else -1}
    assert tally_mark(tally) != tally_mark(replace(tally, **other))
