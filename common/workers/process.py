"""The processes of workers: forked from one that has imported the engine, and nothing of the prompt.

That one, the zygote, is started by its console as a program of its own, so it has no loop and no thread when it forks.
When its console ends, however that comes about, it ends all workers and itself.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from socket import AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM, send_fds, socket, socketpair
from typing import Any, Final

from common.errors import SessionerError
from common.workers.calls import Caller, Wire
from common.workers.serving import Birth

_ZYGOTE: Final = "common.workers.zygote"

# The priority that the program was started with, which is that of the workers whatever the console has by then; and how
# much more important than they are the console is, as nice(2) counts it.
_STARTED_WITH: Final = os.getpriority(os.PRIO_PROCESS, 0)
_BEFORE_WORKERS: Final = 10

# Seconds that the end waits for the zygote, which waits for its workers.
_PATIENCE: Final = 10.0


def come_before_workers() -> None:
    """Let this process, which has the prompt, come before its workers until it ends, where that is allowed.

    So the prompt answers at once however busy many workers are. Doing it twice is doing it once.
    """
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _STARTED_WITH - _BEFORE_WORKERS)


class Zygote:
    """The process that workers are forked from, as its console sees it; `module` has the WORKER that they are."""

    ended = "has ended unexpectedly, and is replaced"
    back = "is replaced"
    covers = False

    def __init__(self, module: str, loop: str) -> None:
        self._module = module
        self._loop = loop
        self._control: socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def name_of(self, number: int) -> str:
        """Return what people know a worker by."""
        return f"Worker {number + 1}"

    async def begin(self, _number: int, birth: Birth, told: Callable[[Any], None]) -> Caller:
        """Start a worker, and return what calls it; raises SessionerError."""
        connection, descriptors = self.fork()
        connection.setblocking(False)
        try:
            wire = await Wire.over(connection)
        except BaseException:
            connection.close()
            descriptors.close()
            raise
        wire.send(birth)
        return Caller(wire, descriptors, told)

    def fork(self) -> tuple[socket, socket]:
        """Start a worker; return our ends of its connection and of the socket for descriptors.

        What becomes of it, the connection tells. Raises SessionerError.
        """
        try:
            ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
            our_descriptors, their_descriptors = socketpair(AF_UNIX, SOCK_SEQPACKET)
        except OSError as failure:
            raise SessionerError(f"a worker cannot be started: {failure.strerror}") from None
        with theirs, their_descriptors:
            try:
                self._ask(theirs, their_descriptors)
            except OSError as failure:
                ours.close()
                our_descriptors.close()
                raise SessionerError(f"a worker cannot be started: {failure.strerror}") from None
        return ours, our_descriptors

    async def close(self) -> None:
        """End every worker that has not ended by itself, and the zygote."""
        if self._control and self._process:
            self._control.close()
            await asyncio.to_thread(self._end, self._process)

    def _ask(self, *sockets: socket) -> None:
        numbers = [sock.fileno() for sock in sockets]
        if self._control:
            with suppress(BrokenPipeError, ConnectionResetError):
                send_fds(self._control, [b"f"], numbers)
                return
            self._control.close()
        if self._process:
            self._process.wait()
        self._start()
        assert self._control
        send_fds(self._control, [b"f"], numbers)

    def _start(self) -> None:
        self._control, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        self._control.setblocking(False)
        with theirs:
            arguments = (self._module, str(theirs.fileno()), self._loop, str(_STARTED_WITH))
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [sys.executable, "-m", _ZYGOTE, *arguments],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
