"""The carrying out of lines: parse, run, render, and the exit code that comes of it."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Final, Protocol

from common import render
from common.commands import Call, Listing, Registry
from common.errors import SessionerError
from common.logs import COMMANDS

log = logging.getLogger("sessioner")
commands = logging.getLogger(COMMANDS)

# Lines of a listing that are handed over at once, with a turn for everything else in between: half a millisecond.
_LINES: Final = 50


class Sink(Protocol):
    """Where the text of commands goes."""

    async def show(self, text: str) -> None:
        """Show whole lines, and return when there is room for more."""

    def note(self, text: str) -> None:
        """Show whole lines that come unasked."""


class Shell:
    """One line after another, typed, piped or from a script.

    `changed` is called with each that has changed something, an empty one as what it repeats, and when (monotonic
    seconds) it began to; one that is watched each time. `further_line` is set while a line waits behind the one that is
    carried out. `typed` says that they come from a prompt, where somebody reads what is told later. `leaving` says that
    no further line is carried out, as after `quit`; `prompt_asked` that a script asked for the prompt at its end.
    `exit_code` is the first failure's.
    """

    sink: Sink

    def __init__(self) -> None:
        self.registry = Registry(())
        self.changed: Callable[[str, float], None] = _forget
        self.exit_code = 0
        self.typed = False
        self.leaving = False
        self.prompt_asked = False
        self.further_line = asyncio.Event()
        self._last = ""

    async def execute(self, line: str) -> None:
        """Carry out a line; an empty one repeats the last valid one, a comment is none.

        What goes wrong is shown, never raised.
        """
        try:
            if is_comment(line):
                return
            line = line if line.strip() else self._last
            if line:
                call = self.registry.parse(line)
                self._last = line
                commands.info("Command: %s", line.strip())
                await self.run(call)
        except SessionerError as error:
            self._failed(error.exit_code)
            await self.sink.show(f"{error}\n")
        except Exception as error:
            self._log_bug(error)

    async def run(self, call: Call) -> None:
        """Run what was parsed, and show what it returns; raises SessionerError, whose text names the command first."""
        begun, command = monotonic(), call.command
        try:
            result = await command.run(**call.arguments)
            if not command.reports and not command.looks:
                self.changed(self._last.strip(), begun)
            if isinstance(result, Listing):
                await self._show_listing(call, result)
            elif result is not None:
                await self._show([render.as_json(result)] if call.as_json else command.text(result))
        except SessionerError as error:
            self._name(error, command.name)
            raise

    def _name(self, error: SessionerError, name: str) -> None:
        """Put a command's name before an error's text, unless one is there: of what is watched, or is expected."""
        before, typed = str(error).partition(":")[0], " ".join(self._last.split())
        if before not in self.registry.commands and not (before.startswith(f"{name} ") and before in typed):
            error.args = (f"{name}: {error}",)

    async def _show_listing(self, call: Call, listing: Listing) -> None:
        lines = [listing.title] if listing.title and not call.as_json else []
        async for row in listing.rows:
            lines.extend([render.as_json(row)] if call.as_json else call.command.text(row))
            if len(lines) >= _LINES:
                await self._show(lines)
                await asyncio.sleep(0)
                lines.clear()
        await self._show(lines)

    async def _show(self, lines: Iterable[str]) -> None:
        await self.sink.show("".join(f"{line}\n" for line in lines))

    def note_failure(self, error: Exception) -> None:
        """Show the error of what a line has begun, or log it where it is a bug, and take it for the exit code."""
        if isinstance(error, SessionerError):
            self._failed(error.exit_code)
            self.sink.note(f"{error}\n")
        else:
            self._log_bug(error)

    def _log_bug(self, error: Exception) -> None:
        self._failed(SessionerError.exit_code)
        log.error("This is a bug, and the daemon goes on:", exc_info=error)

    def _failed(self, code: int) -> None:
        """Keep the first failure's exit code."""
        self.exit_code = self.exit_code or code


def is_comment(line: str) -> bool:
    """Return whether a line says nothing to the daemon: one that begins with #."""
    return line.lstrip().startswith("#")


def _forget(_line: str, _begun: float) -> None:
    """Take no note of a line."""
