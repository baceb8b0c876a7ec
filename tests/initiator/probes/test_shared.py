"""Tests of probes over workers, on real processes and real sockets of the loopback."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import cast

import pytest

from common.addresses import Address, Endpoint
from common.errors import SessionerError, UsageError
from common.workers.process import Zygote
from initiator.probes.figures import (
    BENCH,
    FIND,
    BenchFigures,
    BenchSettings,
    IdleFigures,
    IdleSettings,
    RateFigures,
    RateSettings,
    SessionsFigures,
    SessionsSettings,
)
from initiator.settings import Settings
from initiator.workers import Workers
from tests.initiator.probes.support import MOST, Evicting, Limited, Server, serving, until_gone
from tests.initiator.test_workers import Scattered
from tests.support import Peer, full_queue, round_of, until

pytestmark = pytest.mark.usefixtures("run")

# Seconds that an establishment or an echo may take.
TIMEOUT = 2.0


class Fourth(Server):
    """Resets each fourth message."""

    heard = 0

    def data_received(self, data: bytes) -> None:
        self.heard += 1
        if self.heard % 4 == 0:
            self.reset()
        else:
            self.transport.write(data)


@asynccontextmanager
async def sharing(*addresses: Address, count: int = 2, kind: type[Zygote] = Zygote) -> AsyncIterator[Workers]:
    """Give so many workers with these targets that hold no session to them."""
    async with aclosing(
        Workers(Settings(seed=1, connect_timeout=TIMEOUT), count, kind("initiator.worker", "asyncio"))
    ) as it:
        await it.open()
        for address in addresses:
            await it.add_targets(Endpoint(address.host, address.port, address.port), 10)
        await it.set_sessions(0, None)
        yield it


async def trying(workers: Workers, text: str) -> None:
    """Return when a probe tries something."""

    async def check() -> bool:
        return any(text in probe.trying for probe in (await workers.snapshot()).probes)

    await until(check)


async def in_round(workers: Workers, least: int) -> None:
    """Return when a bench has come to a round, or past it, for they may follow each other too fast to be seen."""

    async def check() -> bool:
        return any(round_of(probe.trying) >= least for probe in (await workers.snapshot()).probes)

    await until(check)


def kill(workers: Workers, number: int) -> None:
    """End one of the workers that there are."""
    os.kill(workers.pool.states()[number].process, signal.SIGKILL)


async def bench(workers: Workers, settings: BenchSettings) -> BenchFigures:
    await workers.start_probe(settings)
    await workers.wait_probe(BENCH)
    return await benched(workers)


async def benched(workers: Workers) -> BenchFigures:
    found = await workers.probe_figures(BENCH)
    assert isinstance(found, BenchFigures)
    assert not found.running
    return found


async def counted(workers: Workers) -> SessionsFigures:
    found = await workers.probe_figures(FIND)
    assert isinstance(found, SessionsFigures)
    assert not found.running
    return found


async def find(workers: Workers, settings: SessionsSettings) -> SessionsFigures:
    await workers.start_probe(settings)
    await workers.wait_probe(FIND)
    return await counted(workers)


async def test_a_bench_is_shared_and_every_echo_is_verified() -> None:
    async with serving() as (one, clients), serving() as (other, others), sharing(one, other, count=3) as workers:
        found = await bench(workers, BenchSettings(25, 4))
        assert (found.answered, found.failures) == (100, {})
        assert [(done.round, done.answered) for done in found.rounds] == [(r, 25) for r in range(1, 5)]
        assert found.raw
        assert found.raw.highest == max(done.raw.highest for done in found.rounds if done.raw)
        samples = await workers.bench_samples()
        assert [(one.round, one.session) for one in samples] == [(r, s) for r in range(1, 5) for s in range(1, 26)]
        assert all(one.raw and one.corrected and one.corrected >= one.raw and not one.failure for one in samples)
        assert max(one.raw for one in samples if one.raw) == pytest.approx(found.raw.highest, abs=2e-6)
        targets = Counter(sample.target for sample in samples if sample.round == 1)
        assert set(targets) == {str(one), str(other)}
        assert max(targets.values()) - min(targets.values()) <= 3
        await until_gone(clients)
        await until_gone(others)


async def test_nobody_speaks_before_the_slowest_of_all_is_there() -> None:
    """One worker's only session goes to a black hole: until that has failed the other one's is silent."""

    class Timed(Server):
        def data_received(self, data: bytes) -> None:
            heard.append(asyncio.get_running_loop().time())
            super().data_received(data)

    heard: list[float] = []
    with Peer(backlog=1) as peer, full_queue(peer):
        async with serving(Timed) as (address, _), sharing(address, peer.address) as workers:
            begun = asyncio.get_running_loop().time()
            found = await bench(workers, BenchSettings(2, 1))
            assert (found.answered, found.failures) == (1, {"timeout": 1})
            assert [at - begun >= TIMEOUT for at in heard] == [True]


async def test_what_fails_is_replaced_before_the_next_round() -> None:
    async with serving(Fourth) as (address, _), sharing(address) as workers:
        found = await bench(workers, BenchSettings(20, 6))
        assert [done.answered for done in found.rounds] == [20, 20, 20, 0, 20, 20]
        assert found.failures == {"rst": 20}


async def test_a_worker_that_ends_costs_a_bench_its_samples_and_is_replaced() -> None:
    class Pausing(Server):
        """Keeps the echoes of the third round back until somebody was killed."""

        def data_received(self, data: bytes) -> None:
            if data.startswith(b"round 000003") and not killed:
                kept.append((self, data))
            else:
                self.transport.write(data)

    kept: list[tuple[Server, bytes]] = []
    killed: list[int] = []
    async with serving(Pausing) as (address, clients), sharing(address) as workers:
        await workers.start_probe(BenchSettings(20, 5))

        async def all_wait() -> bool:
            return len(kept) == 20

        await until(all_wait)
        kill(workers, 1)
        killed.append(1)
        for client, data in kept:
            client.transport.write(data)
        await workers.wait_probe(BENCH)
        found = await benched(workers)
        assert found.failures == {"worker": 10}
        assert [done.answered for done in found.rounds] == [20, 20, 10, 20, 20]
        samples = await workers.bench_samples()
        assert len({(one.round, one.session) for one in samples}) == len(samples) == 100
        lost = [one for one in samples if one.failure == "worker"]
        assert {(one.round, one.raw, one.corrected, one.target) for one in lost} == {(3, None, None, str(address))}
        assert len({one.session for one in lost}) == 10
        await until_gone(clients)


async def test_a_bench_goes_on_without_a_worker_that_stays_away() -> None:
    async with serving() as (address, clients), sharing(address, count=3, kind=Scattered) as workers:
        origin = cast(Scattered, workers.pool._origin)
        await workers.start_probe(BenchSettings(30, 100_000))
        await in_round(workers, 9)
        origin.there.clear()
        kill(workers, 1)

        async def goes_on_without() -> bool:
            found = await workers.probe_figures(BENCH)
            assert isinstance(found, BenchFigures)
            return bool(found.failures) and found.rounds[-1].answered == 30

        await until(goes_on_without)
        assert workers.pool.members[1].away
        origin.there.set()
        await workers.stop_probe(BENCH)
        await workers.wait_probe(BENCH)
        assert (await benched(workers)).failures == {"worker": 10}
        await until_gone(clients)


async def test_the_limit_of_the_path_is_that_of_all_together() -> None:
    async with serving(Limited) as (address, clients), sharing(address, count=3) as workers:
        found = await find(workers, SessionsSettings(seconds=0.05))
        assert (found.most, found.confirmed, found.bound) == (MOST, MOST, "path")
        assert found.tried == MOST + found.refused["rst"]
        assert (set(found.refused), found.losses, found.evicted) == ({"rst"}, {}, 0)
        await until_gone(clients)


async def test_sessions_that_one_worker_opens_may_cost_those_of_another() -> None:
    async with serving(Evicting) as (address, _), sharing(address) as workers:
        found = await find(workers, SessionsSettings(seconds=0.05))
        assert (found.most, found.bound) == (MOST, "path")
        assert found.evicted == found.losses["rst"] > 0


async def test_the_sessions_are_spread_evenly_whatever_else_is_held() -> None:
    async with serving() as (address, clients), sharing(address, count=3) as workers:
        await until_gone(clients)
        await workers.set_sessions(7, None)
        await workers.wait_held()
        await workers.start_probe(SessionsSettings(limit=80, seconds=1000.0))
        await trying(workers, "holding 80")
        ports = Counter(client.transport.get_extra_info("peername")[1] for client in clients)
        assert len(ports) == 87
        probe = workers._last[FIND][0]
        shares = probe._held  # type: ignore[attr-defined]
        assert max(shares) - min(shares) <= 2
        with pytest.raises(UsageError, match="one runs already"):
            await workers.start_probe(SessionsSettings())
        await workers.stop_probe(FIND)
        await workers.wait_probe(FIND)
        found = await counted(workers)
        assert (found.most, found.bound, found.beside, found.held_for) == (80, "limit", 7, 0.0)
        await workers.set_sessions(0, None)
        await until_gone(clients)


async def test_dead_targets_do_not_keep_another_one_from_being_filled() -> None:
    with Peer(backlog=None) as dead, Peer(backlog=None) as other:
        async with serving(Limited) as (address, _), sharing(dead.address, other.address, address) as workers:
            found = await find(workers, SessionsSettings(rate=2000.0, seconds=0.05))
            assert (found.most, found.bound) == (MOST, "path")
            assert set(found.refused) == {"refused", "rst"}


async def test_a_search_ends_with_a_worker_and_counts_what_it_held() -> None:
    async with serving() as (address, clients), sharing(address) as workers:
        await workers.start_probe(SessionsSettings(limit=80, seconds=1000.0))
        await trying(workers, "holding 80")
        kill(workers, 0)
        with pytest.raises(SessionerError, match="a worker has ended"):
            await workers.wait_probe(FIND)
        found = await counted(workers)
        assert (found.most, found.confirmed, found.losses, found.bound) == (80, 40, {"worker": 40}, "worker")
        await until_gone(clients)
        again = await find(workers, SessionsSettings(limit=40, seconds=0.0))
        assert (again.most, again.losses) == (40, {})


async def test_a_rate_is_searched_by_all_workers_together() -> None:
    async with serving() as (address, clients), sharing(address) as workers:
        await workers.start_probe(RateSettings(0.2))
        with pytest.raises(UsageError, match="one runs already"):
            await workers.start_probe(IdleSettings(1.0))

        async def some() -> bool:
            figures = await workers.probe_figures(FIND)
            return isinstance(figures, RateFigures) and len(figures.trials) > 1

        await until(some)
        await workers.stop_probe(FIND)
        await workers.wait_probe(FIND)
        found = await workers.probe_figures(FIND)
        assert isinstance(found, RateFigures)
        first, second, *_ = found.trials
        assert [(trial.phase, trial.rate, trial.failures) for trial in (first, second)] == [
            ("ramp", 100.0, {}),
            ("ramp", 200.0, {}),
        ]
        assert (first.sent + first.unsent, second.sent + second.unsent) == (50, 100)
        assert found.connect
        assert found.connect.highest > 0
        await until_gone(clients)


async def test_a_rate_with_nobody_there() -> None:
    with Peer(backlog=None) as peer:
        async with sharing(peer.address) as workers:
            await workers.start_probe(RateSettings(0.2))
            await workers.wait_probe(FIND)
            found = await workers.probe_figures(FIND)
            assert isinstance(found, RateFigures)
            assert (found.done, found.good, found.taken, found.worker_ended) == (True, 0.0, 0.0, False)
            assert {reason for trial in found.trials for reason in trial.failures} == {"refused"}


@pytest.mark.parametrize("settings", [RateSettings(5.0), IdleSettings(1000.0)])
async def test_other_searches_end_with_a_worker_too(settings: RateSettings | IdleSettings) -> None:
    async with serving() as (address, clients), sharing(address) as workers:
        await workers.start_probe(settings)
        await trying(workers, "new sessions a second" if isinstance(settings, RateSettings) else "groups still silent")
        kill(workers, 0)
        with pytest.raises(SessionerError, match="a worker has ended"):
            await workers.wait_probe(FIND)
        found = await workers.probe_figures(FIND)
        assert isinstance(found, RateFigures | IdleFigures)
        assert (found.running, found.done) == (False, False)
        await until_gone(clients)


async def test_an_idle_search_is_stopped_and_keeps_what_is_known() -> None:
    async with serving() as (address, clients), sharing(address) as workers:
        await workers.start_probe(IdleSettings(60.0))

        async def some() -> bool:
            figures = await workers.probe_figures(FIND)
            return isinstance(figures, IdleFigures) and figures.running and figures.groups > 1

        await until(some)
        await workers.stop_probe(FIND)
        await workers.wait_probe(FIND)
        found = await workers.probe_figures(FIND)
        assert isinstance(found, IdleFigures)
        assert (found.running, found.done, found.groups > 1) == (False, False, True)
        await until_gone(clients)


async def test_a_worker_that_is_silent_is_left_out_and_one_that_falls_silent_does_not_keep_from_stopping() -> None:
    async with serving() as (address, clients), sharing(address) as workers:
        await workers.start_probe(BenchSettings(20, 100_000))
        await in_round(workers, 5)
        frozen = workers.pool.states()[1].process
        os.kill(frozen, signal.SIGSTOP)
        try:

            async def is_silent() -> bool:
                return bool((await workers.snapshot()).workers.silent)  # type: ignore[union-attr]

            await until(is_silent)
            await workers.stop_probe(BENCH)
            await workers.wait_probe(BENCH)
            found = await bench(workers, BenchSettings(10, 2))
            assert (found.answered, found.failures) == (20, {})
        finally:
            os.kill(frozen, signal.SIGCONT)
        await until_gone(clients)


async def test_without_a_target_or_a_probe_there_is_nothing() -> None:
    async with aclosing(Workers(Settings(seed=1), 2, Zygote("initiator.worker", "asyncio"))) as workers:
        await workers.open()
        for settings in (BenchSettings(1, 1), SessionsSettings(), RateSettings(), IdleSettings()):
            with pytest.raises(UsageError, match="there is no target"):
                await workers.start_probe(settings)
        for wanted in (workers.probe_figures(FIND), workers.wait_probe(FIND), workers.bench_samples()):
            with pytest.raises(UsageError, match="has begun yet"):
                await wanted


async def test_the_end_of_the_workers_is_the_end_of_their_probes() -> None:
    async with serving() as (address, clients):
        async with sharing(address) as workers:
            await workers.start_probe(BenchSettings(20, 100_000))
            await in_round(workers, 3)
            await asyncio.sleep(0)
        await until_gone(clients)
