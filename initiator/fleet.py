"""The initiator's keeper of a fleet: its targets and shares, spread over engines on many nodes."""

from typing import Any, Final

from common.fleet.actors import Actors
from common.fleet.figures import NodeLimits, NodeRow
from common.fleet.keeper import FleetSettings, Joining, no_state, node_limits, node_rows
from common.workers.serving import Worker
from initiator.workers import Workers


class Keeper(Workers):
    """Workers that are actors."""

    def __init__(self, fleet: FleetSettings) -> None:
        self._actors = Actors("initiator.worker", fleet.per_node, "is missing: what it held, the others hold")
        self._joining: Joining | None = None
        super().__init__(fleet.settings, len(self._actors.places), self._actors)

    async def open(self) -> None:
        """Begin the engines, and more of them as nodes join; raises SessionerError."""
        await super().open()
        self._joining = Joining(self._actors, self.pool, self._take_in)

    async def aclose(self) -> None:
        """End the fleet."""
        if self._joining:
            self._joining.close()
        await super().aclose()

    async def node_rows(self) -> list[NodeRow]:
        """Return a row for each engine."""
        return node_rows(self.pool, self._actors, {})

    async def node_limits(self, sessions: int | None) -> list[NodeLimits]:
        """Return the limits that so many sessions in all, or those asked for, would meet on each node."""
        return await node_limits(self.pool, sessions)

    def now(self) -> None:
        """Nodes share no clock."""

    async def runs_asked(self) -> dict[str, Any]:
        """Return what was asked for in the runs, by name, that go on behind the prompt."""
        return {name: run.asked for name, run in self.runs.items()}


KEEPER: Final = Worker(Keeper, no_state)
