"""One process's part of the search for how many sessions the path takes: opened, each confirmed by an echo."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from common.addresses import Address
from common.reasons import EXHAUSTED
from initiator.probes.own import OwnSession, OwnSessions, State
from initiator.target import Target

# Seconds that an answer is waited for at least, which is time for one SYN to be sent again, and how many times as long
# as the slowest of the first ones took.
_PATIENCE: Final = 1.5
_TIMES_SLOWEST: Final = 5.0

# Sessions looked at before others have their turn: about a millisecond.
_AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of some more sessions: how many were tried and taken, by target, why the others were not.

    `short_of` is what ran out on this host, "" for nothing; what was not begun for that was not tried. `beside` are the
    sessions held anyway to the same targets.
    """

    tried: dict[Address, int]
    taken: dict[Address, int]
    refused: dict[str, int]
    short_of: str
    beside: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """How many sessions are there, and how many were lost, by reason, when they were asked."""

    held: int
    losses: dict[str, int]


class SessionsPart:
    """The sessions, and apart from them the newest, until these are asked once more as well."""

    def __init__(self, own: OwnSessions, targets: Sequence[Target]) -> None:
        self._own = own
        self._targets = {target.address: target for target in targets}
        self._held: list[OwnSession] = []
        self._newest: list[OwnSession] = []

    async def more(self, count: int, rate: float | None, addresses: Sequence[Address]) -> Batch:
        """Open so many, at most `rate` a second, to these targets in turn, and ask each for an echo."""
        own = self._own
        self._join()
        targets = [self._targets[address] for address in addresses]
        begun = await own.establish(count, rate, targets)
        batch = [session for session in begun if session.failure != EXHAUSTED]
        await own.ask(batch, _message)
        self._newest = [session for session in batch if session.state is State.READY]
        if self._newest and not self._held:
            own.patience = min(own.patience, max(_PATIENCE, _TIMES_SLOWEST * own.slowest))
        return Batch(
            tried=Counter(session.target.address for session in batch),
            taken=Counter(session.target.address for session in self._newest),
            refused=Counter(session.failure for session in batch if session.failure),
            short_of=own.short_of or "",
            beside=sum(target.held for target in self._targets.values()),
        )

    async def confirm(self, newest: bool) -> Confirmed:
        """Ask every session that is held for an echo, the newest ones among them or not."""
        if newest:
            self._join()
        await self._own.ask(self._held, _message)
        losses: Counter[str] = Counter()
        left: list[OwnSession] = []
        for start in range(0, len(self._held), _AT_ONCE):
            part = self._held[start : start + _AT_ONCE]
            losses.update(session.failure for session in part if session.failure)
            left += [session for session in part if session.state is State.READY]
            await asyncio.sleep(0)
        self._held = left
        return Confirmed(len(left) + len(self._newest), losses)

    async def hold(self, seconds: float) -> Confirmed:
        """Say nothing for a while, then ask every session again."""
        await asyncio.sleep(seconds)
        return await self.confirm(newest=True)

    async def close(self) -> None:
        """Reset all, so that a box which looks at resets is free of them at once."""
        await self._own.close(reset=True)

    def _join(self) -> None:
        self._held += self._newest
        self._newest = []


def _message(number: int) -> bytes:
    return b"session %06d\n" % number
