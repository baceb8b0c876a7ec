"""What keeps a fleet: an engine whose workers are actors, itself in an actor that outlives its console."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from common.errors import SessionerError
from common.fleet.actors import Actors, Place
from common.fleet.figures import NodeLimits, NodeRow
from common.fleet.hosted import LIMITS, NodeTold
from common.shares import share_out
from common.workers.pool import SILENT, Member, Pool

log = logging.getLogger("sessioner.fleet")

# Seconds between two looks for nodes that have joined the cluster.
_LOOK: Final = 2.0


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What a keeper is made from: the engine's settings, and how many engines each node has."""

    settings: Any
    per_node: int


class Joining:
    """Has every node that joins the cluster join the fleet, from now on.

    `take_in` makes engines that were begun there what the others are, while nothing else is changed.
    """

    def __init__(
        self, actors: Actors, pool: Pool[Any], take_in: Callable[[Sequence[Member[Any]]], Awaitable[None]]
    ) -> None:
        self._actors = actors
        self._pool = pool
        self._take_in = take_in
        self._refused: set[str] = set()
        self._watching = asyncio.create_task(self._watch())

    def close(self) -> None:
        """Have no more nodes join."""
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            try:
                for place in await self._actors.new_places():
                    # While a node is missing, a new one takes its place.
                    if place.node not in self._refused and len(self._pool.present()) == len(self._pool.members):
                        await self._join(place)
            except Exception:
                log.exception("This is a bug, and nodes that join are looked for again:")

    async def _join(self, place: Place) -> None:
        """Begin engines on a node, which may take long and holds up nothing, and then take them in."""
        self._actors.add(place)
        try:
            begun = await self._pool.begin(len(self._actors.places))
        except Exception as error:
            self._actors.remove_last()
            self._refused.add(place.node)
            if not isinstance(error, SessionerError):
                raise
            log.warning("%s does not join the fleet: %s", place.address, error)
            return
        try:
            async with self._pool.changing:
                self._pool.add(begun)
                await self._take_in(begun)
        except SessionerError as error:
            log.warning("%s joins the fleet, and is not as the others are: %s", place.address, error)
        else:
            log.warning("%s joins the fleet", place.address)
        finally:
            for member in begun:
                if member not in self._pool.members:
                    member.caller.close()


async def no_state(_engine: object, _before: object) -> None:
    """Return nothing: how a fleet is, its console asks."""


def node_rows(pool: Pool[Any], actors: Actors, notes: Mapping[int, str]) -> list[NodeRow]:
    """Return a row for each engine; `notes` say by number what is amiss."""
    return [_row(member, actors, notes.get(member.number, "")) for member in pool.members]


async def node_limits(pool: Pool[Any], sessions: int | None) -> list[NodeLimits]:
    """Return what each engine's part of so many sessions, or of those there are, would meet on its node."""
    members = pool.present()
    parts: Sequence[int | None] = [None] * len(members) if sessions is None else share_out(sessions, len(members) or 1)
    answers = await pool.each(LIMITS, [(part,) for part, _ in zip(parts, members, strict=False)], members, reading=True)
    return [NodeLimits(member.name, answer[0]) for member, answer in zip(members, answers, strict=True) if answer]


def _row(member: Member[Any], actors: Actors, note: str) -> NodeRow:
    told = member.told if isinstance(member.told, NodeTold) else None
    now = told.state.snapshot if told else None
    silence = member.silence()
    return NodeRow(
        node=member.name,
        host=actors.places[member.number].host,
        state="missing" if member.away else "silent" if silence >= SILENT else "there",
        held=now.held if now else 0,
        asked=getattr(now, "asked", None),
        rate=now.rate if now else 0.0,
        losses=now.losses if now else {},
        descriptors=now.descriptors if now else None,
        load=told.load if told else None,
        processors=told.processors if told else None,
        heard_ago=silence,
        note=note,
    )
