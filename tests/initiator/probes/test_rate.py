"""Tests of the search for the highest rate of new sessions, on real sockets of the loopback."""

import pytest

from initiator.engine import Engine
from initiator.probes.figures import FIND, RateFigures, RateSettings
from tests.initiator.probes.support import initiating, probe, serving, until_gone
from tests.support import Peer, full_queue, until

pytestmark = pytest.mark.usefixtures("run")


async def find(engine: Engine) -> RateFigures:
    found = await probe(engine, RateSettings(0.2), FIND)
    assert isinstance(found, RateFigures)
    return found


async def test_nobody_there() -> None:
    with Peer(backlog=None) as peer:
        async with initiating(peer.address) as engine:
            found = await find(engine)
            assert (found.done, found.good, found.taken) == (True, 0.0, 0.0)
            assert {reason for trial in found.trials for reason in trial.failures} == {"refused"}


async def test_a_black_hole() -> None:
    with Peer(backlog=1) as peer, full_queue(peer):
        async with initiating(peer.address, connect_timeout=0.3) as engine:
            found = await find(engine)
            assert (found.done, found.good, found.taken) == (True, 0.0, 0.0)
            assert {reason for trial in found.trials for reason in trial.failures} == {"timeout"}


async def test_stopped_it_keeps_what_is_known() -> None:
    async with serving() as (address, clients), initiating(address) as engine:
        await engine.start_probe(RateSettings(0.2))

        async def some() -> bool:
            figures = await engine.probe_figures(FIND)
            return isinstance(figures, RateFigures) and bool(figures.trials)

        await until(some)
        (progress,) = (await engine.snapshot()).probes
        assert "new sessions a second" in progress.trying
        await engine.stop_probe(FIND)
        await engine.wait_probe(FIND)
        found = await engine.probe_figures(FIND)
        assert isinstance(found, RateFigures)
        assert not found.done
        first = found.trials[0]
        assert (first.phase, first.rate, first.failures) == ("ramp", 100.0, {})
        assert first.sent + first.unsent >= 50
        assert found.connect and found.connect.highest > 0
        await until_gone(clients)
