"""The initiator's commands: one row each."""

from collections.abc import Iterable
from functools import partial
from typing import Final

from common.addresses import Address, Endpoint
from common.commands import Command, Listing
from common.dump import dump_command
from common.fleet.commands import FleetCommands
from common.fleet.console import Fleet
from common.logs import Logs
from common.paging import all_rows
from common.shell import Shell
from common.standard import Standard, in_time
from common.units import format_count, format_exactly
from initiator.churn_commands import ChurnCommands
from initiator.find_commands import FindCommands
from initiator.query_commands import QueryCommands
from initiator.render import interval_text, session_text, status_text, target_text
from initiator.report_commands import ReportCommands
from initiator.runs import Runs
from initiator.send_commands import SendCommands
from initiator.settings import PING_INTERVAL
from initiator.snapshot import Snapshot
from initiator.workers import AnyEngine

_HELD: Final = "held"

# What may run behind the prompt.
_RUNS: Final = "query|send|churn|saturate|bench|find"


class Commands:
    """What runs behind the initiator's rows; `hashsize` is what the tables of added targets start with."""

    def __init__(self, engine: AnyEngine, shell: Shell, logs: Logs, hashsize: int | None) -> None:
        self._engine = engine
        self._logs = logs
        self._hashsize = hashsize
        self._runs = Runs(shell)
        self._shell = shell
        self._query = QueryCommands(engine, shell, self._runs)
        self._send = SendCommands(engine, self._runs)
        self._churn = ChurnCommands(engine, self._runs)
        self._find = FindCommands(engine, self._runs)
        self._report = ReportCommands(engine, self._runs)
        self._standard = Standard(shell, logs, engine.demand)

    def rows(self) -> list[Command]:
        """Return the registry's rows in the order in which help shows them."""
        own = [
            Command("status", "", "the figures of this moment", self._engine.snapshot, self._status, reports=True),
            Command("details", "", "every target with its share", self.details, target_text, reports=True),
            Command(
                "list",
                "[N|ADDR]",
                "the sessions: so many, or those of a target or of one local address",
                self.list_sessions,
                session_text,
                reports=True,
            ),
            Command(
                "set",
                "N [TARGET]",
                "hold N sessions, shared out over the targets or of one target",
                self.set_sessions,
                missing="You need to specify the number to requested connections!",
            ),
            Command("target", "add|remove ADDRS", "begin or cease to hold sessions to these addresses", self.target),
            Command("rate", "[RATE|off]", "open at most so many sessions a second; alone: show that", self.rate),
            Command(
                "ping",
                "[on | off | interval [TIMES]]",
                "switch ping over, on or off, or set or show its interval",
                self.ping,
            ),
            Command(
                "lifetime",
                "[TIMEOUT|off]",
                "close each session after this time, and replace it; alone: show that",
                self.lifetime,
            ),
            dump_command(self._engine, "session"),
            Command("hashsize", "SIZE [TARGET]", "resize the tables, or that of one target", self.hashsize),
            Command("drop", "N|ADDR [rst|fin]", "end sessions on purpose (fin); they are replaced", self.drop),
            Command(
                "wait",
                f"[held|{_RUNS}] [TIMEOUT]",
                "go on when all sessions asked for are held, or what runs has ended",
                self.wait,
                looks=True,
            ),
        ]
        stop = Command("stop", f"[{_RUNS}]", "end what runs, and show what is known", self.stop)
        runs = [*self._query.rows(), *self._send.rows(), *self._churn.rows(), *self._find.rows()]
        fleet = FleetCommands(self._engine, self._shell).rows() if isinstance(self._engine, Fleet) else []
        return [*own, *runs, stop, *self._report.rows(), *self._standard.rows(), *fleet]

    def start(self) -> None:
        """Keep record of what happens, until the end."""
        self._report.start(self._shell)

    async def adopt(self, fleet: Fleet) -> None:
        """Go on with what runs in a fleet already."""
        asked = await fleet.runs_asked()
        await self._query.adopt(asked.get("query"))
        await self._send.adopt(asked.get("send"))

    async def close(self) -> None:
        """Show what is known of what still runs, at the end."""
        await self._report.close()
        await self._runs.close()

    def _status(self, snapshot: Snapshot) -> Iterable[str]:
        return status_text(snapshot, self._logs.debug)

    async def details(self) -> Listing:
        """List the targets."""
        return Listing("", all_rows(self._engine.target_page, None))

    async def list_sessions(self, n: int | None = None, addr: Address | None = None) -> Listing:
        """List held sessions."""
        first = await self._engine.session_page(addr, 0)  # an unknown address is refused before the title is shown
        snapshot = await self._engine.snapshot()
        title = f"Connected clients according to internal hash structure: {snapshot.held}"
        return Listing(title, all_rows(partial(self._engine.session_page, addr), n, first))

    async def set_sessions(self, n: int, target: Address | None = None) -> None:
        """Ask for so many sessions."""
        await self._engine.set_sessions(n, target)

    async def target(self, addrs: Endpoint, add: bool = False, remove: bool = False) -> str:
        """Add or remove targets."""
        if remove:
            return f"{format_count(await self._engine.remove_targets(addrs), 'target')} removed"
        added = await self._engine.add_targets(addrs, self._hashsize)
        return f"{format_count(added, 'target')} added, with one session{'' if added == 1 else ' each'}"

    async def rate(self, rate: float | None = None, off: bool = False) -> str:
        """Limit the attempts a second, or do not, or say what holds."""
        if off or rate is not None:
            await self._engine.set_rate(rate)
        else:
            rate = (await self._engine.snapshot()).connect_rate
        return "Rate of new sessions not limited" if rate is None else f"At most {rate:g} new sessions a second"

    async def ping(
        self,
        on: bool = False,
        off: bool = False,
        interval: bool = False,
        times: tuple[float, float] | None = None,
    ) -> str:
        """Switch ping, or set its interval or say what it is."""
        if times:
            await self._engine.set_ping_interval(times)
        if interval:
            holds = times or (await self._engine.snapshot()).ping_interval or PING_INTERVAL
            return f"Ping interval {interval_text(holds)}"
        enabled = await self._engine.set_ping(on or (False if off else None))
        return f"Ping {'enabled' if enabled else 'disabled'}"

    async def lifetime(self, timeout: float | None = None, off: bool = False) -> str:
        """Replace sessions after a time, or do not, or say what holds."""
        if off or timeout is not None:
            await self._engine.set_lifetime(timeout)
        else:
            timeout = (await self._engine.snapshot()).lifetime
        return "Lifetime of sessions not limited" if timeout is None else f"Lifetime {format_exactly(timeout)}"

    async def hashsize(self, size: int, target: Address | None = None) -> str:
        """Resize tables."""
        await self._engine.set_hashsize(size, target)
        return f"Hash size of {target or 'every target'} {size}"

    async def drop(
        self, n: int | None = None, addr: Address | None = None, rst: bool = False, fin: bool = False
    ) -> str:
        """End sessions on purpose."""
        dropped = await self._engine.drop(addr or n or 0, reset=rst)
        return f"{format_count(dropped, 'session')} dropped by {'RST' if rst else 'FIN'}"

    async def wait(self, timeout: float | None = None, **which: bool) -> None:
        """Wait until all that is asked for is held, or until what runs has ended."""
        name = next(iter(which), _HELD)
        if name == _HELD:
            await in_time(self._engine.wait_held(), timeout, self._not_held)
        else:
            await self._runs.wait(name, timeout)

    async def stop(self, **which: bool) -> None:
        """End what runs."""
        await self._runs.stop(next(iter(which), None))

    async def _not_held(self) -> str:
        snapshot = await self._engine.snapshot()
        return f"{snapshot.held} of {snapshot.asked} sessions held"
