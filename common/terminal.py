"""The prompt at a terminal: keys, completion, history, toolbar, and text above it."""

import asyncio
import logging
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final, TextIO, cast

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.filters import is_searching
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from common.errors import SessionerError
from common.grammar import ADDRESSES, KINDS
from common.output import Output
from common.shell import Shell
from common.units import format_count

log = logging.getLogger("sessioner")

# Seconds between two refreshes of the toolbar.
_REFRESH: Final = 0.5

# Seconds that a command may take before the prompt comes back while it goes on.
_PATIENCE: Final = 0.2

# Seconds for which lines that come unasked are gathered, to redraw the prompt once for all of them.
_GATHER: Final = 0.1

_HINT: Final = "Ctrl-D or `quit` leaves\n"

Toolbar = Callable[[], Awaitable[str]]
Addresses = Callable[[], Awaitable[list[str]]]


class Terminal:
    """One prompt after another; a line that is carried out for long leaves the prompt usable."""

    _make_toolbar: Toolbar
    _find_addresses: Addresses

    def __init__(self, name: str, shell: Shell, output: Output) -> None:
        self._prompt = f"{name} $ "
        self._prompting = False
        self._shell = shell
        self._output = output
        self._toolbar = ""
        self._unasked: list[str] = []
        self._lines: asyncio.Queue[str] = asyncio.Queue()
        self._idle = asyncio.Event()
        self._command: asyncio.Task[None] | None = None
        self._screen = _Screen(output)
        self._completer = _CommandCompleter(shell)
        self._session: PromptSession[str] = PromptSession(
            self._prompt,
            history=_history(name),
            auto_suggest=AutoSuggestFromHistory(),
            enable_history_search=True,
            completer=self._completer,
            complete_style=CompleteStyle.READLINE_LIKE,
            bottom_toolbar=lambda: self._toolbar,
            key_bindings=self._keys(),
            output=_Display(cast(TextIO, self._screen), _size, os.environ.get("TERM"), enable_cpr=False),
            # The prompt's own colour, for a space without one is not written at the end of a line, and programs that
            # drive the prompt wait for it.
            style=Style.from_dict(
                {"prompt": "bold ansidefault", "bottom-toolbar": "noreverse bg:ansibrightblack fg:ansiwhite"}
            ),
        )

    def serve(self, toolbar: Toolbar, addresses: Addresses) -> None:
        """Take the toolbar's text, and the addresses to complete, from these."""
        self._make_toolbar = toolbar
        self._find_addresses = addresses

    @property
    def _app(self) -> Application[str]:
        return self._session.app

    async def run(self) -> None:
        """Prompt until `quit`, Ctrl-D or a vanished terminal."""
        tasks = [asyncio.create_task(job) for job in (self._carry_out(), self._refresh())]
        self._prompting = self._shell.typed = True
        exit_code = self._shell.exit_code
        try:
            while not self._shell.leaving:
                self._take(await self._session.prompt_async(handle_sigint=False))
                await asyncio.wait([asyncio.ensure_future(self._idle.wait())], timeout=_PATIENCE)
        except EOFError:
            self._shell.leaving = True
        finally:
            self._shell.exit_code = exit_code  # a line mistyped by a person is no failure of the run
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._print()  # no prompt is left to gather lines for, and nothing may come after this

    async def show(self, text: str) -> None:
        """Show whole lines above the prompt, and return when the terminal has room for more."""
        self._print(text)
        await self._output.room()

    async def greet(self, text: str) -> None:
        """Show the first line."""
        await self.show(text)

    def note(self, text: str) -> None:
        """Show whole lines that come unasked, above the prompt; left out while the terminal is not read."""
        text = self._output.fitting(text)
        if not text:
            return
        if not self._app.is_running:
            self._print(text)
            return
        if not self._unasked:
            asyncio.get_running_loop().call_later(_GATHER, self._print)
        self._unasked.append(text)

    def _print(self, text: str = "") -> None:
        """Print whole lines behind those that were gathered."""
        text = "".join([*self._unasked, text])
        self._unasked.clear()
        if text and self._app.is_running:
            self._app.renderer.erase()
            self._output.write(text)
            self._app.invalidate()
        else:
            self._output.write(text)

    async def _carry_out(self) -> None:
        """Carry out the lines typed, one after the other."""
        try:
            while not self._shell.leaving:
                line = await self._lines.get()
                if self._lines.empty():
                    self._shell.further_line.clear()
                self._command = asyncio.create_task(self._shell.execute(line))
                await asyncio.wait([self._command])
                if self._command.cancelled():
                    await self.show("Interrupted\n")
                self._command = None
                if self._lines.empty():
                    self._idle.set()
        finally:
            if self._command:
                self._command.cancel()
            if self._app.is_running:
                self._app.exit(exception=EOFError())

    async def _refresh(self) -> None:
        """Keep the toolbar and the addresses to complete up to date, and the screen whole.

        Both stay as they are while nobody says how things are.
        """
        told = False
        while True:
            before = self._toolbar
            try:
                self._toolbar = await self._make_toolbar()
                self._completer.addresses = await self._find_addresses()
            except SessionerError:
                pass  # a command says so as well, and is answered
            except Exception:
                if not told:
                    told = True
                    log.exception("This is a bug, and the daemon goes on:")
            if self._screen.torn and not self._output.full:
                # What the terminal missed is not known, so the prompt is drawn anew on a line of its own.
                self._screen.torn = False
                self._output.write("\r\n")
                self._app.renderer.reset()
                self._app.invalidate()
            elif self._toolbar != before:
                self._app.invalidate()
            await asyncio.sleep(_REFRESH)

    def interrupt(self) -> bool:
        """Clear the line, else end the command that goes on, else say how to leave; return False before the prompt."""
        if not self._prompting:
            return False
        if self._app.is_running and self._app.current_buffer.text:
            self._app.current_buffer.reset()
            self._app.invalidate()
        elif self._command:
            self._drop_queued()
            self._command.cancel()
        else:
            self._print(_HINT)
        return True

    def _drop_queued(self) -> None:
        """Forget the lines that wait for the command that goes on: they were typed for when it is done."""
        count = self._lines.qsize()
        for _ in range(count):
            self._lines.get_nowait()
        if count:
            self._print(f"{format_count(count, 'line')} behind it dropped\n")

    def _take(self, line: str) -> None:
        """Queue a line to be carried out; `quit` does not wait for a command that goes on."""
        if self._command and line.strip() == "quit":
            self._command.cancel()
        self._lines.put_nowait(line)
        self._shell.further_line.set()
        self._idle.clear()

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        # Within a search it ends the search, as everywhere.
        @keys.add("c-c", filter=~is_searching)
        def _(_event: KeyPressEvent) -> None:
            self.interrupt()

        @keys.add(Keys.BracketedPaste)
        def _(event: KeyPressEvent) -> None:
            """Take each pasted line that is ended as if it were typed."""
            buffer = event.current_buffer
            *lines, rest = event.data.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            if lines:
                lines[0] = buffer.text + lines[0]
                buffer.reset()
                for line in lines:
                    self._print(f"{self._prompt}{line}\n")
                    self._take(line)
            buffer.insert_text(rest)

        return keys


class _CommandCompleter(Completer):
    """What may come next on a line, from the registry, with the addresses and the files there are."""

    def __init__(self, shell: Shell) -> None:
        self.addresses: list[str] = []
        self._shell = shell
        self._files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """Yield the words that the one under the cursor may become."""
        before = document.text_before_cursor
        *words, begun = before.split() if before.strip() and not before[-1].isspace() else [*before.split(), ""]
        for name in self._shell.registry.expected(words):
            if name == "FILE":
                yield from self._files.get_completions(Document(begun), event)
            for word in self._words(name, words):
                if word.startswith(begun):
                    yield Completion(word, -len(begun))

    def _words(self, name: str, before: list[str]) -> Iterable[str]:
        if name in ADDRESSES:
            return self.addresses
        if name == "NAME":
            return self._shell.registry.commands
        return self._shell.registry.offered(before[0], name) if name in KINDS else (name,)


class _Screen:
    """What the prompt is drawn on: each drawing is queued whole, or given up while the terminal is not read."""

    encoding = "utf-8"

    def __init__(self, output: Output) -> None:
        self.torn = False
        self._output = output

    def write(self, text: str) -> int:
        """Queue a drawing, or note that the screen lacks it."""
        if not self._output.draw(text):
            self.torn = True
        return len(text)

    def flush(self) -> None:
        """Do nothing: the queue is drained at once."""


class _Display(Vt100_Output):
    """A terminal that is not asked where its cursor is, as some never answer."""

    def get_rows_below_cursor_position(self) -> int:
        """Return the one row that is certain; the drawing scrolls the rest into view."""
        return 1


def _size() -> Size:
    columns, rows = shutil.get_terminal_size()
    return Size(rows=rows, columns=columns)


def _history(name: str) -> History:
    """Return the history kept in the user's state directory, or one for this run where that cannot be written."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "sessioner" / f"{name}_history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except (OSError, RuntimeError):
        return InMemoryHistory()
    return FileHistory(path)
