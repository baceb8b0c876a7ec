"""What keeps a fleet: an engine whose workers are actors, itself in an actor that outlives its console."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from common.fleet.actors import Actors
from common.fleet.figures import NodeRow
from common.fleet.hosted import NodeTold
from common.workers.pool import SILENT, Member, Pool


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What a keeper is made from: the engine's settings, and how many engines each node has."""

    settings: Any
    per_node: int


async def no_state(_engine: object) -> None:
    """Return nothing: how a fleet is, its console asks."""


def node_rows(pool: Pool[Any], actors: Actors, notes: Mapping[int, str]) -> list[NodeRow]:
    """Return a row for each engine; `notes` say by number what is amiss."""
    return [_row(member, actors, notes.get(member.number, "")) for member in pool.members]


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
