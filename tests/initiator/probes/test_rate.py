"""Tests of the search for the highest rate of new sessions, on real sockets of the loopback."""

import asyncio
from array import array
from itertools import pairwise
from time import monotonic
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.sockets import segments
from initiator.engine import Engine
from initiator.probes.attempts import Attempts, RatePart
from initiator.probes.figures import FIND, RateFigures, RateSettings
from initiator.probes.narrowing import Phase, Trial
from initiator.probes.own import OwnSessions, State
from initiator.probes.parts import Method, R
from initiator.probes.rate import FindRate, together
from tests.initiator.batches import behind_timers
from tests.initiator.probes.support import initiating, probe, serving, until_gone
from tests.support import Peer, full_queue, stall, until

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


class Plenty:
    """The parts of a path that takes everything: thousands of sessions a trial, each in as many ms as trials."""

    def __init__(self) -> None:
        self._trials = 0
        self._trial = Trial(Phase.RAMP, ())

    async def ready(self, _sessions: int = 0) -> list[int]:
        return [0]

    async def ask(self, _number: int, method: Method[R], *arguments: Any) -> R | None:
        if method.__name__ == RatePart.send.__name__:
            self._trial = arguments[0]
        return cast(R, self._attempts() if method.__name__ == RatePart.attempts.__name__ else False)

    def now(self) -> None:
        return None

    async def close(self) -> None:
        pass

    def _attempts(self) -> Attempts:
        self._trials += 1
        seconds, count = self._trial.seconds, 5000
        sent = array("d", [seconds * place / count for place in range(count)])
        return Attempts(sent, array("d", [self._trials / 1000] * count), {}, 0, False, seconds, False)


async def test_a_trial_is_known_as_a_whole_or_not_at_all() -> None:
    search = FindRate(Plenty(), RateSettings(0.2))
    searching = asyncio.create_task(search.run())
    seen = set()
    while not searching.done():
        found = await search.figures(running=True)
        assert round(found.connect.highest * 1000) == len(found.trials) if found.connect else not found.trials
        seen.add(len(found.trials))
        await asyncio.sleep(0)
    await searching
    assert len(seen) > 5


async def test_a_session_is_given_up_when_its_time_is_over_though_the_next_one_is_due_later() -> None:
    """The kernel sends its SYN again after a second, which takes room on the path."""
    with Peer(backlog=1) as peer, full_queue(peer):
        async with initiating(peer.address) as engine:
            reactor = engine._reactor
            own = OwnSessions(reactor, engine._holder.dialer, engine._targets.values(), 0.2, fleeting=True)
            part = RatePart(reactor, own)
            sending = asyncio.create_task(part.send(Trial(Phase.RAMP, ((0.4, 3.0),)), 0, 1, None))
            again = 0
            while not sending.done():
                again += sum(segments(session.descriptor)[2] for session in own.open)
                await asyncio.wait((sending,), timeout=0.01)
            attempts = await part.attempts()
            assert (again, attempts.failed, attempts.known) == (0, {0: "timeout"}, True)
            await part.close()


@pytest.mark.parametrize(("fleeting", "state"), [(False, State.READY), (True, State.ENDED)])
async def test_what_came_while_this_host_stood_still_came_in_time(fleeting: bool, state: State) -> None:
    with Peer() as peer:
        async with initiating(peer.address) as engine:
            own = OwnSessions(engine._reactor, engine._holder.dialer, engine._targets.values(), 0.2, fleeting)
            session = own.begin()
            stall(0.5)
            await own.settle([session], State.CONNECTING)
            assert (session.failure, session.state) == ("", state)
            await own.close(reset=True)


async def test_none_is_begun_within_a_batch_of_events() -> None:
    """It might have the descriptor of a session that the batch has closed, and be told what is reported for that."""
    async with serving() as (address, _), initiating(address) as engine:
        reactor = engine._reactor
        own = OwnSessions(reactor, engine._holder.dialer, engine._targets.values(), 5.0, fleeting=True)
        part = RatePart(reactor, own)
        sending = asyncio.create_task(part.send(Trial(Phase.RAMP, ((10.0, 0.1),)), 0, 1, monotonic() + 0.05))
        await asyncio.sleep(0)
        with behind_timers(reactor, lambda: len(own.open)) as seen:
            stall(0.06)
        await sending
        attempts = await part.attempts()
        assert (seen, len(attempts.sent) + attempts.unsent) == ([0], 1)
        await part.close()


TRIAL = st.lists(
    st.tuples(st.floats(0, 2), st.floats(0, 1), st.sampled_from(["", "timeout", "rst"]), st.integers(0, 2)),
    max_size=50,
)


def divided(sessions: list[tuple[float, float, str, int]], ends: list[float], known: list[bool]) -> list[Attempts]:
    """Return what parts tell of these sessions, each begun by the part of its number until that ended."""
    found = []
    for number, end in enumerate(ends):
        own = sorted(session[:3] for session in sessions if session[3] == number and session[0] <= end)
        failed = {place: reason for place, (_, _, reason) in enumerate(own) if reason}
        sent, took = array("d", [at for at, _, _ in own]), array("d", [seconds for _, seconds, _ in own])
        found.append(Attempts(sent, took, failed, 0, False, end, known[number]))
    return found


@given(TRIAL)
def test_what_all_parts_sent_is_what_one_would_have_sent(sessions: list[tuple[float, float, str, int]]) -> None:
    found, until = together(divided(sessions, [1.9, 2.0, 1.8], [False] * 3))
    assert until == 2.0
    assert found == sorted(session[:3] for session in sessions if session[0] <= (1.9, 2.0, 1.8)[session[3]])


@given(TRIAL, st.lists(st.floats(0, 2), min_size=3, max_size=3), st.lists(st.booleans(), min_size=3, max_size=3))
def test_what_is_judged_was_sent_by_all_parts(
    sessions: list[tuple[float, float, str, int]], ends: list[float], known: list[bool]
) -> None:
    """Where a part ended sooner, all is left out that others began later."""
    known = [(any(known) and end == min(ends)) or one for end, one in zip(ends, known, strict=True)]
    found, until = together(divided(sessions, ends, known))
    assert until == (min(ends) if any(known) else max(ends))
    assert all(one[0] <= two[0] for one, two in pairwise(found))
    if any(known):
        assert found == sorted(session[:3] for session in sessions if session[0] <= until)
