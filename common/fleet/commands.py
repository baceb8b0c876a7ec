"""The commands that only a fleet has."""

from collections.abc import Sequence

from common.commands import Command
from common.fleet.console import Fleet
from common.fleet.figures import NodeLimits, NodeRow, node_limits_text, nodes_text
from common.shell import Shell


class FleetCommands:
    """What runs behind the rows of a fleet; `limits` and `quit` take the place of those that all daemons have."""

    def __init__(self, fleet: Fleet, shell: Shell) -> None:
        self._fleet = fleet
        self._shell = shell

    def rows(self) -> list[Command]:
        """Return the rows in the order in which help shows them."""
        return [
            Command("nodes", "", "every node of the fleet", self.nodes, nodes_text, reports=True),
            Command(
                "limits",
                "[N]",
                "the limits that N sessions would meet on each node",
                self.limits,
                node_limits_text,
                reports=True,
            ),
            Command("detach", "", "leave, and let the fleet go on", self.detach),
            Command("quit", "", "end the fleet with all its sessions, and leave", self.quit),
        ]

    async def nodes(self) -> Sequence[NodeRow]:
        """Return a row for each engine."""
        rows: Sequence[NodeRow] = await self._fleet.node_rows()
        return rows

    async def limits(self, n: int | None = None) -> Sequence[NodeLimits]:
        """Return the limits of each node."""
        limits: Sequence[NodeLimits] = await self._fleet.node_limits(n)
        return limits

    async def detach(self) -> None:
        """Leave the fleet as it is."""
        self._shell.leaving = True

    async def quit(self) -> None:
        """End the fleet, and leave."""
        self._fleet.ends = True
        self._shell.leaving = True
