"""The responder's keeper of a fleet: every node listens on its own, on the addresses that it has."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from common.addresses import Address, Endpoint
from common.errors import SessionerError
from common.fleet.actors import Actors
from common.fleet.figures import NodeLimits, NodeRow
from common.fleet.keeper import FleetSettings, Joining, no_state, node_limits, node_rows
from common.resolver import resolve
from common.workers.every import same
from common.workers.pool import Member
from common.workers.serving import Worker
from responder.settings import Settings, check_mode
from responder.worker import Refusals, State
from responder.workers import Listener, Workers, parts


class Keeper(Workers):
    """Workers that are actors, each with listeners of its own."""

    def __init__(self, fleet: FleetSettings) -> None:
        self._actors = Actors("responder.worker", fleet.per_node, "is missing: its clients are lost")
        self._shared = fleet.per_node > 1
        self._refusals: dict[int, Refusals] = {}
        count = len(self._actors.places)
        self._joining: Joining | None = None
        super().__init__(fleet.settings, count, count, self._actors)

    async def add_listeners(self, endpoint: Endpoint, mode: str | None = None) -> list[Address]:
        """Listen in a mode on every node that has an address; return the addresses.

        Raises SessionerError where one is on no node, and none is listened on then.
        """
        check_mode(mode or self._mode, self._settings)
        items = await resolve(endpoint)
        await self._take_in_use({item.address: Listener(item, "", []) for item in items}, mode)
        return [item.address for item in items]

    async def open(self) -> None:
        """Begin the engines, and more of them as nodes join; raises SessionerError."""
        await super().open()
        self._joining = Joining(self._actors, self.pool, self._take_in)

    async def aclose(self) -> None:
        """End the fleet."""
        if self._joining:
            self._joining.close()
        await super().aclose()

    async def settings(self) -> Settings:
        """Return what the fleet was started with."""
        return self._settings

    async def node_rows(self) -> list[NodeRow]:
        """Return a row for each engine."""
        return node_rows(
            self.pool, self._actors, {number: self._note(found) for number, found in self._refusals.items()}
        )

    async def node_limits(self, sessions: int | None) -> list[NodeLimits]:
        """Return the limits that so many clients in all, or those there are, would meet on each node."""
        return await node_limits(self.pool, sessions)

    def _note(self, refusals: Refusals) -> str:
        """Return what a node does not listen on."""
        texts = [text for address, text in refusals.items() if address in self._listeners]
        more = f", and {len(texts) - 1} addresses more" if len(texts) > 1 else ""
        return f"{texts[0]}{more}" if texts else ""

    async def _take_in(self, begun: Sequence[Member[State]]) -> None:
        """Let engines that were begun, and added, listen on what the others do."""
        new = [member.number for member in begun]
        self._seat_of += new
        self._accepting += new
        for member in begun:
            await self._restore(member)

    async def _share(self, listeners: Sequence[Listener]) -> None:
        """Let every node listen on what it has of some new addresses, in one mode; raises SessionerError."""
        members, items = self.pool.present(), [listener.item for listener in listeners]
        arguments = (listeners[0].mode, items, self._shared)
        found: list[Refusals] = await self.ask("listen_where_possible", same, arguments)
        nowhere = Counter(address for refusals in found for address in refusals)
        for address, count in nowhere.items():
            if count == len(found):
                raise SessionerError(found[0][address])
        if len(found) == len(members):
            for member, refusals in zip(members, found, strict=True):
                known = self._refusals.setdefault(member.number, {})
                for item in items:
                    known.pop(item.address, None)
                known.update(refusals)

    async def _restore(self, member: Member[State]) -> None:
        """Let a new engine listen on what the others do."""
        await self.repeat([member])
        refusals: Refusals = {}
        for mode, listeners in self._by_mode().items():
            for some in parts(listeners, 1):
                items = [each.item for each in some]
                refusals |= await self.pool.call(member, "listen_where_possible", mode, items, self._shared) or {}
        self._refusals[member.number] = refusals


KEEPER: Final = Worker(Keeper, no_state)
