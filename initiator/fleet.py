"""The initiator's keeper of a fleet: its targets and shares, spread over engines on many nodes."""

from typing import Final

from common.fleet.actors import Actors
from common.fleet.figures import NodeRow
from common.fleet.keeper import FleetSettings, no_state, node_rows
from common.workers.serving import Worker
from initiator.workers import Workers


class Keeper(Workers):
    """Workers that are actors."""

    def __init__(self, fleet: FleetSettings) -> None:
        self._actors = Actors("initiator.worker", fleet.per_node)
        super().__init__(fleet.settings, len(self._actors.places), self._actors)

    async def node_rows(self) -> list[NodeRow]:
        """Return a row for each engine."""
        return node_rows(self.pool, self._actors, {})


KEEPER: Final = Worker(Keeper, no_state)
