"""Calls of an engine in another process, several under way at once, and what that process tells unasked.

Messages are pickles with their length in front, as `multiprocessing.connection` writes them, but read and written by
asyncio's streams: its own blocks until the whole of a message has come, and a process that is stopped in the middle of
one would hold the prompt for as long. Descriptors travel over a socket of their own.
"""

import asyncio
import logging
import pickle
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from errno import ETOOMANYREFS
from socket import MSG_DONTWAIT, SocketType, recv_fds, send_fds, socket
from struct import Struct
from typing import Any, Final

from common.errors import SessionerError
from common.units import format_count

log = logging.getLogger("sessioner")

_LENGTH: Final = Struct("!I")

# In front of descriptors: the number of the call that they belong to.
_NUMBER: Final = Struct("!Q")

# SCM_MAX_FD in include/net/scm.h: descriptors that travel in one message.
_MOST_DESCRIPTORS: Final = 253

# Bytes that wait to be read by the other end beyond which nothing more is told unasked.
_TOO_MUCH: Final = 1 << 20


class GoneError(Exception):
    """The process that was called has ended."""


class Wire:
    """Messages to and from another process over one end of a pair of sockets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket) -> "Wire":
        """Take over a socket."""
        return cls(*await asyncio.open_unix_connection(sock=sock))

    @property
    def unread(self) -> int:
        """The bytes that wait for the other end to make room."""
        return self._writer.transport.get_write_buffer_size()

    @property
    def clogged(self) -> bool:
        """Whether the other end has left much unread."""
        return self.unread > _TOO_MUCH

    def send(self, message: object) -> None:
        """Send any object that can be pickled, now or when there is room."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTH.pack(len(data)) + data)

    async def receive(self) -> Any:
        """Return the next message; raises GoneError when there is none to come."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            return pickle.loads(await self._reader.readexactly(length))  # noqa: S301 - our own process wrote it
        except (asyncio.IncompleteReadError, OSError):
            raise GoneError from None

    def close(self) -> None:
        """Close this end."""
        self._writer.close()


class Caller:
    """The end that calls: `told` is given what comes unasked."""

    def __init__(self, wire: Wire, descriptors: socket, told: Callable[[Any], None]) -> None:
        self._wire = wire
        self._descriptors = descriptors
        descriptors.setblocking(False)
        self._told = told
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self.gone = False

    async def call(
        self, method: str, arguments: Sequence[Any], sockets: Sequence[SocketType] = (), *, reading: bool = False
    ) -> Any:
        """Return what a method returns there, or raise what it raises; GoneError when the process has ended.

        The sockets are the method's last argument. One that changes nothing is only `reading`. A call that is
        cancelled here is cancelled there.
        """
        if self.gone:
            raise GoneError
        self._last += 1
        number = self._last
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        try:
            self.hand_over(number, sockets)
            self._wire.send((number, method, tuple(arguments), len(sockets), reading))
            return await answer
        finally:
            if self._calls.pop(number, None) and answer.cancelled() and not self.gone:
                self._wire.send((number, None, (), 0, True))

    async def listen(self) -> None:
        """Take the answers until the process has ended."""
        try:
            while True:
                number, failed, result = await self._wire.receive()
                if number is None:
                    self._told(result)
                elif number in self._calls:
                    answer = self._calls.pop(number)
                    if answer.done():
                        continue
                    if failed:
                        answer.set_exception(result)
                    else:
                        answer.set_result(result)
        except GoneError:
            pass
        except Exception:
            log.exception("This is a bug, and the worker is given up:")
        finally:
            self.gone = True
            for answer in self._calls.values():
                if not answer.done():
                    answer.set_exception(GoneError())
            self._calls.clear()

    def close(self) -> None:
        """Close the connection, which ends the process."""
        self._wire.close()
        self._descriptors.close()

    def hand_over(self, number: int, sockets: Sequence[SocketType]) -> None:
        """Send the descriptors of a call, which follows; raises SessionerError when none are taken."""
        numbers = [sock.fileno() for sock in sockets]
        try:
            for at in range(0, len(numbers), _MOST_DESCRIPTORS):
                send_fds(self._descriptors, [_NUMBER.pack(number)], numbers[at : at + _MOST_DESCRIPTORS])
        except (BrokenPipeError, ConnectionResetError):
            raise GoneError from None
        except OSError as failure:
            remedy = "; raise ulimit -n" if failure.errno == ETOOMANYREFS else ""
            raise SessionerError(f"a worker cannot be given a listener: {failure.strerror}{remedy}") from None


class Server:
    """The end that is called: methods whose coroutines go on beside each other.

    `settled` is awaited before each answer to what changes something, so that what is told unasked is never older.
    """

    def __init__(self, wire: Wire, descriptors: socket, settled: Callable[[], Awaitable[None]]) -> None:
        self._wire = wire
        self._descriptors = descriptors
        self._settled = settled
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def serve(self, method_of: Callable[[str], Callable[..., Awaitable[Any]]]) -> None:
        """Answer calls, with the method that a name stands for, until the other end is closed."""
        with suppress(GoneError):
            while True:
                number, method, arguments, count, reading = await self._wire.receive()
                if method is None:
                    task = self._tasks.get(number)
                    if task:
                        task.cancel()
                    continue
                if count:
                    try:
                        arguments = (*arguments, self._take_over(number, count))
                    except SessionerError as error:
                        self._wire.send((number, True, error))
                        continue
                task = asyncio.create_task(self._answer(number, method_of(method), arguments, reading))
                self._tasks[number] = task
        for task in list(self._tasks.values()):
            task.cancel()

    def tell(self, message: object) -> bool:
        """Send something unasked, unless the other end has left much of it unread; return whether it is sent."""
        if self._wire.clogged:
            return False
        self._wire.send((None, False, message))
        return True

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    async def _answer(
        self, number: int, method: Callable[..., Awaitable[Any]], arguments: Sequence[Any], reading: bool
    ) -> None:
        try:
            result = await method(*arguments)
            if not reading:
                await self._settled()
            self._wire.send((number, False, result))
        except SessionerError as error:
            self._wire.send((number, True, error))
        except Exception as error:
            log.exception("This is a bug, and the worker goes on:")
            self._wire.send((number, True, RuntimeError(f"a worker's {method.__name__} failed: {error}")))
        finally:
            del self._tasks[number]

    def _take_over(self, number: int, count: int) -> list[SocketType]:
        """Return the sockets of a call, which were sent before it; raises SessionerError when some have not come.

        The kernel leaves out those that this process has no descriptors for: unix(7). Messages of a call that was given
        up while it sent its sockets may come before.
        """
        found: list[SocketType] = []
        due = -(-count // _MOST_DESCRIPTORS)
        with suppress(OSError):
            while due:
                data, numbers, *_ = recv_fds(self._descriptors, _NUMBER.size, _MOST_DESCRIPTORS, MSG_DONTWAIT)
                if not data:
                    break
                came = [SocketType(fileno=descriptor) for descriptor in numbers]
                if data == _NUMBER.pack(number):
                    found += came
                    due -= 1
                else:
                    _close(came)
        if len(found) == count:
            return found
        _close(found)
        raise SessionerError(f"no descriptors left for {format_count(count, 'listener')}: raise ulimit -n")


def forget(call: "asyncio.Future[Any]") -> None:
    """Take note of what a late answer was, which is of no use any more."""
    if not call.cancelled():
        call.exception()


def _close(sockets: Iterable[SocketType]) -> None:
    for sock in sockets:
        sock.close()
