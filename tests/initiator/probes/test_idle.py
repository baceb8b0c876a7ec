"""Tests of the search for how long a path remembers idle sessions, on real sockets of the loopback."""

import asyncio
from collections import Counter
from typing import ClassVar

import pytest

from initiator.engine import Engine
from initiator.probes.figures import FIND, IdleFigures, IdleSettings
from initiator.probes.idleness import idle_times, memory
from tests.initiator.pauses import held_up
from tests.initiator.probes.support import Server, initiating, probe, serving, until_gone
from tests.support import Peer, until

pytestmark = pytest.mark.usefixtures("run")

REMEMBERED = 0.4

# The longest time that sessions are left idle, and for how long their answers are waited for, in seconds.
UP_TO = 2.0
TIMEOUT = 0.5

# Sessions that are idle for the same time.
GROUP = 3


class Forgetful(Server):
    """Forgets a client that said nothing for a while: that it does by its own clock, whatever the machine does.

    `known` tells of all clients that spoke again, in that order, by the number of their first message,
    whether it knew them.
    """

    heard = 0.0
    number: int | None = None
    known: ClassVar[dict[int, bool]] = {}

    def came(self) -> None:
        self.heard = asyncio.get_running_loop().time()

    def data_received(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        idle, self.heard = now - self.heard, now
        if self.number is None:
            self.number = int(data.split()[1])
        else:
            Forgetful.known[self.number] = idle < REMEMBERED
        if idle < REMEMBERED:
            self.transport.write(data)
        else:
            self.forgotten()

    def forgotten(self) -> None:
        self.reset()


class Mute(Forgetful):
    def forgotten(self) -> None:
        pass


class Timed(Server):
    """Ends its clients by itself when they said nothing for a while."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        asyncio.get_running_loop().call_later(REMEMBERED, self.transport.close)


async def find(engine: Engine, up_to: float) -> IdleFigures:
    found = await probe(engine, IdleSettings(up_to), FIND)
    assert isinstance(found, IdleFigures)
    return found


@pytest.mark.parametrize(("server", "answer"), [(Forgetful, "rst"), (Mute, "timeout")])
async def test_what_is_forgotten_is_found_between_two_bounds(server: type[Server], answer: str) -> None:
    async with serving(server) as (address, clients), initiating(address, connect_timeout=TIMEOUT) as engine:
        Forgetful.known.clear()
        found = await find(engine, UP_TO)
        pause = await held_up(engine)
        assert found.memory.forgotten
        assert found.memory.remembered < min(REMEMBERED, found.memory.forgotten)
        assert set(found.memory.answers) == {answer}
        assert found.memory.unasked == {}
        assert found.done
        assert found.groups < 90
        groups, kept = spoken()
        whole = [group for group in groups if all(group)]
        # What the server knew is what is found, where no answer lay for longer than it is waited for.
        assert bool(found.memory.remembered) == (len(whole) > found.memory.later) or pause > TIMEOUT
        assert whole or pause > REMEMBERED - idle_times(UP_TO)[0]
        (figures,) = found.keepalive
        assert figures.idle == 1
        failures = dict(Counter(answer for known in kept if not known))
        assert (figures.answered, figures.failures) == (sum(kept), failures) or pause > TIMEOUT
        assert len(kept) == GROUP or pause > REMEMBERED
        await until_gone(clients)


def spoken() -> tuple[list[list[bool]], list[bool]]:
    """Return of each group that spoke again which sessions were known, and of those with keepalive, which are the last.

    Those are not spoken on before it is known that the path forgets.
    """
    count = len(idle_times(UP_TO))
    groups: dict[int, list[bool]] = {}
    kept: list[bool] = []
    for number, known in Forgetful.known.items():
        if number < count * GROUP:
            assert not kept
            groups.setdefault(number % count, []).append(known)
        else:
            assert sum(not any(group) for group in groups.values()) >= 3
            kept.append(known)
    return list(groups.values()), kept


async def test_what_ends_idle_sessions_by_itself_is_told_apart() -> None:
    async with serving(Timed) as (address, _), initiating(address) as engine:
        found = await find(engine, 2.0)
        assert found.memory.forgotten
        assert found.memory.remembered < min(REMEMBERED, found.memory.forgotten)
        assert found.memory.unasked["fin"] > 0


async def test_where_nothing_is_forgotten_the_longest_is_the_bound() -> None:
    async with serving() as (address, _), initiating(address) as engine:
        found = await find(engine, 0.5)
        assert found.memory.remembered >= 0.5
        assert (found.memory.forgotten, found.memory.answers, found.keepalive) == (None, {}, [])
        assert found.failures == {}


async def test_nobody_there() -> None:
    with Peer(backlog=None) as peer:
        async with initiating(peer.address) as engine:
            # There is nothing to wait for: the time that sessions would have been left idle is not waited out.
            found = await find(engine, 86_400.0)
            assert (found.done, found.sessions, found.groups, found.memory) == (True, 0, 0, memory(()))
            assert set(found.failures) == {"refused"}


class Fifty(Server):
    """Takes only so many clients, and resets all others."""

    def came(self) -> None:
        if len(self.clients) > 50:
            self.reset()


async def test_only_groups_that_could_be_had_are_counted() -> None:
    async with serving(Fifty) as (address, _), initiating(address) as engine:
        found = await find(engine, 0.5)
        assert sum(found.failures.values()) == len(idle_times(0.5)) * GROUP - found.sessions
        assert 0 < found.groups <= found.sessions <= 50 < len(idle_times(0.5))


async def test_stopped_it_keeps_what_is_known() -> None:
    async with serving() as (address, clients), initiating(address) as engine:
        await engine.start_probe(IdleSettings(60.0))

        async def some() -> bool:
            figures = await engine.probe_figures(FIND)
            return isinstance(figures, IdleFigures) and figures.groups > 1

        await until(some)
        (progress,) = (await engine.snapshot()).probes
        assert "groups still silent" in progress.trying
        await engine.stop_probe(FIND)
        await engine.wait_probe(FIND)
        found = await engine.probe_figures(FIND)
        assert isinstance(found, IdleFigures)
        assert not found.done
        assert found.memory.remembered >= 1.0
        await until_gone(clients)
