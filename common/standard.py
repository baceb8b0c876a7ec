"""The commands that both daemons have in common."""

import asyncio
from collections.abc import Awaitable, Callable

from common.commands import Call, Command
from common.errors import NotMetError, UsageError
from common.limits import Demand, Limit, assess, render_limits
from common.logs import Logs
from common.shell import Shell
from common.system import read_system


class Standard:
    """What runs behind the rows that both daemons have."""

    def __init__(self, shell: Shell, logs: Logs, demand: Callable[[int | None], Awaitable[Demand]]) -> None:
        self._shell = shell
        self._logs = logs
        self._demand = demand

    def rows(self) -> list[Command]:
        """Return the rows in the order in which help shows them."""
        return [
            Command("sleep", "T", "do nothing for a time", self.sleep, looks=True),
            Command(
                "watch",
                "COMMAND... [TIMEOUT]",
                "repeat a command until the next line",
                self.watch,
                looks=True,
                about={
                    "COMMAND": "a whole line; a bare number at its end is its own where it takes one, as in `list 5`",
                    "TIMEOUT": "the time between two runs (1s)",
                },
            ),
            Command(
                "limits",
                "[N]",
                "the operating system's limits that N sessions would meet",
                self.limits,
                text=render_limits,
                reports=True,
            ),
            Command("debug", "[on|off]", "switch the debug output on or off", self.debug),
            Command("help", "[NAME]", "this list, or one command", self.help, text=lambda lines: lines, looks=True),
            Command("quit", "", "end every session and leave", self.quit),
            Command("prompt", "", "in a script: go on at the prompt when the script ends", self.prompt, looks=True),
        ]

    async def sleep(self, t: float) -> None:
        """Do nothing for so many seconds."""
        await asyncio.sleep(t)

    async def watch(self, command: Call, timeout: float) -> None:
        """Run a command every so many seconds until a further line comes, or it was one to leave."""
        while True:
            await self._shell.run(command)
            if self._shell.leaving:
                return
            try:
                await asyncio.wait_for(self._shell.further_line.wait(), timeout)
            except TimeoutError:
                continue
            return

    async def limits(self, n: int | None = None) -> list[Limit]:
        """Return what so many sessions, or those asked for, would meet."""
        demand = await self._demand(n)
        return assess(read_system(), demand)

    async def debug(self, on: bool = False, off: bool = False) -> str:
        """Switch the debug output, over if neither is said."""
        self._logs.set_debug(on or (not off and not self._logs.debug))
        return f"Debug output {'enabled' if self._logs.debug else 'disabled'}"

    async def help(self, name: str | None = None) -> list[str]:
        """Return a line for each command, or the one asked for with all its options."""
        rows = self._shell.registry.commands
        if name is not None and name not in rows:
            raise UsageError(f'there is no command "{name}"; `help` lists them')
        if name:
            return rows[name].described
        width = max(len(row.short_form) for row in rows.values())
        return [f"{row.short_form:<{width}}  {row.help}" for row in rows.values()]

    async def quit(self) -> None:
        """Leave."""
        self._shell.leaving = True

    async def prompt(self) -> None:
        """Open the prompt when the script has ended."""
        self._shell.prompt_asked = True


async def in_time(wanted: Awaitable[None], timeout: float | None, not_met: Callable[[], Awaitable[str]]) -> None:
    """Wait for something; raises NotMetError, with the text of `not_met`, when it takes longer than `timeout`."""
    try:
        await asyncio.wait_for(wanted, timeout)
    except TimeoutError:
        raise NotMetError(await not_met()) from None
