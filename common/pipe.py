"""Lines from a pipe, a file or anything else that is no terminal, carried out as they arrive."""

import asyncio
import contextlib
import os
import threading
from typing import Final

from common.output import Output
from common.shell import Shell

_READ: Final = 1 << 16


class Pipe:
    """One line after another until the end of the input, which is `quit`.

    A thread reads: a file or /dev/null cannot be a reader of the loop (epoll_ctl(2), EPERM).
    """

    def __init__(self, descriptor: int, shell: Shell, output: Output, errors: Output) -> None:
        self._descriptor = descriptor
        self._shell = shell
        self._output = output
        self._errors = errors
        self._loop = asyncio.get_running_loop()
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._room = threading.Semaphore()
        self._ended = False

    def serve(self, _toolbar: object, _addresses: object, /) -> None:
        """Do nothing: no toolbar is drawn, nothing is completed."""

    async def run(self) -> None:
        """Carry out the lines until `quit` or the end of the input."""
        threading.Thread(target=self._read, name="input", daemon=True).start()
        try:
            while not self._shell.leaving:
                line = await self._lines.get()
                self._shell.further_line.clear()
                self._room.release()
                if line is None:
                    return
                await self._shell.execute(line)
        finally:
            self._ended = True
            self._room.release()

    def interrupt(self) -> bool:
        """Leave it to SIGINT to end the process."""
        return False

    async def show(self, text: str) -> None:
        """Show whole lines, and return when there is room for more."""
        self._output.write(text)
        await self._output.room()

    async def greet(self, text: str) -> None:
        """Show the first line, on standard error: what reads the output expects the commands' alone."""
        self._errors.write(text)

    def note(self, text: str) -> None:
        """Show whole lines that come unasked, on standard error; left out while nobody reads that."""
        self._errors.note(text)

    def _read(self) -> None:
        """The thread: hand over one line after the other, and the end; one line waits at most."""
        left = b""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            while data := self._take():
                *lines, left = (left + data).split(b"\n")
                for line in lines:
                    self._hand_over(line.decode(errors="replace"))
                    if self._ended:
                        return
            if left:
                self._hand_over(left.decode(errors="replace"))
            self._hand_over(None)

    def _take(self) -> bytes:
        try:
            return os.read(self._descriptor, _READ)
        except OSError:
            return b""

    def _hand_over(self, line: str | None) -> None:
        self._room.acquire()
        if not self._ended:
            self._loop.call_soon_threadsafe(self._put, line)

    def _put(self, line: str | None) -> None:
        self._shell.further_line.set()
        self._lines.put_nowait(line)
