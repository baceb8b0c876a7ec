"""One process's part of a bench: sessions in their places, which speak at once."""

import asyncio
from array import array
from dataclasses import dataclass
from time import monotonic
from typing import Final

from common.histogram import Histogram
from initiator.probes.own import OwnSession, OwnSessions, State

# Samples taken into the books at once: about a millisecond.
_TAKEN_AT_ONCE: Final = 512


@dataclass(frozen=True, slots=True)
class Filled:
    """The establishments of those opened, and the target of the session in each place."""

    connect: Histogram
    targets: list[str]


@dataclass(frozen=True, slots=True)
class Echoes:
    """Seconds from the barrier, and from its own sending, to the echo: of all, and by place.

    Those in the places of `failed` had none, for these reasons, and have no times.
    """

    corrected: Histogram
    raw: Histogram
    corrected_by_place: "array[float]"
    raw_by_place: "array[float]"
    failed: dict[int, str]


class BenchPart:
    """The sessions; None for the message says another one in each place and each round."""

    def __init__(self, own: OwnSessions, message: bytes | None) -> None:
        self._own = own
        self._message = message
        self._places: list[OwnSession] = []

    async def fill(self, count: int) -> Filled:
        """Have so many sessions that are ready, as far as they can be had, those of before in their places."""
        kept = [session for session in self._places if session.state is State.READY]
        opened = await self._own.establish(count - len(kept))
        connect = Histogram()
        connect.record_many([session.took for session in opened if session.state is State.READY])
        fresh = iter(opened)
        self._places = [
            session if session.state is State.READY else next(fresh, session) for session in self._places
        ] or opened
        names = {session.target: str(session.target.address) for session in self._places}
        return Filled(connect, [names[session.target] for session in self._places])

    async def speak(self, number: int, first: int, barrier: float | None) -> Echoes:
        """Let all speak at once in a round, the first of them in the place `first` of all that there are.

        The barrier is a moment (monotonic seconds), or when this begins.
        """
        places = self._places
        barrier = monotonic() if barrier is None else barrier
        await self._own.ask(
            places, lambda place: self._message or b"round %06d session %06d\n" % (number, first + place)
        )
        echoes = Echoes(Histogram(), Histogram(), array("d"), array("d"), {})
        for start in range(0, len(places), _TAKEN_AT_ONCE):
            some = places[start : start + _TAKEN_AT_ONCE]
            corrected = [session.since + session.took - barrier for session in some]
            raw = [session.took for session in some]
            echoes.corrected_by_place.extend(corrected)
            echoes.raw_by_place.extend(raw)
            answered = [place for place, session in enumerate(some) if not session.failure]
            echoes.corrected.record_many([corrected[place] for place in answered])
            echoes.raw.record_many([raw[place] for place in answered])
            echoes.failed.update(
                (start + place, session.failure) for place, session in enumerate(some) if session.failure
            )
            await asyncio.sleep(0)
        return echoes

    async def close(self) -> None:
        """End all by FIN."""
        await self._own.close(reset=False)
