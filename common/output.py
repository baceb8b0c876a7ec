"""Text on its way to a terminal, a pipe or a file that may be slow, or may never be read.

A thread writes, so that the loop never waits. Whoever can wait does so until the text is taken; what cannot wait
(a redrawn prompt, a line of the log) is given up while too much is queued already. How many lines were is said later.
"""

import asyncio
import os
import select
import threading
from collections import deque
from typing import Final

# Characters queued beyond which what cannot wait is given up, and those that can wait do.
_FULL: Final = 1 << 16

# Characters given to one write: little enough for the end of the process not to wait long for a slow terminal.
_CHUNK: Final = 1 << 13


class Output:
    """A queue of text in front of a descriptor; every method belongs to the loop's thread."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._queue: deque[str] = deque()
        self._queued = 0
        self._left_out = 0
        self._changed = threading.Condition()
        self._closed = False
        self._taken = asyncio.Event()
        self._taken.set()
        self._thread = threading.Thread(target=self._write_queued, name="output", daemon=True)
        self._thread.start()

    @property
    def full(self) -> bool:
        """Whether so much is queued that what cannot wait is given up."""
        return self._queued > _FULL

    def write(self, text: str) -> None:
        """Queue a text, however much is queued already."""
        if text:
            with self._changed:
                self._queue.append(text)
                self._queued += len(text)
                self._changed.notify()
            if self.full:
                self._taken.clear()

    def draw(self, text: str) -> bool:
        """Queue a drawing unless the queue is full; return whether it was queued."""
        if self.full:
            return False
        self.write(text)
        return True

    def note(self, text: str) -> None:
        """Queue whole lines unless the queue is full, behind the number of those that were left out before."""
        self.write(self.fitting(text))

    def fitting(self, text: str) -> str:
        """Return whole lines behind the number of those that were left out before, or leave them out: then nothing."""
        if self.full:
            self._left_out += text.count("\n")
            return ""
        left_out, self._left_out = self._left_out, 0
        return _told(left_out) + text

    async def room(self) -> None:
        """Return when the queue is not full."""
        await self._taken.wait()

    def close(self, seconds: float) -> None:
        """Write what is queued for at most so many seconds, and stop."""
        self.write(_told(self._left_out))
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(seconds)

    def _write_queued(self) -> None:
        """The thread: write whatever is queued, in order, until closed."""
        broken = False
        while True:
            with self._changed:
                while not self._queue and not self._closed:
                    self._changed.wait()
                if not self._queue:
                    return
                text = self._queue.popleft()
                if len(text) > _CHUNK:
                    self._queue.appendleft(text[_CHUNK:])
                    text = text[:_CHUNK]
            broken = broken or not _write_all(self._descriptor, text.encode(errors="replace"))
            with self._changed:
                self._queued -= len(text)
                take_note = self._queued <= _FULL // 2
            if take_note and not self._closed:
                self._tell_taken()

    def _tell_taken(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._taken.set)
        except RuntimeError:
            return  # the loop has ended


def _told(left_out: int) -> str:
    return f"({left_out} lines were left out, as they were not taken in time)\n" if left_out else ""


def _write_all(descriptor: int, data: bytes) -> bool:
    """Write all of it, waiting as long as it takes; return False when nobody will ever read it."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()
        except OSError:
            return False
    return True
