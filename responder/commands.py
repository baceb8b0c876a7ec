"""The responder's commands: one row each."""

from collections.abc import Iterable
from functools import partial

from common.addresses import Address, Endpoint
from common.commands import Command, Listing
from common.dump import dump_command
from common.fleet.commands import FleetCommands
from common.fleet.console import Fleet
from common.logs import Logs
from common.paging import all_rows
from common.shell import Shell
from common.standard import Standard, in_time
from common.units import format_count
from responder.render import client_text, listener_text, status_text
from responder.snapshot import Snapshot
from responder.workers import AnyEngine


class Commands:
    """What runs behind the responder's rows."""

    def __init__(self, engine: AnyEngine, shell: Shell, logs: Logs) -> None:
        self._engine = engine
        self._logs = logs
        self._shell = shell
        self._standard = Standard(shell, logs, engine.demand)

    def rows(self) -> list[Command]:
        """Return the registry's rows in the order in which help shows them."""
        own = [
            Command("status", "", "the figures of this moment", self._engine.snapshot, self._status, reports=True),
            Command(
                "list",
                "[N|ADDR]",
                "the clients: so many, or those of a listener or of one peer",
                self.list_clients,
                client_text,
                reports=True,
            ),
            Command("listeners", "", "every listener", self.listeners, listener_text, reports=True),
            Command("listen", "add|remove ADDRS", "begin or cease to listen on these addresses", self.listen),
            Command(
                "mode",
                "echo|sink|active|serve [ADDRS]",
                "what all listeners and those added later, or these, do with their clients",
                self.mode,
            ),
            dump_command(self._engine, "client"),
            Command("marker", "[on|off]", "look for time stamps in what is received, and count latencies", self.marker),
            Command("hashsize", "SIZE", "resize the table of clients", self.hashsize),
            Command("drop", "N|ADDR [rst|fin]", "end clients' sessions on purpose (fin)", self.drop),
            Command("wait", "clients N [TIMEOUT]", "go on when N clients are connected", self.wait, looks=True),
        ]
        fleet = FleetCommands(self._engine, self._shell).rows() if isinstance(self._engine, Fleet) else []
        return [*own, *self._standard.rows(), *fleet]

    def _status(self, snapshot: Snapshot) -> Iterable[str]:
        return status_text(snapshot, self._logs.debug)

    async def list_clients(self, n: int | None = None, addr: Address | None = None) -> Listing:
        """List clients."""
        first = await self._engine.session_page(addr, 0)  # an unknown address is refused before the title is shown
        snapshot = await self._engine.snapshot()
        title = f"Connected clients according to internal hash structure: {snapshot.held}"
        return Listing(title, all_rows(partial(self._engine.session_page, addr), n, first))

    async def listeners(self) -> Listing:
        """List the listeners."""
        snapshot = await self._engine.snapshot()
        title = f"Active listeners according to internal hash structure: {snapshot.listeners}"
        return Listing(title, all_rows(self._engine.listener_page, None))

    async def listen(self, addrs: Endpoint, add: bool = False, remove: bool = False) -> str:
        """Add or remove listeners."""
        if remove:
            return f"{format_count(await self._engine.remove_listeners(addrs), 'listener')} removed, their clients stay"
        return f"{format_count(len(await self._engine.add_listeners(addrs)), 'listener')} added"

    async def mode(
        self,
        echo: bool = False,
        sink: bool = False,
        active: bool = False,
        serve: bool = False,
        addrs: Endpoint | None = None,
    ) -> str:
        """Change what listeners do with their clients, and, without addresses, what those added later do."""
        wanted = {"echo": echo, "sink": sink, "active": active, "serve": serve}
        (mode,) = (mode for mode, chosen in wanted.items() if chosen)
        changed = await self._engine.set_mode(mode, addrs)
        return f"{format_count(changed, 'listener')} in mode {mode}"

    async def marker(self, on: bool = False, off: bool = False) -> str:
        """Look for markers, or stop; switch over if neither is said."""
        enabled = on or (not off and not (await self._engine.snapshot()).marker)
        await self._engine.set_marker(enabled)
        return f"Marker {'enabled' if enabled else 'disabled'}"

    async def hashsize(self, size: int) -> str:
        """Resize the table."""
        await self._engine.set_hashsize(size)
        return f"Clients hash size {size}"

    async def drop(
        self, n: int | None = None, addr: Address | None = None, rst: bool = False, fin: bool = False
    ) -> str:
        """End clients' sessions on purpose."""
        dropped = await self._engine.drop(addr or n or 0, reset=rst)
        return f"{format_count(dropped, 'session')} dropped by {'RST' if rst else 'FIN'}"

    async def wait(self, n: int, clients: bool, timeout: float | None = None) -> None:
        """Wait for so many clients."""
        await in_time(self._engine.wait_clients(n), timeout, self._not_connected)

    async def _not_connected(self) -> str:
        return f"{format_count((await self._engine.snapshot()).held, 'client')} connected"
