"""Tests of the bench on real sockets of the loopback."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from common.errors import UsageError
from initiator.engine import Engine
from initiator.probes.figures import BENCH, BenchFigures, BenchSettings
from tests.initiator.probes.support import (
    Closing,
    Padded,
    Piecemeal,
    Resetting,
    Server,
    Silent,
    Wrong,
    initiating,
    probe,
    serving,
    until_gone,
)
from tests.support import Peer, until

pytestmark = pytest.mark.usefixtures("run")

SMALL = BenchSettings(sessions=20, rounds=3)


async def bench(engine: Engine, settings: BenchSettings) -> BenchFigures:
    found = await probe(engine, settings, BENCH)
    assert isinstance(found, BenchFigures)
    return found


@pytest.mark.parametrize("server", [Server, Piecemeal])
@pytest.mark.parametrize("message", [None, b"dummy message", bytes(range(256)) * 16])
async def test_every_echo_is_verified(server: Callable[[list[Server]], Server], message: bytes | None) -> None:
    async with serving(server) as (address, clients), initiating(address) as engine:
        found = await bench(engine, replace(SMALL, message=message))
        assert (found.answered, found.failures, found.running) == (60, {}, False)
        assert [(done.round, done.answered) for done in found.rounds] == [(1, 20), (2, 20), (3, 20)]
        assert found.raw and found.corrected
        assert 0 < found.raw.lowest <= found.raw.p50 <= found.raw.p99 <= found.raw.highest <= found.corrected.highest
        samples = await engine.bench_samples()
        assert [(one.round, one.session) for one in samples] == [(r, s) for r in (1, 2, 3) for s in range(1, 21)]
        assert all(one.raw and one.corrected and one.corrected >= one.raw and not one.failure for one in samples)
        assert {one.target for one in samples} == {str(address)}
        await until_gone(clients)


@pytest.mark.parametrize(
    ("server", "failures"),
    [
        (Wrong, {"wrong echo": 60}),
        (Padded, {"wrong echo": 60}),
        (Silent, {"timeout": 60}),
        (Resetting, {"rst": 60}),
        (Closing, {"fin": 60}),
    ],
)
async def test_what_is_no_echo_is_a_failure_of_each_sample(
    server: Callable[[list[Server]], Server], failures: dict[str, int]
) -> None:
    async with serving(server) as (address, _), initiating(address, connect_timeout=0.3) as engine:
        found = await bench(engine, SMALL)
        assert (found.answered, found.failures) == (0, failures)
        assert len(found.rounds) == 3
        assert (found.raw, found.corrected) == (None, None)


async def test_one_failure_costs_one_sample() -> None:
    class Once(Server):
        """Resets its first client at its second message."""

        heard = 0

        def data_received(self, data: bytes) -> None:
            self.heard += 1
            if self is self.clients[0] and self.heard == 2 and not first:
                first.append(self)
                self.reset()
            else:
                self.transport.write(data)

    first: list[Server] = []
    async with serving(Once) as (address, _), initiating(address) as engine:
        found = await bench(engine, SMALL)
        assert (found.answered, found.failures) == (59, {"rst": 1})
        assert [done.answered for done in found.rounds] == [20, 19, 20]


async def test_nobody_there_is_a_failure_of_each_sample_too() -> None:
    with Peer(backlog=None) as peer:
        async with initiating(peer.address) as engine:
            found = await bench(engine, SMALL)
            assert (found.answered, found.failures) == (0, {"refused": 60})


async def test_the_held_sessions_stay() -> None:
    async with serving() as (address, _), initiating(address) as engine:
        await engine.set_sessions(10, None)
        await engine.wait_held()
        await bench(engine, SMALL)
        now = await engine.snapshot()
        assert (now.held, now.losses, now.probes) == (10, {}, ())


async def test_one_target_alone() -> None:
    async with serving() as (one, _), serving() as (other, _), initiating(one, other) as engine:
        await bench(engine, replace(SMALL, target=other))
        assert {sample.target for sample in await engine.bench_samples()} == {str(other)}
        await bench(engine, SMALL)
        assert {sample.target for sample in await engine.bench_samples()} == {str(one), str(other)}


async def test_stopped_it_keeps_what_is_known_and_closes_its_sessions() -> None:
    async with serving() as (address, clients), initiating(address) as engine:
        await engine.start_probe(BenchSettings(20, 1_000_000))

        async def some() -> bool:
            figures = await engine.probe_figures(BENCH)
            return isinstance(figures, BenchFigures) and len(figures.rounds) >= 3

        await until(some)
        (progress,) = (await engine.snapshot()).probes
        assert progress.trying.startswith("round ")
        assert progress.left
        with pytest.raises(UsageError, match="one runs already"):
            await engine.start_probe(SMALL)
        await engine.stop_probe(BENCH)
        await engine.wait_probe(BENCH)
        found = await engine.probe_figures(BENCH)
        assert isinstance(found, BenchFigures)
        assert found.answered >= 60
        assert not found.running
        await until_gone(clients)
        with pytest.raises(UsageError, match="no bench runs"):
            await engine.stop_probe(BENCH)


async def test_the_end_of_the_engine_is_the_end_of_the_bench() -> None:
    with Peer() as peer:
        async with initiating(peer.address) as engine:
            await engine.start_probe(replace(SMALL, sessions=1000))
            await peer.accept()


async def test_without_a_target_or_a_bench_there_is_nothing() -> None:
    async with initiating() as engine:
        with pytest.raises(UsageError, match="there is no target"):
            await engine.start_probe(SMALL)
        for wanted in (engine.probe_figures(BENCH), engine.wait_probe(BENCH), engine.bench_samples()):
            with pytest.raises(UsageError, match="no bench has begun yet"):
                await wanted
