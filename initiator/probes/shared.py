"""Probes over workers: a part in each of them, or the whole in one."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any, Final

from common.errors import SessionerError, UsageError
from common.workers.calls import GoneError
from common.workers.every import first_present
from common.workers.pool import SILENT, Member, Pool
from initiator.probes.figures import FIND, IdleFigures, IdleSettings
from initiator.probes.idleness import memory
from initiator.probes.parts import LostError, Method, R
from initiator.probes.running import DividedSettings
from initiator.worker import State

# Seconds between two looks at whether a worker that was lost is heard again.
_LOOK: Final = 0.05


class Shared:
    """Parts in workers, as one in this process is; `_members` has the worker of each, None where that has ended.

    `_lost` are workers that may not be replaced yet, with the moment (monotonic seconds) when their end was noticed.
    `grow` begins as many workers as so many sessions beside the held ones need, where that is allowed. `now` gives the
    moment by the clock of all workers.
    """

    def __init__(
        self,
        pool: Pool[State],
        name: str,
        settings: DividedSettings,
        grow: Callable[[int], Awaitable[None]],
        now: Callable[[], float | None],
    ) -> None:
        self.now = now
        self._pool = pool
        self._name = name
        self._settings = settings
        self._grow = grow
        self._members: list[Member[State] | None] = []
        self._lost: dict[Member[State], float] = {}

    async def ready(self, sessions: int = 0) -> list[int]:
        """Have a part in every worker that is there, when those that end are replaced or others do their part."""
        pool = self._pool
        while gone := [member for member in pool.members if member.caller.gone and not member.away]:
            await gone[0].replaced.wait()
        for member, since in self._lost.items():
            # A node that could not be reached is there again, or is taken for lost after some seconds.
            while not member.replaced.is_set() and member.heard < since:
                with suppress(TimeoutError):
                    await asyncio.wait_for(member.replaced.wait(), _LOOK)
        self._lost.clear()
        async with pool.changing:
            await self._grow(sessions)
            await self._begin()
            return [member.told.state.snapshot.held if member and member.told else 0 for member in self._members]

    async def ask(self, number: int, method: Method[R], *arguments: Any) -> R | None:
        """Call a method of the part in a worker."""
        member = self._members[number]
        if member is None:
            return None
        try:
            answer: R = await member.caller.call("in_part", (self._name, number, method.__name__, *arguments))
        except GoneError:
            self._members[number] = None
            self._lost[member] = monotonic()
            return None
        return answer

    async def close(self) -> None:
        """End all sessions; one that does not answer ends them when it goes on."""
        there = [(number, member) for number, member in enumerate(self._members) if member]
        arguments = [(self._name, number) for number, _ in there]
        await self._pool.outcomes("end_part", arguments, [member for _, member in there])

    async def _begin(self) -> None:
        """Begin a part in each worker that has none, and those that were lost; who does not answer is left out."""
        present = [member for member in self._pool.present() if member.silence() < SILENT]
        if not present:
            raise SessionerError("no worker answers; `status` shows how they are")
        # Whoever takes the place of one whose loss was not told yet has to wait for that.
        known = {member.number for member in self._members if member}
        free = {member.number: member for member in present if member.number not in known}
        lost = [number for number, member in enumerate(self._members) if member is None]
        places = {number: free.pop(number, present[number % len(present)]) for number in lost}
        places |= dict(enumerate(free.values(), len(self._members)))
        self._members += [None] * len(free)
        numbers, members = list(places), list(places.values())
        arguments = [(self._name, number, self._settings) for number in numbers]
        outcomes = await self._pool.outcomes("begin_part", arguments, members)
        for number, member, outcome in zip(numbers, members, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                raise outcome
            self._members[number] = member if outcome else None


class Elsewhere:
    """A search that one worker makes by itself, with its sessions there alone, as its console sees it."""

    name = FIND

    def __init__(self, pool: Pool[State], settings: IdleSettings) -> None:
        self._pool = pool
        self._settings = settings
        self._member: Member[State] | None = None
        self._known = IdleFigures(settings, False, False, 0.0, 0, {}, 0, memory(()), [])

    async def run(self) -> None:
        """Have the first worker make it; raises SessionerError when that ends meanwhile."""
        member = self._member = first_present(self._pool)
        try:
            await member.caller.call("start_probe", (self._settings,))
            await member.caller.call("wait_probe", (FIND,))
        except GoneError:
            raise LostError([0]) from None
        except asyncio.CancelledError:
            with suppress(UsageError):  # it has ended by itself
                await self._pool.call(member, "stop_probe", FIND)
                await self._pool.call(member, "wait_probe", FIND)
            raise

    def progress(self) -> None:
        """Nothing is known here: the worker tells it."""

    async def figures(self, running: bool) -> IdleFigures:
        """Return what is known so far, or was when the worker answered last."""
        if self._member:
            self._known = await self._pool.call(self._member, "probe_figures", FIND, reading=True) or self._known
        return replace(self._known, running=running)
